import type { EpochHistory, Position } from '../base/ids.js'
import { partition } from '../base/partition.js'

/**
 * Returns the history with its oldest spans summed up: of those that end at or below `covered`, the
 * newest `spansMax` stay. `covered`: sequence of the older one of the two checkpoints that count;
 * all is committed up to it. Those that stay need not be of retained entries: a member that was
 * away may end below, and they say what of its log is in this one. The root never falls.
 */
export function summedUp(
  { root, history }: EpochHistory,
  covered: number,
  spansMax: number,
): EpochHistory {
  // The last one that goes stays in the list, as the root's.
  const kept = partition(history.length, (index) => history[index]!.last <= covered) - spansMax
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

/** What a space keeps of its log for those who read it; at least one of the two. */
export interface ReaderRetention {
  /** An entry stays while closed segments have no more than that together, from its own one on. */
  readonly bytes?: number
  /** An entry stays for so long. */
  readonly ms?: number
}

/**
 * Returns why readers of a space keep a segment with entries of it, or null. `closedBytes`: of
 * this segment and all closed ones after it.
 */
export function readersNeed(
  { bytes = 0, ms = 0 }: ReaderRetention,
  { timeMs }: Pick<SegmentSpace, 'timeMs'>,
  closedBytes: number,
  nowMs: number,
): string | null {
  if (closedBytes <= bytes) return `readers of its log: retain ${bytes} bytes`
  return nowMs - timeMs < ms ? `readers of its log: retain ${ms} ms` : null
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
