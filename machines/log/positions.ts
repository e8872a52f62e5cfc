import type { EpochSpan, Position } from '../base/ids.js'
import { partition } from '../base/partition.js'

/** Spans that a message may have: two orders of magnitude above those of a bad month. */
export const epochsMax = 8192

export const origin: Position = { epoch: 0, sequence: 0 }

/** Compares by epoch, then by sequence. Negative when `a` is behind `b`. */
export function comparePositions(a: Position, b: Position): number {
  return a.epoch - b.epoch || a.sequence - b.sequence
}

export function showPosition(p: Position): string {
  return `(${p.epoch}, ${p.sequence})`
}

export function endOf(history: readonly EpochSpan[]): Position {
  const last = history.at(-1)
  return last ? { epoch: last.epoch, sequence: last.last } : origin
}

/** Returns why a log with that history cannot join a primary, or null. */
export function historyFault({ length }: readonly EpochSpan[]): string | null {
  return length <= epochsMax
    ? null
    : `its log has ${length} epochs, but a join can name ${epochsMax} only, so no replica can `
      + 'follow this space any more. Copy its content to a new space'
}

/** Returns the epoch of the entry at `sequence`; 0 before the first entry and beyond the end. */
export function epochAt(history: readonly EpochSpan[], sequence: number): number {
  return sequence < 1 ? 0 : history[spanOf(history, sequence)]?.epoch ?? 0
}

/** Returns the index of the span that holds the sequence, or their number beyond the end. */
function spanOf(history: readonly EpochSpan[], sequence: number): number {
  return partition(history.length, (index) => history[index]!.last < sequence)
}

/** Returns spans of later epochs, of the log up to `sequence`, oldest first, with a limit. */
export function spansAfter(
  history: readonly EpochSpan[],
  epoch: number,
  sequence: number,
  countMax: number,
): EpochSpan[] {
  const begin = partition(history.length, (index) => history[index]!.epoch <= epoch)
  const end = sequence < 1 ? 0 : Math.min(spanOf(history, sequence) + 1, begin + countMax)
  return history.slice(begin, end).map((span) => ({ epoch: span.epoch,
    last: Math.min(span.last, sequence) })
  )
}

/** Returns the history after entries up to `last` were written under `epoch`. */
export function extendHistory(
  history: readonly EpochSpan[],
  epoch: number,
  last: number,
): EpochSpan[] {
  const end = history.at(-1)
  if (end && end.epoch === epoch) return [...history.slice(0, -1), { epoch, last }]
  return [...history, { epoch, last }]
}

export function truncateHistory(history: readonly EpochSpan[], sequence: number): EpochSpan[] {
  const kept: EpochSpan[] = []
  let previous = 0
  for (const span of history) {
    if (previous >= sequence) break
    kept.push({ epoch: span.epoch, last: Math.min(span.last, sequence) })
    previous = span.last
  }
  return kept
}

/**
 * Returns the last point that two logs have in common: the highest sequence at which both hold an
 * entry of the same epoch (log matching, I3, makes the prefixes equal). Kafka KIP-101 and KIP-279.
 */
export function commonPoint(mine: readonly EpochSpan[], theirs: readonly EpochSpan[]): Position {
  for (let sequence = Math.min(endOf(mine).sequence, endOf(theirs).sequence); sequence > 0;) {
    const a = epochAt(mine, sequence)
    const b = epochAt(theirs, sequence)
    if (a === b) return { epoch: a, sequence }
    // Both logs' spans are constant down to the nearer start: step below it at once.
    sequence = Math.max(startOf(mine, a), startOf(theirs, b)) - 1
  }
  return origin
}

function startOf(history: readonly EpochSpan[], epoch: number): number {
  let previous = 0
  for (const span of history) {
    if (span.epoch === epoch) return previous + 1
    previous = span.last
  }
  return previous + 1
}
