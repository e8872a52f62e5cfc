import type { NodeId, Position, Vacancy } from '../../machines/base/ids.js'
import { stateName } from '../../machines/base/stateName.js'
import { isInSync } from '../../machines/election/candidates.js'
import { epochAbove, missingGrants, staysInSync } from '../../machines/election/claiming.js'
import { holdOf } from '../../machines/election/pause.js'
import { promotionMachine } from '../../machines/promotion.js'
import type { PromotionEffect, PromotionEvent } from '../../machines/promotion.js'
import { boundedEpochs, claimed, endedEpochs, opened, unbounded, withInSync,
  withPromoter } from '../../machines/protocol/assignments.js'
import type { Assignment, AssignmentAt, EndedEpoch,
  SurveyAnswer } from '../../machines/protocol/messages.js'
import type { RoleInput } from '../../machines/space.js'
import type { Settlement } from '../arbiter/assignmentStore.js'
import type { ActorSpec, HostedActor } from '../host/actorHost.js'
import { RecordUnusableError } from '../member/assignmentWatch.js'
import type { PromotionRecord } from '../member/assignmentWatch.js'
import { isDamage } from '../member/member.js'
import type { Member } from '../member/member.js'
import { surveyAll } from '../member/survey.js'
import { Lease } from '../membership/lease.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import { startEpoch } from './epochStart.js'
import { PromotionNews } from './promotionNews.js'

/** Limit of the epochs skipped when the arbiter lost its records: two rarely draw the same. */
const lostJumpMax = 2 ** 20
/** Nobody takes writes meanwhile. */
const urgency = 'promotion'

/** The effects of one promotion: reads, surveys, compare-and-sets, the epoch-start entry. */
export class PromotionRole {
  private actor: HostedActor<typeof promotionMachine> | null = null
  private isOver = false
  private readonly news: PromotionNews
  /** Ended epochs for which the claim's record has no room. */
  private dropped: readonly EndedEpoch[] = []
  private watchesVacancy: AssignmentAt | null = null
  private watchesGrants: AssignmentAt | null = null
  private grantsSinceMs = 0
  /** The arbiter lost the record: this promotion is based on a remembered one. */
  private isRecordLost = false

  /** `onLapse`: the lease of the epoch lapsed, before or after it was won. */
  constructor(
    private readonly member: Member,
    private readonly input: RoleInput,
    private readonly readRecord: () => Promise<PromotionRecord>,
    private readonly onLapse: (reason: string) => void,
  ) {
    this.news = new PromotionNews(member)
  }

  spec(): ActorSpec<typeof promotionMachine> {
    const { space, self, context } = this.member
    const { times, jitterMs } = {
      times: context.settings,
      jitterMs: Math.floor(context.ports.random.next() * context.settings.standByMs * 0.5),
    }
    return {
      id: `space.${space}.promotion`,
      logic: promotionMachine,
      input: () => ({
        space,
        self,
        disk: context.self.disk,
        times,
        jitterMs,
        forced: this.input.forced,
        adopted: this.input.adopted,
      }),
      effects: (effect, actor) => {
        this.actor = actor
        this.perform(effect)
      },
      onExit: (exit) => {
        this.isOver = true
        // The lease that was won outlives it, and with it this role.
        this.actor = null
        const won = exit.kind === 'done' && exit.output.kind === 'won'
        this.member.blockage.clear()
        if (won) this.member.blockage.primaryKnown()
        if (!won) this.resign()
      },
    }
  }

  /** Gives a claim up for good, so that members that hear it may be candidates at once. */
  private resign(): void {
    const { member } = this
    const { epoch } = member.own
    if (epoch === 0) return
    member.own.stepDown('the promotion ended')
    const { record } = member.known
    const isMine = record?.assignment.primary?.node === member.self
    if (!record || !isMine || record.assignment.epoch !== epoch) return
    member.announce({ kind: 'resigned', ...record, reason: 'the promotion ended' })
  }

