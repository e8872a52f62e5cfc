/** What is known of one space's log besides the places of its frames, and what may follow. */
import type { EpochHistory, EpochSpan, Position } from '../../machines/base/ids.js'
import { GrowingHistory } from '../../machines/log/growingHistory.js'
import { endOf, epochAt, hasEntry, origin, showPosition } from '../../machines/log/positions.js'
import type { Run } from './ledger.js'

export class LogState implements EpochHistory {
  end: Position = origin
  floor = 0
  damage: string | null = null
  #epochs = new GrowingHistory()

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

  append({ epoch, last }: Run): void {
    this.#epochs.extend(epoch, last)
    this.end = { epoch, sequence: last }
  }

  /** Whether entries of these epochs are at these places. */
  holds({ epoch, first, last }: Run): boolean {
    return last <= this.end.sequence && epochAt(this.history, first) === epoch
      && epochAt(this.history, last) === epoch
  }

  /** Null if the log can be truncated to there: a position that it holds. */
  refuseTruncation(to: Position): string | null {
    if (to.sequence >= this.root.sequence && hasEntry(this, to)) return null
    return `cannot truncate to ${showPosition(to)}: the log that ends at `
      + `${showPosition(this.end)} does not hold it`
  }

  truncate(to: Position): void {
    this.#epochs.truncate(to.sequence)
    this.end = endOf(this.history)
    // The floor is only lowered below an epoch that an operator forced.
    this.floor = Math.min(this.floor, to.sequence)
  }

  raiseFloor(sequence: number): void {
    this.floor = Math.max(this.floor, sequence)
  }

  /** False: the log ends below it, so it has lost entries. A damaged log takes no floor. */
  takeFloor(sequence: number): boolean {
    if (this.damage !== null) return true
    this.raiseFloor(sequence)
    return sequence <= this.end.sequence
  }
}
