/**
 * What became of the acknowledged writes of one space. Pure: no clock, no I/O, so that it can be
 * tested against a model of the log.
 *
 * A primary acknowledges before others have the write, so a promotion may leave it behind. Where a
 * kept write is known to be:
 *
 *   held       in the log of the reign `epoch`: safe once its sequence is
 *   doubted    a later reign is known by its number only; its history will tell
 *   lost       not in that reign's log: to be sent again, oldest first
 *   resending  sent again, not answered
 *   refused    sent again, and refused for good; tried once more with the next reign
 *
 * Sequences mean something within one log only, so a safe sequence counts for what is `held`, and
 * a take-over is settled before any safe sequence of its reign: two promotions in a row cannot
 * release what the first one lost.
 */
import type { EpochSpan, Position } from '../../machines/base/ids.js'
import { epochAt } from '../../machines/log/positions.js'
import type { AckLevel } from '../../machines/protocol/messages.js'

/** What is needed to send a write again. */
export interface Sendable {
  /** Counts the writes of this client. */
  readonly number: number
  readonly key: string
  readonly data: Uint8Array
  /** What it counts for in the bound. */
  readonly bytes: number
}

/** What a positive answer says of the write's place. */
export interface Taken {
  /** Of the reign that answers. */
  readonly epoch: number
  readonly sequence: number
  readonly ack: AckLevel
  readonly safeSequence: number
  readonly duplicate: boolean
  readonly loggedEpoch?: number
  readonly quarantined?: number
}

export interface Kept extends Sendable {
  readonly level: AckLevel
  readonly keptAtMs: number
  /** Where it was when it was first acknowledged: the order in which writes are sent again. */
  readonly origin: Position
  /** Where it was last known to be; epoch 0: an old node did not say under which it is logged. */
  position: Position
}

export interface ResendQueueOptions {
  /** It outlives any one disk from now on, and is kept no longer. */
  readonly onSafe: (write: Kept) => void
  /** Names of what a write changes: two that share one must not overtake each other. */
  readonly touches: (write: Kept) => readonly string[]
  /** Writes sent again that may wait for their answers at a time. */
  readonly resendingMax: number
}

export class ResendQueue {
  /** Of the latest reign that is known to have opened; 0: none is. */
  epoch = 0
  /** In the order of the log, but for repeated writes; from `#head` on. */
  #held: Kept[] = []
  #head = 0
  #doubted: Kept[] = []
  /** The next one last. */
  #lost: Kept[] = []
  readonly #resending = new Map<number, Kept>()
  readonly #touched = new Set<string>()
  #refused: Kept[] = []
  #bytes = 0

  constructor(readonly options: ResendQueueOptions) {}

  /** Acknowledged and not yet safe. */
  get writes(): number {
    return this.#held.length - this.#head + this.#doubted.length + this.#lost.length
      + this.#resending.size + this.#refused.length
  }

  /** Of their requests. */
  get bytes(): number {
    return this.#bytes
  }

  /** When the oldest of them was acknowledged; null when there is none. */
  get oldestAtMs(): number | null {
    let oldest: number | null = null
    for (const { keptAtMs } of this.all()) {
      if (oldest === null || keptAtMs < oldest) oldest = keptAtMs
    }
    return oldest
  }

  /** The last one that the reign is known to have, or null. */
  get newest(): Kept | null {
    return this.#head < this.#held.length ? this.#held.at(-1) ?? null : null
  }

  /** The reign's history is needed to go on. */
  get isDoubtful(): boolean {
    return this.#doubted.length > 0
  }

  /** Newer writes of the space have to wait. */
  get isBehind(): boolean {
    return this.isDoubtful || this.#lost.length > 0 || this.#resending.size > 0
  }

  *all(): Iterable<Kept> {
    yield* this.#held.slice(this.#head)
    yield* this.#doubted
    yield* this.#lost
    yield* this.#resending.values()
    yield* this.#refused
  }

