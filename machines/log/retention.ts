import type { EpochHistory, Position } from '../base/ids.js'

/** Spans of entries that checkpoints cover, in a history; with more, the oldest are summed up. */
export const coveredSpansMax = 256

/** What still needs the epochs of entries one by one. All are sequences. */
export interface SummingLimits {
  /** Of the older one of the two checkpoints that count: up to it, everything is committed. */
  readonly covered: number
  /** The one before the first retained entry. A member whose log ends below is installed anyway. */
  readonly base: number
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
  { covered, base, forkPoints }: SummingLimits,
): EpochHistory {
  const isCovered = history.filter(({ last }) => last <= covered).length
  const least = Math.min(covered, base, ...forkPoints)
  const isNeeded = history.findIndex(({ last }) => last > least)
  const ended = isNeeded < 0 ? history.length : isNeeded
  // The last one that goes stays in the list, as the root's.
  const kept = Math.max(ended, isCovered - coveredSpansMax + 1) - 1
  const span = history[kept]
  if (!span) return { root, history }
  return { root: { epoch: span.epoch, sequence: span.last }, history: history.slice(kept) }
}

/** What a segment of the journal has of one space, and still counts. */
export interface SegmentSpace {
  readonly uuid: string
  /** Sequence of its last entry there. */
  readonly last: number
  /** Of the last frame, ms since 1970. */
  readonly timeMs: number
}

export interface RemovableSegment {
  readonly spaces: readonly SegmentSpace[]
  /** Spaces of which records could not be read. */
  readonly unreadSpaces: readonly string[]
  /** Records could not be read, and it is not known of which space. */
  readonly isUnread: boolean
}

/** What the last durable record says of a log. */
export interface LogCover {
  readonly covers: { readonly covered: Position; readonly kept: readonly object[] }
  readonly damage: string | null
}

/** So much, and two generations of checkpoints, is kept in any case. */
const usualBytes = 2 * 1024 * 1024 * 1024
const usualCheckpoints = 4

/** Bytes of journal that a space may keep although they should go, and nobody has to act. */
export function usualPinBytes(checkpointBytes: number): number {
  return usualBytes + usualCheckpoints * checkpointBytes
}

/** What keeps a segment. */
export interface SegmentPin {
  /** Null: it concerns no space that is known. */
  readonly uuid: string | null
  readonly reason: string
}

/**
 * Returns all that keeps a segment: nothing does when what counts in it is in two checkpoints of
 * its space (I14).
 */
export function segmentPins(
  { spaces, unreadSpaces, isUnread }: RemovableSegment,
  logOf: (uuid: string) => LogCover | undefined,
): SegmentPin[] {
  const pins: SegmentPin[] = []
  if (isUnread) pins.push({ uuid: null, reason: 'records of unknown spaces could not be read' })
  for (const uuid of unreadSpaces) {
    // A log that was dropped or installed later is whole again.
    const damage = logOf(uuid)?.damage
    if (damage) pins.push({ uuid, reason: `the log is damaged: ${damage}` })
  }
  for (const { uuid, last } of spaces) {
    const reason = pinOf(last, logOf(uuid))
    if (reason) pins.push({ uuid, reason })
  }
  return pins
}

function pinOf(last: number, log: LogCover | undefined): string | null {
  if (!log) return 'its log is not known'
  if (log.damage !== null) return `the log is damaged: ${log.damage}`
  const { covered, kept } = log.covers
  if (kept.length < 2) return `${kept.length} checkpoint(s) are kept, and not two`
  return last <= covered.sequence
    ? null
    : `entries up to ${last}, where checkpoints cover ${covered.sequence}`
}
