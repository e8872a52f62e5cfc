import { isSameButPaused, saysDropped } from '../../machines/protocol/assignments.js'
import type { Assignment, AssignmentAt } from '../../machines/protocol/messages.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import type { Arbiter } from '../ports/arbiter.js'
import type { ControlCodec } from '../ports/controlCodec.js'
import type { RememberedRecord, Store } from '../ports/store.js'
import type { Clock, Logger, Random } from '../ports/system.js'
import { Backoff } from '../structures/backoff.js'
import { BucketLooks } from './bucketLooks.js'
import { Remembered } from './rememberedAssignments.js'
import { RequestLimiter, type Urgency } from './requestLimiter.js'
import { pause } from '../structures/pause.js'

/**
 * Outcome of a compare-and-set. Only `applied` and `refused` are definite. An abandoned one, or one
 * that the arbiter rejected for a lasting reason, may still be applied later (an earlier attempt,
 * or a leader whose disk refused what its followers have). A record that names a node which does
 * not hold that epoch is a vacancy (`own`), so nobody has to wait for an unknown outcome.
 */
export type Settlement =
  | { readonly kind: 'applied'; readonly record: AssignmentAt }
  | { readonly kind: 'refused'; readonly current: AssignmentAt | null }
  | { readonly kind: 'rejected'; readonly reason: string }
  /** `reason`: the arbiter's last answer, or why there was none. */
  | { readonly kind: 'abandoned'; readonly reason: string }

export type RecordRead =
  | { readonly kind: 'present'; readonly record: AssignmentAt }
  /**
   * The bucket lost its contents, or holds something unreadable. `remembered` is what this node saw
   * last, with the revision that the bucket has now (0: none).
   */
  | {
    readonly kind: 'lost'
    readonly remembered: AssignmentAt
    readonly sinceMs: number
    readonly reason: string
  }
  /** The record cannot be read, and this node has never seen a good one. */
  | { readonly kind: 'unreadable'; readonly reason: string; readonly revision: number }
  /** A newer version of the product wrote it. It is not lost, and is never overwritten. */
  | { readonly kind: 'newer'; readonly reason: string; readonly revision: number }
  | { readonly kind: 'absent' }

export interface RecordsOptions {
  readonly clock: Clock
  readonly random: Random
  readonly control: ControlCodec
  readonly store: Store
  readonly logger: Logger
  readonly onBucketLost: (space: string, reason: string) => void
  /** Whether this node is a member; the last seen record of such a space survives a restart. */
  readonly isHeld: (space: string) => boolean
}

export interface SettleOptions {
  /** The change is in flight until it is settled. Called each time the arbiter rejects it. */
  readonly onRejected?: (reason: string) => void
  /** The record that it is based on. If only its pause changes meanwhile, it is still made. */
  readonly madeOf?: Assignment
  /** Default `change`. */
  readonly urgency?: Urgency
}

/** First and longest pause after an unknown outcome or a failed read. */
const retryMs = 50
const retryMostMs = 200
/** Pause after a rejection: nothing changes until somebody acts. */
const rejectedMs = 200
const rejectedMostMs = 5000
/** Requests to the arbiter at a time. */
const requestsMax = 16

const notConnected = 'not connected to NATS'
const detached = { kind: 'unknown', reason: notConnected } as const

/** Whether the record is older than one that was seen before: an arbiter must not go back. */
function isBehind(record: RememberedRecord, seen: RememberedRecord): boolean {
  const { assignment, bucket, revision } = record
  if (assignment.uuid !== seen.assignment.uuid) return saysDropped(seen.assignment, assignment.uuid)
  if (assignment.epoch !== seen.assignment.epoch) return assignment.epoch < seen.assignment.epoch
  return bucket === seen.bucket && revision < seen.revision
}

/**
 * The space records at the arbiter: linearizable reads, compare-and-sets that are repeated until
 * their outcome is definite, and a memory of the records seen, in case the bucket loses them.
 */
export class AssignmentStore {
  private arbiter: Arbiter | null = null
  private bucket = ''
  private readonly turns: RequestLimiter
  /** Monotonic time when a space's record was first found lost. */
  private readonly lostSince = new Map<string, number>()
  /** The records as this node saw them last, also before a restart. */
  readonly memory: Remembered
  readonly looks = new BucketLooks()
  /** Why the last request failed; null: it was answered. Logged once. */
  private fault: string | null = null
  private bucketFaults: readonly string[] = []

  constructor(private readonly options: RecordsOptions) {
    this.memory = new Remembered(options)
    this.turns = new RequestLimiter(requestsMax, options.clock)
  }

  /** Faults in the configuration of the bucket that endanger the records. */
  get faults(): readonly string[] {
    return this.bucketFaults
  }

  /** The space's record as this node saw it last, also before a restart. */
  remembered(space: string): RememberedRecord | undefined {
    return this.memory.get(space)
  }

  attach(arbiter: Arbiter): void {
    this.arbiter = arbiter
    this.looks.reset()
  }

  detach(): void {
    this.arbiter = null
  }

