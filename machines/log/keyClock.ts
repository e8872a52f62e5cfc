import type { LogEntry } from './entries.js'

/** What key retention goes by, as of a place in the log. */
export interface KeyTime {
  /** Of the last entry; 0: there is none. */
  readonly epoch: number
  readonly timestamp: number
  /** Keys are as old as this time says; never ahead of the timestamp. */
  readonly now: number
}

/** A new epoch moves the time of the keys by so much at most, whatever its clock says. */
export const epochAdvanceMaxMs = 3_600_000

/**
 * The time of the keys after those entries. It goes with the timestamps of one epoch, which do not
 * jump (logClock.ts). From the last entry of one epoch to the first of the next they may,
 * by hours or years, when clocks were wrong, or right again: then keys age by an hour at most. It
 * is made of the log alone, so all members have the same.
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
