/**
 * All frames that the page holds, live or from a file. They give the state at any time and the list
 * of events. Bounded: the oldest frames are dropped, and the state after them becomes the base.
 */
import type { EventLine } from '../../inspect/eventLine.js'
import type { InspectionStreamEvent } from '../../inspect/schema.js'
import type { Frame, StartFrame } from '../protocol.js'
import { isMeasured, isNotable } from './notable.js'
import { itemsOf, reduce } from './reduce.js'
import { emptyState } from './state.js'
import type { Item, PageState } from './state.js'

export interface RecordingBounds {
  readonly durationMs: number
  /** As text. */
  readonly textLength: number
}

/** 15 minutes, or about 64 MiB of memory, which is twice the text as measured in Chromium. */
export const defaultBounds: RecordingBounds = {
  durationMs: 15 * 60_000,
  textLength: 32 * 1024 * 1024,
}

/** Interval of kept states, so that any other is reached within a few thousand items. */
const keyFrameMs = 3_000
/** Age from which the order is final, since events of several nodes arrive out of order. */
const settledMs = 2_500
const itemsPerKeyFrame = 5_000
/** Past lines kept. A server sends a thousand at a time. */
const pastMax = 5_000

interface KeyFrame {
  /** It holds all items up to this time. */
  readonly atMs: number
  readonly state: PageState
}

interface Kept {
  readonly frame: Frame
  readonly length: number
}

export class Recording {
  /** The present state. Items are applied as they arrive. */
  live: PageState = emptyState
  /** Grows with each change. */
  version = 0
  /** Number of frames dropped to stay within the bounds. */
  droppedFrames = 0
  /** Items of the timeline in order of time, not to be changed. */
  notable: Item[] = []
  /** Statuses and flows in order of time, not to be changed. */
  measured: Item[] = []
  /** Past events kept by nodes, in order of time. They are no items. */
  past: readonly EventLine[] = []
  private frames: Kept[] = []
  private items: Item[] = []
  private keyFrames: KeyFrame[] = []
  private base: KeyFrame = { atMs: -Infinity, state: emptyState }
  private textLength = 0
  private since = 0

  constructor(private readonly bounds: RecordingBounds = defaultBounds) {}

  /** Time of the first frame kept. 0 if there is none. */
  get beginMs(): number {
    return this.items[0]?.atMs ?? 0
  }

  get endMs(): number {
    return this.live.atMs
  }

  get isEmpty(): boolean {
    return this.items.length === 0
  }

  /** Items in order of time, not to be changed. */
  get all(): readonly Item[] {
    return this.items
  }

  /** @param length of its text, for the bound */
  add(frame: Frame, length = 0): void {
    this.frames.push({ frame, length })
    this.textLength += length
    const items = itemsOf(frame)
    this.live = reduce(this.live, items)
    for (const item of items) this.insert(item)
    if (frame.kind === 'history') this.notePast(frame.lines)
    this.version += 1
    this.since += 1
    if (this.since >= 200 || this.textLength > this.bounds.textLength) this.tidy()
  }

  /** The state after all items up to that time. */
  stateAt(atMs: number): PageState {
    if (atMs >= this.endMs) return this.live
    const key = this.keyFrameBefore(atMs)
    const end = this.indexAfter(atMs)
    let index = this.indexAfter(key.atMs)
    let { state } = key
    while (index < end) {
      const next = this.nextKeyFrame(index, end)
      state = reduce(state, this.items.slice(index, next))
      const reachedMs = this.items[next - 1]?.atMs ?? 0
      if (next < end && reachedMs < this.endMs - settledMs) {
        this.keep({ atMs: reachedMs, state })
      }
      index = next
    }
    return state
  }

  /** Index after the items that the next key frame holds, all of one time or none. */
  private nextKeyFrame(begin: number, end: number): number {
    const limitMs = (this.items[begin]?.atMs ?? 0) + keyFrameMs
    let index = Math.min(begin + itemsPerKeyFrame, this.indexAfter(limitMs))
    while (index < end && this.items[index]?.atMs === this.items[index - 1]?.atMs) index += 1
    return Math.min(index, end)
  }

  /** Items with `fromMs < time <= toMs`. */
  between(fromMs: number, toMs: number): Item[] {
    return this.items.slice(this.indexAfter(fromMs), this.indexAfter(toMs))
  }

  /** Time of the next logged event in that direction. null if there is none. */
  step(atMs: number, direction: 1 | -1): number | null {
    const isStep = (item: Item): boolean =>
      item.kind === 'event' && logged.has(item.event.type) && item.atMs !== atMs
    if (direction === 1) {
      const after = this.items.slice(this.indexAfter(atMs)).find(isStep)
      return after?.atMs ?? null
    }
    for (let index = this.indexAfter(atMs) - 1; index >= 0; index -= 1) {
      const item = this.items[index]
      if (item !== undefined && isStep(item)) return item.atMs
    }
    return null
  }

