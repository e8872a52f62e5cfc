import { useState } from 'preact/hooks'
import { entryKinds } from '../../model/entries.js'
import type { Entry, EntryKind } from '../../model/entries.js'
import { dayClockText } from '../../model/words.js'
import { amend, hrefOf, route } from '../route.js'
import { entries, recording, seek, shownMs } from '../store.js'
import { PromotionSteps } from './promotionSteps.js'
import { KindFilter, toggled } from './kindFilter.js'

/** Number of entries listed, the latest ones. */
const entriesMax = 300

const kindNames: Readonly<Record<EntryKind, string>> = {
  promotion: 'promotions',
  epoch: 'primaries',
  handover: 'handovers',
  fork: 'forks',
  inSync: 'in-sync set',
  alert: 'alerts',
  node: 'nodes',
  actor: 'actors',
  fault: 'injected faults',
  order: 'commands',
  broker: 'broker',
  gap: 'gaps',
}

export function TimelineView() {
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set())
  const present = entryKinds.filter((kind) => entries.value.some((entry) => entry.kind === kind))
  const shown = entries.value.filter(({ kind }) => !hidden.has(kind))
    .slice(-entriesMax).toReversed()
  return (
    <div class="timeline">
      <div class="tools">
        <KindFilter kinds={present} names={kindNames} isShown={(kind) => !hidden.has(kind)}
          onToggle={(kind) => setHidden(toggled(hidden, kind))} />
      </div>
      {shown.length === 0
        ? <p class="empty">No events yet.</p>
        : (
          <ol class="entries" reversed aria-label="Events, latest first">
            {shown.map((entry) => (
              <EntryItem
                key={`${entry.atMs} ${entry.kind} ${entry.promotion?.id ?? entry.text}`}
                entry={entry}
              />
            ))}
          </ol>
        )}
    </div>
  )
}

function EntryItem({ entry }: { readonly entry: Entry }) {
  const { atMs, kind, text, promotion } = entry
  // An event from before the recording has no moment to show.
  const isMoment = atMs >= recording().beginMs
  const isLater = atMs > shownMs.value
  const isOpen = promotion !== null && route.value.query['open'] === promotion.id
  const link = hrefOf('timeline', { at: String(Math.round(promotion?.endMs ?? atMs)),
    open: promotion?.id ?? null })
  return (
    <li class={`entry ${kind} ${isLater ? 'later' : ''}`} data-entry={kind}
      data-past={entry.isPast}
    >
      {isMoment
        ? (
          <a class="time" href={link} title="Go to this moment">
            {dayClockText(atMs, recording().endMs)}
          </a>
        )
        : <time class="time">{dayClockText(atMs, recording().endMs)}</time>}
      <i class={`dot ${kind}`} aria-hidden="true" />
      {promotion === null
        ? <p>{text}</p>
        : (
          <div class="promotion" data-promotion={promotion.id} data-winner={promotion.winner ?? ''}>
            <button type="button" class="link" aria-expanded={isOpen}
              onClick={() => amend({ open: isOpen ? null : promotion.id })}
            >
              <span aria-hidden="true">{isOpen ? '▾' : '▸'}</span> {text}
            </button>
            {isOpen && <PromotionSteps promotion={promotion} onStep={seek} />}
          </div>
        )}
    </li>
  )
}
