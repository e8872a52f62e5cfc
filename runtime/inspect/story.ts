/** What happens in the cluster, in sentences. */
import { z } from 'zod'
import type { Announcement } from '../../machines/protocol.js'
import { topState } from '../../machines/stateName.js'
import type { Envelope, InspectionStreamEvent, StateValue } from './schema.js'

export type ToldKind =
  /** A step of a promotion, with its reason. */
  | 'promotion'
  /** A reign begins or ends; `handover`: it was planned. */
  | 'reign' | 'handover'
  /** A member gives entries up that the reigning primary does not have; what becomes of them. */
  | 'fork'
  | 'inSync' | 'alert'
  /** A node is lost, back, draining, or away from NATS. */
  | 'node'
  /** An actor was killed, restarted, or gave up. */
  | 'actor'
  /** How things stand when the telling begins. */
  | 'situation'
  /** Something was done to the cluster: in the recordings of a simulator. */
  | 'fault'

/** One line of the story; the JSON that `engram events --json` prints. */
export interface Told {
  /** ISO 8601, by the clock of the node that says so. */
  readonly at: string
  readonly kind: ToldKind
  /** A sentence. */
  readonly text: string
  /** Who says it. */
  readonly node?: string
  readonly space?: string
  readonly epoch?: number
  readonly state?: string
  readonly reason?: string
  /** Kind of an alert. */
  readonly alert?: string
  /** The node that is lost or back. */
  readonly peer?: string
  readonly actor?: string
}

export interface StoryOptions {
  readonly tell: (told: Told) => void
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

const alertSchema = z.object({
  kind: z.string(), node: z.string(), message: z.string(), atMs: z.number(),
  epoch: z.number().optional().catch(undefined),
})

/** Alerts that tell of a course of events, rather than call for help. */
const courses: ReadonlyMap<string, { readonly kind: ToldKind; readonly begins: string }> = new Map([
  ['inSyncShrunk', { kind: 'inSync', begins: 'the in-sync set shrinks;' }],
  ['inSyncGrown', { kind: 'inSync', begins: 'the in-sync set grows;' }],
  ['forkReportOpened', { kind: 'fork', begins: 'a fork report is open:' }],
  ['forkReportClosed', { kind: 'fork', begins: 'a fork report is closed:' }],
  ['quarantined', { kind: 'fork', begins: 'writes go to the quarantine:' }],
])

const promotionSteps: Readonly<Record<string, string>> = {
  surveying: 'asks the in-sync members how far they are',
  standingBy: 'stands by for a better candidate',
  awaitingVacancy: 'waits for proof that the reign is over',
  claiming: 'claims the next epoch',
  opening: 'opens its reign',
  confirming: 'confirms its reign at the arbiter',
  won: 'has won',
  stoodDown: 'stands down',
}

/** A transition takes no longer than this, ms. */
const bornWithinMs = 100

/** Of failure detectors: the peer is not, or not yet, counted as lost in any other state. */
const lostStates: ReadonlySet<string> = new Set(['dead', 'left'])

const nodeStates: Readonly<Record<string, string>> = {
  isolated: 'has lost NATS: it gives its reigns up and looks for a way back',
  draining: 'hands its reigns over and stops',
  stopped: 'has stopped',
  failed: 'cannot go on and ends',
}

/**
 * Tells what alerts, announcements and inspection events mean. It keeps who is lost, so that
 * three detectors that notice the same death make one sentence.
 */
export class Story {
  private readonly lost = new Set<string>()
  private readonly epochs = new Map<string, number>()
  /** When a candidate was born, by node and space, until its space says why. */
  private readonly births = new Map<string, number>()

  constructor(private readonly options: StoryOptions) {}

  /** Bytes of `engram.v1.alert.<space>`; what is no alert is passed over. */
  onAlert(space: string, data: Uint8Array): void {
    const alert = alertSchema.safeParse(parse(data))
    if (!alert.success) return
    const { kind, node, message, atMs, epoch } = alert.data
    const course = courses.get(kind)
    const text = course ? `${space}: ${course.begins} ${message}`
      : `ALERT ${kind}: ${space}, says ${node}: ${message}`
    this.tell(atMs, course?.kind ?? 'alert', text,
      { node, space, ...(epoch === undefined ? {} : { epoch }), alert: kind })
  }

