import type { Window } from '../../machines/log/commit.js'
import type { KeyRecord } from '../../machines/log/entries.js'
import type { AckLevel, SpaceSettings } from '../../machines/protocol/messages.js'
import { LossBound } from '../log/lossBound.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { Lease } from '../membership/lease.js'
import { errorAnswer } from '../messaging/answers.js'
import type { Answers, ReplyTarget } from '../messaging/answers.js'
import type { ErrorCode, WriteAnswer } from '../ports/clientApi.js'
import type { ActorSettings } from '../ports/settings.js'
import type { Clock, Telemetry } from '../ports/system.js'
import type { Account, Budget } from '../structures/budget.js'
import { LevelWaiters } from './levelWaiters.js'
import { PendingWrite } from './pendingWrite.js'

/** Repeated writes that may wait for a level at a time; they hold no payload. */
const duplicatesMax = 65_536
/** Heap bytes of one. */
const duplicateHeapBytes = 500
/** Waiting writes that are skipped in the search for one that the loss window has room for. */
const blockedMax = 256

export interface RepliesOptions {
  readonly space: string
  readonly node: string
  readonly epoch: number
  readonly settings: ActorSettings
  /** Present settings. */
  readonly spaceSettings: () => SpaceSettings
  readonly log: SpaceLog
  readonly lease: Lease
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly answers: Pick<Answers, 'answer'>
  /** Memory of the node. */
  readonly budget: Budget
  /** Number of members certainly in sync now: those in both sets while one is changing. */
  readonly inSyncCount: () => number
  /** Whether they are fewer than min(2, RF): the safe sequence does not move then. */
  readonly isUnderReplicated: () => boolean
}

/**
 * The answers of one epoch. Each request is answered once, at the level that it asked for, and
 * positively only while the lease is valid and the epoch goes on (I2).
 */
export class Replies {
  /** Set when the epoch is over: nothing is answered positively any more. */
  isOver = false
  /** Set when the last flush failed: until one succeeds, `memory` too waits for durability. */
  isDiskFailing = false
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

  constructor(private readonly options: RepliesOptions) {
    const { log, clock, spaceSettings, isUnderReplicated, budget } = options
    this.account = budget.account('writes')
    this.answeredUpTo = log.end.sequence
    this.bound = new LossBound({ log, clock, settings: spaceSettings, isUnderReplicated })
  }

  /** Set while no request waits for a level. */
  get isIdle(): boolean {
    return this.uncommitted.length === 0 && this.duplicates.size === 0 && this.held.size === 0
  }

  /** Answers a request whose entries are durable, unless it waits for the commit. */
  durable(waiting: PendingWrite): void {
    if (waiting.level !== 'committed') this.reached(waiting)
    else if (!waiting.answered) this.uncommitted.push(waiting)
  }

