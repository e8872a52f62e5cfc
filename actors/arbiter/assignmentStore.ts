import { isSameButPaused } from '../../machines/protocol/assignments.js'
import type { Assignment, AssignmentAt } from '../../machines/protocol/messages.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import type { Arbiter } from '../ports/arbiter.js'
import type { ControlCodec } from '../ports/controlCodec.js'
import type { RememberedRecord, Store } from '../ports/store.js'
import type { Clock, Logger, Random } from '../ports/system.js'
import { Backoff } from '../structures/backoff.js'
import { Remembered } from './rememberedAssignments.js'
import { RequestLimiter } from './requestLimiter.js'

/**
 * What became of a compare-and-set. Only `applied` and `refused` are definite: what was abandoned,
 * or rejected by the arbiter for a lasting reason, may be applied later all the same (an earlier
 * attempt, a leader whose disk refused what its followers have). A record that names a node which
 * does not hold that epoch is a vacancy (`own`), so nothing waits for what nobody knows.
 */
export type Settlement =
  | { readonly kind: 'applied'; readonly record: AssignmentAt }
  | { readonly kind: 'refused'; readonly current: AssignmentAt | null }
  | { readonly kind: 'rejected'; readonly reason: string }
  /** `reason`: what the arbiter said last, or why it said nothing. */
  | { readonly kind: 'abandoned'; readonly reason: string }

export type RecordRead =
  | { readonly kind: 'present'; readonly record: AssignmentAt }
  /**
   * The bucket lost what it held, or holds what cannot be read; `remembered` is what this node saw
   * last, with the revision that the bucket has now (0: none).
   */
  | {
    readonly kind: 'lost'
    readonly remembered: AssignmentAt
    readonly sinceMs: number
    readonly reason: string
  }
  /** It cannot be read, and this node has never seen a good one. */
  | { readonly kind: 'unreadable'; readonly reason: string; readonly revision: number }
  /** A newer version of the product wrote it: it is not lost, and is never written over. */
  | { readonly kind: 'newer'; readonly reason: string; readonly revision: number }
  | { readonly kind: 'absent' }

export interface RecordsOptions {
  readonly clock: Clock
  readonly random: Random
  readonly control: ControlCodec
  readonly store: Store
  readonly logger: Logger
  readonly onBucketLost: (space: string, reason: string) => void
  /** Spaces of which this node is a member: what it saw of them last survives a restart. */
  readonly isHeld: (space: string) => boolean
}

export interface SettleOptions {
  /** The change is in flight until it is settled; told each time that the arbiter rejects it. */
  readonly onRejected?: (reason: string) => void
  /** The record that the change was made of: where nothing but its pause has changed, it stands. */
  readonly madeOf?: Assignment
}

/** Pauses after an outcome that is unknown, or a read that failed: the first, and the longest. */
const retryMs = 50
const retryMostMs = 200
/** After a rejection: nothing changes until somebody does something. */
const rejectedMs = 200
const rejectedMostMs = 5000
/** Requests to the arbiter at a time; compare-and-sets go before reads. */
const requestsMax = 16

const notConnected = 'not connected to NATS'
const detached = { kind: 'unknown', reason: notConnected } as const

/** An arbiter confirms nothing that is older than what it confirmed before. */
function isBehind(record: RememberedRecord, seen: RememberedRecord): boolean {
  const { assignment, bucket, revision } = record
  if (assignment.uuid !== seen.assignment.uuid) return false
  if (assignment.epoch !== seen.assignment.epoch) return assignment.epoch < seen.assignment.epoch
  return bucket === seen.bucket && revision < seen.revision
}

/**
 * The space records at the arbiter: linearizable reads, compare-and-set settled to a definite
 * outcome (DESIGN section 5), and the memory of what was seen, in case the bucket loses it.
 */
export class AssignmentStore {
  private arbiter: Arbiter | null = null
  private bucket = ''
  private readonly turns = new RequestLimiter(requestsMax)
  /** Monotonic time at which a space's record was first found lost. */
  private readonly lostSince = new Map<string, number>()
  private readonly memory: Remembered
  /** Why the last request failed; null: it was answered. Told once. */
  private fault: string | null = null
  /** What in the configuration of the bucket endangers the records. */
  faults: readonly string[] = []

  constructor(private readonly options: RecordsOptions) {
    this.memory = new Remembered(options)
  }

  /** What this node saw last of the space's record, over restarts. */
  remembered(space: string): RememberedRecord | undefined {
    return this.memory.get(space)
  }

  allRemembered(): RememberedRecord[] {
    return this.memory.all()
  }

  attach(arbiter: Arbiter): void {
    this.arbiter = arbiter
  }

  detach(): void {
    this.arbiter = null
  }

  get isAttached(): boolean {
    return this.arbiter !== null
  }