  get state(): string {
    return stateName(this.actor?.snapshot()?.value ?? 'surveying')
  }

  get reason(): string {
    return this.actor?.snapshot()?.context.lastReason ?? ''
  }

  /** Why this member must not be a candidate by itself, or null. */
  private holdOf({ assignment }: AssignmentAt): string | null {
    const { member } = this
    const { self, duty } = member.context
    return holdOf(assignment, self, duty.drained, member.fitness.commandedBy !== null)
  }

  /** Called for heartbeats, evidence and time: the reason to wait may be gone. */
  tick(): void {
    const { record } = this.member.known
    if (this.state === 'held' && record && this.holdOf(record) === null) {
      this.send({ type: 'released', reason: 'nothing holds it any more' })
    }
    if (this.watchesVacancy) this.checkVacancy(this.watchesVacancy)
    if (this.watchesGrants) this.checkGrants(this.watchesGrants)
  }

  /** Another primary is known: from a record read since, or from a verified announcement. */
  recordSeen(record: AssignmentAt): void {
    const { assignment } = record
    if (assignment.primary?.node === this.member.self) return
    const mine = this.member.own.epoch
    const isNewer = mine > 0 ? assignment.epoch > mine : this.member.vacancy() === null
    if (isNewer && assignment.primary) {
      const reason = `${assignment.primary.node} is primary in epoch ${assignment.epoch}`
      this.send({ type: 'primarySeen', reason })
    }
  }

  private send(event: PromotionEvent): void {
    if (!this.isOver) this.actor?.send(event)
  }

  private readonly wanted = (): boolean => !this.isOver && this.member.context.wire.isOpen

  private perform(effect: PromotionEffect): void {
    const run = (work: Promise<void>) => {
      work.catch((error: unknown) => this.failed(effect.type, error))
    }
    switch (effect.type) {
      case 'readRecord':
        return run(this.read())
      case 'survey':
        return run(this.survey(effect.record))
      case 'watchVacancy':
        this.watchesVacancy = effect.record
        return this.checkVacancy(effect.record)
      case 'claim':
        this.watchesVacancy = null
        return run(this.claim(effect.record, effect.answers, effect.vacancy))
      case 'startEpoch':
        return run(this.startEpoch(effect.record))
      case 'watchGrants':
        this.watchesGrants = effect.record
        this.grantsSinceMs = this.member.context.ports.clock.monotonicMs()
        return this.checkGrants(effect.record)
      case 'shrink':
        this.watchesGrants = null
        return run(this.shrink(effect.record, effect.without))
      case 'open':
        this.watchesGrants = null
        return run(this.open(effect.record))
      case 'progressed': {
        const obstacle = this.actor?.snapshot()?.context.obstacle ?? null
        this.news.progressed(effect.state, effect.reason, obstacle)
      }
    }
  }

  /**
   * A failed step would fail again (a log that cannot be read, a full disk). This member pauses, so
   * that another may become primary. A member with a damaged log leaves its role in the space.
   */
  private failed(step: PromotionEffect['type'], error: unknown): void {
    const { member } = this
    if (this.isOver && !isDamage(error)) return
    const reason = String(error)
    member.context.ports.logger.error(
      { space: member.space, error: reason },
      `promotion: ${step} failed`,
    )
    member.fitness.promotionFailed(reason)
    this.send({ type: 'stepFailed', reason })
    if (isDamage(error)) member.damaged(reason)
  }

  private async read(): Promise<void> {
    try {
      await this.member.following.truncated()
      const { record, isLost } = await this.readRecord()
      this.isRecordLost = isLost
      const hold = this.holdOf(record)
      this.send({ type: 'recordRead', record, position: this.member.position(), hold })
    } catch (error) {
      if (error instanceof RecordUnusableError) {
        return this.send({ type: 'recordUnusable', reason: error.message })
      }
      if (!(error instanceof ArbiterUnavailableError)) throw error
      this.send({ type: 'recordUnavailable', reason: error.message })
    }
  }

