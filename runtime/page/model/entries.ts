/** Entries of the timeline as sentences: promotions, events, commands, failures of actors. */
import type { EventLine } from '../../inspect/eventLine.js'
import { takeoverText } from '../../inspect/sentences.js'
import type { PageCommand } from '../protocol.js'
import type { Promotion } from './promotions.js'
import type { Item } from './state.js'
import { countText, msText } from './words.js'

/** Kinds of entries, in the order of the timeline's filter. */
export const entryKinds = ['promotion', 'epoch', 'handover', 'fork', 'inSync', 'alert', 'node',
  'actor', 'fault', 'order', 'broker', 'gap'] as const
export type EntryKind = (typeof entryKinds)[number]

export interface Entry {
  readonly atMs: number
  readonly kind: EntryKind
  readonly text: string
  readonly promotion: Promotion | null
  /** True for an event from before the recording, which has no moment in it. */
  readonly isPast: boolean
}

type Said = Pick<Entry, 'kind' | 'text'>

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
  // Events have sentences on actors. A recording without them has only bare inspection events.
  const isBare = !notable.some((item) => item.kind === 'frame' && item.frame.kind === 'story')
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
    if (item.kind === 'event' && !isBare) continue
    const entry = entryOf(item)
    if (entry !== null) {
      entries.push({ ...entry, atMs: item.atMs, promotion: null, isPast: false })
    }
  }
  for (const line of past) {
    if (seen.has(line.id ?? '')) continue
    if (line.promotion && inSteps.has(idOfPromotion(line.promotion))) continue
    const said = storyEntry(line)
    if (said === null) continue
    entries.push({ ...said, atMs: Date.parse(line.at), promotion: null, isPast: true })
  }
  return entries.toSorted((a, b) => a.atMs - b.atMs)
}

function idOfPromotion({ space, epoch }: { space: string; epoch: number }): string {
  return `${space} ${epoch}`
}

/** A line about a new primary counts as a promotion. Its steps are shown if they are known. */
function storyEntry({ kind, text, promotion }: EventLine): Said | null {
  if (promotion) return { kind: 'promotion', text: takeoverText(promotion) }
  return kind === 'situation' ? null : { kind, text }
}

function entryOf(item: Item): Said | null {
  if (item.kind === 'event') {
    const { node, event } = item
    switch (event.type) {
      case 'kill':
        return ofActor(`${node}: actor ${event.actor} was killed: ${event.reason}`)
      case 'restart':
        return ofActor(`${node}: actor ${event.actor} failed and is restarted in `
          + `${msText(event.delayMs)}: ${event.error}`)
      case 'escalation':
        return ofActor(`${node}: actor ${event.actor} gave up: ${event.error}`)
      default:
        return null
    }
  }
  const { frame } = item
  switch (frame.kind) {
    case 'story': {
      // Promotions are listed with all their steps instead.
      return frame.line.kind === 'promotion' ? null : storyEntry(frame.line)
    }
    case 'order':
      return { kind: 'order', text: commandText(frame.order, frame.answer.message) }
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

function ofActor(text: string): Said {
  return { kind: 'actor', text }
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

/** The answer says what was done; only what it leaves out is put before it. */
function commandText(command: PageCommand, answer: string): string {
  switch (command.type) {
    case 'write':
      return `Command: ${command.id} ${answer}`
    case 'handOver':
      return `Command to hand over: ${answer}`
    default:
      return `Command: ${answer}`
  }
}
