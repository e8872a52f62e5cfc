/** Promotions among the events that nodes keep. */
import type { PromotionReport, RecordedEvent } from '../../machines/protocol/events.js'

/** Promotions in order of time, each once. */
export function promotionsIn(events: Iterable<RecordedEvent>): PromotionReport[] {
  const found = new Map<string, PromotionReport>()
  for (const event of events) {
    if (event.type !== 'promoted') continue
    const { promotion } = event
    const key = `${promotion.space} ${promotion.epoch}`
    // The promoted node's own record is preferred.
    if (!found.has(key) || event.node === promotion.to) found.set(key, promotion)
  }
  return [...found.values()].toSorted((a, b) => a.atMs - b.atMs || a.epoch - b.epoch)
}