  /** Answers a write whose key is known with its first sequence, once that has the level. */
  repeated(
    known: KeyRecord, level: AckLevel, asker: ReplyTarget, quarantined = 0, isMismatch = false,
  ): void {
    const { clock, telemetry, spaceSettings } = this.options
    telemetry.count('writesDuplicates')
    if (this.isOver) return this.over(asker)
    const { count, sequence, timestamp, epoch } = known
    const waiting = new PendingWrite(asker, level, null, count, sequence, timestamp,
      clock.monotonicMs(), epoch, quarantined, isMismatch)
    if (level === 'committed' && this.options.inSyncCount() < spaceSettings().minInSync) {
      this.fail(asker, 'NOT_ENOUGH_IN_SYNC', 'too few members are in sync', 200, sequence)
    } else if (this.hasLevel(level, sequence) && sequence <= this.bound.limit()) {
      this.reached(waiting)
    } else if (this.duplicates.size + this.held.size >= duplicatesMax
      || !this.options.budget.allows('writes')) {
      this.fail(asker, 'OVERLOADED', 'too many repeated writes wait for their level', 50, sequence)
    } else if (this.hasLevel(level, sequence)) {
      this.reached(waiting)
    } else {
      this.duplicates.add(waiting)
      if (this.duplicates.size % 256 === 0) this.tally()
    }
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
      else if ((blocked += 1) > blockedMax) return
    }
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
      ['durable', durable.sequence], ['committed', log.commitSequence],
    ] as const) {
      let next = this.duplicates.takeReached(level, upTo)
      for (; next; next = this.duplicates.takeReached(level, upTo)) this.reached(next)
    }
  }

  /** Fails a request whose entries the journal refused: they are not stored anywhere. */
  unwritten(request: PendingWrite): void {
    this.held.delete(request)
    if (request.answered) return
    request.answered = true
    this.fail(request, 'READ_ONLY', 'the journal cannot be written; check for a full disk', 500)
  }

  /** Fails repeats above `end` as well. Returns true when an entry above it was answered. */
  unwrittenAbove(end: number): boolean {
    for (const waiting of this.held) if (waiting.last > end) this.unwritten(waiting)
    let next = this.duplicates.takeAbove(end)
    for (; next; next = this.duplicates.takeAbove(end)) this.unwritten(next)
    const isForgotten = this.answeredUpTo > end
    this.answeredUpTo = Math.min(this.answeredUpTo, end)
    return isForgotten
  }

  /** Called once per heartbeat: fails writes that waited too long for their level. */
  expire(unflushed: readonly PendingWrite[]): void {
    const limit = this.options.clock.monotonicMs() - this.options.settings.ackTimeoutMs
    const isLate = ({ answered, takenAtMs }: PendingWrite): boolean =>
      !answered && takenAtMs < limit
    const late = this.duplicates.takeWhere(isLate)
    for (const waiting of [...unflushed, ...this.held, ...this.uncommitted, ...late]) {
      if (isLate(waiting)) this.giveUp(waiting, 'the level was not reached in time')
    }
    this.uncommitted = this.uncommitted.filter((waiting) => !waiting.answered)
    for (const waiting of this.held) if (waiting.answered) this.held.delete(waiting)
    this.releaseHeld()
    this.tally()
  }

  /** Answers a request that has its level, unless it was answered. */
  reached(waiting: PendingWrite): void {
    if (waiting.answered) return
    const { spaceSettings } = this.options
    if (waiting.level === 'committed' && this.options.inSyncCount() < spaceSettings().minInSync) {
      this.giveUp(waiting, 'members fell out of sync')
      return
    }
    if (waiting.last > this.bound.limit()) {
      this.held.add(waiting)
      this.wasHeld = true
      return
    }
    this.held.delete(waiting)
    waiting.answered = true
    this.answer(waiting)
  }

  /** Refuses all waiting requests, and the `unflushed` ones. */
  end(
    code: 'LEASE_LAPSED' | 'NOT_PRIMARY', reason: string, unflushed: readonly PendingWrite[],
  ): void {
    this.isOver = true
    const repeated = this.duplicates.takeWhere(() => true)
    for (const asker of [...this.held, ...this.uncommitted, ...repeated, ...unflushed]) {
      if (asker.answered) continue
      asker.answered = true
      this.fail(asker, code, reason)
    }
    this.uncommitted = []
    this.held.clear()
    this.tally()
  }

  /** Updates the memory account: at every 256th repeat, and once per heartbeat. */
  private tally(): void {
    this.account.set((this.duplicates.size + this.held.size) * duplicateHeapBytes)
  }

  fail(
    asker: ReplyTarget, code: ErrorCode, message: string, retryAfterMs = 0, sequence?: number,
  ): void {
    this.options.telemetry.count('writesRefused', 1, { code })
    const answer = errorAnswer(code, message, {
      ...(retryAfterMs > 0 ? { retryAfterMs } : {}),
      // With a sequence the write is logged, whatever the code: only its level is unknown.
      ...(sequence && { sequence, epoch: this.options.epoch, outcome: 'unknown' }),
    })
    this.options.answers.answer(asker, answer)
  }

  /** Refuses a request because this node is no longer primary. */
  over(asker: ReplyTarget): void {
    this.fail(asker, 'NOT_PRIMARY', 'this node is no longer primary')
  }

  /** Refuses a write that is for another epoch. The attempt took no effect. */
  otherEpoch(asker: ReplyTarget, wanted: string): void {
    const { epoch, answers, telemetry } = this.options
    telemetry.count('writesRefused', 1, { code: 'NOT_PRIMARY' })
    const message = `the current epoch is ${epoch}, the write is for epoch ${wanted}`
    answers.answer(asker, errorAnswer('NOT_PRIMARY', message, { epoch, outcome: 'notTaken' }))
  }

  private giveUp(waiting: PendingWrite, reason: string): void {
    waiting.answered = true
    const message = `${reason}: the write was taken, but its level is unknown`
    this.fail(waiting, 'ACK_TIMEOUT', message, 0, waiting.last)
  }

  /** Sends a positive answer. The lease is checked now, as it was when the write was taken. */
  private answer(waiting: PendingWrite): void {
    if (!waiting.reply && !waiting.settle) return
    const { options } = this
    const { last: sequence, count, level, duplicate, loggedEpoch, quarantined, mismatch } = waiting
    if (this.isOver || !options.lease.valid()) {
      this.fail(waiting, 'LEASE_LAPSED', 'the lease lapsed before the answer', 0, sequence)
      return
    }
    const answer: WriteAnswer = {
      ok: true,
      space: options.space,
      // The epoch that answers, also for a duplicate: a lower epoch would count as outdated.
      epoch: options.epoch,
      sequence,
      count,
      ack: level,
      safeSequence: options.log.safeSequence,
      node: options.node,
      duplicate,
      ...(loggedEpoch !== undefined && { loggedEpoch }),
      ...(mismatch && { mismatch }),
      ...(quarantined > 0 && { quarantined }),
    }
    this.answeredUpTo = Math.max(this.answeredUpTo, sequence)
    options.answers.answer(waiting, answer)
  }
}
