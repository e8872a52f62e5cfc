/** One member in a rehearsal: the promotion's chart, with answers that the others would give. */
import { createActor } from 'xstate'
import type { NodeId } from '../base/ids.js'
import type { ActorRefFrom } from 'xstate'
import { epochAbove, isSilent, missingGrants, standsAsideText,
  staysInSync } from '../election/claiming.js'
import { holdOf } from '../election/pause.js'
import { promotionMachine } from '../promotion.js'
import type { PromotionEffect, PromotionEvent } from '../promotion.js'
import { claimed, opened, withInSync } from '../protocol/assignments.js'
import type { Assignment, AssignmentAt, SurveyAnswer } from '../protocol/messages.js'
import type { Outlook } from './outlook.js'
import { drainOf } from './situation.js'
import type { Costs, RehearsedMember } from './situation.js'
import type { VirtualTime } from './virtualTime.js'

/** What the candidates of one rehearsal share. */
export interface Stage {
  readonly time: VirtualTime
  readonly costs: Costs
  readonly outlook: Outlook
  /** The record, as it is at the arbiter then. */
  record: AssignmentAt
  /** Returns what the member answers to a survey; null: it does not answer. */
  readonly answerOf: (node: NodeId) => SurveyAnswer | null
  readonly won: (candidate: Candidate) => void
}

/** Nobody reads it: records of a rehearsal are never compared by content. */
const signature = { writer: '', nonce: '' }

const life = { incarnation: 0, connection: 0 }

export class Candidate {
  private actor: ActorRefFrom<typeof promotionMachine> | null = null
  private failedUntilMs = -Infinity
  private failure = ''
  private watchesVacancy = false
  /** It has begun to claim the epoch. */
  hasClaimed = false
  /** State of its promotion, and why it is there. */
  state: string
  reason: string

  constructor(private readonly stage: Stage, readonly member: RehearsedMember) {
    const { fault, on } = member
    this.state = fault !== null ? 'unfit' : 'waiting'
    this.reason = fault !== null
      ? standsAsideText(fault)
      : on.isTilted
      ? `${on.node} doubts its own clock or event loop, and concludes nothing`
      : `${on.node} has no proof that the epoch is over`
  }

  get node(): NodeId {
    return this.member.on.node
  }

  /** Why the epoch was over; null: it has claimed none. */
  get vacancy() {
    return this.actor?.getSnapshot().context.vacancy ?? null
  }

  /** Why it should not be promoted now, or null. */
  get unfit(): string | null {
    const { unfit } = this.member
    return unfit ?? (this.stage.time.nowMs < this.failedUntilMs ? this.failure : null)
  }

  /** There may be new evidence. */
  look(): void {
    const { stage, member: { on, fault } } = this
    if (on.isTilted || fault !== null) return
    const vacancy = stage.outlook.vacancyOf(on, stage.record.assignment, stage.time.nowMs)
    if (vacancy === null) return
    if (!this.actor) return this.begin()
    if (!this.watchesVacancy) return
    this.watchesVacancy = false
    this.send({ type: 'vacancyProven', vacancy })
  }

  end(): void {
    this.actor?.stop()
  }

  private begin(): void {
    const { stage: { time, record }, member: { on } } = this
    const actor = createActor(promotionMachine, {
      clock: time.clock,
      input: {
        space: record.assignment.space,
        self: on.node,
        disk: on.disk,
        times: on.times,
        jitterMs: on.times.standByMs / 4,
        forced: false,
        adopted: null,
      },
    })
    this.actor = actor
    actor.on('*', (effect) => this.perform(effect))
    actor.subscribe({
      complete: () => {
        if (actor.getSnapshot().output?.kind === 'won') this.win()
        else time.after(on.times.heartbeatMs, () => this.again())
      },
    })
    actor.start()
  }

  private win(): void {
    this.state = 'won'
    this.reason = 'takes over'
    this.stage.won(this)
  }

  /** It stood down, and may have to try again. */
  private again(): void {
    this.actor = null
    this.look()
  }

  private send(event: PromotionEvent): void {
    this.actor?.send(event)
  }

  private after(ms: number, event: () => PromotionEvent): void {
    const { actor } = this
    this.stage.time.after(ms, () => {
      if (this.actor === actor) this.send(event())
    })
  }

  private perform(effect: PromotionEffect): void {
    const { costs, time } = this.stage
    switch (effect.type) {
      case 'readRecord':
        return this.read()
      case 'survey':
        return this.survey(effect.record.assignment)
      case 'watchVacancy':
        this.watchesVacancy = true
        time.after(0, () => this.look())
        return
      case 'claim':
        return this.claim(effect.record, effect.answers)
      case 'startEpoch':
        return this.after(costs.flushMs, () => ({
          type: 'epochStarted',
          sequence: this.member.position.sequence + 1,
        }))
      case 'watchGrants':
        return this.watchGrants(effect.record.assignment, time.nowMs)
      case 'shrink':
        return this.shrink(effect.record, effect.without)
      case 'open':
        return this.write(effect.record,
          opened(effect.record.assignment, this.member.position, () => true, signature),
          (record) => ({ type: 'opened', record }))
      case 'progressed':
        this.state = effect.state
        this.reason = effect.reason
    }
  }

