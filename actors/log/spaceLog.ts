import type { EpochHistory, EpochSpan, Position } from '../../machines/base/ids.js'
import { LogMarks } from '../../machines/log/commit.js'
import type { Window } from '../../machines/log/commit.js'
import { assertPositionMonotone } from '../../machines/log/invariants.js'
import { GrowingHistory } from '../../machines/log/growingHistory.js'
import { endOf, epochAt, hasEntry, origin } from '../../machines/log/positions.js'
import type { Frame } from '../ports/frames.js'
import type { Coverage, Journal, JournalLog } from '../ports/journal.js'
import { markHeapBytes } from '../structures/budget.js'
import type { Account, Budget } from '../structures/budget.js'

export interface SpaceLogOptions {
  readonly space: string
  readonly uuid: string
  readonly journal: Journal
  readonly tailBytesMax: number
  /** As the journal found it at the start; undefined: the log is new. */
  readonly recovered?: JournalLog | undefined
  /** Memory of the node. */
  readonly budget: Budget
}

/**
 * One space's log on this member: its ends in memory, in the file and on the disk, its commit
 * sequence, and the latest frames for the streams. 0 <= durable <= written <= end.
 */
export class SpaceLog implements EpochHistory {
  private epochs: GrowingHistory
  private lastEnd: Position
  private writtenEnd: Position
  private durableEnd: Position
  private committed = 0
  private safe = 0
  private tail: Frame[] = []
  private tailBytes = 0
  private marks: LogMarks
  private readonly tailAccount: Account
  private readonly markAccount: Account
  readonly space: string
  readonly uuid: string
  private readonly journal: Journal
  private readonly tailBytesMax: number
  private readonly budget: Budget

  constructor({ space, uuid, journal, tailBytesMax, recovered, budget }: SpaceLogOptions) {
    this.space = space
    this.uuid = uuid
    this.journal = journal
    this.tailBytesMax = tailBytesMax
    this.budget = budget
    this.epochs = new GrowingHistory(recovered)
    this.lastEnd = recovered?.end ?? origin
    this.writtenEnd = this.end
    this.durableEnd = this.end
    this.marks = new LogMarks(this.end.sequence)
    this.tailAccount = budget.account('tails')
    this.markAccount = budget.account('marks')
  }

  get root(): Position {
    return this.epochs.root
  }

  /** Changes with the log; who keeps it makes a copy. */
  get history(): readonly EpochSpan[] {
    return this.epochs.history
  }

  /** Sequence before the first entry that is kept. */
  get base(): number {
    return this.journal.log(this.uuid)?.base.sequence ?? 0
  }

  /** End including frames that are accepted and not yet written. */
  get end(): Position {
    return this.lastEnd
  }

  get written(): Position {
    return this.writtenEnd
  }

  get durable(): Position {
    return this.durableEnd
  }

  /** Up to there, entries may be in checkpoints only: the log cannot be cut below. */
  get covered(): Position {
    return this.journal.log(this.uuid)?.covers.covered ?? origin
  }

  get commitSequence(): number {
    return this.committed
  }

  get safeSequence(): number {
    return this.safe
  }

  /** Epoch of the entry; 0: there is none, or it lies below the root, so that it is not known. */
  epochAt(sequence: number): number {
    return sequence < this.root.sequence ? 0 : epochAt(this.history, sequence)
  }

  /** Whether it is known to have the entry, given that some log has it. */
  has(entry: Position): boolean {
    return hasEntry(this, entry)
  }

  /** Takes a frame that continues the log; the caller has checked. `nowMs`: monotonic. */
  accept(frame: Frame, nowMs: number): void {
    if (frame.first !== this.end.sequence + 1 || frame.previousEpoch !== this.end.epoch) {
      throw new Error(`log ${this.space}: frame ${frame.first} does not continue `
        + `(${this.end.epoch}, ${this.end.sequence})`)
    }
    this.epochs.extend(frame.epoch, frame.last)
    this.lastEnd = { epoch: frame.epoch, sequence: frame.last }
    this.marks.appended(frame.last, frame.bytes.length, nowMs)
    this.tail.push(frame)
    this.tailBytes += frame.bytes.length
    this.trimTail()
    this.count()
  }

  noteWritten(frame: Frame): void {
    this.writtenEnd = { epoch: frame.epoch, sequence: frame.last }
  }

  noteDurable(frame: Frame): void {
    const durable = { epoch: frame.epoch, sequence: frame.last }
    assertPositionMonotone('durable end', this.durable, durable)
    this.durableEnd = durable
  }

  /** Raises the commit sequence. Returns false, and changes nothing, if it is that high already. */
  raiseCommit(sequence: number): boolean {
    if (sequence <= this.committed) return false
    this.committed = sequence
    return true
  }

  /** Raises the safe sequence; a lower one changes nothing. */
  raiseSafe(sequence: number): void {
    this.safe = Math.max(this.safe, sequence)
  }

  /**
   * Notes that this log equals the primary's up to there. Commit and safe sequences beyond are
   * those of another log. Only a forced promotion makes this less than what was committed.
   */
  commonPoint(sequence: number): void {
    this.committed = Math.min(this.commitSequence, sequence)
    this.safe = Math.min(this.safeSequence, this.commitSequence)
  }

