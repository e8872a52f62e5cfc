import type { Window } from '../../machines/log/commit.js'
import type { KeyRecord } from '../../machines/log/entries.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { LossBound } from '../log/lossBound.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { NodeContext } from '../member/context.js'
import { errorAnswer } from '../messaging/answers.js'
import type { Answers, ReplyTarget } from '../messaging/answers.js'
import type { ErrorCode, WriteAnswer } from '../ports/clientApi.js'
import type { NodePorts } from '../ports/node.js'
import type { Clock, Telemetry } from '../ports/system.js'
import type { Account } from '../structures/budget.js'
import { Fifo } from '../structures/fifo.js'
import { inSlices } from '../structures/inSlices.js'
import type { InSyncSet } from './inSyncSet.js'
import { LevelWaiters } from './levelWaiters.js'
import type { EpochFacts } from './primaryEpoch.js'
import { PendingWrite } from './pendingWrite.js'

/** Repeated writes that may wait for a level at a time; they hold no payload. */
const duplicatesMax = 65_536
/** Heap bytes of a request that waits for its answer only: it holds no payload. */
const waitingHeapBytes = 500
/** Waiting writes that are skipped in the search for one that the loss window has room for. */
const blockedMax = 256

/** Services of the node that are needed for answers. */
export interface WriteAnswerServices extends Pick<NodeContext, 'budget' | 'settings'> {
  readonly answers: Pick<Answers, 'answer'>
  readonly ports: Pick<NodePorts, 'clock' | 'telemetry'>
}

export interface WriteAnswersOptions {
  readonly epoch: EpochFacts
  readonly log: SpaceLog
  readonly inSync: Pick<InSyncSet, 'isBelow' | 'isUnderReplicated'>
  readonly context: WriteAnswerServices
}

/** Why requests are refused. */
interface Refusal {
  readonly code: ErrorCode
  readonly message: string
  readonly retryAfterMs?: number
  /** They are in the log all the same: the answer says where. */
  readonly isLogged?: boolean
}

/** Requests that are refused for one reason; those before `next` have their answer. */
interface Refused {
  readonly requests: readonly PendingWrite[]
  readonly why: Refusal
  next: number
}

/**
 * The answers of one epoch. Each request is answered once, at the level that it asked for, and
 * positively only while the lease is valid and the epoch goes on (I2).
 */
export class WriteAnswers {
  private hasEnded = false
  private hasFlushFailed = false
  /** Durable writes that wait for the commit, in the order of the log. */
  private uncommitted: PendingWrite[] = []
  private readonly duplicates = new LevelWaiters()
  /** Writes at their level that wait for room in the loss window (`maxLoss`). Nearly in order. */
  private readonly held = new Set<PendingWrite>()
  private wasHeld = false
  readonly bound: LossBound
  /** Highest sequence that may have been answered; earlier epochs' entries count as answered. */
  private answeredUpTo: number
  private readonly account: Account
  /** Requests that count as answered, and get their refusal in one of the next slices. */
  private readonly refused = new Fifo<Refused>()
  private readonly epoch: EpochFacts
  private readonly clock: Clock
  private readonly telemetry: Telemetry
  private readonly answers: WriteAnswerServices['answers']

  constructor(private readonly options: WriteAnswersOptions) {
    const { log, epoch, inSync, context: { budget, ports: { clock, telemetry } } } = options
    this.epoch = epoch
    this.clock = clock
    this.telemetry = telemetry
    this.answers = options.context.answers
    this.account = budget.account('writes')
    this.answeredUpTo = log.end.sequence
    this.bound = new LossBound({ log, clock, epoch, inSync })
  }

  /** Set when the epoch is over: nothing is answered positively any more. */
  get isOver(): boolean {
    return this.hasEnded
  }

  /** Set when the last flush failed: until one succeeds, `memory` too waits for durability. */
  get isDiskFailing(): boolean {
    return this.hasFlushFailed
  }

  diskFailed(): void {
    this.hasFlushFailed = true
  }

  diskFlushed(): void {
    this.hasFlushFailed = false
  }

  /** Set while no request waits for a level, or for its refusal. */
  get isIdle(): boolean {
    return this.uncommitted.length === 0 && this.duplicates.size === 0 && this.held.size === 0
      && this.refused.size === 0
  }

  /** Answers a request whose entries are durable, unless it waits for the commit. */
  durable(waiting: PendingWrite): void {
    if (waiting.level !== 'committed') this.reached(waiting)
    else if (!waiting.isAnswered) this.uncommitted.push(waiting)
  }

