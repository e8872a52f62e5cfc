import { messageOf } from '../../machines/base/thrown.js'
import { bytesText } from '../../machines/base/units.js'
import { segmentPins, usualPinBytes } from '../../machines/log/retention.js'
import type { RemovableSegment, SegmentPin, SegmentSpace } from '../../machines/log/retention.js'
import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import { FileSystemError } from '../ports/fileSystem.js'
import { JournalFullError } from '../ports/journal.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'
import type { RoomOutlook } from './outlook.js'
import { Readers } from './readers.js'
import { withReserve } from './reserve.js'

export interface RetentionOptions {
  readonly context: NodeContext
  readonly members: () => Iterable<Member>
  readonly directory: Pick<NodeDirectory, 'keepReserve' | 'releaseReserve'>
  readonly outlook: Pick<RoomOutlook, 'isShort' | 'look'>
  /** Bytes of the newest checkpoint of a space that counts. */
  readonly checkpointBytes: (uuid: string) => number
}

/** How often the journal is looked at. */
const lookMs = 1000
/** A member of an earlier release cannot be installed: what it may need is kept for so long. */
const oldMemberMs = 600_000
/** Removals are logged together. */
const reportMs = 60_000
/** A fault of the disk is logged again after this. */
const faultMs = 60_000

interface Pin extends SegmentPin {
  /** Null: no member here is of it. */
  readonly space: string | null
  /** Readers keep it, as the settings of the space say: nobody has to act. */
  readonly isRetained: boolean
}

/** What becomes of the setting `retain` of a space. */
export interface Retained {
  /** The oldest segment is here for it. */
  readonly keepsOldest: boolean
  /** Less is kept, since the disk needs the room. */
  readonly isOverruled: boolean
}

/** The oldest segment, if there is more than is to be kept. */
interface Oldest {
  readonly use: RemovableSegment
  /** Of closed segments, in all. */
  readonly closedBytes: number
  /** Of those, above what is to be kept. */
  readonly bytes: number
}

/** What keeps the oldest segment although it should go. */
interface Pinned {
  /** By uuid, one of each. */
  readonly pins: ReadonlyMap<string | null, Pin>
  /** Of closed segments, above what is to be kept. */
  readonly bytes: number
  /** What readers of logs keep, whether it counts or not. */
  readonly readers: readonly SegmentPin[]
}

const nothing: Pinned = { pins: new Map(), bytes: 0, readers: [] }

/**
 * Gives up the oldest segments of the journal: while closed ones have more than `retainBytes`, the
 * oldest goes, if all entries in it are committed and in two checkpoints (I14), and nobody needs
 * it. A node whose disk is full, or soon has no room for checkpoints, gives up all that may go.
 */
export class Retention {
  private lookedAtMs = -Infinity
  private isBusy = false
  private isStopped = false
  private settled: Promise<void> = Promise.resolve()
  private pinned: Pinned = nothing
  private alerted: string | null = null
  /** What no member here keeps was logged. */
  private isSaid = false
  private faultAtMs = -Infinity
  private reportAtMs = -Infinity
  private unreported = { segments: 0, bytes: 0 }

  private readonly readers: Readers

  constructor(private readonly options: RetentionOptions) {
    this.readers = new Readers(options.context)
  }

  /** Called once per heartbeat. */
  tick(): void {
    const nowMs = this.options.context.ports.clock.monotonicMs()
    if (this.isBusy || this.isStopped || nowMs - this.lookedAtMs < lookMs) return
    this.lookedAtMs = nowMs
    this.isBusy = true
    this.settled = this.giveUp().finally(() => {
      this.isBusy = false
    })
  }

  /** Spaces whose entries in the oldest segment, which should go, are not in two checkpoints. */
  get pinning(): ReadonlySet<string> {
    const { commits, settings } = this.options.context
    const oldest = this.oldest(commits.lacksRoom ? 0 : settings.retainBytes)
    if (!oldest) return new Set()
    const isRetained = !commits.lacksRoom && this.readersOf(oldest).length > 0
    return isRetained ? new Set() : this.pinningOf(oldest)
  }

  /** The same if nothing was to be retained. */
  get pinningAnything(): ReadonlySet<string> {
    const oldest = this.oldest(0)
    return oldest ? this.pinningOf(oldest) : new Set()
  }

  private pinningOf({ use }: Oldest): ReadonlySet<string> {
    return new Set(this.uncovered(use).flatMap(({ uuid }) => uuid ?? []))
  }

