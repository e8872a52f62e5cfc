import type { RememberedRecord, Store } from '../ports/store.js'
import type { Logger } from '../ports/system.js'

/** Written at a time: the store makes them durable together. */
const writesMax = 64

export interface RememberedOptions {
  readonly store: Store
  readonly logger: Logger
  readonly isHeld: (space: string) => boolean
}

/**
 * The record of each space as this node saw it last, in case the arbiter loses it. Of the spaces
 * that it holds it is kept over restarts; nothing waits for that. It helps against two faults at
 * once, a bucket that is lost and a machine that goes down within the milliseconds that one fsync
 * takes; what a primary stands on, its epoch, is durable by its first entry before it opens, and
 * the claim upon a lost record skips epochs that nobody can know of.
 */
export class Remembered {
  private readonly seen: Map<string, RememberedRecord>
  /** What survives a restart. */
  private readonly kept: Map<string, RememberedRecord>
  /** Of each space the latest that is to be kept. */
  private readonly due = new Map<string, RememberedRecord>()
  private writing: Promise<void> | null = null
  /** Told once, until a write succeeds. */
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
    if (isSame(this.kept.get(space), record) || !this.options.isHeld(space)) return
    this.due.set(space, record)
    this.writing ??= this.write().finally(() => {
      this.writing = null
    })
  }

  /** Resolves when nothing is left to write. */
  async idle(): Promise<void> {
    while (this.writing) await this.writing
  }

  private async write(): Promise<void> {
    while (this.due.size > 0) {
      const some = [...this.due].slice(0, writesMax)
      for (const [space] of some) this.due.delete(space)
      await Promise.all(some.map(([space, record]) => this.keep(space, record)))
    }
  }

  /** What fails is tried again when the record is read next. */
  private async keep(space: string, record: RememberedRecord): Promise<void> {
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
