import { useRef } from 'preact/hooks'
import { clockText, msText } from '../model/words.js'
import {
  at, fileName, link, openFile, play, promotions, recording, saveRecording, seek, shownMs, speed,
  stepTo, version,
} from './store.js'

const speeds = [0.01, 0.1, 1, 10] as const

interface Mark {
  readonly atMs: number
  readonly kind: 'promotion' | 'alert' | 'order'
  readonly text: string
}

/** Where something happened: promotions, alerts, orders. */
function marks(): Mark[] {
  const found: Mark[] = promotions.value.map(({ beginMs, space, winner }) => ({
    atMs: beginMs, kind: 'promotion',
    text: `promotion of ${space}${winner === null ? '' : `: ${winner}`}`,
  }))
  for (const item of recording.value.notable) {
    if (item.kind !== 'frame') continue
    const { frame } = item
    if (frame.kind === 'order') {
      found.push({ atMs: item.atMs, kind: 'order', text: `order: ${frame.order.type}` })
    } else if (frame.kind === 'story' && (frame.line.kind === 'alert' || frame.line.kind === 'fork')) {
      found.push({ atMs: item.atMs, kind: 'alert', text: frame.line.text })
    } else if (frame.kind === 'broker' && frame.state === 'disconnected') {
      found.push({ atMs: item.atMs, kind: 'alert', text: 'the broker was lost' })
    }
  }
  return found.slice(-200)
}

function onKey(event: KeyboardEvent): void {
  const now = at.value ?? recording.value.endMs
  const times = marks().map(({ atMs }) => atMs).toSorted((a, b) => a - b)
  const byMs = event.shiftKey ? 1 : 100
  const to = event.key === 'ArrowLeft' ? now - byMs : event.key === 'ArrowRight' ? now + byMs
    : event.key === 'PageUp' ? times.find((atMs) => atMs > now)
    : event.key === 'PageDown' ? times.findLast((atMs) => atMs < now - 1)
      : event.key === 'End' ? null : undefined
  if (to === undefined) return
  event.preventDefault()
  seek(to)
}

function Slider() {
  version.value
  const { beginMs, endMs } = recording.value
  const span = Math.max(1, endMs - beginMs)
  const value = at.value ?? endMs
  const text = at.value === null ? 'live' : `${clockText(value)}, ${msText(endMs - value)} ago`
  return (
    <div class="slider">
      <input type="range" aria-label="Moment" min={beginMs} max={Math.max(endMs, beginMs + 1)} step="1"
        value={value} aria-valuetext={text} data-slider onKeyDown={onKey}
        onInput={(event) => {
          speed.value = 0
          const moment = Number(event.currentTarget.value)
          seek(moment >= endMs && fileName.value === null ? null : moment)
        }} />
      <div class="ticks">
        {marks().map(({ atMs, kind, text: title }) => (
          <button key={`${kind}${atMs}`} type="button" tabIndex={-1} class={`tick ${kind}`}
            title={`${clockText(atMs)} ${title}`} aria-label={`${clockText(atMs)} ${title}`}
            style={{ left: `${((atMs - beginMs) / span) * 100}%` }}
            onClick={() => seek(atMs)} />
        ))}
      </div>
    </div>
  )
}

function Connection() {
  const texts = { connecting: 'connecting', connected: 'connected', lost: 'disconnected' }
  const kind = fileName.value !== null ? 'file' : link.value.kind
  const text = kind === 'file' ? 'recording' : texts[kind]
  return <span class={`connection ${kind}`} data-connection={kind}><i aria-hidden="true" />{text}</span>
}

export function Footer() {
  const input = useRef<HTMLInputElement>(null)
  const isLive = at.value === null
  const isPlaying = speed.value !== 0
  return (
    <footer class="bar">
      <Connection />
      <div class="group" role="group" aria-label="Time">
        <button type="button" onClick={() => stepTo(-1)} title="Event before">
          <span aria-hidden="true">⏮</span><span class="sr">Event before</span></button>
        <button type="button" data-play onClick={() => {
          if (isPlaying) speed.value = 0
          else if (isLive) seek(recording.value.endMs)
          else play(1)
        }}>{isPlaying || isLive ? 'Pause' : 'Play'}</button>
        <button type="button" onClick={() => stepTo(1)} disabled={isLive} title="Next event">
          <span aria-hidden="true">⏭</span><span class="sr">Next event</span></button>
        <label class="speed"><span class="sr">Speed</span>
          <select value={String(isPlaying ? speed.value : 1)} onChange={(event) =>
            play(Number(event.currentTarget.value))}>
            {speeds.map((one) => (
              <option key={one} value={String(one)}>{one < 1 ? `1/${1 / one}` : one} ×</option>
            ))}
          </select></label>
        <button type="button" class="live" aria-pressed={isLive} disabled={fileName.value !== null}
          onClick={() => seek(null)}>Live</button>
      </div>
      <Slider />
      <time class="clock">{clockText(shownMs.value, isLive ? 0 : 3)}</time>
      <div class="group">
        <button type="button" data-save onClick={saveRecording}>Save</button>
        <button type="button" onClick={() => input.current?.click()}>Open…</button>
        <input ref={input} type="file" class="sr" tabIndex={-1} aria-label="Recording to open" data-open
          accept=".ndjson,.jsonl,application/x-ndjson" onChange={(event) => {
            const [file] = event.currentTarget.files ?? []
            if (file !== undefined) void openFile(file)
            event.currentTarget.value = ''
          }} />
      </div>
    </footer>
  )
}
