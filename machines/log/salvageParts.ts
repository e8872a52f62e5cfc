/**
 * Entries of a fork that a salvage has, and those that it only knows of: its member had given them
 * up as committed, before an epoch was forced on a log without them.
 */
import type { EpochSpan, Position } from '../base/ids.js'
import { spanOf } from './positions.js'

/** Sequences, both included. */
export interface SequenceRange {
  readonly first: number
  readonly last: number
}

/** Where a salvage leaves the log that replaced its own, and where its entries begin. */
export interface SalvageExtent {
  readonly common: Position
  /** Of all entries after `common`. */
  readonly spans: readonly EpochSpan[]
  readonly begins?: number
}

export interface SalvageParts {
  /** Without the first entry of the epoch, which is no write. */
  readonly missing: SequenceRange | null
  readonly kept: SequenceRange | null
}

/** Returns what the salvage has, and misses, of that epoch. */
export function partsOf({ common, spans, begins }: SalvageExtent, epoch: number): SalvageParts {
  const index = spanOf(spans, epoch)
  if (index < 0) return { missing: null, kept: null }
  const { last } = spans[index]!
  const before = spans[index - 1]?.last ?? common.sequence
  const from = begins ?? common.sequence + 1
  // An epoch that is not known at the common point may have begun before it.
  const isUnknown = common.epoch === 0 && common.sequence > 0
  const isBegun = index === 0 && (common.epoch === epoch || isUnknown)
  return {
    missing: rangeOf(before + (isBegun ? 1 : 2), Math.min(last, from - 1)),
    kept: rangeOf(Math.max(before + 1, from), last),
  }
}

/** Number of entries of the epoch that the salvage misses. */
export function missingCount(salvage: SalvageExtent, epoch: number): number {
  const { missing } = partsOf(salvage, epoch)
  return missing === null ? 0 : lengthOf(missing)
}

export function lengthOf({ first, last }: SequenceRange): number {
  return last - first + 1
}

export function contains(range: SequenceRange | null, sequence: number): boolean {
  return range !== null && sequence >= range.first && sequence <= range.last
}

/**
 * Returns the entries of the epoch after `above` that a salvage misses and none of the `taken` ones
 * has, in order.
 */
export function missingRanges(
  salvages: readonly SalvageExtent[],
  taken: readonly SalvageExtent[],
  epoch: number,
  above: number,
): SequenceRange[] {
  const missing = ordered(salvages.map((salvage) => partsOf(salvage, epoch).missing))
  const kept = ordered(taken.map((salvage) => partsOf(salvage, epoch).kept))
  const ranges: SequenceRange[] = []
  let next = above + 1
  for (const { first, last } of missing) {
    next = Math.max(next, first)
    for (const one of kept) {
      if (one.last < next || one.first > last) continue
      if (one.first > next) ranges.push({ first: next, last: one.first - 1 })
      next = one.last + 1
    }
    if (next > last) continue
    ranges.push({ first: next, last })
    next = last + 1
  }
  return ranges
}

function ordered(ranges: readonly (SequenceRange | null)[]): SequenceRange[] {
  return ranges.filter((range) => range !== null).toSorted((a, b) => a.first - b.first)
}

function rangeOf(first: number, last: number): SequenceRange | null {
  return first <= last ? { first, last } : null
}
