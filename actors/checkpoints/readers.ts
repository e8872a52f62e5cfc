import { readersNeed } from '../../machines/log/retention.js'
import type { ReaderRetention, RemovableSegment, SegmentPin } from '../../machines/log/retention.js'
import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import type { RememberedRecord } from '../ports/store.js'

/** The alert ends when nothing that a space retains was given up for so long. */
const quietMs = 600_000

/** What the settings of spaces keep of the journal for readers of their logs. */
export class Readers {
  /** When segments that a space retains were given up, by its name, while the alert stands. */
  private readonly overruledAtMs = new Map<string, number>()

  constructor(private readonly context: NodeContext) {}

  /** `closedBytes`: of the segment and all closed ones after it. */
  needs(
    { spaces }: RemovableSegment,
    closedBytes: number,
    members: ReadonlyMap<string, Member>,
  ): SegmentPin[] {
    const nowMs = this.context.ports.clock.wallMs()
    const isOpening = spaces.some(({ uuid }) => !members.has(uuid))
    const remembered = isOpening ? this.remembered() : null
    return spaces.flatMap((part) => {
      const { uuid } = part
      const retain = this.retainOf(uuid, members.get(uuid), remembered?.get(uuid))
      const reason = retain && readersNeed(retain, part, closedBytes, nowMs)
      return reason ? { uuid, reason } : []
    })
  }

  /** Called when a segment was given up that these spaces retain. */
  overruled(spaces: readonly string[]): void {
    const { context } = this
    for (const space of spaces) {
      const isNew = !this.overruledAtMs.has(space)
      this.overruledAtMs.set(space, context.ports.clock.monotonicMs())
      if (!isNew) continue
      sendAlert(context, space, 'retainOverruled', {},
        `entries that ${space} retains for readers were given up: the disk of ${context.self.node} `
          + 'is nearly full. Enlarge it, or set less: engram space set --help')
    }
  }

  isOverruled(space: string): boolean {
    return this.overruledAtMs.has(space)
  }

  /** Called about once a second. */
  look(): void {
    const { context } = this
    const nowMs = context.ports.clock.monotonicMs()
    for (const [space, atMs] of this.overruledAtMs) {
      if (nowMs - atMs < quietMs) continue
      this.overruledAtMs.delete(space)
      sendAlert(context, space, 'retainOverruledCleared', {},
        `no entries that ${space} retains were given up for 10 minutes`)
    }
  }

  /** By the record as last read; before that, as this node remembers it from earlier. */
  private retainOf(
    uuid: string,
    member: Member | undefined,
    remembered: RememberedRecord | undefined,
  ): ReaderRetention | null {
    const known = member
      ? member.known.record ?? this.context.records.remembered(member.space)
      : remembered
    return known?.assignment.uuid === uuid ? known.assignment.settings.retain ?? null : null
  }

  /** By uuid: for a start, which opens spaces one by one. */
  private remembered(): ReadonlyMap<string, RememberedRecord> {
    return new Map(this.context.records.memory.all().map((one) => [one.assignment.uuid, one]))
  }
}
