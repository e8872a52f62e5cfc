/** Which items which views read, so that no view looks through all of them. */
import type { Item } from './state.js'

const framesOfTimeline: ReadonlySet<string> = new Set(['story', 'order', 'broker', 'gap'])
const framesOfFlow: ReadonlySet<string> = new Set(['status', 'flow'])
const failures: ReadonlySet<string> = new Set(['kill', 'restart', 'escalation'])
/** Roles, promotions, reigns and failure detectors: what promotions are made of. */
const actorsOfPromotions = /^(space\.[^./]+(\.promotion|\.primary)?|detector\.[^./]+)$/

/** Of the timeline. */
export function isNotable(item: Item): boolean {
  if (item.kind === 'frame') return framesOfTimeline.has(item.frame.kind)
  const { event } = item
  if (failures.has(event.type)) return true
  return (event.type === 'transition' || event.type === 'actor')
    && actorsOfPromotions.test(event.actor)
}

/** Of the time series. */
export function isMeasured(item: Item): boolean {
  return item.kind === 'frame' && framesOfFlow.has(item.frame.kind)
}
