/** What happens in the cluster, in sentences: one set of them, for `engram events` and the page. */
import type { Vacancy } from '../../machines/base/ids.js'
import { topState } from '../../machines/base/stateName.js'
import { vacancies, vacancyText } from '../../machines/election/vacancy.js'
import type { RecordedEvent } from '../../machines/protocol/events.js'
import type { EventKind, EventLine } from './eventLine.js'
import type { Envelope, InspectionStreamEvent, StateValue } from './schema.js'
import { sentenceOf } from './sentences.js'

export interface EventTextOptions {
  readonly emit: (told: EventLine) => void
  /** Only what concerns this space, and nodes. */
  readonly space?: string | undefined
}

type EventOf<T extends InspectionStreamEvent['type']> =
  Extract<InspectionStreamEvent, { type: T }>
type Failure = EventOf<'kill'> | EventOf<'restart'> | EventOf<'escalation'>
/** An actor in a new state: by a transition, or since it was born in it. */
interface Change {
  readonly node: string
  readonly actor: string
  readonly from: string | null
  readonly to: string
  readonly reason: string | null
  readonly atMs: number
}

const promotionSteps: Readonly<Record<string, string>> = {
  surveying: 'asks the in-sync members how far they are',
  standingBy: 'lets a better candidate go first',
  awaitingVacancy: 'waits for proof that the primary before is none any more',
  claiming: 'claims the next epoch',
  opening: 'opens its epoch',
  confirming: 'confirms its epoch at the arbiter',
  won: 'has won',
  stoodDown: 'steps back',
}

/** A transition takes no longer than this, ms. */
const bornWithinMs = 100
/** Lines remembered, so that none is repeated. */
const toldMax = 10_000
/** Nodes that notice the same do so within this time, ms. */
const sameWithinMs = 2_000
/** Of one thing that happens again and again. */
const timesMax = 64

/**
 * Makes lines of what nodes note, and of what their actors do meanwhile. An event that several
 * nodes noted, or that comes again with the past, makes one line.
 */
export class EventText {
  /** Times of past lines by their id, the latest line last. */
  private readonly toldAtMs = new Map<string, readonly number[]>()
  /** When a candidate was born, by node and space, until its space says why. */
  private readonly births = new Map<string, number>()

  constructor(private readonly options: EventTextOptions) {}

  /** Returns lines of what nodes have kept, in order of time, without those known already. */
  onPast(events: readonly RecordedEvent[]): EventLine[] {
    return events.map(lineOf).toSorted(byTime)
      .filter((line) => this.concerns(line) && this.isNews(line))
  }

  onEnvelope({ node, present, events }: Envelope): void {
    if (present !== null) return
    for (const event of events) this.onEvent(node, event)
  }

  private onEvent(node: string, event: InspectionStreamEvent): void {
    switch (event.type) {
      case 'recorded':
        return this.onRecorded(lineOf(event.event))
      case 'actor':
      case 'transition': {
        const { actor, atMs, reason } = event
        const from = event.type === 'actor' ? null : nameOf(event.from)
        return this.onChange({ node, actor, from, to: nameOf(event.state), reason, atMs })
      }
      case 'kill':
      case 'restart':
      case 'escalation':
        return this.onFailure(node, event)
      default:
    }
  }

  private onChange(change: Change): void {
    const { actor, from, to } = change
    const [, space = '', part] = /^space\.([^./]+)(\.promotion)?$/.exec(actor) ?? []
    if (space === '' || from === to) return
    if (part === undefined) this.onSpace(change, space)
    else this.onPromotion(change, space)
  }

  private onSpace({ node, from, to, reason, atMs }: Change, space: string): void {
    if (to !== 'promoting' || from === null) return
    // The candidate is born within this transition, and its first step is noted before it.
    const key = `${node} ${space}`
    const bornMs = this.births.get(key) ?? atMs
    this.births.delete(key)
    const isThis = bornMs <= atMs && atMs - bornMs < bornWithinMs
    this.emit(eventLine(isThis ? bornMs : atMs, 'promotion',
      `${node} starts a promotion for ${space}${because(candidacyText(reason))}`,
      { node, space, state: to, ...given(reason) }))
  }

  private onPromotion({ node, from, to, reason, atMs }: Change, space: string): void {
    if (from === null) this.births.set(`${node} ${space}`, atMs)
    // `blocked` is an alert, too, and told as that.
    const step = promotionSteps[to]
    if (step === undefined) return
    const why = to === 'won' ? '' : because(reason?.replace(/^stands by: /, '') ?? null)
    this.emit(eventLine(atMs, 'promotion', `${node}, candidate for ${space}, ${step}${why}`,
      { node, space, state: to, ...given(reason) }))
  }