  /** @param atMs when it came: announcements carry no time */
  onAnnouncement(announcement: Announcement, atMs: number): void {
    const { kind, assignment, reason } = announcement
    const { space, epoch, primary, inSync, state, writer } = assignment
    if (kind === 'resigned') {
      const isHandover = reason.startsWith('handed over')
      const node = primary?.node ?? writer
      return this.tell(atMs, isHandover ? 'handover' : 'reign',
        `${node} ends its reign over ${space} (epoch ${epoch}): ${reason}`,
        { node, space, epoch, reason })
    }
    // The in-sync changes of a known reign are told by their alerts.
    if (state !== 'open' || primary === null || epoch <= (this.epochs.get(space) ?? 0)) return
    this.epochs.set(space, epoch)
    const { node } = primary
    this.tell(atMs, 'reign',
      `${node} reigns over ${space} in epoch ${epoch}; in sync: ${inSync.join(', ')}`,
      { node, space, epoch, reason })
  }

  onEnvelope({ node, present, events }: Envelope): void {
    for (const event of events) {
      if (present !== null) this.notePresent(event)
      else this.onEvent(node, event)
    }
  }

  private notePresent(event: InspectionStreamEvent): void {
    if (event.type !== 'actor') return
    const peer = peerOf(event.actor)
    if (peer !== null && lostStates.has(nameOf(event.state))) this.lost.add(peer)
  }

  private onEvent(node: string, event: InspectionStreamEvent): void {
    switch (event.type) {
      case 'actor':
      case 'transition': {
        const { actor, atMs, reason } = event
        const from = event.type === 'actor' ? null : nameOf(event.from)
        const change = { node, actor, from, to: nameOf(event.state), reason, atMs }
        this.onChange(change, event.state)
        return
      }
      case 'kill':
      case 'restart':
      case 'escalation':
        return this.onFailure(node, event)
      default:
    }
  }

  // ------------------------------------------------------------------ states

  private onChange(change: Change, state: StateValue | null): void {
    const { actor, from, to } = change
    const space = /^space\.([^./]+)(\.promotion|\.replica)?$/.exec(actor)
    const peer = peerOf(actor)
    if (space !== null && space[2] === undefined) {
      this.onSpace(change, space[1] ?? '', state)
    } else if (from === to) {
      return
    } else if (space?.[2] === '.promotion') {
      this.onPromotion(change, space[1] ?? '')
    } else if (space !== null) {
      this.onReplica(change, space[1] ?? '')
    } else if (peer !== null) {
      this.onDetector(change, peer)
    } else if (actor === 'node') {
      this.onNode(change)
    }
  }

  private onSpace(change: Change, space: string, state: StateValue | null): void {
    const { node, from, to, reason, atMs } = change
    const fields = { node, space, state: to, ...given(reason) }
    if (isHandingOver(state)) {
      this.tell(atMs, 'handover', `${node} begins to hand ${space} over${because(reason)}`, fields)
    } else if (from === to || from === null) {
      return
    } else if (to === 'promoting') {
      // The candidate is born within this transition, and its first step is noted before it.
      const key = `${node} ${space}`
      const bornMs = this.births.get(key) ?? atMs
      this.births.delete(key)
      const isThis = bornMs <= atMs && atMs - bornMs < bornWithinMs
      this.tell(isThis ? bornMs : atMs, 'promotion',
        `${node} stands for ${space}${because(reason)}`, fields)
    } else if (to === 'damaged') {
      this.tell(atMs, 'alert', `${node}: its log of ${space} is damaged${because(reason)}`, fields)
    }
  }

  private onPromotion({ node, from, to, reason, atMs }: Change, space: string): void {
    if (from === null) this.births.set(`${node} ${space}`, atMs)
    // `blocked` is an alert, too, and told as that.
    const step = promotionSteps[to]
    if (step === undefined) return
    const why = to === 'won' ? '' : because(reason?.replace(/^stands by: /, '') ?? null)
    this.tell(atMs, 'promotion', `${node}, candidate for ${space}, ${step}${why}`,
      { node, space, state: to, ...given(reason) })
  }

