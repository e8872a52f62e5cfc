/** What happened, in sentences: promotions, stories, orders, and what befell actors. */
import type { Order } from '../protocol.js'
import type { Promotion } from './promotions.js'
import type { Item } from './state.js'
import { countText, msText } from './words.js'

export interface Entry {
  readonly atMs: number
  readonly kind: string
  readonly text: string
  readonly promotion: Promotion | null
}

/** In order of time. @param notable of a recording, in order of time */
export function entriesOf(notable: readonly Item[], all: readonly Promotion[]): Entry[] {
  const entries: Entry[] = all.map((promotion) => ({
    atMs: promotion.beginMs, kind: 'promotion', text: titleOf(promotion), promotion,
  }))
  let broker: string | null = null
  for (const item of notable) {
    if (item.kind === 'frame' && item.frame.kind === 'broker') {
      const { state } = item.frame
      // The first connection is no news, and the same state again is none.
      const isNews = broker !== null && broker !== state
      if (isNews || state === 'connected') broker = state
      if (!isNews) continue
    }
    const entry = entryOf(item)
    if (entry !== null) entries.push({ ...entry, atMs: item.atMs, promotion: null })
  }
  // Stories tell of actors in sentences; a recording without them has the bare events.
  const isPlain = !notable.some((item) => item.kind === 'frame' && item.frame.kind === 'story')
  const list = isPlain ? entries : entries.filter(({ kind }) => kind !== 'plain')
  return list.map((entry) => entry.kind === 'plain' ? { ...entry, kind: 'actor' } : entry)
    .toSorted((a, b) => a.atMs - b.atMs)
}

function entryOf(item: Item): { kind: string; text: string } | null {
  if (item.kind === 'event') {
    const { node, event } = item
    switch (event.type) {
      case 'kill':
        return plain(`${node}: actor ${event.actor} was killed: ${event.reason}`)
      case 'restart':
        return plain(`${node}: actor ${event.actor} failed and is restarted in `
          + `${msText(event.delayMs)}: ${event.error}`)
      case 'escalation':
        return plain(`${node}: actor ${event.actor} gave up: ${event.error}`)
      default:
        return null
    }
  }
  const { frame } = item
  switch (frame.kind) {
    case 'story': {
      const { kind, text } = frame.line
      // Promotions stand here with all their steps.
      return kind === 'promotion' || kind === 'situation' ? null : { kind, text }
    }
    case 'order':
      return { kind: 'order', text: `${orderText(frame.order)}: ${frame.answer.message}` }
    case 'broker': {
      const why = frame.reason === '' ? '' : `: ${frame.reason}`
      return { kind: 'broker', text: `The broker is ${frame.state}${why}` }
    }
    case 'gap':
      return {
        kind: 'gap',
        text: `${countText(frame.frames)} frames were left out: this page was too slow`,
      }
    default:
      return null
  }
}

function plain(text: string): { kind: string; text: string } {
  return { kind: 'plain', text }
}

function titleOf(promotion: Promotion): string {
  const { space, winner, epoch, vacancy, beginMs, endMs, isServing, candidates } = promotion
  const why = vacancy === null ? '' : ` (${vacancy})`
  if (winner === null) {
    const states = candidates.map(({ node, state }) => `${node} ${state}`).join(', ')
    return `Promotion of ${space}${why}: ${states || 'begins'}`
  }
  return `${winner} is promoted to primary of ${space} in epoch ${epoch}${why}, `
    + `${isServing ? 'serving' : 'not yet serving'} after ${msText(endMs - beginMs)}`
}

function orderText(order: Order): string {
  switch (order.type) {
    case 'write': return `Write ${order.id} to ${order.space}`
    case 'steady': return order.perSecond === 0 ? `Stop the writer of ${order.space}`
      : `Write ${order.perSecond}/s to ${order.space}`
    case 'killActor': return `Kill actor ${order.actor} of ${order.node}`
    case 'killNode': return `Kill ${order.node}`
    case 'startNode': return `Start ${order.node}`
    case 'pauseNode': return `Pause ${order.node} for ${msText(order.forMs)}`
    case 'handOver': return `Hand ${order.space} over${order.to === null ? '' : ` to ${order.to}`}`
    default: return (order as { type: string }).type
  }
}
