/** The arbiter in memory: one bucket that many connections look at, and its faults. */
import { ArbiterUnavailableError } from '../../actors/ports/arbiter.js'
import type { Arbiter, ArbiterRecord, CompareAndSetOutcome,
  OpenArbiter } from '../../actors/ports/arbiter.js'
import type { BusConnection } from '../../actors/ports/bus.js'

/**
 * The fate of a compare-and-set whose answer is lost: it was applied (if its revision fits);
 * it was lost on the way; it is still on its way, until `release()`.
 */
export type LostAnswer = 'applied' | 'lost' | 'late'

export interface MemoryBucketOptions {
  /** Runs an answer later; default: the next microtask. */
  readonly schedule?: (run: () => void) => void
  /** Called with every change, late ones too. */
  readonly onApplied?: (key: string, value: Uint8Array, revision: number) => void
}

export class MemoryBucket {
  /** False: every request fails as when JetStream has no leader. */
  available = true
  /** In the arbiter's words: why it stores nothing, to compare-and-sets that would be applied. */
  rejects: string | null = null
  /** Only these keys. */
  rejectsOnly = ''
  /** Faults of its configuration. */
  faults: readonly string[] = []
  readonly #schedule: (run: () => void) => void
  readonly #onApplied: MemoryBucketOptions['onApplied']
  readonly #lostAnswers: LostAnswer[] = []
  #late: (() => void)[] = []
  #records: Map<string, ArbiterRecord> | null = null
  #revision = 0
  #made = 0
  #restored = 0

  constructor(options: MemoryBucketOptions = {}) {
    this.#schedule = options.schedule ?? queueMicrotask
    this.#onApplied = options.onApplied
  }

  /** The next compare-and-sets give `unknown`, each with the fate named. */
  loseAnswers(...fates: LostAnswer[]): void {
    this.#lostAnswers.push(...fates)
  }

  /** No further answer is lost. */
  keepAnswers(): void {
    this.#lostAnswers.length = 0
  }

  /** The compare-and-sets that were late arrive now, in the order they were sent. */
  release(): void {
    const late = this.#late
    this.#late = []
    for (const run of late) run()
  }

  /**
   * The bucket is gone with all that it held, and so are requests on their way to it; `bucketId()`
   * makes a new one.
   */
  wipe(): void {
    this.#records = null
    this.#late = []
  }

  /** The bucket goes back to what a `snapshot` held: what came after was confirmed, and is gone. */
  restore(records: ReadonlyMap<string, ArbiterRecord>): void {
    this.#records = new Map(records)
    this.#restored += 1
    this.#revision = Math.max(0, ...[...records.values()].map(({ revision }) => revision))
  }

  /** A copy, for assertions. */
  snapshot(): Map<string, ArbiterRecord> {
    return new Map(this.#records ?? [])
  }

  readonly open: OpenArbiter = (connection) => this.#arbiter(connection)

  #arbiter(connection: BusConnection): Arbiter {
    return {
      read: async (key) =>
        this.#answer(connection, () => {
          checkKey(key)
          const found = this.#existing().get(key)
          return found ? { value: found.value.slice(), revision: found.revision } : null
        }),
      keys: (prefix) =>
        this.#answer(connection, () =>
          [...this.#existing().keys()].filter((key) => key.startsWith(prefix)).toSorted()),
      mark: () =>
        this.#answer(connection, () =>
          [this.#made, this.#revision, this.#existing().size, this.#restored].join(' ')),
      bucketId: () => this.#answer(connection, () => this.#make()),
      faults: () => this.#answer(connection, () => this.faults),
      compareAndSet: async (key, value, revision) =>
        this.#compareAndSet(connection, key, value.slice(), revision),
    }
  }

  #compareAndSet(
    connection: BusConnection,
    key: string,
    value: Uint8Array,
    revision: number,
  ): Promise<CompareAndSetOutcome> {
    checkKey(key)
    const fate = this.#lostAnswers.shift()
    const apply = (): CompareAndSetOutcome => this.#apply(key, value, revision)
    return this.#answer<CompareAndSetOutcome>(connection, () => {
      if (fate === 'late') this.#late.push(() => void apply())
      if (fate === 'applied') apply()
      return fate ? { kind: 'unknown', reason: `injected: ${fate}` } : apply()
    }).catch((error: Error) => ({ kind: 'unknown', reason: error.message }))
  }

  #apply(key: string, value: Uint8Array, revision: number): CompareAndSetOutcome {
    const records = this.#records
    if (!records) return { kind: 'unknown', reason: 'there is no bucket' }
    if ((records.get(key)?.revision ?? 0) !== revision) return { kind: 'refused' }
    if (this.rejects !== null && key.startsWith(this.rejectsOnly)) {
      return { kind: 'rejected', reason: this.rejects }
    }
    this.#put(key, value)
    return { kind: 'applied', revision: this.#revision }
  }

  /** Writes over whatever is there, as an operator can. */
  overwrite(key: string, value: Uint8Array): void {
    this.#existing()
    this.#put(key, value)
  }

  /** The key is gone, as an operator can delete it. */
  remove(key: string): void {
    this.#existing().delete(key)
  }

  #put(key: string, value: Uint8Array): void {
    this.#revision += 1
    this.#existing().set(key, { value, revision: this.#revision })
    this.#onApplied?.(key, value, this.#revision)
  }

  #existing(): Map<string, ArbiterRecord> {
    if (this.#records) return this.#records
    throw new ArbiterUnavailableError('bucket engram does not exist')
  }

  #make(): string {
    if (!this.#records) {
      this.#records = new Map()
      this.#revision = 0
      this.#made += 1
    }
    return `memory-${this.#made}`
  }

  #answer<T>(connection: BusConnection, run: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#schedule(() => {
        if (!this.available) return reject(new ArbiterUnavailableError('made unavailable'))
        if (connection.isClosed) {
          return reject(new ArbiterUnavailableError('the NATS connection is closed'))
        }
        try {
          resolve(run())
        } catch (error) {
          reject(error as Error)
        }
      })
    })
  }
}

function checkKey(key: string): void {
  if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(key)) {
    throw new TypeError(`${JSON.stringify(key)} is not a key of the arbiter`)
  }
}
