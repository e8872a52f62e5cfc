/**
 * Decides which log holds which entry, by positions alone. Epochs are never used twice, so the log
 * of an epoch is the log that it began on, followed by its own entries. With the position where
 * each epoch began, the whole tree of logs is known, including forks.
 *
 * Worked example: epoch 3 reaches 100; epoch 4 begins after (3, 90) on a member that lacks ten
 * entries, and is lost whole; epoch 5 begins after (3, 100). Then (3, 95) is in the log of epoch 5
 * and not in that of 4; (4, 93) is in neither's, but its own; what (4, 93) has in common with the
 * log of epoch 5 ends at (3, 90).
 *
 * Below the root of a history epochs are not known one by one. A log that has the root has all
 * that is below. Any other has left this one somewhere below, not known where.
 */
import type { EpochHistory, EpochSpan, Position } from '../base/ids.js'
import { origin, spanOf } from './positions.js'

/** End of the log that the epoch began on; undefined: not known. */
export type Starts = (epoch: number) => Position | undefined

/**
 * Returns the starts in a history: each epoch began where the one before it in the log ends.
 * `base`: an entry before those spans, or in the first one: the root, or what a salvage has in
 * common with the log that took its place. Of epoch 0 it says nothing, unless it is the origin.
 */
export function startsOf(history: readonly EpochSpan[], base: Position): Starts {
  return (epoch) => {
    const index = spanOf(history, epoch)
    if (index < 0 || epoch === base.epoch) return undefined
    const before = history[index - 1]
    if (before) return { epoch: before.epoch, sequence: before.last }
    return base.epoch === 0 && base.sequence > 0 ? undefined : base
  }
}

/** Whether the log that ends at `end` is known to hold the entry. */
export function holds(end: Position, entry: Position, starts: Starts): boolean {
  let at: Position | undefined = end
  while (at && at.epoch > entry.epoch) at = startBelow(at.epoch, starts)
  return at !== undefined && at.epoch === entry.epoch && entry.sequence <= at.sequence
}

/** Whether it is known where the log that ends at `end` was in that epoch, if it was in it. */
export function isTraced(end: Position, epoch: number, starts: Starts): boolean {
  let at: Position | undefined = end
  while (at && at.epoch > epoch) at = startBelow(at.epoch, starts)
  return at !== undefined
}

/**
 * Returns the last entry that the log that ends at `end` has in common with the log of that
 * history. `whereUnknown`: the most that it can be, or nothing.
 */
export function forkPointOf(
  { root, history }: EpochHistory,
  end: Position,
  starts: Starts,
  whereUnknown: 'most' | 'nothing' = 'most',
): Position {
  let at: Position = end
  while (at.epoch > 0) {
    const { epoch, sequence } = at
    const span = history[spanOf(history, epoch)]
    if (span) return { epoch, sequence: Math.min(span.last, sequence) }
    if (epoch < root.epoch) {
      const most = { epoch, sequence: Math.min(sequence, root.sequence - 1) }
      return whereUnknown === 'most' ? most : origin
    }
    const start = startBelow(epoch, starts)
    if (!start) return whereUnknown === 'most' ? below(history, at) : origin
    at = start
  }
  return origin
}

/** Returns the most that it can have in common, if it is not known where its epoch began. */
function below(history: readonly EpochSpan[], { epoch, sequence }: Position): Position {
  const span = history.findLast((one) => one.epoch < epoch)
  if (!span || sequence <= 1) return origin
  return { epoch: span.epoch, sequence: Math.min(span.last, sequence - 1) }
}

/** Returns the start if it is of a lower epoch: input from outside must not lead in circles. */
function startBelow(epoch: number, starts: Starts): Position | undefined {
  const start = starts(epoch)
  return start && start.epoch < epoch ? start : undefined
}