  /** Answers a write whose key is known with its first sequence, once that has the level. */
  repeated(
    known: KeyRecord,
    level: AckLevel,
    asker: ReplyTarget,
    quarantined = 0,
    isMismatch = false,
  ): void {
    this.telemetry.count('writesDuplicates')
    if (this.isOver) return this.over(asker)
    const { sequence } = known
    const waiting = new PendingWrite(asker, level, null, this.clock.monotonicMs())
      .repeats(known, quarantined, isMismatch)
    if (level === 'committed' && this.tooFewInSync) {
      this.fail(asker, 'NOT_ENOUGH_IN_SYNC', 'too few members are in sync', 200, sequence)
    } else if (this.hasLevel(level, sequence) && sequence <= this.bound.limit()) {
      this.reached(waiting)
    } else if (this.duplicates.size + this.held.size >= duplicatesMax
      || !this.options.context.budget.allows('writes'))
    {
      this.fail(asker, 'OVERLOADED', 'too many repeated writes wait for their level', 50, sequence)
    } else if (this.hasLevel(level, sequence)) {
      this.reached(waiting)
    } else {
      this.duplicates.add(waiting)
      if (this.duplicates.size % 256 === 0) this.tally()
    }
  }

  /** Fewer members are in sync than `committed` requires. */
  get tooFewInSync(): boolean {
    return this.options.inSync.isBelow(this.epoch.settings.minInSync)
  }

  private hasLevel(level: AckLevel, sequence: number): boolean {
    const { log } = this.options
    if (level === 'committed') return sequence <= log.commitSequence
    return sequence <= log.durable.sequence || (level === 'memory' && !this.isDiskFailing)
  }

  /** Answers writes that waited for the commit sequence, which has moved. */
  committed(): void {
    const { log } = this.options
    let done = 0
    for (const waiting of this.uncommitted) {
      if (waiting.last > log.commitSequence) break
      this.reached(waiting)
      done += 1
    }
    if (done > 0) this.uncommitted.splice(0, done)
    this.releaseDuplicates()
    this.releaseHeld()
  }

  /** Answers held writes for which the loss window has room by now. */
  releaseHeld(): void {
    if (this.held.size === 0) return
    const limit = this.bound.limit()
    let blocked = 0
    for (const waiting of this.held) {
      if (waiting.last <= limit) this.reached(waiting)
      // Nearly in the order of the log: repeats and answers in memory are out of order.
      else if ((blocked += 1) > blockedMax) break
    }
    this.tally()
  }

  /** Writes that are acknowledged and not yet safe; `nowMs`: monotonic. */
  lossWindow(nowMs: number): Window {
    const { log } = this.options
    const all = log.above(log.safeSequence, nowMs)
    const unanswered = log.above(Math.max(this.answeredUpTo, log.safeSequence), nowMs)
    const entries = all.entries - unanswered.entries
    return { entries, bytes: all.bytes - unanswered.bytes, ms: entries > 0 ? all.ms : 0 }
  }

  /** Whether an answer had to wait for room in the loss window since the last call. */
  takeThrottled(): boolean {
    const { wasHeld } = this
    this.wasHeld = this.held.size > 0
    return wasHeld || this.wasHeld
  }

  /** Answers repeated writes that waited for the durable or the commit sequence. */
  releaseDuplicates(): void {
    const { log, log: { durable } } = this.options
    for (const [level, upTo] of [
      ['durable', durable.sequence],
      ['committed', log.commitSequence],
    ] as const) {
      let next = this.duplicates.takeReached(level, upTo)
      for (; next; next = this.duplicates.takeReached(level, upTo)) this.reached(next)
    }
  }

  /** Fails requests whose entries the journal refused: they are not stored anywhere. */
  unwritten(requests: readonly PendingWrite[]): void {
    for (const request of requests) this.held.delete(request)
    this.refuse(requests, {
      code: 'READ_ONLY',
      message: 'the journal cannot be written; check for a full disk',
      retryAfterMs: 500,
    })
  }

  /** Fails repeats above `end` as well. Returns true when an entry above it was answered. */
  unwrittenAbove(end: number): boolean {
    const above = [...this.held].filter(({ last }) => last > end)
    let next = this.duplicates.takeAbove(end)
    for (; next; next = this.duplicates.takeAbove(end)) above.push(next)
    this.unwritten(above)
    const isForgotten = this.answeredUpTo > end
    this.answeredUpTo = Math.min(this.answeredUpTo, end)
    return isForgotten
  }

  /** Called once per heartbeat: fails writes that waited too long for their level. */
  expire(unflushed: readonly PendingWrite[]): void {
    const limit = this.clock.monotonicMs() - this.options.context.settings.ackTimeoutMs
    const isLate = ({ isAnswered, takenAtMs }: PendingWrite): boolean =>
      !isAnswered && takenAtMs < limit
    const late = this.duplicates.takeWhere(isLate)
    const waiting = [...unflushed, ...this.held, ...this.uncommitted].filter(isLate)
    this.refuse([...waiting, ...late], unknownLevel('the level was not reached in time'))
    this.uncommitted = this.uncommitted.filter(({ isAnswered }) => !isAnswered)
    for (const one of this.held) if (one.isAnswered) this.held.delete(one)
    this.releaseHeld()
    this.tally()
  }

