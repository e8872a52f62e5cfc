import type { EpochHistory, EpochSpan, Position } from '../base/ids.js'
import { emptyHistory } from './positions.js'

/** The history of a log that is written: changed in place, whatever the number of its epochs. */
export class GrowingHistory implements EpochHistory {
  readonly root: Position
  private readonly spans: EpochSpan[]

  constructor({ root, history }: EpochHistory = emptyHistory) {
    this.root = root
    this.spans = [...history]
  }

  /** Changes with the log; who keeps it makes a copy. */
  get history(): readonly EpochSpan[] {
    return this.spans
  }

  /** Notes that entries up to `last` were written under `epoch`. */
  extend(epoch: number, last: number): void {
    const { spans } = this
    const isNew = spans.at(-1)?.epoch !== epoch
    spans[isNew ? spans.length : spans.length - 1] = { epoch, last }
  }

  /** Notes that the log was cut back to `sequence`, which is not below the root. */
  truncate(sequence: number): void {
    const { spans, root } = this
    if (sequence < root.sequence) {
      throw new RangeError(`cut back to ${sequence}, below the root ${root.sequence}`)
    }
    while (spans.length > 0 && (spans.at(-2)?.last ?? 0) >= sequence) spans.pop()
    const end = spans.at(-1)
    if (end && end.last > sequence) spans[spans.length - 1] = { ...end, last: sequence }
  }
}
