/** The promotions of a run, and the pause that clients saw at each. Pure. */
import type { WrittenRecord } from './records.js'
import type { PrimarySeen } from './watch.js'

export interface Promotion {
  readonly epoch: number
  readonly primary: string
  /** First heard of, ms since the run began. */
  readonly atMs: number
  /**
   * Pause that clients saw: from the last positive answer in an earlier epoch to the first in this
   * one, ms. null if either is missing.
   */
  readonly gapMs: number | null
  /** As announced. */
  readonly reason: string | null
  /** The last fault that began before it. */
  readonly after: string | null
}

/**
 * @param faults ascending
 * @param before epoch at the beginning of the run, which is no promotion of the run
 */
export function epochsOf(
  seen: readonly PrimarySeen[],
  records: readonly WrittenRecord[],
  faults: readonly { readonly what: string; readonly atMs: number }[],
  before: number,
): Promotion[] {
  const answers = records.flatMap(({ answer }) => (answer ? [answer] : []))
    .toSorted((a, b) => a.atMs - b.atMs)
  const first = new Map<number, { node: string; atMs: number; previousMs: number | null }>()
  let previousMs: number | null = null
  for (const { epoch, node, atMs } of answers) {
    if (!first.has(epoch)) first.set(epoch, { node, atMs, previousMs })
    previousMs = atMs
  }
  const heard = new Map(seen.map((one) => [one.epoch, one]))
  return [...new Set([...heard.keys(), ...first.keys()])].filter((epoch) => epoch > before)
    .toSorted((a, b) => a - b).map((epoch) => {
      const [said, answered] = [heard.get(epoch), first.get(epoch)]
      const gapMs = answered && answered.previousMs !== null
        ? Math.round(answered.atMs - answered.previousMs)
        : null
      const atMs = Math.round(Math.min(said?.atMs ?? Infinity, answered?.atMs ?? Infinity))
      return {
        epoch,
        primary: said?.primary ?? answered?.node ?? 'unknown',
        atMs,
        gapMs,
        reason: said?.reason ?? null,
        after: faults.findLast((fault) => fault.atMs <= atMs)?.what ?? null,
      }
    })
}
