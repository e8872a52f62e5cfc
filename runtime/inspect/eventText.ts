/** Events of the cluster as sentences, the same for `engram events` and the page. */
import type { Vacancy } from '../../machines/base/ids.js'
import { topState } from '../../machines/base/stateName.js'
import { vacancies, vacancyText } from '../../machines/election/vacancy.js'
import type { RecordedEvent } from '../../machines/protocol/events.js'
import type { EventKind, EventLine } from './eventLine.js'
import type { Envelope, InspectionStreamEvent, StateValue } from './schema.js'
import { sentenceOf } from './sentences.js'

export interface EventTextOptions {
  readonly emit: (line: EventLine) => void
  /** If set, only events of this space and of nodes are emitted. */
  readonly space?: string | undefined
}

type EventOf<T extends InspectionStreamEvent['type']> = Extract<InspectionStreamEvent, { type: T }>
type Failure = EventOf<'kill'> | EventOf<'restart'> | EventOf<'escalation'>
/** A change of an actor's state, by a transition or by its start. */
interface Change {
  readonly node: string
  readonly actor: string
  readonly from: string | null
  readonly to: string
  readonly reason: string | null
  readonly atMs: number
}

const promotionSteps: Readonly<Record<string, string>> = {
  surveying: 'asks the in-sync members for their progress',
  standingBy: 'lets a better candidate go first',
  awaitingVacancy: 'waits for proof that the former primary has ended',
  claiming: 'claims the next epoch',
  opening: 'opens its epoch',
  confirming: 'confirms its epoch at the arbiter',
  won: 'has won',
  stoodDown: 'steps back',
}

/** Time that a transition takes at most, ms. */
const startedWithinMs = 100
/** Number of lines remembered, so that none is repeated. */
const emittedMax = 10_000
/** Time within which several nodes notice the same event, ms. */
const sameWithinMs = 2_000
/** Times remembered of one recurring event. */
const timesMax = 64

/**
 * Makes lines of the events that nodes record, and of the changes of their actors. An event that
 * several nodes recorded, or that is read again with the past ones, makes one line.
 */
export class EventText {
  /** Times of emitted lines by id, the latest line last. */
  private readonly emittedAtMs = new Map<string, readonly number[]>()
  /** Start times of candidates by node and space, until the space's transition gives the reason. */
  private readonly starts = new Map<string, number>()

  constructor(private readonly options: EventTextOptions) {}

  /** Returns the lines of past events in order of time, without those known already. */
  onPast(events: readonly RecordedEvent[]): EventLine[] {
    return events.map(lineOf).toSorted(byTime)
      .filter((line) => this.concerns(line) && this.isNew(line))
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
    // The candidate starts within this transition, and its first step is reported before it.
    const key = `${node} ${space}`
    const startedMs = this.starts.get(key) ?? atMs
    this.starts.delete(key)
    const isThis = startedMs <= atMs && atMs - startedMs < startedWithinMs
    this.emit(
      eventLine(isThis ? startedMs : atMs, 'promotion',
        `${node} starts a promotion for ${space}${because(candidacyText(reason))}`, { node, space,
        state: to, ...given(reason) }),
    )
  }

  private onPromotion({ node, from, to, reason, atMs }: Change, space: string): void {
    if (from === null) this.starts.set(`${node} ${space}`, atMs)
    // `blocked` is also an alert, and is shown as that.
    const step = promotionSteps[to]
    if (step === undefined) return
    const why = to === 'won' ? '' : because(reason?.replace(/^stands by: /, '') ?? null)
    this.emit(
      eventLine(atMs, 'promotion', `${node}, candidate for ${space}, ${step}${why}`, { node, space,
        state: to, ...given(reason) }),
    )
  }

  private onFailure(node: string, event: Failure): void {
    const { actor, atMs } = event
    const space = /^space\.([^./]+)/.exec(actor)?.[1]
    const fields = { node, actor, ...(space === undefined ? {} : { space }) }
    this.emit(eventLine(atMs, 'actor', `${node}: actor ${actor} ${failureText(event)}`, fields))
  }

  private onRecorded(line: EventLine): void {
    if (this.isNew(line)) this.emit(line)
  }

  /** False for a line known already, from the same node or from another one. */
  private isNew({ id = '', at }: EventLine): boolean {
    const atMs = Date.parse(at)
    const times = this.emittedAtMs.get(id) ?? []
    if (times.some((time) => Math.abs(time - atMs) <= sameWithinMs)) return false
    this.emittedAtMs.set(id, [...times, atMs].slice(-timesMax))
    const [oldest] = this.emittedAtMs.keys()
    if (this.emittedAtMs.size > emittedMax && oldest !== undefined) this.emittedAtMs.delete(oldest)
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

/** The line of a recorded event. */
export function lineOf(event: RecordedEvent): EventLine {
  const { kind, text, atMs = event.atMs, ...fields } = sentenceOf(event)
  return eventLine(atMs, kind, text, { id: idOf(event), ...fields })
}

/** Id of an event, the same for all nodes that recorded it. A peer can go and return repeatedly. */
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

/** Makes a line, without control characters, which could control a terminal. */
export function eventLine(
  atMs: number,
  kind: EventKind,
  text: string,
  fields: Omit<EventLine, 'at' | 'kind' | 'text'>,
): EventLine {
  return { at: isoTime(atMs), kind, text: text.replaceAll(/\p{Cc}+/gu, ' '), ...fields }
}

/** Order of lines with the same time: causes before effects. */
function rank({ kind, state }: EventLine): number {
  if (kind === 'promotion') return state === 'promoting' ? 2 : 3
  return { node: 0, actor: 1, epoch: 4, handover: 4 }[kind as string] ?? 5
}

/**
 * Sorts lines of several nodes by time. Each line is held briefly, since earlier ones may still
 * arrive. `due` returns those whose time is up. The order is as exact as the nodes' clocks.
 */
export class InOrder {
  private held: { readonly line: EventLine; readonly sinceMs: number }[] = []

  constructor(private readonly holdMs = 200) {}

  add(line: EventLine, nowMs: number): void {
    this.held.push({ line, sinceMs: nowMs })
  }

  /** Returns the lines that are due. With Infinity: all. */
  due(nowMs: number): EventLine[] {
    // Lines before one that is due are due as well.
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
      return `gave up, and ${event.to ?? 'the node'} handles it: ${event.error}`
  }
}

function nameOf(state: StateValue | null): string {
  return state === null ? '' : topState(state)
}

function because(reason: string | null): string {
  return reason === null ? '' : `: ${reason}`
}

/** `vacancy: noResponders` in words. Other reasons are returned as they are. */
function candidacyText(reason: string | null): string | null {
  const vacancy = reason?.replace(/^vacancy: /, '')
  return vacancies.includes(vacancy as Vacancy) ? vacancyText(vacancy as Vacancy, null) : reason
}

function given(reason: string | null): { reason?: string } {
  return reason === null ? {} : { reason }
}
