/**
 * Records under numbers that the registry does not name: of loads that were given up or ended by a
 * crash, and of states that were replaced. They are removed in small transactions, between which
 * the event loop and the writer have most of their time.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Slices } from '../system/slices.js'
import type { Room } from './diskRoom.js'
import { type GraphFile, StoreDamagedError } from './graphFile.js'
import { spaceKey, spaceOf } from './keys.js'

const KEYS_PER_TRANSACTION = 512
/** The pause after a transaction, in times of its duration. */
const REST_FACTOR = 9
/** After a failure: on a full disk nothing is removed either. */
const RETRY_MS = 10_000
const NUMBER_MAX = 2 ** 32 - 1

/** Numbers that have records and are not registered, by seeking from number to number. */
export async function findGarbage(
  records: GraphFile,
  registered: ReadonlySet<number>,
): Promise<number[]> {
  const found: number[] = []
  const slices = new Slices()
  for (let number: number | null = 1; number !== null && number <= NUMBER_MAX; number += 1) {
    number = nextNumber(records, number)
    if (number === null) break
    if (!registered.has(number)) found.push(number)
    if (slices.isOver) await slices.next()
  }
  return found
}

/** The lowest one from `number` on that has records. */
function nextNumber(records: GraphFile, number: number): number | null {
  for (const key of records.keys({ start: spaceKey(number), limit: 1 })) return spaceOf(key)
  return null
}

export class Garbage {
  private readonly numbers: number[] = []
  private running: Promise<void> = Promise.resolve()
  private isRunning = false
  private readonly closing = new AbortController()

  constructor(private readonly records: GraphFile, private readonly room: Room) {}

  /** Nothing is written under that number any more. */
  add(number: number): void {
    this.numbers.push(number)
    if (this.isRunning || this.closing.signal.aborted) return
    this.isRunning = true
    this.running = this.run().finally(() => {
      this.isRunning = false
    })
  }

  /** Resolves when everything is removed, or the removal has ended. */
  removed(): Promise<void> {
    return this.running
  }

  /** Ends the removal; what is left is found at the next start. */
  async close(): Promise<void> {
    this.closing.abort()
    await this.running
  }

  private async run(): Promise<void> {
    while (this.numbers.length > 0 && !this.closing.signal.aborted) {
      const begun = performance.now()
      let restMs: number
      let hasFailed = false
      try {
        if (!await this.removeSome(this.numbers[0]!)) this.numbers.shift()
        restMs = (performance.now() - begun) * REST_FACTOR
      } catch (error) {
        // Known to the store, which is built anew.
        if (error instanceof StoreDamagedError) return
        restMs = RETRY_MS
        hasFailed = true
      }
      const options = { signal: this.closing.signal, ref: !hasFailed }
      await pause(restMs, undefined, options).catch(() => undefined)
    }
  }

  /** False: there was nothing left. */
  private async removeSome(number: number): Promise<boolean> {
    const range = { start: spaceKey(number), end: spaceKey(number + 1) }
    const keys = [...this.records.keys({ ...range, limit: KEYS_PER_TRANSACTION })]
    if (keys.length === 0) return false
    await this.room.assert(keys.length)
    await this.records.write([], keys)
    return true
  }
}
