import type { SalvageNote } from '../../machines/log/forkNotes.js'
import { unusableMs } from '../../machines/reconciliation.js'
import type { Member } from '../member/member.js'
import { namesOf, noteOf, Salvage } from './salvageSlices.js'
import type { Slice } from './salvageSlices.js'

/** Salvages of one offer: the others follow when these are taken. */
const offeredMax = 128
/** Of the notes of one offer, beyond the first of them: a message has at most 256 KiB. */
const offeredBytesMax = 192 * 1024

export interface Found {
  /** The oldest: what is offered once is offered again until it is taken. */
  readonly notes: readonly SalvageNote[]
  /** There are no others. */
  readonly isComplete: boolean
  /** Why some cannot be read, or null. */
  readonly fault: string | null
}

/**
 * The salvages that a member has of its space. Of each a note is kept; of the one that is brought
 * home a frame is in memory, and no more.
 */
export class SalvageCatalog {
  private readonly notes = new Map<string, SalvageNote>()
  /** Files that could not be read: why, and when that was. */
  private readonly unusable = new Map<string, { readonly why: string; readonly atMs: number }>()
  private looking: Promise<Found> | null = null
  private opened: { readonly name: string; readonly salvage: Salvage } | null = null

  constructor(private readonly member: Member) {}

  /**
   * What there is. One that cannot be read hides no others. Rejects when the directory cannot be
   * read, or when `isWanted` says no. Who asks meanwhile gets the same.
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
    member.salvages = present.length
    this.forget(new Set(present))
    const notes: SalvageNote[] = []
    let bytes = 0
    for (const name of present) {
      if (!isWanted()) throw new Error('nobody waits for it any more')
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

  /** What is gone; and what could not be read, once a fault of the disk may have passed. */
  private forget(present: ReadonlySet<string>): void {
    const nowMs = this.member.context.ports.clock.monotonicMs()
    for (const name of this.notes.keys()) if (!present.has(name)) this.notes.delete(name)
    for (const [name, { atMs }] of this.unusable) {
      if (!present.has(name) || nowMs - atMs >= unusableMs) this.unusable.delete(name)
    }
  }

  /** The oldest first; then those that do not tell their age, and are of this space by name. */
  private async present(): Promise<string[]> {
    const { space, uuid, context: { ports: { salvages } } } = this.member
    const names = namesOf(await salvages.names(), space, uuid)
    const readable = await salvages.list()
    const told = new Set(readable.map(({ name }) => name))
    const own = readable.filter(({ header }) => header.space === space && header.uuid === uuid)
      .toSorted((a, b) => a.header.savedAtMs - b.header.savedAtMs)
    return [...own.map(({ name }) => name), ...names.filter((name) => !told.has(name))]
  }

  private async note(name: string): Promise<SalvageNote | null> {
    const { self, uuid, context: { ports: { salvages, frames, clock } } } = this.member
    try {
      const source = await salvages.open(name)
      try {
        if (source.header.uuid !== uuid) return null
        const note = await noteOf(name, self, source, frames,
          () => new Promise((resolve) => clock.setTimeout(resolve, 0)))
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

  /** Of the salvage that is being brought home. One that fails is left out from now on. */
  async slice(name: string, sent: number): Promise<Slice> {
    if (this.opened?.name !== name) {
      this.release()
      this.opened = { name, salvage: this.read(name) }
    }
    const { opened } = this
    try {
      return await opened.salvage.slice(sent)
    } catch (error) {
      // Let go meanwhile, and closed: that says nothing of the file.
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
      () => salvages.open(name), frames, (write) => control.encode(write).length)
  }

  /** Its writes are not needed any more, or not now. */
  release(): void {
    const { opened } = this
    this.opened = null
    // It was read only: what closing it says changes nothing.
    opened?.salvage.close().catch(() => undefined)
  }

  /** What could not be read is tried again at once. */
  retryUnreadable(): void {
    this.unusable.clear()
  }

  async remove(name: string): Promise<void> {
    const { member } = this
    await member.context.ports.salvages.remove(name)
    this.notes.delete(name)
    member.salvages = Math.max(0, member.salvages - 1)
  }
}

/** Somebody took the file away: it is not there, rather than damaged. */
function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'SALVAGE_NOT_FOUND'
}
