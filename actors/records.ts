import type { Assignment, AssignmentAt } from '../machines/protocol.js'
import type { Arbiter, Clock, ControlCodec, Logger, Store } from './ports.js'
import { ArbiterUnavailableError } from './ports.js'

export type Settlement =
  | { readonly kind: 'applied'; readonly record: AssignmentAt }
  | { readonly kind: 'refused'; readonly current: AssignmentAt | null }
  | { readonly kind: 'abandoned' }

export type RecordRead =
  | { readonly kind: 'present'; readonly record: AssignmentAt }
  /** The bucket lost what it held; `remembered` is what this node saw last (revision 0). */
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

/**
 * The space records at the arbiter: linearizable reads, compare-and-set settled to a definite
 * outcome (DESIGN section 5), and the memory of what was seen, in case the bucket loses it.
 */
export class Records {
  private arbiter: Arbiter | null = null
  private bucket = ''
  /** Monotonic time at which a space's record was first found lost. */
  private readonly lostSince = new Map<string, number>()

  constructor(private readonly options: RecordsOptions) {}

  attach(arbiter: Arbiter): void {
    this.arbiter = arbiter
  }

  detach(): void {
    this.arbiter = null
  }

  get isAttached(): boolean {
    return this.arbiter !== null
  }

  /** Makes the bucket when it is not there. Rejects with ArbiterUnavailableError. */
  async prepare(): Promise<void> {
    this.bucket = await this.required().bucketId()
  }

  /** Rejects with ArbiterUnavailableError. */
  async read(space: string): Promise<RecordRead> {
    const found = await this.lookUp(`space.${space}`)
    if (found) {
      const decoded = this.options.control.assignment(found.value)
      if (!decoded.ok) {
        throw new ArbiterUnavailableError(`record of space ${space}: ${decoded.reason}`)
      }
      this.lostSince.delete(space)
      const record = { assignment: decoded.value, revision: found.revision }
      await this.remember(record)
      return { kind: 'present', record }
    }
    const remembered = this.options.store.remembered().get(space)
    if (!remembered) return { kind: 'absent' }
    const now = this.options.clock.monotonicMs()
    if (!this.lostSince.has(space)) {
      this.lostSince.set(space, now)
      this.options.onBucketLost(space, 'the arbiter no longer has its record')
    }
    return {
      kind: 'lost',
      remembered: { assignment: remembered.assignment, revision: 0 },
      sinceMs: now - this.lostSince.get(space)!,
    }
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
      const outcome = await this.arbiter.compareAndSet(key, bytes, revision)
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
    for (const space of this.options.store.remembered().keys()) known.add(space)
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
    const arbiter = this.required()
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
    const seen = this.options.store.remembered().get(space)
    if (seen && seen.revision === record.revision && seen.bucket === this.bucket
      && seen.assignment.nonce === record.assignment.nonce) return
    try {
      await this.options.store.remember(space, { ...record, bucket: this.bucket })
    } catch (error) {
      // A help for a day when the bucket is lost; what the arbiter said stands without it.
      this.options.logger.warn({ space, error: String(error) }, 'a record cannot be remembered')
    }
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => this.options.clock.setTimeout(resolve, retryMs))
  }
}
