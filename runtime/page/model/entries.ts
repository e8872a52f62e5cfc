/** Entries of the timeline as sentences: promotions, events, commands, failures of actors. */
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
  /** True for an event from before the recording, which has no moment in it. */
  readonly isPast: boolean
}

/**
 * Returns the entries in order of time.
 * @param notable of a recording, in order of time
 * @param past events that nodes have kept; those that the recording has itself are left out
 */
export function entriesOf(
  notable: readonly Item[],
  all: readonly Promotion[],
  past: readonly EventLine[],
): Entry[] {
  const inSteps = new Set(
    all.flatMap(({ report }) => report === null ? [] : [idOfPromotion(report)]),
  )
  const entries: Entry[] = all.map((promotion) => ({
    // Listed at its end, after the events that led to it.
    atMs: promotion.isServing ? promotion.endMs : promotion.beginMs,
    kind: 'promotion',
    text: titleOf(promotion),
    promotion,
    isPast: false,
  }))
  const seen = new Set<string>()
  let broker: string | null = null
  for (const item of notable) {
    if (item.kind === 'frame' && item.frame.kind === 'broker') {
      const { state } = item.frame
      // The first connection and a repeated state are left out.
      const isNew = broker !== null && broker !== state
      if (isNew || state === 'connected') broker = state
      if (!isNew) continue
    }
    if (item.kind === 'frame' && item.frame.kind === 'story') {
      const { line } = item.frame
      if (line.id !== undefined) seen.add(line.id)
      if (line.promotion && inSteps.has(idOfPromotion(line.promotion))) continue
    }
    const entry = entryOf(item)
    if (entry !== null) {
      entries.push({ ...entry, atMs: item.atMs, promotion: null, isPast: false })
    }
  }
  for (const line of past) {
    if (seen.has(line.id ?? '')) continue
    if (line.promotion && inSteps.has(idOfPromotion(line.promotion))) continue
    const { kind, text } = storyEntry(line)
    entries.push({ kind, text, atMs: Date.parse(line.at), promotion: null, isPast: true })
  }
  // Events have sentences on actors. A recording without them has only bare inspection events.
  const isPlain = !notable.some((item) => item.kind === 'frame' && item.frame.kind === 'story')
  const list = isPlain ? entries : entries.filter(({ kind }) => kind !== 'plain')
  return list.map((entry) => entry.kind === 'plain' ? { ...entry, kind: 'actor' } : entry)
    .toSorted((a, b) => a.atMs - b.atMs)
}

function idOfPromotion({ space, epoch }: { space: string; epoch: number }): string {
  return `${space} ${epoch}`
}

/** A line about a new primary counts as a promotion. Its steps are shown if they are known. */
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
      // Promotions are listed with all their steps instead.
      return kind === 'promotion' || kind === 'situation' ? null : storyEntry(frame.line)
    }
    case 'order':
      return { kind: 'order', text: `${commandText(frame.order)}: ${frame.answer.message}` }
    case 'broker': {
      const why = frame.reason === '' ? '' : `: ${frame.reason}`
      return { kind: 'broker', text: `The broker is ${frame.state}${why}` }
    }
    case 'gap':
      return {
        kind: 'gap',
        text: `${countText(frame.frames)} frames were dropped: this page was too slow`,
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
  const how = isServing
    ? `takes writes after ${msText(endMs - beginMs)}`
    : 'does not take writes yet'
  return `${winner} is promoted to primary of ${space}${after}, in epoch ${epoch}, and ${how}`
}

function commandText(command: PageCommand): string {
  switch (command.type) {
    case 'write':
      return `Write ${command.id} to ${command.space}`
    case 'steady':
      return command.perSecond === 0
        ? `Stop the writer of ${command.space}`
        : `Write ${command.perSecond}/s to ${command.space}`
    case 'killActor':
      return `Kill actor ${command.actor} of ${command.node}`
    case 'killNode':
      return `Kill ${command.node}`
    case 'startNode':
      return `Start ${command.node}`
    case 'pauseNode':
      return `Pause ${command.node} for ${msText(command.forMs)}`
    case 'handOver':
      return `Hand ${command.space} over${command.to === null ? '' : ` to ${command.to}`}`
    default:
      return (command as { type: string }).type
  }
}
