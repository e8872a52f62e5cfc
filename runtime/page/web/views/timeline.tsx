import { useMemo, useState } from 'preact/hooks'
import type { Promotion } from '../../model/promotions.js'
import type { Item } from '../../model/state.js'
import { clockText, countText, msText } from '../../model/words.js'
import type { Order } from '../../protocol.js'
import { amend, hrefOf, route } from '../route.js'
import { promotions, recording, seek, shownMs, version } from '../store.js'
import { PromotionSteps } from './promotionSteps.js'

/** Entries that are listed, the latest. */
const entriesMax = 300

const kinds = ['promotion', 'reign', 'handover', 'fork', 'inSync', 'alert', 'node', 'actor', 'order', 'broker'] as const
const kindNames: Readonly<Record<string, string>> = {
  promotion: 'promotions', reign: 'reigns', handover: 'handovers', fork: 'forks',
  inSync: 'in-sync set', alert: 'alerts', node: 'nodes', actor: 'actors', order: 'orders',
  broker: 'broker', gap: 'gaps',
}

interface Entry {
  readonly atMs: number
  readonly kind: string
  readonly text: string
  readonly promotion: Promotion | null
}

export function TimelineView() {
  version.value
  const { notable } = recording.value
  const all = promotions.value
  const entries = useMemo(() => entriesOf(notable, all), [notable.length, notable.at(-1), all])
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set())
  const present = kinds.filter((kind) => entries.some((entry) => entry.kind === kind))
  const shown = entries.filter(({ kind }) => !hidden.has(kind)).slice(-entriesMax).toReversed()
  return (
    <div class="timeline">
      <div class="tools">
        <fieldset><legend class="sr">Shown</legend>
          {present.map((kind) => (
            <label key={kind} class="check"><input type="checkbox" checked={!hidden.has(kind)} onChange={() => {
              const next = new Set(hidden)
              if (!next.delete(kind)) next.add(kind)
              setHidden(next)
            }} /><i class={`dot ${kind}`} aria-hidden="true" />{kindNames[kind]}</label>
          ))}
        </fieldset>
      </div>
      {shown.length === 0 ? <p class="empty">Nothing has happened yet that is worth telling. Kill a
        primary, and see.</p> : (
        <ol class="entries" reversed aria-label="What happened, latest first">
          {shown.map((entry) => (
            <EntryItem key={`${entry.atMs} ${entry.kind} ${entry.promotion?.id ?? entry.text}`} entry={entry} />
          ))}
        </ol>
      )}
    </div>
  )
}

function EntryItem({ entry }: { readonly entry: Entry }) {
  const { atMs, kind, text, promotion } = entry
  const isLater = atMs > shownMs.value
  const isOpen = promotion !== null && route.value.query['open'] === promotion.id
  const link = hrefOf('timeline', { at: String(Math.round(promotion?.endMs ?? atMs)), open: promotion?.id ?? null })
  return (
    <li class={`entry ${kind} ${isLater ? 'later' : ''}`} data-entry={kind}>
      <a class="time" href={link} title="Go to this moment">{clockText(atMs)}</a>
      <i class={`dot ${kind}`} aria-hidden="true" />
      {promotion === null ? <p>{text}</p> : (
        <div class="promotion" data-promotion={promotion.id} data-winner={promotion.winner ?? ''}>
          <button type="button" class="link" aria-expanded={isOpen} onClick={() =>
            amend({ open: isOpen ? null : promotion.id })}>
            <span aria-hidden="true">{isOpen ? '▾' : '▸'}</span> {text}</button>
          {isOpen && <PromotionSteps promotion={promotion} onStep={seek} />}
        </div>
      )}
    </li>
  )
}

function entriesOf(notable: readonly Item[], all: readonly Promotion[]): Entry[] {
  const entries: Entry[] = all.map((promotion) => ({
    atMs: promotion.beginMs, kind: 'promotion', text: titleOf(promotion), promotion,
  }))
  const told = new Set<string>()
  for (const item of notable) {
    const entry = entryOf(item)
    if (entry === null) continue
    told.add(entry.kind)
    entries.push({ ...entry, atMs: item.atMs, promotion: null })
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
      case 'kill': return { kind: 'plain', text: `${node}: actor ${event.actor} was killed: ${event.reason}` }
      case 'restart': return {
        kind: 'plain',
        text: `${node}: actor ${event.actor} failed and is restarted in ${msText(event.delayMs)}: ${event.error}`,
      }
      case 'escalation': return { kind: 'plain', text: `${node}: actor ${event.actor} gave up: ${event.error}` }
      default: return null
    }
  }
  const { frame } = item
  switch (frame.kind) {
    // Promotions stand here with all their steps.
    case 'story': return frame.line.kind === 'promotion' || frame.line.kind === 'situation' ? null
      : { kind: frame.line.kind, text: frame.line.text }
    case 'order': return { kind: 'order', text: `${orderText(frame.order)}: ${frame.answer.message}` }
    case 'broker': return {
      kind: 'broker', text: `The broker is ${frame.state}${frame.reason === '' ? '' : `: ${frame.reason}`}`,
    }
    case 'gap': return { kind: 'broker', text: `${countText(frame.frames)} frames were left out: this page was too slow` }
    default: return null
  }
}

function titleOf({ space, winner, epoch, vacancy, beginMs, endMs, isServing, candidates }: Promotion): string {
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
