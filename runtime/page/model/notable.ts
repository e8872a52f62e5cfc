/** Selection of the items that each view reads, so that no view scans all of them. */
import type { Item } from './state.js'

const framesOfTimeline: ReadonlySet<string> = new Set(['story', 'order', 'broker', 'gap'])
const framesOfFlow: ReadonlySet<string> = new Set(['status', 'flow'])
const failures: ReadonlySet<string> = new Set(['kill', 'restart', 'escalation'])
/** Actors whose changes make up promotions: roles, candidates, primaries, failure detectors. */
const actorsOfPromotions = /^(space\.[^./]+(\.promotion|\.primary)?|detector\.[^./]+)$/

/** True for items of the timeline. */
export function isNotable(item: Item): boolean {
  if (item.kind === 'frame') return framesOfTimeline.has(item.frame.kind)
  const { event } = item
  if (failures.has(event.type)) return true
  return (event.type === 'transition' || event.type === 'actor')
    && actorsOfPromotions.test(event.actor)
}

/** True for items of the time series. */
export function isMeasured(item: Item): boolean {
  return item.kind === 'frame' && framesOfFlow.has(item.frame.kind)
}
