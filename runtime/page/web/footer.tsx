import { useRef } from 'preact/hooks'
import type { Entry } from '../model/entries.js'
import { clockText, msText } from '../model/words.js'
import { at, entries, fileName, link, openFile, play, recording, saveRecording, seek, shownMs,
  speed, stepTo } from './store.js'

const speeds = [0.01, 0.1, 1, 10] as const

/** Kinds of entries that have a mark on the slider. */
const marked: ReadonlySet<string> = new Set(['promotion', 'handover', 'alert', 'fork', 'order',
  'broker'])
const marksMax = 200

/** Entries marked on the slider: promotions, alerts, commands. */
function marks(): Entry[] {
  const { beginMs } = recording()
  return entries.value.filter(({ kind, atMs }) => marked.has(kind) && atMs >= beginMs)
    .slice(-marksMax)
}

function onKey(event: KeyboardEvent): void {
  const now = at.value ?? recording().endMs
  const times = marks().map(({ atMs }) => atMs).toSorted((a, b) => a - b)
  const byMs = event.shiftKey ? 1 : 100
  const to = event.key === 'ArrowLeft' ? now - byMs : event.key === 'ArrowRight'
    ? now + byMs
    : event.key === 'PageUp'
    ? times.find((atMs) => atMs > now)
    : event.key === 'PageDown'
    ? times.findLast((atMs) => atMs < now - 1)
    : event.key === 'End'
    ? null
    : undefined
  if (to === undefined) return
  event.preventDefault()
  seek(to)
}

function Slider() {
  const { beginMs, endMs } = recording()
  const span = Math.max(1, endMs - beginMs)
  const value = at.value ?? endMs
  const text = at.value === null ? 'live' : `${clockText(value)}, ${msText(endMs - value)} ago`
  return (
    <div class="slider">
      <input type="range" aria-label="Moment" min={beginMs} max={Math.max(endMs, beginMs + 1)}
        step="1" value={value} aria-valuetext={text} data-slider onKeyDown={onKey}
        onInput={(event) => {
          speed.value = 0
          const moment = Number(event.currentTarget.value)
          seek(moment >= endMs && fileName.value === null ? null : moment)
        }} />
      <div class="ticks">
        {marks().map(({ atMs, kind, text: title }, index) => (
          <button key={`${kind}${atMs}${index}`} type="button" tabIndex={-1} class={`tick ${kind}`}
            title={`${clockText(atMs)} ${title}`} aria-label={`${clockText(atMs)} ${title}`}
            style={{ left: `${((atMs - beginMs) / span) * 100}%` }} onClick={() => seek(atMs)} />
        ))}
      </div>
    </div>
  )
}

function Connection() {
  const texts = { connecting: 'connecting', connected: 'connected', lost: 'disconnected' }
  const kind = fileName.value !== null ? 'file' : link.value.kind
  const text = kind === 'file' ? 'recording' : texts[kind]
  return (
    <span class={`connection ${kind}`} data-connection={kind}>
      <i aria-hidden="true" />
      <span>{text}</span>
    </span>
  )
}

function StepIcon({ isForward }: { readonly isForward?: boolean }) {
  return (
    <svg class="icon" width="12" height="12" viewBox="0 0 12 12" aria-hidden="true"
      transform={isForward ? 'rotate(180)' : undefined}
    >
      <path d="M2 1.5 V10.5 M10.5 1.5 L4 6 L10.5 10.5 Z" />
    </svg>
  )
}

export function Footer() {
  const input = useRef<HTMLInputElement>(null)
  const isLive = at.value === null && fileName.value === null
  const isPlaying = speed.value !== 0
  return (
    <footer class="bar">
      <Connection />
      <div class="group" role="group" aria-label="Time">
        <button type="button" onClick={() => stepTo(-1)} title="Event before">
          <StepIcon />
          <span class="sr">Event before</span>
        </button>
        <button type="button" data-play onClick={() => {
          if (isPlaying) speed.value = 0
          else if (isLive) seek(recording().endMs)
          else play(1)
        }}>
          {isPlaying || isLive ? 'Pause' : 'Play'}
        </button>
        <button type="button" onClick={() => stepTo(1)} disabled={isLive} title="Next event">
          <StepIcon isForward />
          <span class="sr">Next event</span>
        </button>
        <label class="speed">
          <span class="sr">Speed</span>
          <select value={String(isPlaying ? speed.value : 1)}
            onChange={(event) => play(Number(event.currentTarget.value))}
          >
            {speeds.map((one) => (
              <option key={one} value={String(one)}>{one < 1 ? `1/${1 / one}` : one} ×</option>
            ))}
          </select>
        </label>
        <button type="button" class="live" aria-pressed={isLive} disabled={fileName.value !== null}
          onClick={() => seek(null)}
        >
          Live
        </button>
      </div>
      <Slider />
      <time class="clock">{clockText(shownMs.value, isLive ? 0 : 3)}</time>
      <div class="group">
        <button type="button" data-save onClick={saveRecording}>Save</button>
        <button type="button" onClick={() => input.current?.click()}>Open…</button>
        <input ref={input} type="file" class="sr" tabIndex={-1} aria-label="Recording to open"
          data-open accept=".ndjson,.jsonl,application/x-ndjson" onChange={(event) => {
          const [file] = event.currentTarget.files ?? []
          if (file !== undefined) void openFile(file)
          event.currentTarget.value = ''
        }} />
      </div>
    </footer>
  )
}