  private read(): void {
    const { stage: { costs }, member: { arbiter, on, position } } = this
    if (arbiter.kind === 'unreachable') {
      return this.after(on.times.casTimeoutMs, () => ({
        type: 'recordUnavailable',
        reason: arbiter.reason,
      }))
    }
    this.after(costs.arbiterMs, () => {
      if (arbiter.kind === 'unusable') return { type: 'recordUnusable', reason: arbiter.reason }
      const { record } = this.stage
      const hold = holdOf(record.assignment, on, drainOf(this.member))
      return { type: 'recordRead', record, position, hold }
    })
  }

  private survey({ inSync }: Assignment): void {
    const { stage: { outlook, costs, time, answerOf }, member: { on, position } } = this
    const asked = inSync.filter((node) =>
      node !== on.node && !isSilent(outlook.peerOf(on, node, time.nowMs), on.times)
    )
    const ways = new Map(asked.map((node) => [node, outlook.areConnected(on, node)]))
    // NATS answers for a node that is not connected, and at once.
    const isWaiting = [...ways].some(([node, isOpen]) => !isOpen && !outlook.isAbsent(node))
    const ms = isWaiting ? on.times.surveyMs : 2 * costs.messageMs
    this.after(ms, () => {
      const answers = asked.map((node) => (ways.get(node) ? answerOf(node) : null))
        .filter((answer) => answer !== null)
      return { type: 'surveyed', answers, position }
    })
  }

  private claim({ assignment, revision }: AssignmentAt, answers: readonly SurveyAnswer[]): void {
    const { stage: { outlook, time }, member: { on, position, committed, highestEpoch } } = this
    this.hasClaimed = true
    const inSync = assignment.inSync.filter((node) => {
      if (node === on.node) return true
      const answer = answers.find((one) => one.node === node)
      const view = outlook.peerOf(on, node, time.nowMs)
      return staysInSync(assignment, node, { ...view, isUnregistered: false, disk: null, answer },
        committed, on.times) === true
    })
    const epoch = epochAbove([assignment.epoch, position.epoch, highestEpoch], answers)
    const next = claimed(assignment, epoch, { node: on.node, disk: on.disk, ...life }, inSync,
      false, assignment.ended ?? [], signature)
    this.write({ assignment, revision }, next, (record) => ({ type: 'claimed', record }))
  }

  private watchGrants(assignment: Assignment, sinceMs: number): void {
    const { stage: { outlook, time }, member: { on } } = this
    const missing = missingGrants(assignment, on.node, {
      isGranted: (node) => outlook.isGranted(on, node, time.nowMs),
      isProvenDead: (node) => outlook.peerOf(on, node, time.nowMs).isProvenDead,
    }, time.nowMs - sinceMs, on.times)
    if (missing === null) return this.after(0, () => ({ type: 'grantsHeld' }))
    if (missing.shrinkable) return this.after(0, () => ({ type: 'grantsMissing', ...missing }))
    const { actor } = this
    time.after(on.times.heartbeatMs, () => {
      if (this.actor === actor) this.watchGrants(assignment, sinceMs)
    })
  }

  private shrink(record: AssignmentAt, without: readonly NodeId[]): void {
    const inSync = record.assignment.inSync.filter((node) => !without.includes(node))
    this.write(record, withInSync(record.assignment, inSync, () => undefined, signature),
      (at) => ({ type: 'inSyncShrunk', record: at }))
  }

  private write(
    { revision }: AssignmentAt,
    assignment: Assignment,
    applied: (record: AssignmentAt) => PromotionEvent,
  ): void {
    const { stage, member: { arbiter, on } } = this
    this.after(stage.costs.arbiterMs, () => {
      if (arbiter.kind === 'refuses') {
        this.failure = `its last promotion failed: ${arbiter.reason}`
        this.failedUntilMs = stage.time.nowMs + on.times.standByMs * 10
        return { type: 'compareAndSetRejected', reason: arbiter.reason }
      }
      if (stage.record.revision !== revision) {
        const { epoch, primary } = stage.record.assignment
        const reason = `the record is at epoch ${epoch} of ${primary?.node ?? 'nobody'}`
        return { type: 'compareAndSetRefused', reason }
      }
      stage.record = { assignment, revision: revision + 1 }
      return applied(stage.record)
    })
  }
}