  get isAttached(): boolean {
    return this.arbiter !== null
  }

  /** Rejects with ArbiterUnavailableError. */
  async read(space: string, urgency: Urgency = 'read'): Promise<RecordRead> {
    // As of before the read is sent: a record seen since may be newer than its answer.
    const remembered = this.memory.get(space)
    const found = await this.guarded((arbiter) => arbiter.read(`space.${space}`), urgency)
    if (!found) {
      if (!remembered) return { kind: 'absent' }
      return this.lost(space, remembered, 0, 'the arbiter no longer has its record')
    }
    const { revision } = found
    const decoded = this.decode(space, found.value)
    if (!decoded.ok && decoded.isNewer) {
      return { kind: 'newer', reason: newer(space, decoded.reason), revision }
    }
    if (!decoded.ok) {
      const reason = `the arbiter's record of ${space} cannot be read: ${decoded.reason}`
      if (!remembered) return { kind: 'unreadable', reason, revision }
      return this.lost(space, remembered, revision, reason)
    }
    const record = { assignment: decoded.value, revision }
    if (remembered && isBehind({ ...record, bucket: this.bucket }, remembered)) {
      return this.lost(space, remembered, revision, 'the arbiter went back: it has revision '
        + `${revision}, epoch ${record.assignment.epoch}, and had ${remembered.revision}, epoch `
        + `${remembered.assignment.epoch}`)
    }
    this.lostSince.delete(space)
    this.remember(record)
    return { kind: 'present', record }
  }

  private decode(space: string, bytes: Uint8Array): ReturnType<ControlCodec['assignment']> {
    const decoded = this.options.control.assignment(bytes)
    if (!decoded.ok || decoded.value.space === space) return decoded
    return { ok: false, reason: `it is the record of ${decoded.value.space}` }
  }

  /** `revision`: the bucket's present one, the base of the next compare-and-set. */
  private lost(
    space: string,
    { assignment }: RememberedRecord,
    revision: number,
    reason: string,
  ): RecordRead {
    const now = this.options.clock.monotonicMs()
    const sinceMs = this.lostSince.get(space) ?? now
    if (!this.lostSince.has(space)) {
      this.lostSince.set(space, now)
      this.options.onBucketLost(space, reason)
    }
    return { kind: 'lost', remembered: { assignment, revision }, sinceMs: now - sinceMs, reason }
  }

  /**
   * Repeats one compare-and-set until it is applied or the revision has moved. An unchanged record
   * settles nothing, since the first request may still be applied. `wanted` returning false ends
   * the repetition, not the request: it may be applied later (see vacancy `own`).
   *
   * A rejection for a lasting reason ends it as well: a command, or a promotion, reports it and
   * starts again. A change by a primary stays in flight until it is settled: with `onRejected`,
   * which is called each time, it is repeated, less and less often. With `madeOf`, a pause or
   * resume by an operator meanwhile is kept, and the change is based on it.
   */
  async settle(
    proposal: Assignment,
    base: number,
    wanted: () => boolean,
    options: SettleOptions = {},
  ): Promise<Settlement> {
    const key = `space.${proposal.space}`
    const { onRejected, madeOf, urgency = 'change' } = options
    let [next, revision] = [proposal, base]
    let bytes = this.options.control.encodeRecord(next)
    const retry = this.retry()
    const patience = new Backoff(this.options.random, rejectedMs, rejectedMostMs)
    let reason = notConnected
    while (wanted() && this.arbiter) {
      const outcome = await this.turns.take(
        async () => await this.arbiter?.compareAndSet(key, bytes, revision) ?? detached,
        urgency,
      )
      if (outcome.kind === 'applied') {
        const record = { assignment: next, revision: outcome.revision }
        this.remember(record)
        return { kind: 'applied', record }
      }
      if (outcome.kind === 'refused') {
        const found = await this.afterRefusal(next, revision, wanted, urgency)
        const current = found?.kind === 'refused' ? found.current : null
        if (found && !(current && madeOf && isSameButPaused(current.assignment, madeOf))) {
          return found
        }
        if (current) {
          // It can no longer be applied at the former revision.
          next = { ...next, paused: current.assignment.paused ?? null }
          bytes = this.options.control.encodeRecord(next)
          revision = current.revision
          continue
        }
      } else reason = outcome.reason
      if (outcome.kind === 'rejected') {
        if (!onRejected) return outcome
        onRejected(reason)
      }
      if (wanted()) await this.pause(outcome.kind === 'rejected' ? patience : retry)
    }
    return { kind: 'abandoned', reason }
  }

  /** Reads the present record; the own one has the own nonce. null: unchanged, so repeat. */
  private async afterRefusal(
    next: Assignment,
    revision: number,
    wanted: () => boolean,
    urgency: Urgency,
  ): Promise<Settlement | null> {
    const retry = this.retry()
    let reason = notConnected
    while (wanted() && this.arbiter) {
      try {
        const read = await this.read(next.space, urgency)
        const current = read.kind === 'present' ? read.record : null
        if (revisionOf(read) === revision) return null
        // The own record, or the own one that an operator has paused or resumed since.
        const isMine = current !== null && (current.assignment.nonce === next.nonce
          || isSameButPaused(current.assignment, next))
        if (isMine) return { kind: 'applied', record: current }
        return { kind: 'refused', current }
      } catch (error) {
        if (!(error instanceof ArbiterUnavailableError)) throw error
        reason = error.message
        await this.pause(retry)
      }
    }
    return { kind: 'abandoned', reason }
  }

