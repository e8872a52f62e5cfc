/** What is known of one space's log besides the places of its frames, and what may follow. */
import type { Coverage } from '../../actors/ports/journal.js'
import type { EpochHistory, EpochSpan, Position } from '../../machines/base/ids.js'
import { GrowingHistory } from '../../machines/log/growingHistory.js'
import { endOf, epochAt, hasEntry, origin, showPosition } from '../../machines/log/positions.js'
import { nothingCovered, refuseCoverage } from './coverage.js'
import type { Run } from './ledger.js'

/**
 * What recovery does not know yet of a log whose beginning was given up: where the part that is
 * here begins (`all`), or what comes before it (`below`). Null: it is known.
 */
type Openness = 'all' | 'below' | null

export class LogState implements EpochHistory {
  end: Position = origin
  floor = 0
  damage: string | null = null
  covers: Coverage = nothingCovered
  /** The segment of the last record that says so; 0: there is none. */
  coversSegment = 0
  /** Of frames that were written since the newest checkpoint was named. */
  newBytes = 0
  #epochs = new GrowingHistory()
  #open: Openness = null

  /** For recovery: a log that was not met before. */
  static unknown(): LogState {
    const state = new LogState()
    state.#open = 'all'
    return state
  }

  /** A log after an install. */
  static installed(covers: Coverage, segment: number): LogState {
    const state = new LogState()
    state.#begin(covers.covered, covers.history)
    state.covers = covers
    state.coversSegment = segment
    state.floor = covers.covered.sequence
    return state
  }

  get root(): Position {
    return this.#epochs.root
  }

  get history(): readonly EpochSpan[] {
    return this.#epochs.history
  }

  /** A copy that changes by itself. */
  copy(): LogState {
    const copy = Object.assign(new LogState(), this)
    copy.#epochs = new GrowingHistory(this.#epochs)
    copy.#open = this.#open
    return copy
  }

  /** Null when the frames continue the log at `end`. */
  refuseFrame(frame: Run, end: Position = this.end): string | null {
    if (frame.first !== end.sequence + 1 || frame.previousEpoch !== end.epoch) {
      return `a frame that continues (${frame.previousEpoch}, ${frame.first - 1}), where the log `
        + `ends at ${showPosition(end)}`
    }
    return frame.epoch < end.epoch ? 'a frame of a lower epoch' : null
  }

  /** `bytes`: of the frames. */
  append({ epoch, last }: Run, bytes: number): void {
    this.newBytes += bytes
    this.#epochs.extend(epoch, last)
    this.end = { epoch, sequence: last }
  }

  /** For recovery: where the log is still open, it begins with these frames. */
  takeRun(run: Run, bytes: number): string | null {
    if (this.#open === 'all') {
      this.#beginOpen({ epoch: run.previousEpoch, sequence: run.first - 1 })
    }
    const reason = this.refuseFrame(run)
    if (reason === null) this.append(run, bytes)
    return reason
  }

  /** Whether entries of these epochs are at these places. */
  holds({ epoch, first, last }: Run): boolean {
    return last <= this.end.sequence && first > this.root.sequence
      && epochAt(this.history, first) === epoch && epochAt(this.history, last) === epoch
  }

  /** Null if the log can be truncated to there: a position that it holds, and not covered. */
  refuseTruncation(to: Position): string | null {
    const { covered } = this.covers
    if (to.sequence < covered.sequence) {
      return `cannot truncate to ${showPosition(to)}: entries up to ${
        showPosition(covered)
      } may be `
        + 'in checkpoints only'
    }
    if (to.sequence >= this.root.sequence && hasEntry(this, to)) return null
    return `cannot truncate to ${showPosition(to)}: the log that ends at `
      + `${showPosition(this.end)} does not hold it`
  }

  truncate(to: Position): void {
    this.#epochs.truncate(to.sequence)
    this.end = endOf(this.history)
    this.#cut(to)
  }

