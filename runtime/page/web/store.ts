/** State of the page: a recording, live or from a file, and the moment shown. */
import { computed, effect, signal } from '@preact/signals'
import { entriesOf } from '../model/entries.js'
import { headlinesOf } from '../model/headlines.js'
import type { Facts } from '../model/headlines.js'
import { promotionsOf } from '../model/promotions.js'
import { openRecording, Recording } from '../model/recording.js'
import type { PageState } from '../model/state.js'
import { linesOf } from '../model/eventLines.js'
import type { Frame } from '../protocol.js'
import { openStream } from './connection.js'
import { amend, route } from './route.js'

/** Frames are applied so often; the views are drawn at most as often. */
const drawMs = 100
/** Frames that wait to be applied; a page that was asleep for long asks anew instead. */
const waitingMax = 50_000

export type Link =
  | { readonly kind: 'connecting' | 'connected' | 'file' }
  | { readonly kind: 'lost'; readonly retryAtMs: number }

export const link = signal<Link>({ kind: 'connecting' })
/** Name of the opened file; null: live. */
export const fileName = signal<string | null>(null)
export const fileError = signal<string | null>(null)
const liveRecording = { current: new Recording() }
const shownRecording = signal<Recording>(liveRecording.current)
/** Changes when the recording has grown: it is one object, and changes in place. */
const version = signal(0)

/** The recording shown. A component that calls this is redrawn when the recording grows. */
export function recording(): Recording {
  void version.value
  return shownRecording.value
}

/** Page time minus server time, ms. */
const skewMs = signal(0)
/** The moment shown. null for the latest. */
export const at = signal<number | null>(momentOf(route.value.query['at']))
/** Milliseconds of the recording per millisecond. 0 if paused. */
export const speed = signal(0)
/** Ticks ten times a second. */
const ticks = signal(Date.now())

/** The time shown, ms since 1970 by the server's clock. */
export const shownMs = computed(() => {
  if (at.value !== null) return at.value
  const { endMs } = recording()
  const isLive = fileName.value === null && link.value.kind === 'connected'
  return isLive ? Math.max(ticks.value - skewMs.value, endMs) : endMs
})

export const state = computed<PageState>(() => {
  const moment = at.value
  return moment === null ? recording().live : recording().stateAt(moment)
})

interface Derived {
  readonly length: number
  readonly last: unknown
  readonly past: unknown
  readonly promotions: ReturnType<typeof promotionsOf>
  readonly entries: ReturnType<typeof entriesOf>
  readonly lines: ReturnType<typeof linesOf>
}

let before: Derived | null = null
/** Computed again only when items were added that it depends on. */
const derived = computed<Derived>(() => {
  const { notable, past } = recording()
  const last = notable.at(-1) ?? null
  const isKnown = before?.length === notable.length && before.last === last && before.past === past
  if (before !== null && isKnown) return before
  const found = promotionsOf(notable)
  before = {
    length: notable.length,
    last,
    past,
    promotions: found,
    entries: entriesOf(notable, found, past),
    lines: linesOf(notable, past),
  }
  return before
})
/** Promotions of the whole recording, whatever moment is shown. */
export const promotions = computed(() => derived.value.promotions)
/** Entries of the timeline in order of time. */
export const entries = computed(() => derived.value.entries)

/** Facts for headlines. */
export function facts(): Facts {
  const { measured } = recording()
  return { promotions: promotions.value, lines: derived.value.lines, measured }
}

/** Headlines of the moment shown, worst first. */
export const headlines = computed(() => headlinesOf(state.value, facts(), shownMs.value))

export const playground = computed(() =>
  fileName.value === null && (state.value.start?.playground ?? false)
)

function momentOf(text: string | undefined): number | null {
  const moment = Number(text)
  return text === undefined || !Number.isFinite(moment) ? null : moment
}

export function seek(moment: number | null): void {
  const { beginMs, endMs } = shownRecording.value
  if (moment === null) speed.value = 0
  at.value = moment === null ? null : Math.round(Math.min(Math.max(moment, beginMs), endMs))
  amend({ at: at.value === null ? null : String(at.value) })
}

export function stepTo(direction: 1 | -1): void {
  const from = at.value ?? shownRecording.value.endMs
  const to = shownRecording.value.step(from, direction)
  if (to !== null) seek(to)
}

/** Plays from the moment shown. At the end it is live again, or stops. */
export function play(factor: number): void {
  if (at.value === null) seek(shownRecording.value.beginMs)
  speed.value = factor
}

effect(() => {
  const moment = momentOf(route.value.query['at'])
  if (moment !== at.peek()) at.value = moment
})

let lastTickMs = performance.now()
function tick(): void {
  const nowMs = performance.now()
  const passedMs = nowMs - lastTickMs
  lastTickMs = nowMs
  applyWaiting()
  ticks.value = Date.now()
  if (speed.value === 0 || at.value === null) return
  const next = at.value + passedMs * speed.value
  if (next < shownRecording.value.endMs) at.value = next
  else if (fileName.value === null) seek(null)
  else {
    speed.value = 0
    seek(shownRecording.value.endMs)
  }
}
setInterval(tick, drawMs)

let waiting: { readonly frame: Frame; readonly length: number }[] = []
let endStream: (() => void) | null = null

export function connectLive(): void {
  endStream?.()
  waiting = []
  endStream = openStream('./api/stream', {
    onOpen: () => {
      link.value = { kind: 'connected' }
    },
    onFrame: (frame, length) => {
      if (waiting.length < waitingMax) waiting.push({ frame, length })
      else connectLive()
    },
    onLost: (retryMs) => {
      link.value = { kind: 'lost', retryAtMs: Date.now() + retryMs }
    },
  })
}

function applyWaiting(): void {
  if (waiting.length === 0) return
  const taken = waiting
  waiting = []
  const last = taken.at(-1)
  for (const { frame, length } of taken) {
    if (isOtherServer(frame)) liveRecording.current = new Recording()
    liveRecording.current.add(frame, length)
  }
  if (last !== undefined) skewMs.value = Date.now() - last.frame.atMs
  if (fileName.value !== null) return
  shownRecording.value = liveRecording.current
  version.value += 1
}

/** True if another server answers at this address, so that the recording is not of its cluster. */
function isOtherServer(frame: Frame): boolean {
  const known = liveRecording.current.live.start
  return frame.kind === 'start' && known !== null
    && (known.source !== frame.source || known.node !== frame.node)
}

export function saveRecording(): void {
  const { start } = shownRecording.value.live
  const stamp = new Date(shownRecording.value.endMs).toISOString().slice(0, 19).replaceAll(':', '-')
  const name = `engram-${start?.node ?? start?.source ?? 'recording'}-${stamp}.ndjson`
  const address = URL.createObjectURL(
    new Blob([shownRecording.value.save()], { type: 'application/x-ndjson' }),
  )
  const anchor = document.createElement('a')
  anchor.href = address
  anchor.download = name
  anchor.click()
  setTimeout(() => URL.revokeObjectURL(address), 10_000)
}

export async function openFile(file: File): Promise<void> {
  try {
    const opened = openRecording(await file.text())
    shownRecording.value = opened
    fileName.value = file.name
    fileError.value = null
    version.value += 1
    seek(opened.endMs)
  } catch (error) {
    fileError.value = `cannot open ${file.name}: ${(error as Error).message}`
  }
}

export function closeFile(): void {
  fileName.value = null
  shownRecording.value = liveRecording.current
  version.value += 1
  seek(null)
}