  /** Looks whether anything in the bucket has changed. Rejects with ArbiterUnavailableError. */
  async look(): Promise<void> {
    const { clock } = this.options
    const { arbiter } = this
    const sentAtMs = clock.monotonicMs()
    const mark = await this.guarded((present) => present.mark())
    if (this.arbiter === arbiter) this.looks.noted(mark, sentAtMs, clock.monotonicMs())
  }

  /** Rejects with ArbiterUnavailableError. */
  async spaces(): Promise<string[]> {
    const prefix = 'space.'
    const keys = await this.guarded((arbiter) => arbiter.keys(prefix))
    const known = new Set(keys.map((key) => key.slice(prefix.length)))
    for (const space of this.memory.spaces()) known.add(space)
    return [...known]
  }

  /** Resolves when all records to be remembered over a restart are durable, or have failed. */
  async idle(): Promise<void> {
    await this.memory.idle()
  }

  async lookUp(key: string): Promise<{ value: Uint8Array; revision: number } | null> {
    return await this.guarded((arbiter) => arbiter.read(key))
  }

  async compareAndSetRaw(key: string, value: Uint8Array, revision: number): ReturnType<
    Arbiter['compareAndSet']
  > {
    return await this.required().compareAndSet(key, value, revision)
  }

  /** Makes a missing bucket again. Its empty keys then show that the records were lost. */
  private async guarded<T>(run: (arbiter: Arbiter) => Promise<T>, urgency?: Urgency): Promise<T> {
    this.required()
    return await this.turns.take(() => this.guardedNow(run), urgency)
  }

  private async guardedNow<T>(run: (arbiter: Arbiter) => Promise<T>): Promise<T> {
    const arbiter = this.required()
    try {
      if (this.bucket === '') await this.open(arbiter)
      const answer = await this.sameBucket(arbiter, run)
      this.log(null)
      return answer
    } catch (error) {
      if (error instanceof ArbiterUnavailableError) this.log(error.message)
      throw error
    }
  }

  /** Makes the bucket if it does not exist, otherwise logs what is wrong with it. */
  private async open(arbiter: Arbiter): Promise<void> {
    const bucket = await arbiter.bucketId()
    this.bucketFaults = await arbiter.faults()
    for (const fault of this.bucketFaults) this.options.logger.error({}, `the arbiter: ${fault}`)
    this.bucket = bucket
  }

  private async sameBucket<T>(
    arbiter: Arbiter,
    run: (arbiter: Arbiter) => Promise<T>,
  ): Promise<T> {
    try {
      return await run(arbiter)
    } catch (error) {
      if (!(error instanceof ArbiterUnavailableError)) throw error
      const bucket = await arbiter.bucketId()
      if (bucket === this.bucket) throw error
      this.options.logger.warn({ bucket }, 'the arbiter\'s bucket was created again')
      this.bucket = bucket
      return await run(arbiter)
    }
  }

  /**
   * Logs once when the arbiter goes away, and once when it is back. Other reasons meanwhile are not
   * logged, and neither are failures because this node has no connection, or gives it up.
   */
  private log(fault: string | null): void {
    const { logger } = this.options
    if (!this.isAttached) return
    if (fault !== null && this.fault === null) {
      logger.warn({ error: fault }, 'the arbiter does not answer: primaries continue, but '
        + 'promotions and changes of the in-sync set wait')
    }
    if (fault === null && this.fault !== null) logger.info({}, 'the arbiter answers again')
    this.fault = fault
  }

  private required(): Arbiter {
    if (!this.arbiter) throw new ArbiterUnavailableError(notConnected)
    return this.arbiter
  }

  private remember(record: AssignmentAt): void {
    const { space } = record.assignment
    const seen = this.memory.get(space)
    const at = { ...record, bucket: this.bucket }
    if (!seen || !isBehind(at, seen)) this.memory.note(space, at)
  }

  private retry(): Backoff {
    return new Backoff(this.options.random, retryMs, retryMostMs)
  }

  private pause(backoff: Backoff): Promise<void> {
    return pause(this.options.clock, backoff.next())
  }
}

function newer(space: string, reason: string): string {
  return `the arbiter's record of ${space} was written by a newer node: ${reason}. It is left as `
    + 'it is, and no member is promoted from it here. If there is no newer node, remove it: '
    + `nats kv del engram space.${space}`
}

/** The revision that a compare-and-set would have to expect now. */
function revisionOf(read: RecordRead): number {
  switch (read.kind) {
    case 'present':
      return read.record.revision
    case 'lost':
      return read.remembered.revision
    case 'absent':
      return 0
    default:
      return read.revision
  }
}
