/** Logs as lists of epochs, and their histories as values: the plain model of what a log does. */
import fc from 'fast-check'
import type { EpochHistory, EpochSpan, Position } from '../../machines/base/ids.js'
import { origin } from '../../machines/log/positions.js'

export function whole(history: readonly EpochSpan[]): EpochHistory {
  return { root: origin, history }
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

/** The naive model of a log: the epoch of each entry. Entry i has sequence i + 1. */
export type Log = readonly number[]

export const historyOf = (log: Log): EpochSpan[] =>
  log.reduce<EpochSpan[]>((history, epoch, i) => extendHistory(history, epoch, i + 1), [])

export function naiveCommonPoint(a: Log, b: Log): Position {
  for (let s = Math.min(a.length, b.length); s > 0; s--) {
    const epoch = a[s - 1]
    if (epoch !== undefined && epoch === b[s - 1]) return { epoch, sequence: s }
  }
  return origin
}

/**
 * Logs as epochs make them: each epoch starts from what some member held of some log (a prefix,
 * so forks happen) and appends under an epoch of its own. So they satisfy log matching (I3).
 */
const epochPlan = fc.record({ of: fc.nat(99), kept: fc.nat(40), appended: fc.nat(6) })
const cluster = fc.array(epochPlan, { minLength: 1, maxLength: 14 }).map((epochs) => {
  const logs: Log[] = [[]]
  epochs.forEach(({ of, kept, appended }, index) => {
    const base = logs[of % logs.length] ?? []
    // Epochs leave gaps: claims that never wrote an entry.
    const epoch = 1 + index * 2
    logs.push([...base.slice(0, kept), ...Array.from({ length: appended }, () => epoch)])
  })
  return logs
})
export const twoLogs = fc.tuple(cluster, fc.nat(99), fc.nat(99)).map(([logs, a, b]) =>
  [logs[a % logs.length] ?? [], logs[b % logs.length] ?? []] as const
)
