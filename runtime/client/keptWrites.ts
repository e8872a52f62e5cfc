/**
 * Tracks the acknowledged writes of one space until they are safe. Pure: no clock, no I/O, so that
 * it can be tested against a model of the log.
 *
 * A primary acknowledges before others have the write, so a promotion may leave it behind. Places
 * where a kept write is known to be:
 *
 *   held       in the log of `epoch`: safe once its sequence is
 *   doubted    a later epoch is known by its number only; its history decides
 *   lost       not in the log of that epoch: to be sent again, oldest first
 *   resending  sent again, not answered
 *   refused    sent again, and refused for good; tried once more in the next epoch
 *
 * Sequences mean something within one log only, so a safe sequence counts for `held` writes, and
 * a take-over is settled before any safe sequence of its epoch: two promotions in a row cannot
 * release what the first one lost.
 */
import type { EpochSpan, Position } from '../../machines/base/ids.js'
import { epochAt } from '../../machines/log/positions.js'
import type { AckLevel } from '../../machines/protocol/messages.js'

/** A write with all that is needed to send it again. */
export interface Sendable {
  /** Number among the writes of this client. */
  readonly number: number
  readonly key: string
  readonly data: Uint8Array
  /** Its share of the bound. */
  readonly bytes: number
}

/** The place of a write according to a positive answer. */
export interface Taken {
  /** Epoch of the primary that answers. */
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
  /** Its place when it was first acknowledged: writes are sent again in this order. */
  readonly origin: Position
  /** Its last known place; epoch 0: an old node did not say in which epoch it is logged. */
  position: Position
}

export interface KeptWritesOptions {
  /** Called when the write survives the loss of any one disk; it is no longer kept. */
  readonly onSafe: (write: Kept) => void
  /** Names of the things that a write changes: two writes of one thing keep their order. */
  readonly touches: (write: Kept) => readonly string[]
  /** Limit of the resent writes in flight. */
  readonly resendingMax: number
}

export class KeptWrites {
  /** The latest epoch that is known to have opened; 0: none. */
  epoch = 0
  /** In log order, except for repeated writes; from `#head` on. */
  #held: Kept[] = []
  #head = 0
  #doubted: Kept[] = []
  /** The next one last. */
  #lost: Kept[] = []
  readonly #resending = new Map<number, Kept>()
  readonly #touched = new Set<string>()
  #refused: Kept[] = []
  #bytes = 0

  constructor(readonly options: KeptWritesOptions) {}

  /** Number of acknowledged writes that are not yet safe. */
  get writes(): number {
    return this.#held.length - this.#head + this.#doubted.length + this.#lost.length
      + this.#resending.size + this.#refused.length
  }

  /** Size of their requests. */
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

  /** The last one that the primary is known to have, or null. */
  get newest(): Kept | null {
    return this.#head < this.#held.length ? this.#held.at(-1) ?? null : null
  }

  /** The history of the epoch is needed to go on. */
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
   * Takes a write that was answered positively. True: it is kept. False: it need not be kept, being
   * safe or `committed`, or the answer is of an epoch that is over and so decides nothing.
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
      number,
      key,
      data,
      bytes,
      level: taken.ack,
      keptAtMs: nowMs,
      position,
      origin: position.epoch > 0 ? position : { ...position, epoch: taken.epoch },
    })
    return true
  }

  /**
   * An epoch has opened. Returns true if it is a later one. Then everything is in doubt, and resent
   * writes are taken back, to be sent in order with others that may be lost.
   */
  heard(epoch: number): boolean {
    if (epoch <= this.epoch) return false
    this.epoch = epoch
    this.#doubtAll()
    return true
  }

  /** Another space has the name now: places in the log of the old one mean nothing in its log. */
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

  /** The log of that epoch is safe up to there, according to its primary. */
  safe(epoch: number, safeSequence: number): void {
    if (epoch !== this.epoch) return
    for (; this.#head < this.#held.length; this.#head += 1) {
      const write = this.#held[this.#head]!
      // A repeated write among them waits for its neighbours.
      if (write.position.sequence > safeSequence) break
      this.#release(write)
    }
    if (this.#head * 2 > this.#held.length) this.#hold(this.#held.slice(this.#head))
  }

  /**
   * The epochs that the log of `epoch` consists of. Write (e, s) survived exactly if the entry at s
   * is of epoch e (equal epoch and sequence: equal prefixes, I3). A shorter rule, "s is below the
   * start of the next epoch after e", errs where that epoch was opened by a member that e had
   * overtaken: e = 4 began at 91, was lost whole, and 5 begins at 101, after 91 to 100 of epoch 3.
   * Without a history (null) everything in doubt is sent again: writes that survived are answered
   * as duplicates.
   */
  takeOver(epoch: number, history: readonly EpochSpan[] | null): void {
    if (epoch < this.epoch || (history && history.at(-1)?.epoch !== epoch)) return
    this.heard(epoch)
    if (!this.isDoubtful) return
    const survived: Kept[] = []
    const lost: Kept[] = []
    for (const write of this.#doubted) {
      const { epoch: logged, sequence } = write.position
      // Epoch 0: the epoch is not known, so it is open whether the write survived.
      const isThere = logged > 0 && history !== null && epochAt(history, sequence) === logged
      if (isThere) survived.push(write)
      else lost.push(write)
    }
    this.#doubted = []
    this.#lost = lost.toSorted(byOrigin).toReversed()
    this.#hold([...survived.toSorted(bySequence), ...this.#held.slice(this.#head)])
  }

  /** Returns the next write to send again, or null: there is none, or it has to wait. */
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

  /** A resent write is in the log of that epoch. Returns false if the answer decides nothing. */
  resent(write: Kept, taken: Taken): boolean {
    if (taken.epoch !== this.epoch || !this.#resending.delete(write.number)) return false
    this.#untouch(write)
    write.position = placeOf(taken)
    if (taken.ack === 'committed') this.#release(write)
    else this.#held.push(write)
    this.safe(taken.epoch, taken.safeSequence)
    return true
  }

  /** A resent write is refused for good: it must not hold up others. */
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
