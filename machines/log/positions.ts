import type { EpochHistory, EpochSpan, Position } from '../base/ids.js'
import { partition } from '../base/partition.js'

/** Spans that a message may have: two orders of magnitude above those of a bad month. */
export const epochsMax = 8192

export const origin: Position = { epoch: 0, sequence: 0 }

/** That of a log without entries. */
export const emptyHistory: EpochHistory = { root: origin, history: [] }

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

/**
 * Returns the epoch of the entry at `sequence`; 0 before the first entry and beyond the end. Below
 * the root of the history it is the root's, the highest that it can be.
 */
export function epochAt(history: readonly EpochSpan[], sequence: number): number {
  return sequence < 1 ? 0 : history[spanAt(history, sequence)]?.epoch ?? 0
}

/**
 * Whether the log has that entry, given that some log has it. Below the root this is certain for
 * the root's epoch (I3); of entries of lower epochs it is not known, so the answer is no. The
 * origin is in every log.
 */
export function hasEntry({ history }: EpochHistory, { epoch, sequence }: Position): boolean {
  return epochAt(history, sequence) === epoch && (epoch > 0 || sequence === 0)
}

/** Returns the index of the span that holds the sequence, or their number beyond the end. */
function spanAt(history: readonly EpochSpan[], sequence: number): number {
  return partition(history.length, (index) => history[index]!.last < sequence)
}

/** Returns the index of the epoch's span, or -1. */
export function spanOf(history: readonly EpochSpan[], epoch: number): number {
  const index = partition(history.length, (at) => history[at]!.epoch < epoch)
  return history[index]?.epoch === epoch ? index : -1
}

/** Returns spans of later epochs, of the log up to `sequence`, oldest first, with a limit. */
export function spansAfter(
  history: readonly EpochSpan[],
  epoch: number,
  sequence: number,
  countMax: number,
): EpochSpan[] {
  const begin = partition(history.length, (index) => history[index]!.epoch <= epoch)
  const end = sequence < 1 ? 0 : Math.min(spanAt(history, sequence) + 1, begin + countMax)
  return history.slice(begin, end).map((span) => ({ epoch: span.epoch,
    last: Math.min(span.last, sequence) })
  )
}

/** Returns the spans of the entries after a sequence, up to another one. */
export function spansBetween(
  history: readonly EpochSpan[],
  after: number,
  upTo: number,
): EpochSpan[] {
  if (after >= upTo) return []
  return history.slice(spanAt(history, after + 1), spanAt(history, upTo) + 1)
    .map(({ epoch, last }) => ({ epoch, last: Math.min(last, upTo) }))
}

/** The last point that two logs have in common; or not known, but below that sequence. */
export type CommonPoint = Position | { readonly below: number }

/**
 * Returns the last point that two logs have in common: the highest sequence at which both hold an
 * entry of the same epoch (log matching, I3, makes the prefixes equal). Kafka KIP-101 and KIP-279.
 *
 * From the higher root on, both histories are exact. Below it, the root's epoch is still found:
 * with (7, 90) in one log and the root (7, 100) in the other, (7, 90) is in both. Lower epochs are
 * not: a log that has another epoch at the root may have left the other one anywhere below.
 */
export function commonPoint(mine: EpochHistory, theirs: EpochHistory): CommonPoint {
  const [a, b] = [mine.history, theirs.history]
  const shorter = Math.min(endOf(a).sequence, endOf(b).sequence)
  for (let sequence = shorter; sequence > 0;) {
    const [i, j] = [spanAt(a, sequence), spanAt(b, sequence)]
    const { epoch } = a[i]!
    if (epoch === b[j]!.epoch) return { epoch, sequence }
    // Both logs' spans are constant down to the nearer start: step below it at once.
    sequence = Math.max(a[i - 1]?.last ?? 0, b[j - 1]?.last ?? 0)
  }
  const below = Math.max(mine.root.sequence, theirs.root.sequence)
  return shorter > 0 && below > 0 ? { below } : origin
}