  /** Asks the in-sync members. A member that does not answer in time is not counted. */
  private async survey(record: AssignmentAt): Promise<void> {
    const { member, member: { known, fitness }, input: { forced } } = this
    const { assignment } = record
    const answers = await surveyAll(member, assignment, forced)
    for (const answer of answers) {
      known.sawEpoch(answer.highestEpoch)
      known.holderResigned(answer.node, answer.endedEpoch)
      if (isInSync(assignment, answer.node, answer.disk)) fitness.heardCommitted(answer.committed)
    }
    // If it were promoted, writes that were answered at `committed` would be lost.
    const { lacking } = fitness
    if (lacking && !forced) return this.send({ type: 'stepFailed', reason: lacking })
    this.send({ type: 'surveyed', answers, position: member.position() })
  }

  private checkVacancy(record: AssignmentAt): void {
    const { member } = this
    // In tilt the own clock, or the own event loop, is in doubt: nothing is concluded from it.
    if (member.context.peers.isTilted) return
    const vacancy: Vacancy | null = this.input.forced ? 'none' : member.vacancy(record)
    if (!vacancy) return
    this.watchesVacancy = null
    this.send({ type: 'vacancyProven', vacancy })
  }

  private async claim(
    record: AssignmentAt,
    answers: readonly SurveyAnswer[],
    vacancy: Vacancy,
  ): Promise<void> {
    const { member } = this
    const { ports, wire } = member.context
    // The old session has ended (its role was stopped); its frames are flushed or void.
    await member.flushed()
    if (this.isOver) return
    const { assignment } = record
    const epochs = [assignment.epoch, member.log.end.epoch, member.known.highestEpoch]
    const epoch = epochAbove(epochs, answers) + (this.isRecordLost ? this.lostJump() : 0)
    const inSync = this.input.forced
      ? [member.self]
      : assignment.inSync.filter((node) =>
        node === member.self || this.stays(node, assignment, answers)
      )
    const primary = { node: member.self, disk: member.context.self.disk, ...wire.life }
    const { forced } = this.input
    const reported = new Set(member.store.reports().map((report) => report.epoch))
    const { log } = member
    const past = endedEpochs(assignment, reported,
      (end) => end.sequence <= log.commitSequence && log.has(end))
    // In sync by a record that is the present one; otherwise safe writes may be missing here.
    const ended = forced || this.isRecordLost ? unbounded(past) : past
    const { kept, dropped } = boundedEpochs(ended)
    this.dropped = dropped
    const claim = claimed(assignment, epoch, primary, inSync, forced, kept, member.signature())
    const next = withPromoter(claim, member.fitness.commandedBy)
    member.known.sawEpoch(epoch)
    member.own.begin(epoch)
    const level = member.known.rejection === null ? 'info' : 'debug'
    ports.logger[level]({ space: member.space, epoch, inSync, vacancy }, `claims epoch ${epoch}`)
    const { records } = member.context
    this.settled(await records.settle(next, record.revision, this.wanted, { urgency }), 'claimed')
  }

  /**
   * The arbiter lost what it knew of later epochs, and their holders may be away. Draws an epoch
   * that none of them can have had; otherwise one epoch could have two owners (I1).
   */
  private lostJump(): number {
    return Math.floor(this.member.context.ports.random.next() * lostJumpMax)
  }

  /** The old set without the proven dead, and without those silent for half a lease. */
  private stays(
    node: NodeId,
    record: Assignment,
    answers: readonly SurveyAnswer[],
  ): boolean {
    const { member, member: { context: { peers, settings, ports } } } = this
    const answer = answers.find((a) => a.node === node)
    const stays = staysInSync(record, node, {
      isProvenDead: peers.isProvenDead(node),
      isUnregistered: !peers.isRegistered(node) && peers.heardLife(node) !== null,
      quietMs: peers.quietMs(node),
      disk: peers.diskOf(node),
      answer,
    }, member.committed(), settings)
    if (stays !== 'lacking') return stays
    ports.logger.error({ space: member.space, node, position: answer?.position },
      `${node} is listed in sync, but lacks committed entries: it does not count`)
    return false
  }

