/** What the index of a segment does to a log. Pure. */
import type { IndexedSpace } from './indexFile.js'
import type { LedgerItem } from './ledger.js'
import { LogState } from './logState.js'

export interface Replay {
  readonly space: IndexedSpace
  /** Null: there is no log, or no more. */
  readonly state: LogState | null
  /** Earlier frames stay up to there. */
  readonly keeps: number
  readonly isDropped: boolean
  /** The log is damaged, and took nothing. */
  readonly isUnread: boolean
}

/** Null: the items do not fit the log. A damaged log takes nothing until it begins anew. */
export function replayed(
  space: IndexedSpace,
  before: LogState | null,
  segment: number,
): Replay | null {
  let state = before?.copy() ?? null
  let keeps = Number.POSITIVE_INFINITY
  let isDropped = false
  let isUnread = false
  for (const item of space.items) {
    if (item.kind === 'dropped' || item.kind === 'installed') {
      state = item.kind === 'dropped' ? null : LogState.installed(item.covers, segment)
      keeps = 0
      isDropped = true
    } else if (state?.damage) {
      isUnread = true
    } else if (item.kind === 'floor') {
      if (state && !state.takeFloor(item.sequence)) return null
    } else {
      state ??= LogState.unknown()
      if (replayItem(state, item, segment) !== null) return null
      if (item.kind === 'truncate') keeps = Math.min(keeps, item.to.sequence)
    }
  }
  return { space, state, keeps, isDropped, isUnread }
}

function replayItem(
  state: LogState,
  item: LedgerItem & { kind: 'run' | 'truncate' | 'checkpoint' },
  segment: number,
): string | null {
  if (item.kind === 'run') return state.takeRun(item.run, item.bytes)
  if (item.kind === 'truncate') return state.takeTruncation(item.to)
  return state.takeCoverage(item.covers, segment)
}