  private onReplica({ node, to, reason, atMs }: Change, space: string): void {
    if (to !== 'truncating') return
    this.tell(atMs, 'fork', `${node} has entries of ${space} that the primary does not have; `
      + `they go to a salvage file${because(reason)}`,
      { node, space, state: to, ...given(reason) })
  }

  private onDetector({ node, to, reason, atMs }: Change, peer: string): void {
    const fields = { node, peer, state: to, ...given(reason) }
    if (lostStates.has(to) && !this.lost.has(peer)) {
      this.lost.add(peer)
      const how = to === 'left' ? 'has left' : 'is lost'
      this.tell(atMs, 'node', `${peer} ${how}, says ${node}${because(reason)}`, fields)
    } else if (to === 'alive' && this.lost.delete(peer)) {
      this.tell(atMs, 'node', `${peer} is back, says ${node}${because(reason)}`, fields)
    }
  }

  private onNode({ node, from, to, reason, atMs }: Change): void {
    const text = from === 'isolated' && to === 'running'
      ? 'is connected to NATS again' : nodeStates[to]
    if (text === undefined) return
    this.tell(atMs, 'node', `${node} ${text}${because(reason)}`,
      { node, state: to, ...given(reason) })
  }

  private onFailure(node: string, event: Failure): void {
    const { actor, atMs } = event
    const space = /^space\.([^./]+)/.exec(actor)?.[1]
    const fields = { node, actor, ...(space === undefined ? {} : { space }) }
    this.tell(atMs, 'actor', `${node}: actor ${actor} ${failureText(event)}`, fields)
  }

  private tell(
    atMs: number, kind: ToldKind, text: string, fields: Omit<Told, 'at' | 'kind' | 'text'>,
  ): void {
    const { space, tell } = this.options
    if (space !== undefined && fields.space !== undefined && fields.space !== space) return
    tell(told(atMs, kind, text, fields))
  }
}

/** Makes a line; control characters, which a terminal would obey, are left out. */
export function told(
  atMs: number, kind: ToldKind, text: string, fields: Omit<Told, 'at' | 'kind' | 'text'>,
): Told {
  return { at: isoTime(atMs), kind, text: text.replaceAll(/\p{Cc}+/gu, ' '), ...fields }
}

/** Of lines of one millisecond: causes before effects. */
function rank({ kind, state }: Told): number {
  if (kind === 'promotion') return state === 'promoting' ? 2 : 3
  return { node: 0, actor: 1, reign: 4, handover: 4 }[kind as string] ?? 5
}

/**
 * Puts the lines of several nodes in order: each is held for a moment, in which earlier ones may
 * still come. `due` gives those whose moment is over. As good as the nodes' clocks.
 */
export class InOrder {
  private held: { readonly told: Told; readonly sinceMs: number }[] = []

  constructor(private readonly holdMs = 200) {}

  add(told: Told, nowMs: number): void {
    this.held.push({ told, sinceMs: nowMs })
  }

  /** With Infinity: all. */
  due(nowMs: number): Told[] {
    // What comes before a line that is due is due, too.
    const sorted = this.held.toSorted((a, b) =>
      a.told.at < b.told.at ? -1 : a.told.at > b.told.at ? 1 : rank(a.told) - rank(b.told))
    const last = sorted.findLastIndex(({ sinceMs }) => nowMs - sinceMs >= this.holdMs)
    this.held = sorted.slice(last + 1)
    return sorted.slice(0, last + 1).map((line) => line.told)
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

function peerOf(actor: string): string | null {
  return /^detector\.([^./]+)$/.exec(actor)?.[1] ?? null
}

function nameOf(state: StateValue | null): string {
  return state === null ? '' : topState(state)
}

function isHandingOver(state: StateValue | null): boolean {
  return typeof state === 'object' && state?.['primary'] === 'handingOver'
}

function because(reason: string | null): string {
  return reason === null ? '' : `: ${reason}`
}

function given(reason: string | null): { reason?: string } {
  return reason === null ? {} : { reason }
}

function parse(data: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(data).toString('utf8'))
  } catch {
    return null
  }
}
