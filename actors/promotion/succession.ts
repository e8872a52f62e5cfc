import type { NodeId, Vacancy } from '../../machines/base/ids.js'
import { handoverReason, vacancyText } from '../../machines/election/vacancy.js'
import type { ClusterEvent, PromotionReport } from '../../machines/protocol/events.js'
import type { Announcement, Assignment, AssignmentAt } from '../../machines/protocol/messages.js'
import type { RoleInput } from '../../machines/space.js'
import type { Member } from '../member/member.js'
import type { StartedEpoch } from '../member/startedEpoch.js'

/** Vacancies that result from a failure, not from a command. */
const failures: ReadonlySet<Vacancy> = new Set(['restarted', 'noResponders', 'grantExpired'])

/** An interruption of service: since when nobody takes writes, and why. */
interface Interruption {
  readonly from: NodeId | null
  readonly vacancy: Vacancy
  readonly reason: string
  /** Monotonic clock, here and below. */
  readonly sinceMs: number
  /** When this member was first a candidate. */
  readonly noticedMs: number
}

/**
 * Tracks for one space since when there is no primary that takes writes, which was the last one,
 * and why it is primary no longer. Begins with the first evidence, whatever candidates do then, and
 * ends when a primary takes writes again.
 */
export class Succession {
  private interruption: Interruption | null = null
  /** Holder of the last epoch that was known to be open. */
  private lastOpen: NodeId | null = null
  private resignation: { readonly epoch: number; readonly reason: string } | null = null
  /** Promotions of this member since the start. */
  private wins = 0
  private lastMs: number | null = null
  /** When this member was primary last, or when it began. */
  private ownEndMs: number

  constructor(private readonly member: Member) {
    this.ownEndMs = this.nowMs()
  }

  get promotions(): number {
    return this.wins
  }

  /** Time of the last promotion, from when this member was a candidate, ms; null: none. */
  get lastPromotionMs(): number | null {
    return this.lastMs
  }

  private nowMs(): number {
    return this.member.context.ports.clock.monotonicMs()
  }

  /** Notes how another member became primary, or why it is primary no longer. */
  heard({ kind, assignment: { epoch, inSync }, promotion, reason }: Announcement): void {
    if (kind === 'resigned') this.resignation = { epoch, reason }
    if (promotion && promotion.to !== this.member.self) {
      this.note({ type: 'promoted', promotion, inSync })
    }
  }

  /** This member is no longer primary. */
  ownEnded(): void {
    this.ownEndMs = this.nowMs()
  }

  /** There is a primary that takes writes. */
  settled(holder: NodeId): void {
    this.lastOpen = holder
    this.interruption = null
  }

  /** This member becomes a candidate. `adopted`: the record that hands the space over to it. */
  begun({ adopted, forced }: Pick<RoleInput, 'adopted' | 'forced'>): void {
    if (this.interruption) return
    const record = this.member.known.record?.assignment ?? null
    const isHandover = adopted !== null && adopted.assignment.writer !== this.member.self
    this.interruption = isHandover
      ? this.handedOver(adopted.assignment)
      : this.interrupted(record, forced)
  }

  /** This member is named primary in the record; its epoch is not open yet. */
  won(): void {
    const { member, interruption } = this
    const { telemetry } = member.context.ports
    this.wins += 1
    if (interruption) {
      this.lastMs = Math.round(this.nowMs() - interruption.noticedMs)
      telemetry.observe('promotionMs', this.lastMs)
    }
    telemetry.count('promotions', 1, { space: member.space })
  }

  private handedOver({ writer }: Assignment): Interruption {
    const nowMs = this.nowMs()
    return {
      from: writer,
      vacancy: 'resigned',
      reason: handoverReason(writer),
      sinceMs: nowMs,
      noticedMs: nowMs,
    }
  }

  private interrupted(record: Assignment | null, forced = false): Interruption {
    const { member } = this
    const holder = record?.primary ?? null
    const isOpen = record?.state === 'open'
    // A claim that came to nothing interrupted nothing: service ended with the primary before it.
    const from = (isOpen ? holder?.node : this.lastOpen ?? holder?.node) ?? null
    const vacancy = member.vacancy() ?? 'none'
    const said = record && this.resignation?.epoch === record.epoch ? this.resignation.reason : null
    const why = forced ? 'an operator forced it' : vacancyText(vacancy, from)
    const nowMs = this.nowMs()
    const silenceMs = holder && isOpen ? member.context.peers.silenceOfMs(holder) : 0
    const sinceMs = vacancy === 'own'
      ? this.ownEndMs
      : vacancy === 'none' || vacancy === 'resigned'
      ? nowMs
      : nowMs - silenceMs
    const reason = said === null ? why : `${why}: ${said}`
    return { from, vacancy, sinceMs, noticedMs: nowMs, reason }
  }

  /** This member takes writes from now on. Announces that, and how it became primary. */
  opened({ assignment, revision }: AssignmentAt, started: StartedEpoch): void {
    const { member } = this
    const promotion = this.report(assignment.epoch, started)
    member.announce({
      kind: 'changed',
      assignment,
      revision,
      reason: 'the epoch is open',
      promotion,
    })
    this.note({ type: 'promoted', promotion, inSync: assignment.inSync })
    if (failures.has(promotion.vacancy)) this.warn(promotion)
  }

  /** Warns about an unplanned promotion: somebody should look after the former primary. */
  private warn({ epoch, from, vacancy, reason, ms }: PromotionReport): void {
    const { space, context } = this.member
    context.ports.logger.warn({ space, epoch, from, vacancy, ms },
      `takes over as primary in epoch ${epoch} after ${ms} ms: ${reason}`)
  }

  handoverBegun(epoch: number, to: NodeId, reason: string): void {
    this.note({ type: 'handoverBegun', space: this.member.space, epoch, to, reason })
  }

  /** This member is no longer primary, and has handed over to nobody. */
  steppedDown(epoch: number, reason: string): void {
    this.note({ type: 'steppedDown', space: this.member.space, epoch, reason })
  }

  private note(event: ClusterEvent): void {
    this.member.context.ports.events.note(event)
  }

  private report(epoch: number, started: StartedEpoch): PromotionReport {
    const { member } = this
    const { from, vacancy, reason, sinceMs } = this.interruption ?? this.interrupted(null)
    this.settled(member.self)
    return {
      atMs: Math.round(member.context.ports.clock.wallMs()),
      space: member.space,
      epoch,
      from,
      to: member.self,
      vacancy,
      reason,
      ms: Math.max(0, Math.round(this.nowMs() - sinceMs)),
      atRisk: this.atRisk(started),
    }
  }

  /** Sum over the reports that this epoch opens; null if the end of one was never heard. */
  private atRisk({ forks }: StartedEpoch): number | null {
    const { heardEnd } = this.member.following
    const counts = forks.map(({ epoch, lastKnown, forkPoint, start }) => {
      const isHeard = heardEnd.epoch === epoch
        || lastKnown > Math.max(start.sequence, forkPoint.sequence)
      return isHeard ? lastKnown - forkPoint.sequence : null
    })
    return counts.includes(null) ? null : counts.reduce<number>((sum, n) => sum + (n ?? 0), 0)
  }
}