  private onFailure(node: string, event: Failure): void {
    const { actor, atMs } = event
    const space = /^space\.([^./]+)/.exec(actor)?.[1]
    const fields = { node, actor, ...(space === undefined ? {} : { space }) }
    this.emit(eventLine(atMs, 'actor', `${node}: actor ${actor} ${failureText(event)}`, fields))
  }

  private onRecorded(line: EventLine): void {
    if (this.isNews(line)) this.emit(line)
  }

  /** False for a line known already, from the same node or from another that noticed the same. */
  private isNews({ id = '', at }: EventLine): boolean {
    const atMs = Date.parse(at)
    const times = this.toldAtMs.get(id) ?? []
    if (times.some((time) => Math.abs(time - atMs) <= sameWithinMs)) return false
    this.toldAtMs.set(id, [...times, atMs].slice(-timesMax))
    const [oldest] = this.toldAtMs.keys()
    if (this.toldAtMs.size > toldMax && oldest !== undefined) this.toldAtMs.delete(oldest)
    return true
  }

  private concerns({ space }: EventLine): boolean {
    const only = this.options.space
    return only === undefined || space === undefined || space === only
  }

  private emit(line: EventLine): void {
    if (this.concerns(line)) this.options.emit(line)
  }
}

function byTime(a: EventLine, b: EventLine): number {
  return a.at < b.at ? -1 : a.at > b.at ? 1 : rank(a) - rank(b)
}

/** The line of an event that a node noted. */
export function lineOf(event: RecordedEvent): EventLine {
  const { kind, text, atMs = event.atMs, ...fields } = sentenceOf(event)
  return eventLine(atMs, kind, text, { id: idOf(event), ...fields })
}

/** What several nodes note of one thing has one id; a peer can go and come back more than once. */
function idOf(event: RecordedEvent): string {
  switch (event.type) {
    case 'promoted':
      return `promoted/${event.promotion.space}/${event.promotion.epoch}`
    case 'peer': {
      const { peer, state, life } = event
      if (life !== null) return `${state}/${peer}/${life.incarnation}.${life.connection}`
      return `${event.node}/${event.id}`
    }
    default:
      return `${event.node}/${event.id}`
  }
}

/** Makes a line; control characters, which a terminal would obey, are left out. */
export function eventLine(
  atMs: number, kind: EventKind, text: string, fields: Omit<EventLine, 'at' | 'kind' | 'text'>,
): EventLine {
  return { at: isoTime(atMs), kind, text: text.replaceAll(/\p{Cc}+/gu, ' '), ...fields }
}

/** Of lines of one millisecond: causes before effects. */
function rank({ kind, state }: EventLine): number {
  if (kind === 'promotion') return state === 'promoting' ? 2 : 3
  return { node: 0, actor: 1, epoch: 4, handover: 4 }[kind as string] ?? 5
}

/**
 * Puts the lines of several nodes in order: each is held for a moment, in which earlier ones may
 * still come. `due` gives those whose moment is over. As good as the nodes' clocks.
 */
export class InOrder {
  private held: { readonly line: EventLine; readonly sinceMs: number }[] = []

  constructor(private readonly holdMs = 200) {}

  add(line: EventLine, nowMs: number): void {
    this.held.push({ line, sinceMs: nowMs })
  }

  /** With Infinity: all. */
  due(nowMs: number): EventLine[] {
    // What comes before a line that is due is due, too.
    const sorted = this.held.toSorted((a, b) => byTime(a.line, b.line))
    const last = sorted.findLastIndex(({ sinceMs }) => nowMs - sinceMs >= this.holdMs)
    this.held = sorted.slice(last + 1)
    return sorted.slice(0, last + 1).map(({ line }) => line)
  }
}

function isoTime(atMs: number): string {
  const isDate = Math.abs(atMs) <= 8.64e15
  return new Date(isDate ? atMs : 0).toISOString()
}

function failureText(event: Failure): string {
  switch (event.type) {
    case 'kill':
      return `was killed: ${event.reason}`
    case 'restart':
      return `failed and is restarted in ${Math.round(event.delayMs)} ms: ${event.error}`
    case 'escalation':
      return `gave up; that is for ${event.to ?? 'the node'} to handle: ${event.error}`
  }
}

function nameOf(state: StateValue | null): string {
  return state === null ? '' : topState(state)
}

function because(reason: string | null): string {
  return reason === null ? '' : `: ${reason}`
}

/** `vacancy: noResponders` in words; an order, or a record that names the node, as it is. */
function candidacyText(reason: string | null): string | null {
  const vacancy = reason?.replace(/^vacancy: /, '')
  return vacancies.includes(vacancy as Vacancy) ? vacancyText(vacancy as Vacancy, null) : reason
}

function given(reason: string | null): { reason?: string } {
  return reason === null ? {} : { reason }
}