  /** Answers a request that has its level, unless it was answered. */
  reached(waiting: PendingWrite): void {
    if (waiting.isAnswered) return
    if (waiting.level === 'committed' && this.tooFewInSync) {
      return this.refuse([waiting], unknownLevel('members fell out of sync'))
    }
    if (waiting.last > this.bound.limit()) {
      this.held.add(waiting)
      this.wasHeld = true
      this.tally()
      return
    }
    this.held.delete(waiting)
    waiting.markAnswered()
    this.answer(waiting)
  }

  /** Refuses all waiting requests, and the `unflushed` ones. */
  end(
    code: 'LEASE_LAPSED' | 'NOT_PRIMARY',
    message: string,
    unflushed: readonly PendingWrite[],
  ): void {
    this.hasEnded = true
    const waiting = [
      ...this.held,
      ...this.uncommitted,
      ...this.duplicates.takeAll(),
      ...unflushed,
    ]
    this.uncommitted = []
    this.held.clear()
    this.refuse(waiting, { code, message })
    this.tally()
  }

  /** Updates the memory account: at every held answer and 256th repeat, and once per heartbeat. */
  private tally(): void {
    this.account.set((this.duplicates.size + this.held.size) * waitingHeapBytes)
  }

  /**
   * Refuses requests, in order and in slices: there may be many, for example at the end of an
   * epoch. They count as answered at once.
   */
  refuse(requests: readonly PendingWrite[], why: Refusal): void {
    const open: PendingWrite[] = []
    // One at level `memory` is there twice while it waits for room and for the disk.
    for (const request of requests) {
      if (request.isAnswered) continue
      request.markAnswered()
      open.push(request)
    }
    if (open.length === 0) return
    this.refused.push({ requests: open, why, next: 0 })
    if (this.refused.size === 1) inSlices(this.clock, this.refuseNext, () => undefined)
  }

  /** False: all have their answer. */
  private readonly refuseNext = (): boolean => {
    const first = this.refused.first()
    if (first === undefined) return false
    const { requests, why: { code, message, retryAfterMs, isLogged } } = first
    const request = requests[first.next]!
    first.next += 1
    this.fail(request, code, message, retryAfterMs, isLogged ? request.last : undefined)
    if (first.next === requests.length) this.refused.shift()
    return true
  }

  fail(
    asker: ReplyTarget,
    code: ErrorCode,
    message: string,
    retryAfterMs = 0,
    sequence?: number,
  ): void {
    this.telemetry.count('writesRefused', 1, { code })
    const answer = errorAnswer(code, message, {
      ...(retryAfterMs > 0 ? { retryAfterMs } : {}),
      // With a sequence the write is logged, whatever the code: only its level is unknown.
      ...(sequence && { sequence, epoch: this.epoch.number, outcome: 'unknown' }),
    })
    this.answers.answer(asker, answer)
  }

  /** Refuses a request because this node is no longer primary. */
  over(asker: ReplyTarget): void {
    this.fail(asker, 'NOT_PRIMARY', 'this node is no longer primary')
  }

  /** Refuses a write that is for another epoch. The attempt took no effect. */
  otherEpoch(asker: ReplyTarget, wanted: string): void {
    const { epoch: { number: epoch } } = this
    this.telemetry.count('writesRefused', 1, { code: 'NOT_PRIMARY' })
    const message = `the current epoch is ${epoch}, the write is for epoch ${wanted}`
    this.answers.answer(asker, errorAnswer('NOT_PRIMARY', message, { epoch, outcome: 'notTaken' }))
  }

  /** Sends a positive answer. The lease is checked now, as it was when the write was taken. */
  private answer(waiting: PendingWrite): void {
    if (!waiting.reply && !waiting.settle) return
    const { epoch, options } = this
    const { last: sequence, count, level, duplicate, loggedEpoch, quarantined, isMismatch } =
      waiting
    if (this.isOver || !epoch.lease.valid()) {
      this.fail(waiting, 'LEASE_LAPSED', 'the lease lapsed before the answer', 0, sequence)
      return
    }
    const answer: WriteAnswer = {
      ok: true,
      space: epoch.space,
      // The epoch that answers, also for a duplicate: a lower epoch would count as outdated.
      epoch: epoch.number,
      sequence,
      count,
      ack: level,
      safeSequence: options.log.safeSequence,
      node: epoch.node,
      duplicate,
      ...(loggedEpoch !== undefined && { loggedEpoch }),
      ...(isMismatch && { mismatch: true }),
      ...(quarantined > 0 && { quarantined }),
    }
    this.answeredUpTo = Math.max(this.answeredUpTo, sequence)
    this.answers.answer(waiting, answer)
  }
}

function unknownLevel(reason: string): Refusal {
  const message = `${reason}: the write was taken, but its level is unknown`
  return { code: 'ACK_TIMEOUT', message, isLogged: true }
}
