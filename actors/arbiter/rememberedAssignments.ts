import type { RememberedRecord, Store } from '../ports/store.js'
import type { Clock, Logger } from '../ports/system.js'

/** Records written at a time: the store makes them durable together. */
const writesMax = 512
/** Pause before records that came during a write: many that change at once share a few fsyncs. */
const pauseMs = 200

export interface RememberedOptions {
  readonly clock: Pick<Clock, 'setTimeout' | 'clearTimeout'>
  readonly store: Store
  readonly logger: Logger
  readonly isHeld: (space: string) => boolean
}

/**
 * The record of each space as this node saw it last, in case the arbiter loses it. Records of the
 * spaces that it holds, or has held, survive restarts; nothing waits for that write. It helps only
 * if two faults happen at once: a lost bucket, and a machine that fails within the milliseconds of
 * one fsync. The epoch that a primary relies on is durable by its first entry before it opens, and
 * a claim on a lost record skips epochs that nobody can know of.
 */
export class Remembered {
  private readonly seen: Map<string, RememberedRecord>
  /** Records that survive a restart. */
  private readonly kept: Map<string, RememberedRecord>
  /** The latest record of each space that is to be written. */
  private readonly due = new Map<string, RememberedRecord>()
  private writing: Promise<void> | null = null
  /** Ends the pause between two writes. */
  private goOn: (() => void) | null = null
  private isEnding = false
  /** A failure was logged; reset when a write succeeds. */
  private isFailing = false

  constructor(private readonly options: RememberedOptions) {
    this.seen = options.store.remembered()
    this.kept = new Map(this.seen)
  }

  get(space: string): RememberedRecord | undefined {
    return this.seen.get(space)
  }

  spaces(): Iterable<string> {
    return this.seen.keys()
  }

  all(): RememberedRecord[] {
    return [...this.seen.values()]
  }

  note(space: string, record: RememberedRecord): void {
    if (!isSame(this.seen.get(space), record)) this.seen.set(space, record)
    this.keep(space)
  }

  /** Has the latest record survive a restart, if the space is held, or an earlier one survives. */
  keep(space: string): void {
    const [record, kept] = [this.seen.get(space), this.kept.get(space)]
    if (!record || isSame(kept, record) || !(kept || this.options.isHeld(space))) return
    this.due.set(space, record)
    this.writing ??= this.write().finally(() => {
      this.writing = null
    })
  }

  /** Writes what is left; resolves when nothing is. */
  async idle(): Promise<void> {
    this.isEnding = true
    this.goOn?.()
    while (this.writing) await this.writing
    this.isEnding = false
  }

  private async write(): Promise<void> {
    while (this.due.size > 0) {
      const some = [...this.due].slice(0, writesMax)
      for (const [space] of some) this.due.delete(space)
      await Promise.all(some.map(([space, record]) => this.writeOne(space, record)))
      if (this.due.size > 0) await this.pause()
    }
  }

  private async pause(): Promise<void> {
    if (this.isEnding) return
    const { clock } = this.options
    await new Promise<void>((resolve) => {
      const timer = clock.setTimeout(() => this.goOn?.(), pauseMs)
      this.goOn = () => {
        clock.clearTimeout(timer)
        this.goOn = null
        resolve()
      }
    })
  }

  /** A failed write is tried again when the record is read next. */
  private async writeOne(space: string, record: RememberedRecord): Promise<void> {
    const { store, logger } = this.options
    try {
      await store.remember(space, record)
      this.kept.set(space, record)
      this.isFailing = false
    } catch (error) {
      if (!this.isFailing) {
        logger.warn({ space, error: String(error) }, 'records cannot be remembered over a restart')
      }
      this.isFailing = true
    }
  }
}

function isSame(one: RememberedRecord | undefined, other: RememberedRecord): boolean {
  return one !== undefined && one.revision === other.revision && one.bucket === other.bucket
    && one.assignment.nonce === other.assignment.nonce
}
