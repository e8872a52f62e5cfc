import type { SalvageNote } from '../../machines/log/forkNotes.js'
import { unusableMs } from '../../machines/reconciliation.js'
import type { Member } from '../member/member.js'
import { namesOf, noteOf, Salvage } from './salvageSlices.js'
import type { Slice } from './salvageSlices.js'
import { pause } from '../structures/pause.js'

/** Salvages in one offer; the others follow when these are taken. */
const offeredMax = 128
/** Bytes of the notes in one offer, beyond the first: a message has at most 256 KiB. */
const offeredBytesMax = 192 * 1024

export interface Found {
  /** The oldest salvages. Each is offered again until it is taken. */
  readonly notes: readonly SalvageNote[]
  /** Set when there are no others. */
  readonly isComplete: boolean
  /** Why some cannot be read, or null. */
  readonly fault: string | null
}

/**
 * The salvages that a member has of its space. A note of each is kept in memory, and one frame of
 * the one that is being uploaded.
 */
export class SalvageCatalog {
  private readonly notes = new Map<string, SalvageNote>()
  /** Files that could not be read, with the reason and the time. */
  private readonly unusable = new Map<string, { readonly why: string; readonly atMs: number }>()
  private looking: Promise<Found> | null = null
  private opened: { readonly name: string; readonly salvage: Salvage } | null = null

  constructor(private readonly member: Member) {}

  /**
   * Returns the salvages. An unreadable one does not hide others. Rejects when the directory cannot
   * be read, or when `isWanted` returns false. Calls during a look share its result.
   */
  async look(isWanted: () => boolean): Promise<Found> {
    this.looking ??= this.lookAt(isWanted).finally(() => {
      this.looking = null
    })
    return await this.looking
  }

  private async lookAt(isWanted: () => boolean): Promise<Found> {
    const { member } = this
    const { control } = member.context.ports
    const present = await this.present()
    member.salvages.counted(present.length)
    this.forget(new Set(present))
    const notes: SalvageNote[] = []
    let bytes = 0
    for (const name of present) {
      if (!isWanted()) throw new Error('the salvages are not needed any more')
      const note = this.unusable.has(name) ? null : this.notes.get(name) ?? await this.note(name)
      if (!note) continue
      bytes += control.encode(note).length
      if (notes.length >= offeredMax || (notes.length > 0 && bytes > offeredBytesMax)) {
        return { notes, isComplete: false, fault: this.fault }
      }
      notes.push(note)
    }
    return { notes, isComplete: this.unusable.size === 0, fault: this.fault }
  }

  /** Forgets files that are gone, and old failures: a fault of the disk may have passed. */
  private forget(present: ReadonlySet<string>): void {
    const nowMs = this.member.context.ports.clock.monotonicMs()
    for (const name of this.notes.keys()) if (!present.has(name)) this.notes.delete(name)
    for (const [name, { atMs }] of this.unusable) {
      if (!present.has(name) || nowMs - atMs >= unusableMs) this.unusable.delete(name)
    }
  }

  /** Returns names, the oldest first; then those without a readable header, by their name. */
  private async present(): Promise<string[]> {
    const { space, uuid, context: { ports: { salvages } } } = this.member
    const names = namesOf(await salvages.names(), space, uuid)
    const readable = await salvages.list()
    const dated = new Set(readable.map(({ name }) => name))
    const own = readable.filter(({ header }) => header.space === space && header.uuid === uuid)
      .toSorted((a, b) => a.header.savedAtMs - b.header.savedAtMs)
    return [...own.map(({ name }) => name), ...names.filter((name) => !dated.has(name))]
  }

  private async note(name: string): Promise<SalvageNote | null> {
    const { self, uuid, context: { ports: { salvages, frames, clock } } } = this.member
    try {
      const source = await salvages.open(name)
      try {
        if (source.header.uuid !== uuid) return null
        const note = await noteOf(name, self, source, frames, () => pause(clock, 0))
        this.notes.set(name, note)
        return note
      } finally {
        await source.close()
      }
    } catch (error) {
      this.failed(name, error)
      return null
    }
  }

  private failed(name: string, error: unknown): void {
    this.notes.delete(name)
    if (isGone(error)) return
    const why = `${name} cannot be read: ${String(error)}`
    this.unusable.set(name, { why, atMs: this.member.context.ports.clock.monotonicMs() })
  }

  private get fault(): string | null {
    const [first] = this.unusable.values()
    if (!first) return null
    return this.unusable.size === 1 ? first.why : `${first.why} (${this.unusable.size - 1} more)`
  }

  /** Returns a slice of the salvage that is being uploaded. One that fails is left out then. */
  async slice(name: string, sent: number): Promise<Slice> {
    if (this.opened?.name !== name) {
      this.release()
      this.opened = { name, salvage: this.read(name) }
    }
    const { opened } = this
    try {
      return await opened.salvage.slice(sent)
    } catch (error) {
      // If it was released and closed meanwhile, the error does not concern the file.
      if (this.opened === opened) {
        this.release()
        this.failed(name, error)
      }
      throw error
    }
  }

  private read(name: string): Salvage {
    const { salvages, frames, control } = this.member.context.ports
    return new Salvage(
      () => salvages.open(name),
      frames,
      (write) => control.encode(write).length,
    )
  }

  /** Closes the open salvage: its writes are not needed any more, or not now. */
  release(): void {
    const { opened } = this
    this.opened = null
    // It was only read: an error while closing does not matter.
    opened?.salvage.close().catch(() => undefined)
  }

  /** Lets unreadable files be tried again at once. */
  retryUnreadable(): void {
    this.unusable.clear()
  }

  async remove(name: string): Promise<void> {
    const { member } = this
    await member.context.ports.salvages.remove(name)
    this.notes.delete(name)
    member.salvages.removed()
  }
}

/** Whether the file does not exist (somebody removed it), rather than being damaged. */
function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'SALVAGE_NOT_FOUND'
}
