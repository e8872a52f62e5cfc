/** All event lines up to now, live or past. */
import type { EventLine } from '../../inspect/eventLine.js'
import type { Item } from './state.js'

/** Lines in order of time, each once. @param notable items of a recording */
export function linesOf(notable: readonly Item[], past: readonly EventLine[]): EventLine[] {
  const live = notable.flatMap((item) =>
    item.kind === 'frame' && item.frame.kind === 'story' ? [item.frame.line] : []
  )
  const ids = new Set(live.map(({ id }) => id).filter((id) => id !== undefined))
  return [...past.filter(({ id }) => id === undefined || !ids.has(id)), ...live]
    .toSorted((a, b) => a.at < b.at ? -1 : a.at > b.at ? 1 : 0)
}