  private settled(
    settlement: Settlement,
    applied: 'claimed' | 'inSyncShrunk' | 'opened',
  ): void {
    // An answer after the end belongs to a later claim, or to none.
    if (settlement.kind === 'abandoned' || this.isOver) return
    const { member } = this
    if (settlement.kind === 'applied') {
      member.known.learned(settlement.record)
      member.known.forgetRejection()
      if (applied === 'claimed') member.alertDropped(this.dropped)
      this.send({ type: applied, record: settlement.record })
      return
    }
    if (settlement.kind === 'rejected') return this.rejected(settlement.reason)
    const now = settlement.current?.assignment
    member.own.stepDown('the compare-and-set was refused')
    this.send({
      type: 'compareAndSetRefused',
      reason: now
        ? `the record is at epoch ${now.epoch} of ${now.primary?.node ?? 'nobody'}`
        : 'the record is gone',
    })
  }

  /**
   * The arbiter stores nothing, or nothing from this node; another node may succeed. This attempt
   * is over, but may still be applied, so the next one claims an epoch above it.
   */
  private rejected(reason: string): void {
    const { member } = this
    member.known.claimRejected(reason)
    member.fitness.promotionFailed(reason)
    member.own.stepDown('the compare-and-set was rejected')
    this.send({ type: 'compareAndSetRejected', reason })
  }

  private async startEpoch(record: AssignmentAt): Promise<void> {
    const started = await startEpoch(this.member, record, () => this.isOver)
    if (started) this.send({ type: 'epochStarted', sequence: started.sequence })
  }

  private checkGrants(record: AssignmentAt): void {
    const { peers, settings, ports } = this.member.context
    const missing = missingGrants(record.assignment, this.member.self, {
      isGranted: (node) => peers.grantLeftMs(node) > 0,
      isProvenDead: (node) => peers.isProvenDead(node),
    }, ports.clock.monotonicMs() - this.grantsSinceMs, settings)
    if (missing === null) {
      this.watchesGrants = null
      this.send({ type: 'grantsHeld' })
    } else this.send({ type: 'grantsMissing', ...missing })
  }

  private async shrink(record: AssignmentAt, without: readonly NodeId[]): Promise<void> {
    const inSync = record.assignment.inSync.filter((node) => !without.includes(node))
    const next = withInSync(record.assignment, inSync, () => undefined, this.member.signature())
    const { records } = this.member.context
    const settlement = await records.settle(next, record.revision, this.wanted, {
      madeOf: record.assignment,
      urgency,
    })
    this.settled(settlement, 'inSyncShrunk')
  }

  /** From when this compare-and-set is sent, a missing grant is a lapse. */
  private async open(record: AssignmentAt): Promise<void> {
    const { member } = this
    const { ports, peers, records } = member.context
    const lapsed = (reason: string) => {
      this.send({ type: 'leaseLapsed', reason })
    }
    const lease = new Lease(member.self, ports.clock, peers, (reason) => {
      this.onLapse(reason)
      lapsed(reason)
    })
    if (!lease.begin(record.assignment.inSync)) {
      lapsed('a grant ran out before the epoch was opened')
      return
    }
    member.own.hold(lease)
    const { start } = member.own.started!
    const holds = (entry: Position) => entry.sequence <= start.sequence && member.log.has(entry)
    const next = opened(record.assignment, start, holds, member.signature())
    const settlement = await records.settle(next, record.revision,
      () => this.wanted() && !lease.lapsed, { madeOf: record.assignment, urgency })
    if (!lease.valid()) {
      lapsed('the lease lapsed while the epoch was opened')
      return
    }
    this.settled(settlement, 'opened')
  }
}
