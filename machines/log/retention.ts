import type { EpochHistory } from '../base/ids.js'

/** Spans of entries that checkpoints cover, in a history; with more, the oldest are summed up. */
export const coveredSpansMax = 1024

/** What still needs the epochs of entries one by one. All are sequences. */
export interface SummingLimits {
  /** Of the older one of the two checkpoints that count: up to it, everything is committed. */
  readonly covered: number
  /** The one before the first retained entry. */
  readonly base: number
  /** The least that a member has acknowledged or joined with, of those heard lately. */
  readonly known: number
  /**
   * Fork points of reports that are open or have a salvage that waits, and starts of epochs that
   * ended and of which no report is committed.
   */
  readonly forkPoints: readonly number[]
}

/**
 * Returns the history with its oldest spans summed up: those that end where nothing needs them any
 * more. Of those that checkpoints cover, the oldest above `coveredSpansMax` go in any case, so that
 * a message has room for the history. The root never falls.
 */
export function summedUp(
  { root, history }: EpochHistory,
  { covered, base, known, forkPoints }: SummingLimits,
): EpochHistory {
  const isCovered = history.filter(({ last }) => last <= covered).length
  const least = Math.min(covered, base, known, ...forkPoints)
  const isNeeded = history.findIndex(({ last }) => last > least)
  const ended = isNeeded < 0 ? history.length : isNeeded
  // The last one that goes stays in the list, as the root's.
  const kept = Math.max(ended, isCovered - coveredSpansMax + 1) - 1
  const span = history[kept]
  if (!span) return { root, history }
  return { root: { epoch: span.epoch, sequence: span.last }, history: history.slice(kept) }
}