  /** What keeps the oldest segment although it is more than `retainBytes`, or null. */
  get pinnedBy(): { readonly space: string | null; readonly reason: string } | null {
    const [pin] = this.pinned.pins.values()
    return pin ? { space: pin.space, reason: pin.reason } : null
  }

  /** What becomes of a space's setting `retain`. */
  retained({ uuid, space }: Pick<Member, 'uuid' | 'space'>): Retained {
    return {
      keepsOldest: !this.isPressed && this.pinned.readers.some((pin) => pin.uuid === uuid),
      isOverruled: this.readers.isOverruled(space),
    }
  }

  /** What the space keeps, in bytes of all of the journal that should go, or null. */
  pinsOf(uuid: string): { readonly bytes: number; readonly reason: string } | null {
    const { pins, bytes } = this.pinned
    const pin = pins.get(uuid)
    return pin && !pin.isRetained ? { bytes, reason: pin.reason } : null
  }

  /** Resolves when nothing is removed any more. */
  async stop(): Promise<void> {
    this.isStopped = true
    await this.settled
  }

  private async giveUp(): Promise<void> {
    const { journal, telemetry } = this.options.context.ports
    try {
      while (!this.isStopped) {
        await this.options.outlook.look()
        this.look()
        const [oldest] = journal.segments()
        if (this.isStopped || !oldest || !this.mayGo) break
        const { readers } = this.pinned
        if (!await this.remove(oldest.segment)) break
        this.overruled(readers)
        telemetry.count('segmentsGivenUp')
        this.unreported.segments += 1
        this.unreported.bytes += oldest.bytes
      }
      this.readers.look()
      this.report()
      this.complain()
    } catch (error) {
      this.failed(error)
    }
  }

  /** Whether the oldest segment should go, and nothing keeps it. */
  private get mayGo(): boolean {
    const { bytes, pins } = this.pinned
    return bytes > 0 && pins.size === 0
  }

  /** Sees how much should go, and what keeps it. */
  private look(): void {
    const oldest = this.oldest(this.isPressed ? 0 : this.options.context.settings.retainBytes)
    if (!oldest) {
      this.pinned = nothing
      return
    }
    const { use, bytes } = oldest
    const members = this.members()
    const readers = this.readersOf(oldest, members)
    // What else keeps it is nobody's concern while readers do.
    const isRetained = readers.length > 0 && !this.isPressed
    const all = isRetained
      ? readers
      : [...this.uncovered(use), ...this.needed(use, bytes, members)]
    const pins = new Map<string | null, Pin>()
    for (const pin of all) {
      const space = members.get(pin.uuid ?? '')?.space ?? null
      if (!pins.has(pin.uuid)) pins.set(pin.uuid, { ...pin, space, isRetained })
    }
    this.pinned = { pins, bytes, readers }
  }

  /** Whether the disk needs the room of all that may go. */
  private get isPressed(): boolean {
    return this.options.context.commits.lacksRoom || this.options.outlook.isShort
  }

  private members(): ReadonlyMap<string, Member> {
    return new Map([...this.options.members()].map((member) => [member.uuid, member]))
  }

  private overruled(readers: readonly SegmentPin[]): void {
    if (readers.length === 0) return
    const members = this.members()
    this.readers.overruled(readers.flatMap(({ uuid }) => members.get(uuid ?? '')?.space ?? []))
  }

  /** Null: closed segments have no more than that. */
  private oldest(retainBytes: number): Oldest | null {
    const { ports: { journal } } = this.options.context
    const closed = journal.segments()
    const closedBytes = closed.reduce((sum, one) => sum + one.bytes, 0)
    const bytes = closedBytes - retainBytes
    const [oldest] = closed
    return oldest && bytes > 0 ? { use: journal.useOf(oldest.segment), closedBytes, bytes } : null
  }

  private readersOf({ use, closedBytes }: Oldest, members = this.members()): SegmentPin[] {
    return this.readers.needs(use, closedBytes, members)
  }

  private uncovered(use: RemovableSegment): SegmentPin[] {
    const { journal } = this.options.context.ports
    return [...segmentPins(use, (uuid) => journal.log(uuid)), ...this.unusable(use)]
  }

  /** A checkpoint that is named and cannot be used does not count: nothing goes until two do. */
  private unusable({ spaces }: RemovableSegment): SegmentPin[] {
    const { journal, checkpoints } = this.options.context.ports
    return spaces.flatMap(({ uuid }) => {
      const { kept = [] } = journal.log(uuid)?.covers ?? {}
      const lost = kept.find((one) => checkpoints.find(uuid, one) === null)
      return lost ? { uuid, reason: `checkpoint file ${lost.file} cannot be used` } : []
    })
  }

