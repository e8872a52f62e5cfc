/** What happened, in sentences: promotions, stories, orders, and what befell actors. */
import type { EventLine } from '../../inspect/eventLine.js'
import { takeoverText } from '../../inspect/sentences.js'
import type { PageCommand } from '../protocol.js'
import type { Promotion } from './promotions.js'
import type { Item } from './state.js'
import { countText, msText } from './words.js'

export interface Entry {
  readonly atMs: number
  readonly kind: string
  readonly text: string
  readonly promotion: Promotion | null
  /** What was kept of the time before: no moment of the recording. */
  readonly isPast: boolean
}

/**
 * In order of time.
 * @param notable of a recording, in order of time
 * @param past what nodes have kept: what the recording tells itself is left out of it
 */
export function entriesOf(
  notable: readonly Item[], all: readonly Promotion[], past: readonly EventLine[],
): Entry[] {
  const inSteps = new Set(all.flatMap(({ report }) =>
    report === null ? [] : [idOfPromotion(report)]))
  const entries: Entry[] = all.map((promotion) => ({
    // When it is complete: what led to it comes before it.
    atMs: promotion.isServing ? promotion.endMs : promotion.beginMs, kind: 'promotion',
    text: titleOf(promotion), promotion, isPast: false,
  }))
  const told = new Set<string>()
  let broker: string | null = null
  for (const item of notable) {
    if (item.kind === 'frame' && item.frame.kind === 'broker') {
      const { state } = item.frame
      // The first connection is no news, and the same state again is none.
      const isNews = broker !== null && broker !== state
      if (isNews || state === 'connected') broker = state
      if (!isNews) continue
    }
    if (item.kind === 'frame' && item.frame.kind === 'story') {
      const { line } = item.frame
      if (line.id !== undefined) told.add(line.id)
      if (line.promotion && inSteps.has(idOfPromotion(line.promotion))) continue
    }
    const entry = entryOf(item)
    if (entry !== null) {
      entries.push({ ...entry, atMs: item.atMs, promotion: null, isPast: false })
    }
  }
  for (const line of past) {
    if (told.has(line.id ?? '')) continue
    if (line.promotion && inSteps.has(idOfPromotion(line.promotion))) continue
    const { kind, text } = storyEntry(line)
    entries.push({ kind, text, atMs: Date.parse(line.at), promotion: null, isPast: true })
  }
  // Stories tell of actors in sentences; a recording without them has the bare events.
  const isPlain = !notable.some((item) => item.kind === 'frame' && item.frame.kind === 'story')
  const list = isPlain ? entries : entries.filter(({ kind }) => kind !== 'plain')
  return list.map((entry) => entry.kind === 'plain' ? { ...entry, kind: 'actor' } : entry)
    .toSorted((a, b) => a.atMs - b.atMs)
}

function idOfPromotion({ space, epoch }: { space: string; epoch: number }): string {
  return `${space} ${epoch}`
}

/** Who became the primary is a promotion here, with its steps where they are known. */
function storyEntry({ kind, text, promotion }: EventLine): { kind: string; text: string } {
  return promotion ? { kind: 'promotion', text: takeoverText(promotion) } : { kind, text }
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
      const { kind } = frame.line
      // Promotions stand here with all their steps.
      return kind === 'promotion' || kind === 'situation' ? null : storyEntry(frame.line)
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
  const { space, from, winner, epoch, beginMs, endMs, isServing, candidates, report } = promotion
  if (report !== null) return takeoverText(report)
  const after = from === null ? '' : ` after ${from}`
  if (winner === null) {
    const states = candidates.map(({ node, state }) => `${node} ${state}`).join(', ')
    return `${space} gets a new primary${after}: ${states}`
  }
  const how = isServing ? `takes writes after ${msText(endMs - beginMs)}`
    : 'does not take writes yet'
  return `${winner} is promoted to primary of ${space}${after}, in epoch ${epoch}, and ${how}`
}

function orderText(order: PageCommand): string {
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
