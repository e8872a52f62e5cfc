import type { Assignment, AssignmentAt } from '../machines/protocol.js'
import type {
  Arbiter, Clock, ControlCodec, Logger, RememberedRecord, Store,
} from './ports.js'
import { ArbiterUnavailableError } from './ports.js'
import { Turns } from './turns.js'

export type Settlement =
  | { readonly kind: 'applied'; readonly record: AssignmentAt }
  | { readonly kind: 'refused'; readonly current: AssignmentAt | null }
  | { readonly kind: 'abandoned' }

export type RecordRead =
  | { readonly kind: 'present'; readonly record: AssignmentAt }
  /**
   * The bucket lost what it held; `remembered` is what this node saw last, with the revision that
   * the bucket has now (0: none).
   */
  | { readonly kind: 'lost'; readonly remembered: AssignmentAt; readonly sinceMs: number }
  | { readonly kind: 'absent' }

export interface RecordsOptions {
  readonly clock: Clock
  readonly control: ControlCodec
  readonly store: Store
  readonly logger: Logger
  readonly onBucketLost: (space: string, reason: string) => void
}

const retryMs = 50
/** Requests to the arbiter at a time; compare-and-sets go before reads. */
const requestsMax = 16

const detached = { kind: 'unknown', reason: 'not connected to NATS' } as const

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
export class Records {
  private arbiter: Arbiter | null = null
  private bucket = ''
  private readonly turns = new Turns(requestsMax)
  /** Monotonic time at which a space's record was first found lost. */
  private readonly lostSince = new Map<string, number>()

  /** What was seen last of each space; written through to the store. */
  private readonly seen: Map<string, RememberedRecord>

  constructor(private readonly options: RecordsOptions) {
    this.seen = options.store.remembered()
  }

  /** What this node saw last of the space's record, over restarts. */
  remembered(space: string): RememberedRecord | undefined {
    return this.seen.get(space)
  }

  allRemembered(): RememberedRecord[] {
    return [...this.seen.values()]
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
    const remembered = this.seen.get(space)
    const found = await this.lookUp(`space.${space}`)
    if (found) {
      const decoded = this.options.control.assignment(found.value)
      if (!decoded.ok) {
        throw new ArbiterUnavailableError(`record of space ${space}: ${decoded.reason}`)
      }
      const record = { assignment: decoded.value, revision: found.revision }
      const at = { ...record, bucket: this.bucket }
      if (remembered && isBehind(at, remembered)) {
        const { revision, assignment: { epoch } } = record
        return this.lost(space, remembered, revision, 'the arbiter went back: it has revision '
          + `${revision}, epoch ${epoch}, and had ${remembered.revision}, epoch `
          + `${remembered.assignment.epoch}`)
      }
      this.lostSince.delete(space)
      await this.remember(record)
      return { kind: 'present', record }
    }
    if (!remembered) return { kind: 'absent' }
    return this.lost(space, remembered, 0, 'the arbiter no longer has its record')
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
    return { kind: 'lost', remembered: { assignment, revision }, sinceMs: now - sinceMs }
  }

  /**
   * Repeats one compare-and-set until it is applied or the revision has moved: an unchanged
   * record settles nothing, since the first request may still be applied. `wanted` false ends
   * the repetition, not the request: it may be applied later (vacancy `own` takes care of that).
   */
  async settle(next: Assignment, revision: number, wanted: () => boolean): Promise<Settlement> {
    const key = `space.${next.space}`
    const bytes = this.options.control.encodeRecord(next)
    while (wanted() && this.arbiter) {
      const outcome = await this.turns.take(async () =>
        await this.arbiter?.compareAndSet(key, bytes, revision) ?? detached, true)
      if (outcome.kind === 'applied') {
        const record = { assignment: next, revision: outcome.revision }
        await this.remember(record)
        return { kind: 'applied', record }
      }
      if (outcome.kind === 'refused') {
        const current = await this.afterRefusal(next, revision, wanted)
        if (current) return current
      }
      if (wanted()) await this.pause()
    }
    return { kind: 'abandoned' }
  }

  /** Reads what stands there: mine is known by its nonce. null: unchanged, so repeat. */
  private async afterRefusal(
    next: Assignment, revision: number, wanted: () => boolean,
  ): Promise<Settlement | null> {
    while (wanted() && this.arbiter) {
      try {
        const read = await this.read(next.space)
        const current = read.kind === 'present' ? read.record : null
        if (current?.revision === revision) return null
        if (current?.assignment.nonce === next.nonce) return { kind: 'applied', record: current }
        return { kind: 'refused', current }
      } catch (error) {
        this.options.logger.debug({ error: String(error) }, 'the arbiter does not answer a read')
        await this.pause()
      }
    }
    return { kind: 'abandoned' }
  }

  /** Rejects with ArbiterUnavailableError. */
  async spaces(): Promise<string[]> {
    const prefix = 'space.'
    const keys = await this.guarded((arbiter) => arbiter.keys(prefix))
    const known = new Set(keys.map((key) => key.slice(prefix.length)))
    for (const space of this.seen.keys()) known.add(space)
    return [...known]
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
    if (this.bucket === '') this.bucket = await arbiter.bucketId()
    try {
      return await run(arbiter)
    } catch (error) {
      const bucket = await arbiter.bucketId()
      if (bucket === this.bucket) throw error
      this.options.logger.warn({ bucket }, 'the arbiter\'s bucket was made anew')
      this.bucket = bucket
      return await run(arbiter)
    }
  }

  private required(): Arbiter {
    if (!this.arbiter) throw new ArbiterUnavailableError('not connected to NATS')
    return this.arbiter
  }

  private async remember(record: AssignmentAt): Promise<void> {
    const { space } = record.assignment
    const seen = this.seen.get(space)
    const at = { ...record, bucket: this.bucket }
    if (seen && isBehind(at, seen)) return
    if (seen && seen.revision === record.revision && seen.bucket === this.bucket
      && seen.assignment.nonce === record.assignment.nonce) return
    this.seen.set(space, at)
    try {
      await this.options.store.remember(space, at)
    } catch (error) {
      // A help for a day when the bucket is lost; what the arbiter said stands without it.
      this.options.logger.warn({ space, error: String(error) }, 'a record cannot be remembered')
    }
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => this.options.clock.setTimeout(resolve, retryMs))
  }
}