  /**
   * A write was answered positively. True: it is kept. False: it needs no keeping, being safe or
   * `committed`, or the answer is of a reign that is over and so decides nothing.
   */
  answered(write: Sendable, taken: Taken, nowMs: number): boolean {
    if (taken.epoch < this.epoch) return false
    this.heard(taken.epoch)
    this.safe(taken.epoch, taken.safeSequence)
    if (taken.ack === 'committed' || taken.sequence <= taken.safeSequence) return false
    const position = placeOf(taken)
    const { number, key, data, bytes } = write
    this.#bytes += bytes
    this.#held.push({
      number, key, data, bytes, level: taken.ack, keptAtMs: nowMs, position,
      origin: position.epoch > 0 ? position : { ...position, epoch: taken.epoch },
    })
    return true
  }

  /**
   * A reign of that epoch has opened. True when it is news: everything is in doubt then, and what
   * was sent again is taken back, to be sent in order with what else may be lost.
   */
  heard(epoch: number): boolean {
    if (epoch <= this.epoch) return false
    this.epoch = epoch
    this.#doubtAll()
    return true
  }

  /** Another space bears the name now: places in the old one's log mean nothing in its. */
  renewed(): void {
    this.epoch = 0
    this.#doubtAll()
    for (const write of this.#doubted) write.position = { ...write.position, epoch: 0 }
  }

  #doubtAll(): void {
    this.#doubted = [...this.all()]
    this.#hold([])
    this.#lost = []
    this.#resending.clear()
    this.#touched.clear()
    this.#refused = []
  }

  /** The log of that reign is safe up to there, as it says itself. */
  safe(epoch: number, safeSequence: number): void {
    if (epoch !== this.epoch) return
    for (; this.#head < this.#held.length; this.#head += 1) {
      const write = this.#held[this.#head]!
      // A repeated one among them waits for its neighbours.
      if (write.position.sequence > safeSequence) break
      this.#release(write)
    }
    if (this.#head * 2 > this.#held.length) this.#hold(this.#held.slice(this.#head))
  }

  /**
   * Which epochs the log of a reign consists of. Write (e, s) survived exactly if the entry at s
   * is of epoch e (equal epoch and sequence: equal prefixes, I3). The design's shorter rule, "s
   * is below the start of the next epoch after e", errs where that epoch was opened by a member
   * that e had overtaken: e = 4 began at 91, was lost whole, and 5 begins at 101, after 91 to 100
   * of epoch 3. Without a history (null) everything in doubt is sent again: what survived is
   * answered as a duplicate.
   */
  takeOver(epoch: number, history: readonly EpochSpan[] | null): void {
    if (epoch < this.epoch || (history && history.at(-1)?.epoch !== epoch)) return
    this.heard(epoch)
    if (!this.isDoubtful) return
    const survived: Kept[] = []
    const lost: Kept[] = []
    for (const write of this.#doubted) {
      const { epoch: logged, sequence } = write.position
      // Logged in epoch 0: in one that is not known, so that nothing tells whether it survived.
      const isThere = logged > 0 && history !== null && epochAt(history, sequence) === logged
      if (isThere) survived.push(write)
      else lost.push(write)
    }
    this.#doubted = []
    this.#lost = lost.toSorted(byOrigin).toReversed()
    this.#hold([...survived.toSorted(bySequence), ...this.#held.slice(this.#head)])
  }

  /** The next write to send again, or null: none is, or it has to wait for an answer. */
  next(): Kept | null {
    const write = this.#lost.at(-1)
    if (!write || this.#resending.size >= this.options.resendingMax) return null
    const touches = this.options.touches(write)
    if (touches.some((name) => this.#touched.has(name))) return null
    for (const name of touches) this.#touched.add(name)
    this.#lost.pop()
    this.#resending.set(write.number, write)
    return write
  }

  /** A write that was sent again is in the log of that reign. False: it decides nothing. */
  resent(write: Kept, taken: Taken): boolean {
    if (taken.epoch !== this.epoch || !this.#resending.delete(write.number)) return false
    this.#untouch(write)
    write.position = placeOf(taken)
    if (taken.ack === 'committed') this.#release(write)
    else this.#held.push(write)
    this.safe(taken.epoch, taken.safeSequence)
    return true
  }

  /** A write that was sent again is refused for good: it must not hold up others. */
  refused(write: Kept): void {
    if (!this.#resending.delete(write.number)) return
    this.#untouch(write)
    this.#refused.push(write)
  }

  #release(write: Kept): void {
    this.#bytes -= write.bytes
    this.options.onSafe(write)
  }

  #hold(writes: Kept[]): void {
    this.#held = writes
    this.#head = 0
  }

  #untouch(write: Kept): void {
    for (const name of this.options.touches(write)) this.#touched.delete(name)
  }
}

function placeOf({ epoch, sequence, duplicate, loggedEpoch = 0 }: Taken): Position {
  return { epoch: duplicate ? loggedEpoch : epoch, sequence }
}

function bySequence(a: Kept, b: Kept): number {
  return a.position.sequence - b.position.sequence
}

function byOrigin(a: Kept, b: Kept): number {
  return a.origin.epoch - b.origin.epoch || a.origin.sequence - b.origin.sequence
    || a.number - b.number
}
