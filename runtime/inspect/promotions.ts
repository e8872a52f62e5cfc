/** The promotions that nodes have kept. */
import type { PromotionReport, RecordedEvent } from '../../machines/protocol/events.js'

/** Those that several nodes noted once, in order of time. */
export function promotionsIn(events: Iterable<RecordedEvent>): PromotionReport[] {
  const found = new Map<string, PromotionReport>()
  for (const event of events) {
    if (event.type !== 'promoted') continue
    const { promotion } = event
    const key = `${promotion.space} ${promotion.epoch}`
    // Who was promoted has it first hand.
    if (!found.has(key) || event.node === promotion.to) found.set(key, promotion)
  }
  return [...found.values()].toSorted((a, b) => a.atMs - b.atMs || a.epoch - b.epoch)
}