  /** The recording as text, one JSON per line. Key frames replace a dropped beginning. */
  save(): string {
    const { start, charts, nodes, broker, status } = this.base.state
    const atMs = this.beginMs
    const heads: Frame[] = []
    if (start !== null) heads.push({ ...start, atMs })
    if (Object.keys(charts).length > 0) heads.push({ kind: 'charts', atMs, charts })
    if (broker !== null) heads.push({ ...broker, atMs })
    if (status !== null) heads.push({ kind: 'status', atMs, status })
    if (this.droppedFrames > 0 && this.past.length > 0) {
      heads.push({ kind: 'history', atMs, lines: this.past })
    }
    for (const node of nodes.values()) {
      const events: InspectionStreamEvent[] = [...node.actors.values()]
        .filter(({ exit }) => exit === null)
        .map(({ actor, parent, chart, status: of, state, reason, summary, timers }) => ({
          type: 'actor',
          actor,
          atMs,
          parent,
          chart,
          status: of,
          state,
          reason,
          summary,
          timers: [...timers],
        }))
      heads.push({
        kind: 'inspection',
        atMs,
        envelope: {
          version: 1,
          node: node.id,
          incarnation: node.incarnation,
          stream: node.stream,
          number: node.number,
          dropped: 0,
          present: { part: 1, parts: 1 },
          events,
        },
      })
    }
    const frames = [...heads, ...this.frames.map(({ frame }) => frame)]
    return `${frames.map((frame) => JSON.stringify(frame)).join('\n')}\n`
  }

  /** Adds past lines that are not known yet. */
  private notePast(lines: readonly EventLine[]): void {
    const known = new Set(this.past.map(({ id }) => id))
    const added = lines.filter(({ id }) => !known.has(id))
    if (added.length === 0) return
    this.past = [...this.past, ...added]
      .toSorted((a, b) => a.at < b.at ? -1 : a.at > b.at ? 1 : 0).slice(-pastMax)
  }

  private insert(item: Item): void {
    insertInOrder(this.items, item)
    if (isNotable(item)) insertInOrder(this.notable, item)
    if (isMeasured(item)) insertInOrder(this.measured, item)
    // Kept states do not contain an item that arrives this late.
    while ((this.keyFrames.at(-1)?.atMs ?? -Infinity) >= item.atMs) this.keyFrames.pop()
  }

  private keep(key: KeyFrame): void {
    if (this.keyFrames.every(({ atMs }) => atMs !== key.atMs)) insertInOrder(this.keyFrames, key)
  }

  private keyFrameBefore(atMs: number): KeyFrame {
    return this.keyFrames.findLast((key) => key.atMs <= atMs) ?? this.base
  }

  /** Index of the first item later than that time. */
  private indexAfter(atMs: number): number {
    let low = 0
    let high = this.items.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.items[middle]?.atMs ?? 0) <= atMs) low = middle + 1
      else high = middle
    }
    return low
  }

  private tidy(): void {
    this.since = 0
    // Also creates key frames for the new items.
    this.stateAt(this.endMs - settledMs)
    let limitMs = this.endMs - this.bounds.durationMs
    if (this.textLength > this.bounds.textLength) {
      // Drops a tenth more than necessary, so that it is not repeated for each frame.
      let surplus = this.textLength - this.bounds.textLength * 0.9
      const cut = this.frames.find(({ length }) => (surplus -= length) <= 0)
      limitMs = Math.max(limitMs, cut?.frame.atMs ?? 0)
    }
    limitMs = Math.min(limitMs, this.endMs - settledMs)
    if (this.beginMs < limitMs) this.drop(limitMs)
  }

  private drop(limitMs: number): void {
    this.base = { atMs: limitMs, state: this.stateAt(limitMs) }
    this.items = this.items.slice(this.indexAfter(limitMs))
    this.notable = this.notable.filter(({ atMs }) => atMs > limitMs)
    this.measured = this.measured.filter(({ atMs }) => atMs > limitMs)
    this.keyFrames = this.keyFrames.filter(({ atMs }) => atMs > limitMs)
    const first = this.frames.findIndex(({ frame }) => frame.atMs > limitMs)
    const gone = this.frames.splice(0, first === -1 ? this.frames.length : first)
    this.droppedFrames += gone.length
    for (const { length } of gone) this.textLength -= length
  }
}

/** Inserts an item after those of the same time. */
function insertInOrder<T extends { readonly atMs: number }>(list: T[], item: T): void {
  let index = list.length
  while (index > 0 && (list[index - 1]?.atMs ?? 0) > item.atMs) index -= 1
  if (index === list.length) list.push(item)
  else list.splice(index, 0, item)
}

/** Events at which stepping stops: changes of charts and of actors' lives. */
const logged: ReadonlySet<string> = new Set(
  ['actor', 'transition', 'exit', 'kill', 'restart', 'escalation', 'deadLetter'],
)

/**
 * Reads a saved recording.
 * @throws Error that says which line is wrong, and how
 */
export function openRecording(text: string): Recording {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  const frames = lines.map((line, index) => frameOf(line, index + 1))
  const start = frames[0]
  if (start?.kind !== 'start') {
    throw new Error('line 1 is not a `start` frame, so the file is not a recording. Choose a file '
      + 'that was saved by this page or written by the simulator')
  }
  if (start.format !== 1) {
    throw new Error(`the recording has format ${String((start as StartFrame).format)}, and this `
      + 'page reads format 1: open it with the release that wrote it')
  }
  const recording = new Recording({ durationMs: Infinity, textLength: Infinity })
  for (const frame of frames) recording.add(frame)
  return recording
}

function frameOf(line: string, number: number): Frame {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new Error(`line ${number} is not JSON: the file is damaged or not a recording`)
  }
  const { kind, atMs } = (value ?? {}) as { kind?: unknown; atMs?: unknown }
  if (typeof kind !== 'string' || typeof atMs !== 'number') {
    throw new Error(`line ${number} is not a frame: it lacks \`kind\` or \`atMs\``)
  }
  return value as Frame
}
