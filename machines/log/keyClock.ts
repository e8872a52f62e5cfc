import type { LogEntry } from './entries.js'

/** Time of key retention at a position in the log. */
export interface KeyTime {
  /** Epoch and timestamp of the last entry; 0: there is none. */
  readonly epoch: number
  readonly timestamp: number
  /** Time by which keys age; never ahead of the timestamp. */
  readonly now: number
}

/** Most that a new epoch moves the time of the keys, whatever its clock says. */
export const epochAdvanceMaxMs = 3_600_000

/**
 * Returns the time of the keys after those entries. It follows the timestamps of one epoch, which
 * do not jump (logClock.ts). Between two epochs they may jump, by hours or years, when clocks were
 * wrong or were corrected; keys then age by an hour at most. The time is derived from the log
 * alone, so all members have the same.
 */
export function keyTimeAfter(before: KeyTime, entries: readonly LogEntry[]): KeyTime {
  let { epoch, timestamp, now } = before
  for (const entry of entries) {
    const passed = Math.max(0, entry.timestamp - timestamp)
    if (timestamp === 0) now = entry.timestamp
    else now += entry.epoch === epoch ? passed : Math.min(passed, epochAdvanceMaxMs)
    epoch = entry.epoch
    timestamp = Math.max(timestamp, entry.timestamp)
  }
  return { epoch, timestamp, now }
}