  /** For recovery: a truncation below what is here leaves nothing of it. */
  takeTruncation(to: Position): string | null {
    const isBelow = this.#open === 'all'
      || (this.#open === 'below' && to.sequence < this.root.sequence)
    if (!isBelow || to.sequence < this.covers.covered.sequence) {
      const reason = this.refuseTruncation(to)
      if (reason === null) this.truncate(to)
      return reason
    }
    this.#beginOpen(to)
    this.#cut(to)
    return null
  }

  raiseFloor(sequence: number): void {
    this.floor = Math.max(this.floor, sequence)
  }

  /** For recovery. False: the log ends below it, so it has lost entries. */
  takeFloor(sequence: number): boolean {
    this.raiseFloor(sequence)
    return this.#open !== null || sequence <= this.end.sequence
  }

  /** Null if the log holds what a record says of it. */
  refuseCoverage(covers: Coverage): string | null {
    const reason = refuseCoverage(covers)
    if (reason) return reason
    for (const position of [covers.covered, ...covers.kept.map((each) => each.position)]) {
      if (position.sequence >= this.root.sequence && hasEntry(this, position)) continue
      return `a checkpoint at ${showPosition(position)}, which the log that ends at `
        + `${showPosition(this.end)} does not hold`
    }
    return null
  }

  cover(covers: Coverage, segment: number): void {
    if (covers.kept.at(-1)?.id !== this.covers.kept.at(-1)?.id) this.newBytes = 0
    this.covers = covers
    this.coversSegment = segment
    this.raiseFloor(covers.kept.at(-1)?.position.sequence ?? 0)
    if (this.#open === null) this.#rewriteHistory()
  }

  /** For recovery. */
  takeCoverage(covers: Coverage, segment: number): string | null {
    const reason = this.#open === null ? this.refuseCoverage(covers) : refuseCoverage(covers)
    if (reason === null) this.cover(covers, segment)
    return reason
  }

  /**
   * For recovery: decides on a log whose beginning is not here. Its last record must say that what
   * is missing is in checkpoints, and must fit what is there.
   */
  close(): string | null {
    const open = this.#open
    if (open === null) return null
    const { covered, history } = this.covers
    if (this.coversSegment === 0) {
      const first = open === 'all' ? '' : ` before ${this.root.sequence + 1}`
      return `its entries${first} are missing, and no record says that checkpoints have them`
    }
    if (open === 'all') this.#begin(covered, history)
    const { root } = this
    if (root.sequence > covered.sequence) {
      return `its entries from ${covered.sequence + 1} to ${root.sequence} are missing`
    }
    const isKnown = root.sequence >= history.root.sequence
    if (isKnown && !hasEntry(history, root)) {
      return `it goes on from ${showPosition(root)}, which is not in the history of its checkpoints`
    }
    const reason = this.refuseCoverage(this.covers)
    if (reason) return reason
    if (this.floor > this.end.sequence) {
      return `entries up to ${this.floor} were here, the log ends at ${showPosition(this.end)}`
    }
    this.#open = null
    this.#rewriteHistory()
    return null
  }

  /** Up to what is covered, the record's history counts: older epochs may be summed up in it. */
  #rewriteHistory(): void {
    const { covered, history } = this.covers
    const epochs = new GrowingHistory(history)
    for (const { epoch, last } of this.history) {
      if (last > covered.sequence) epochs.extend(epoch, last)
    }
    this.#epochs = epochs
  }

  #begin(end: Position, history: EpochHistory): void {
    this.end = end
    this.#epochs = new GrowingHistory(history)
  }

  /** The part that is here begins after that position. */
  #beginOpen(position: Position): void {
    const { epoch, sequence } = position
    if (sequence === 0) this.#begin(origin, { root: origin, history: [] })
    else this.#begin(position, { root: position, history: [{ epoch, last: sequence }] })
    this.#open = sequence === 0 && this.coversSegment === 0 ? null : 'below'
  }

  /** Checkpoints of entries that were cut off are of another log. */
  #cut(to: Position): void {
    // The floor is only lowered below an epoch that an operator forced.
    this.floor = Math.min(this.floor, to.sequence)
    const kept = this.covers.kept.filter(({ position }) => position.sequence <= to.sequence)
    if (kept.length < this.covers.kept.length) this.covers = { ...this.covers, kept }
  }
}

export function withinFrame(to: Position): string {
  return `cannot truncate to ${showPosition(to)}: it is within a frame`
}
