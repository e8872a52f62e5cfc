/** Details of the chosen actor as text. */
import type { Chart } from '../../../charts/chart.js'
import { transitionText } from '../../model/chartGraph.js'
import { words } from '../../model/promotions.js'
import { activePaths, stateText } from '../../model/state.js'
import type { ActorView } from '../../model/state.js'
import { passedOf } from '../../model/timers.js'
import { clockText, msText } from '../../model/words.js'
import { flatten } from '../flatten.js'
import { seek, shownMs } from '../store.js'

interface PanelProps {
  readonly actor: ActorView | null
  readonly chart: Chart | null
}

export function ActorPanel({ actor, chart }: PanelProps) {
  if (actor === null) {
    return (
      <aside class="panel" aria-label="Actor">
        <p class="empty">Choose an actor.</p>
      </aside>
    )
  }
  const deepest = activePaths(actor.state).at(-1) ?? ''
  const sinceMs = shownMs.value - (actor.enteredMs[deepest] ?? shownMs.value)
  return (
    <aside class="panel" aria-label="Actor">
      <h2>{actor.node} / {actor.actor}</h2>
      <p class="now">
        <b>{stateText(actor.state)}</b> {actor.exit !== null
          ? (
            <span class="badge gone">
              {actor.exit.kind}, {msText(shownMs.value - actor.exit.atMs)} ago
            </span>
          )
          : <span class="muted">for {msText(Math.max(0, sinceMs))}</span>}
      </p>
      {actor.reason !== null && <p class="reason">{actor.reason}</p>}
      <Timers actor={actor} />
      <Last actor={actor} />
      <Handles actor={actor} chart={chart} />
      <h3>Context</h3>
      <Summary of={actor.summary} />
    </aside>
  )
}

function Timers({ actor }: { readonly actor: ActorView }) {
  if (actor.timers.length === 0) return null
  return (
    <>
      <h3>Running delays</h3>
      <ul class="timers">
        {actor.timers.map(({ name, state, startedAtMs, delayMs }) => {
          const passedMs = passedOf({ startedAtMs, delayMs }, shownMs.value)
          return (
            <li key={`${state} ${name}`}>
              <span>{name}</span>
              <progress max={delayMs} value={passedMs} aria-label={`${name} of ${state}`} />
              <span class="number">{msText(delayMs)}</span>
            </li>
          )
        })}
      </ul>
    </>
  )
}

function Last({ actor: { last, reason } }: { readonly actor: ActorView }) {
  if (last === null) return null
  const guards = last.taken.flatMap(({ guard }) => (guard === null ? [] : [guard]))
  return (
    <>
      <h3>Last transition</h3>
      <p class="last" data-last-transition>
        <button type="button" class="link" onClick={() => seek(last.atMs)}>
          {clockText(last.atMs)}
        </button>{' '}
        <b>{words(last.event)}</b>
        {guards.map((guard) => <code key={guard}>{` [${guard}]`}</code>)}
        <br />
        {stateText(last.from)} → {stateText(last.to)}
        {last.reason !== null && last.reason !== reason && (
          <>
            <br />
            <span class="reason">{last.reason}</span>
          </>
        )}
      </p>
    </>
  )
}

/** Events that keep the active states, which have no edge in the drawing. */
function Handles({ actor, chart }: PanelProps) {
  if (chart === null || actor === null || actor.exit !== null) return null
  const active = new Set(['', ...activePaths(actor.state)])
  const kept = new Set(flatten(chart.root).filter(({ path }) => active.has(path))
    .flatMap(({ transitions }) => transitions.filter(({ targets }) => targets.length === 0))
    .map(transitionText))
  if (kept.size === 0) return null
  return (
    <details>
      <summary>Takes {kept.size} events without leaving its state</summary>
      <p class="handles">{[...kept].join(', ')}</p>
    </details>
  )
}

function Summary({ of }: { readonly of: Readonly<Record<string, unknown>> }) {
  const entries = Object.entries(of).filter(([key]) => key !== 'times' && key !== 'lastReason')
  if (entries.length === 0) return <p class="muted">empty</p>
  return (
    <dl class="summary">
      {entries.map(([key, value]) => (
        <div key={key}>
          <dt>{key}</dt>
          <dd>{valueText(value)}</dd>
        </div>
      ))}
    </dl>
  )
}

function valueText(value: unknown): string {
  if (value === null) return '–'
  if (typeof value !== 'object') return String(value)
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(valueText).join(', ')
  return Object.entries(value).map(([key, inner]) => `${key} ${valueText(inner)}`).join(', ')
}
