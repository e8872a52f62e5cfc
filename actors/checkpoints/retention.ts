import { messageOf } from '../../machines/base/thrown.js'
import { segmentPins, usualPinBytes } from '../../machines/log/retention.js'
import type { RemovableSegment, SegmentPin, SegmentSpace } from '../../machines/log/retention.js'
import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import { FileSystemError } from '../ports/fileSystem.js'
import { JournalFullError } from '../ports/journal.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'

export interface RetentionOptions {
  readonly context: NodeContext
  readonly members: () => Iterable<Member>
  readonly directory: Pick<NodeDirectory, 'keepReserve' | 'releaseReserve'>
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

/** What keeps the oldest segment although it should go. */
interface Pinned {
  readonly pins: readonly SegmentPin[]
  readonly reasons: ReadonlyMap<string | null, string>
  /** Of closed segments, above what is to be kept. */
  readonly bytes: number
}

const nothing: Pinned = { pins: [], reasons: new Map(), bytes: 0 }

/**
 * Gives up the oldest segments of the journal: while closed ones have more than `retainBytes`, the
 * oldest goes, if all entries in it are committed and in two checkpoints (I14), and nobody needs
 * it. A node whose disk is full gives up all that may go.
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

  constructor(private readonly options: RetentionOptions) {}

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
    const oldest = this.oldest()
    return new Set(oldest ? this.uncovered(oldest.use).flatMap(({ uuid }) => uuid ?? []) : [])
  }

  /** What keeps the oldest segment although it should go, or null. */
  get pinnedBy(): { readonly space: string | null; readonly reason: string } | null {
    const [pin] = this.pinned.pins
    return pin ? { space: this.nameOf(pin.uuid), reason: pin.reason } : null
  }

  /** What the space keeps, in bytes of all of the journal that should go, or null. */
  pinsOf(uuid: string): { readonly bytes: number; readonly reason: string } | null {
    const { reasons, bytes } = this.pinned
    const reason = reasons.get(uuid)
    return reason === undefined ? null : { bytes, reason }
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
        this.look()
        const [oldest] = journal.segments()
        if (!oldest || !this.mayGo) break
        if (!await this.remove(oldest.segment)) break
        telemetry.count('segmentsGivenUp')
        this.unreported.segments += 1
        this.unreported.bytes += oldest.bytes
      }
      this.report()
      this.alert()
      this.sayUnowned()
    } catch (error) {
      this.failed(error)
    }
  }

  /** Whether the oldest segment should go, and nothing keeps it. */
  private get mayGo(): boolean {
    const { bytes, pins } = this.pinned
    return bytes > 0 && pins.length === 0
  }

  /** Sees how much should go, and what keeps it. */
  private look(): void {
    const oldest = this.oldest()
    if (!oldest) {
      this.pinned = nothing
      return
    }
    const { use, bytes } = oldest
    const pins = [...this.uncovered(use), ...this.needed(use, bytes)]
    this.pinned = { pins, reasons: new Map(pins.map(({ uuid, reason }) => [uuid, reason])), bytes }
  }

  /** The segment that should go, and the bytes that should; null: none should. */
  private oldest(): { readonly use: RemovableSegment; readonly bytes: number } | null {
    const { ports: { journal }, settings, commits } = this.options.context
    const closed = journal.segments()
    const retainBytes = commits.lacksRoom ? 0 : settings.retainBytes
    const bytes = closed.reduce((sum, one) => sum + one.bytes, 0) - retainBytes
    const [oldest] = closed
    return oldest && bytes > 0 ? { use: journal.useOf(oldest.segment), bytes } : null
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
  private needed({ spaces }: RemovableSegment, bytes: number): SegmentPin[] {
    const members = new Map([...this.options.members()].map((member) => [member.uuid, member]))
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
    try {
      return await journal.remove(segment)
    } catch (error) {
      if (!(error instanceof JournalFullError) || !await directory.releaseReserve()) throw error
    }
    try {
      // What keeps it may have been written, or found, meanwhile.
      this.look()
      return this.mayGo && await journal.remove(segment)
    } finally {
      if (!await directory.keepReserve()) commits.runShort()
    }
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

  /** Says once which space keeps more of the journal than is usual, and when it no longer does. */
  private alert(): void {
    const { context, checkpointBytes } = this.options
    const { pins, bytes } = this.pinned
    const pin = pins.find(({ uuid }) =>
      uuid !== null && bytes > usualPinBytes(checkpointBytes(uuid)) && this.nameOf(uuid) !== null
    )
    const space = pin ? this.nameOf(pin.uuid) : null
    if (space === this.alerted) return
    if (this.alerted !== null) {
      sendAlert(context, this.alerted, 'journalPinnedCleared', {},
        `${this.alerted} no longer keeps segments of the journal that should go`)
    }
    this.alerted = space
    if (!pin || space === null) return
    sendAlert(context, space, 'journalPinned', { bytes },
      `${space} keeps the oldest segment of the journal, and ${bytes} bytes should go: `
        + pin.reason)
  }

  /** Logs what keeps too much and is of no space with a member here: no alert can name it. */
  private sayUnowned(): void {
    const { context: { ports: { logger } }, members, checkpointBytes } = this.options
    const { pins, bytes } = this.pinned
    const owned = new Set(pins.length > 0 ? [...members()].map(({ uuid }) => uuid) : [])
    const pin = pins.find(({ uuid }) =>
      uuid === null
        ? bytes > usualPinBytes(0)
        : !owned.has(uuid) && bytes > usualPinBytes(checkpointBytes(uuid))
    )
    if (pin && !this.isSaid) {
      logger.warn({ bytes, uuid: pin.uuid, reason: pin.reason },
        'the oldest segment of the journal is kept, and no space here can let it go: '
          + 'give the node an empty data directory')
    }
    this.isSaid = pin !== undefined
  }

  private nameOf(uuid: string | null): string | null {
    for (const member of this.options.members()) if (member.uuid === uuid) return member.space
    return null
  }
}