  /** What others may need of the segment. */
  private needed(
    { spaces }: RemovableSegment,
    bytes: number,
    members: ReadonlyMap<string, Member>,
  ): SegmentPin[] {
    return spaces.flatMap((part) => {
      const reason = this.installNeeds(part, bytes) ?? this.oldMemberOf(members.get(part.uuid))
      return reason === null ? [] : { uuid: part.uuid, reason }
    })
  }

  private installNeeds({ uuid, last }: SegmentSpace, bytes: number): string | null {
    const { pins, settings, self } = this.options.context
    // Past the bound of its pin, a member is installed again, with a newer checkpoint.
    const pin = [...pins.of(uuid)].find((one) =>
      one.from <= last && bytes <= Math.max(settings.retainBytes, 2 * one.bytes)
    )
    if (!pin) return null
    return pin.node === self.node
      ? `entries from ${pin.from} on are being salvaged`
      : `${pin.node} is being installed, and goes on from entry ${pin.from}`
  }

  private oldMemberOf(member: Member | undefined): string | null {
    const { peers, self } = this.options.context
    for (const { node } of member?.known.record?.assignment.members ?? []) {
      if (node === self.node || peers.diskOf(node) === null || peers.knowsInstalls(node)) continue
      if (peers.quietMs(node) < oldMemberMs) {
        return `${node} runs an earlier release, which cannot be installed: upgrade it`
      }
    }
    return null
  }

  /** On a disk without any room, what has to be written first gets the reserved space. */
  private async remove(segment: number): Promise<boolean> {
    const { context: { ports: { journal }, commits }, directory } = this.options
    return await withReserve({ commits, directory }, () => journal.remove(segment), async () => {
      // What keeps it may have been written, or found, meanwhile.
      this.look()
      return this.mayGo && await journal.remove(segment)
    })
  }

  private failed(error: unknown): void {
    const { context: { ports: { clock, logger }, fatal } } = this.options
    if (!(error instanceof JournalFullError || error instanceof FileSystemError)) {
      return fatal(error)
    }
    const nowMs = clock.monotonicMs()
    if (nowMs - this.faultAtMs < faultMs) return
    this.faultAtMs = nowMs
    logger.warn({ error: messageOf(error) }, 'the oldest segment of the journal cannot be removed')
  }

  private report(): void {
    const { clock, logger } = this.options.context.ports
    const { segments, bytes } = this.unreported
    const nowMs = clock.monotonicMs()
    if (segments === 0 || nowMs - this.reportAtMs < reportMs) return
    this.reportAtMs = nowMs
    this.unreported = { segments: 0, bytes: 0 }
    logger.info({ segments, bytes }, 'old segments of the journal were given up')
  }

  /** Of what keeps more of the journal than is usual. */
  private complain(): void {
    const { pins, bytes } = this.pinned
    const unusual = [...pins.values()].filter(({ uuid, isRetained }) =>
      !isRetained
      && bytes > usualPinBytes(uuid === null ? 0 : this.options.checkpointBytes(uuid))
    )
    this.alert(unusual.find(({ space }) => space !== null))
    this.sayUnowned(unusual.find(({ space }) => space === null))
  }

  /** Says once which space it is, and when it no longer is. */
  private alert(pin: Pin | undefined): void {
    const { context } = this.options
    const space = pin?.space ?? null
    if (space === this.alerted) return
    if (this.alerted !== null) {
      sendAlert(context, this.alerted, 'journalPinnedCleared', {},
        `${this.alerted} no longer keeps segments of the journal that should go`)
    }
    this.alerted = space
    if (!pin || space === null) return
    const { bytes } = this.pinned
    sendAlert(context, space, 'journalPinned', { bytes },
      `${space} keeps the oldest segment of the journal, and ${bytesText(bytes)} should go: `
        + pin.reason)
  }

  /** No alert can name it: it is logged once. */
  private sayUnowned(pin: Pin | undefined): void {
    if (pin && !this.isSaid) {
      const { uuid, reason } = pin
      this.options.context.ports.logger.warn({ bytes: this.pinned.bytes, uuid, reason },
        'the oldest segment of the journal is kept, and no space here can let it go: '
          + 'give the node an empty data directory')
    }
    this.isSaid = pin !== undefined
  }
}
