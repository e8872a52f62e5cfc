/** Keeps the latest notable events of a node, and returns them in pages. */
import type { Clock, EventRecorder } from '../../actors/ports/system.js'
import { spaceOfEvent } from '../../machines/protocol/events.js'
import type { ClusterEvent, RecordedEvent } from '../../machines/protocol/events.js'
import type { EventFile } from './eventFile.js'

export interface RecorderBounds {
  /** Number of events kept of each of the two kinds. */
  readonly eventsMax: number
  /** Length of their JSON in UTF-16 units. */
  readonly lengthMax: number
}

/** Enough for three failovers of 300 spaces each, or for years of a few spaces. */
export const recorderBounds: RecorderBounds = { eventsMax: 1_000, lengthMax: 512 * 1024 }

/** Limits of one event: a longer reason or message is cut, longer details are left out. */
const textLengthMax = 600
const detailLengthMax = 2_048
/** Events kept before the file is open, in case a start takes long and fails. */
const earlyMax = 64

export interface Kept {
  readonly id: number
  readonly space: string | null
  readonly type: RecordedEvent['type']
  /** JSON. */
  readonly text: string
}

export interface PageRequest {
  /** If set, only events of this space and of nodes. */
  readonly space?: string | undefined
  readonly types?: readonly string[] | undefined
  /** If set, only events with lower ids. null for the latest. */
  readonly before: number | null
  /** Length of the events as JSON. */
  readonly lengthMax: number
}

export interface EventsPage {
  /** JSON of each event, oldest first. At least one if there is any. */
  readonly texts: readonly string[]
  /** `before` of a request for earlier events. null if there are none. */
  readonly before: number | null
}

/** Events, oldest first. Beyond the bounds the oldest are dropped. */
class Shelf {
  kept: Kept[] = []
  private length = 0

  constructor(private readonly bounds: RecorderBounds) {}

  add(kept: Kept): void {
    this.kept.push(kept)
    this.length += kept.text.length
    const { eventsMax, lengthMax } = this.bounds
    while (this.kept.length > eventsMax || this.length > lengthMax) {
      this.length -= this.kept.shift()?.text.length ?? 0
    }
  }
}

export interface RecorderOptions {
  readonly node: string
  readonly clock: Clock
  readonly bounds?: RecorderBounds
}

/**
 * Keeps promotions apart from other events, so that frequent events, such as those of an unstable
 * replica, do not displace them.
 */
export class NodeRecorder implements EventRecorder {
  private readonly promotions: Shelf
  private readonly others: Shelf
  private readonly listeners = new Set<(event: RecordedEvent) => void>()
  private early: ClusterEvent[] | null = []
  private file: EventFile | null = null
  private lastId = 0
  /** All events kept, oldest first. null after a change. */
  private merged: readonly Kept[] | null = null

  constructor(private readonly options: RecorderOptions) {
    const bounds = options.bounds ?? recorderBounds
    this.promotions = new Shelf(bounds)
    this.others = new Shelf(bounds)
  }

  /**
   * Begins to assign ids to events.
   * @param file earlier events, and the place for new ones. null to keep them in memory only
   */
  begin(file: EventFile | null): void {
    if (this.early === null) throw new Error('events are kept already')
    this.file = file
    for (const event of file?.events ?? []) {
      this.lastId = Math.max(this.lastId, event.id)
      this.keep(event)
    }
    file?.begin(() => this.all().map(({ text }) => text))
    const early = this.early ?? []
    this.early = null
    for (const event of early) this.note(event)
  }

  note(event: ClusterEvent): void {
    if (this.early !== null) {
      if (this.early.length < earlyMax) this.early.push(event)
      return
    }
    const atMs = Math.round(this.options.clock.wallMs())
    // From the clock, so that a node that lost its disk does not assign an id again.
    const id = Math.max(this.lastId + 1, atMs)
    this.lastId = id
    const recorded = { ...shortened(event), id, node: this.options.node, atMs }
    const { text } = this.keep(recorded)
    this.file?.append(text)
    for (const listener of this.listeners) listener(recorded)
  }

  /** Calls the listener for each event until the returned function is called. */
  listen(listener: (event: RecordedEvent) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  page({ space, types, before, lengthMax }: PageRequest): EventsPage {
    const isWanted = (kept: Kept): boolean =>
      (before === null || kept.id < before)
      && (space === undefined || kept.space === null || kept.space === space)
      && (types === undefined || types.includes(kept.type))
    const page: Kept[] = []
    let length = 0
    // From the latest backwards, so that the cost of a page depends on its size only.
    const all = this.all()
    for (let index = all.length - 1; index >= 0; index -= 1) {
      const kept = all[index]
      if (kept === undefined || !isWanted(kept)) continue
      length += kept.text.length + 1
      if (length > lengthMax && page.length > 0) {
        return { texts: textsOf(page), before: page.at(-1)?.id ?? null }
      }
      page.push(kept)
    }
    return { texts: textsOf(page), before: null }
  }

  /** Writes what is pending, unless the disk hangs. */
  async close(): Promise<void> {
    const { file } = this
    this.file = null
    await file?.close()
  }

  /** Oldest first. */
  private all(): readonly Kept[] {
    this.merged ??= [...this.promotions.kept, ...this.others.kept].toSorted((a, b) => a.id - b.id)
    return this.merged
  }

  private keep(event: RecordedEvent): Kept {
    const kept = {
      id: event.id,
      space: spaceOfEvent(event),
      type: event.type,
      text: JSON.stringify(event),
    }
    const shelf = event.type === 'promoted' ? this.promotions : this.others
    shelf.add(kept)
    this.merged = null
    return kept
  }
}

/** @param page latest first */
function textsOf(page: readonly Kept[]): string[] {
  return page.map(({ text }) => text).toReversed()
}

function shortened(event: ClusterEvent): ClusterEvent {
  switch (event.type) {
    case 'promoted': {
      const { promotion } = event
      return { ...event, promotion: { ...promotion, reason: cut(promotion.reason) } }
    }
    case 'notice': {
      const isLong = JSON.stringify(event.detail).length > detailLengthMax
      return { ...event, message: cut(event.message), detail: isLong ? {} : event.detail }
    }
    default:
      return { ...event, reason: cut(event.reason) }
  }
}

function cut(text: string): string {
  return text.length <= textLengthMax ? text : `${text.slice(0, textLengthMax - 1)}…`
}