  /** Forgets frames that were not written, after a failed flush. */
  rollback(): void {
    this.cut(this.written)
  }

  /** Cuts the log. Called after the truncate record is durable. */
  truncate(to: Position): void {
    this.cut(to)
    this.writtenEnd = to
    this.durableEnd = to
  }

  /** The log is that of a checkpoint, without entries of its own. Called after the record. */
  replace({ covered, history }: Pick<Coverage, 'covered' | 'history'>): void {
    this.epochs = new GrowingHistory(history)
    this.lastEnd = covered
    this.writtenEnd = covered
    this.durableEnd = covered
    this.committed = covered.sequence
    this.safe = Math.min(this.safe, covered.sequence)
    this.tail = []
    this.tailBytes = 0
    this.marks = new LogMarks(covered.sequence)
    this.count()
  }

  /** Of epochs that end below it, only the root's is known from here on. It is in this log. */
  sumUp(root: Position): void {
    if (root.sequence <= this.root.sequence || !hasEntry(this, root)) return
    const history = this.history.filter(({ last }) => last >= root.sequence)
    this.epochs = new GrowingHistory({ root, history })
  }

  private cut(to: Position): void {
    this.epochs.truncate(to.sequence)
    this.lastEnd = endOf(this.history)
    this.marks.truncated(to.sequence)
    while (this.tail.length > 0 && this.tail[this.tail.length - 1]!.last > to.sequence) {
      this.tailBytes -= this.tail.pop()!.bytes.length
    }
    this.count()
  }

  /** Drops frames from memory that can be read from the file. */
  private trimTail(): void {
    const bytesMax = this.budget.allows('tails') ? this.tailBytesMax : 0
    let drops = 0
    while (this.tailBytes > bytesMax && this.tail[drops]!.last <= this.written.sequence) {
      this.tailBytes -= this.tail[drops]!.bytes.length
      drops += 1
    }
    if (drops > 0) this.tail = this.tail.slice(drops)
  }

  /**
   * Frees memory: frames up to `frames`, which no stream and no applier needs any more, and the
   * sizes and times of entries up to `marks`, which nobody asks for any more.
   */
  release(frames: number, marks: number): void {
    let drops = 0
    const upTo = Math.min(frames, this.written.sequence)
    while (drops < this.tail.length && this.tail[drops]!.last <= upTo) {
      this.tailBytes -= this.tail[drops]!.bytes.length
      drops += 1
    }
    if (drops > 0) this.tail = this.tail.slice(drops)
    this.trimTail()
    this.marks.forget(marks)
    this.count()
  }

  /** Frees all memory: the space has left this node. */
  close(): void {
    this.tail = []
    this.tailBytes = 0
    this.marks.forget(this.end.sequence)
    this.count()
  }

  private count(): void {
    this.tailAccount.set(this.tailBytes)
    this.markAccount.set(this.marks.size * markHeapBytes)
  }

  /** Returns written frames from memory; null: they are in the journal only. */
  cachedFrom(from: number, maxBytes: number): Frame[] | null {
    const start = this.find(from)
    if (start < 0) return null
    const frames: Frame[] = []
    let bytes = 0
    for (let i = start; i < this.tail.length && bytes < maxBytes; i++) {
      const frame = this.tail[i]!
      if (frame.last > this.written.sequence) break
      frames.push(frame)
      bytes += frame.bytes.length
    }
    return frames
  }

  /**
   * Returns written frames from `from` on, from memory or else from the journal. EntriesGoneError:
   * they are no longer kept.
   */
  async framesFrom(from: number, maxBytes: number): Promise<Frame[]> {
    return this.cachedFrom(from, maxBytes) ?? await this.journal.read(this.uuid, from, maxBytes)
  }

  /** Whether a frame ends with that entry, as far as the latest frames show it. */
  endsFrame(sequence: number): boolean {
    return sequence === this.end.sequence || this.frameEnd(sequence) === sequence
      || this.tail[0]?.first === sequence + 1
  }

  /** Returns the last entry of the frame that holds the sequence; null: only the journal knows. */
  frameEnd(sequence: number): number | null {
    return this.tail[this.find(sequence)]?.last ?? null
  }

  /** Returns the index in the tail of the frame that holds the sequence, or -1. */
  private find(sequence: number): number {
    const first = this.tail[0]
    if (!first || sequence < first.first) {
      return sequence > this.end.sequence ? this.tail.length : -1
    }
    let low = 0
    let high = this.tail.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.tail[middle]!.last < sequence) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Whether sizes and times above a sequence are known: those entries came since the start. */
  knowsAbove(sequence: number): boolean {
    return this.marks.knows(sequence)
  }

  /** Returns the age of the oldest entry above a sequence, ms; `nowMs`: monotonic. */
  ageAbove(sequence: number, nowMs: number): number {
    return this.marks.age(sequence, nowMs)
  }

  /** Returns the sequence that `bytes` reach to from `sequence` on; at most the log's end. */
  reach(sequence: number, bytes: number): number {
    return this.marks.reach(sequence, bytes)
  }

  /** Returns the size of what is above a sequence: a lag, the loss window. `nowMs`: monotonic. */
  above(sequence: number, nowMs: number): Window {
    return this.marks.above(sequence, nowMs)
  }
}