  /** Rejects with ArbiterUnavailableError. */
  async read(space: string): Promise<RecordRead> {
    // As of before the read is sent: what is seen since may be newer than its answer.
    const remembered = this.memory.get(space)
    const found = await this.lookUp(`space.${space}`)
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

  /** `revision`: of what the bucket has now, the base of the next compare-and-set. */
  private lost(
    space: string, { assignment }: RememberedRecord, revision: number, reason: string,
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
   * Repeats one compare-and-set until it is applied or the revision has moved: an unchanged
   * record settles nothing, since the first request may still be applied. `wanted` false ends
   * the repetition, not the request: it may be applied later (vacancy `own` takes care of that).
   *
   * Rejected for a lasting reason, it ends as well: an order, or a promotion, says so and begins
   * anew. A change of a reigning primary stays in flight until it is settled: with `onRejected`,
   * which is told each time, it goes on, less and less often. With `madeOf`, what an operator has
   * paused or resumed meanwhile is kept, and the change made upon that.
   */
  async settle(
    proposal: Assignment, base: number, wanted: () => boolean, options: SettleOptions = {},
  ): Promise<Settlement> {
    const key = `space.${proposal.space}`
    const { onRejected, madeOf } = options
    let [next, revision] = [proposal, base]
    let bytes = this.options.control.encodeRecord(next)
    const retry = this.retry()
    const patience = new Backoff(this.options.random, rejectedMs, rejectedMostMs)
    let reason = notConnected
    while (wanted() && this.arbiter) {
      const outcome = await this.turns.take(async () =>
        await this.arbiter?.compareAndSet(key, bytes, revision) ?? detached, true)
      if (outcome.kind === 'applied') {
        const record = { assignment: next, revision: outcome.revision }
        this.remember(record)
        return { kind: 'applied', record }
      }
      if (outcome.kind === 'refused') {
        const found = await this.afterRefusal(next, revision, wanted)
        const current = found?.kind === 'refused' ? found.current : null
        if (found && !(current && madeOf && isSameButPaused(current.assignment, madeOf))) {
          return found
        }
        if (current) {
          // It cannot be applied at the former revision any more.
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

  /** Reads what stands there: mine is known by its nonce. null: unchanged, so repeat. */
  private async afterRefusal(
    next: Assignment, revision: number, wanted: () => boolean,
  ): Promise<Settlement | null> {
    const retry = this.retry()
    let reason = notConnected
    while (wanted() && this.arbiter) {
      try {
        const read = await this.read(next.space)
        const current = read.kind === 'present' ? read.record : null
        if (revisionOf(read) === revision) return null
        // Mine, or mine that an operator has paused or resumed since.
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

  /** Rejects with ArbiterUnavailableError. */
  async spaces(): Promise<string[]> {
    const prefix = 'space.'
    const keys = await this.guarded((arbiter) => arbiter.keys(prefix))
    const known = new Set(keys.map((key) => key.slice(prefix.length)))
    for (const space of this.memory.spaces()) known.add(space)
    return [...known]
  }

  /** Resolves when all that is to be remembered over a restart is durable, or has failed. */
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

  /** A bucket that is gone is made again; that it was lost is then seen by its empty keys. */
  private async guarded<T>(run: (arbiter: Arbiter) => Promise<T>): Promise<T> {
    this.required()
    return await this.turns.take(() => this.guardedNow(run), false)
  }

  private async guardedNow<T>(run: (arbiter: Arbiter) => Promise<T>): Promise<T> {
    const arbiter = this.required()
    try {
      if (this.bucket === '') await this.open(arbiter)
      const answer = await this.sameBucket(arbiter, run)
      this.tell(null)
      return answer
    } catch (error) {
      if (error instanceof ArbiterUnavailableError) this.tell(error.message)
      throw error
    }
  }

  /** Makes the bucket when it is not there; says what is wrong with one that is. */
  private async open(arbiter: Arbiter): Promise<void> {
    const bucket = await arbiter.bucketId()
    this.faults = await arbiter.faults()
    for (const fault of this.faults) this.options.logger.error({}, `the arbiter: ${fault}`)
    this.bucket = bucket
  }

  private async sameBucket<T>(
    arbiter: Arbiter, run: (arbiter: Arbiter) => Promise<T>,
  ): Promise<T> {
    try {
      return await run(arbiter)
    } catch (error) {
      if (!(error instanceof ArbiterUnavailableError)) throw error
      const bucket = await arbiter.bucketId()
      if (bucket === this.bucket) throw error
      this.options.logger.warn({ bucket }, 'the arbiter\'s bucket was made anew')
      this.bucket = bucket
      return await run(arbiter)
    }
  }

  /**
   * Once when it goes away, and once when it is back; other reasons meanwhile are no news, and
   * neither is what fails because this node has no connection, or gives it up.
   */
  private tell(fault: string | null): void {
    const { logger } = this.options
    if (!this.isAttached) return
    if (fault !== null && this.fault === null) {
      logger.warn({ error: fault }, 'the arbiter does not answer: primaries go on without '
        + 'it, promotions and changes of the in-sync members wait')
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
    return new Promise((resolve) => this.options.clock.setTimeout(resolve, backoff.next()))
  }
}

function newer(space: string, reason: string): string {
  return `the arbiter's record of ${space} was written by a newer node: ${reason}. It is left as `
    + 'it is, and nobody is promoted upon it here; if there is no newer node, remove it: '
    + `nats kv del engram space.${space}`
}

/** What a compare-and-set would have to expect now. */
function revisionOf(read: RecordRead): number {
  switch (read.kind) {
    case 'present': return read.record.revision
    case 'lost': return read.remembered.revision
    case 'absent': return 0
    default: return read.revision
  }
}
