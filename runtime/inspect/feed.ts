import type { ActorRefLike, AnyActorRef } from 'xstate'
import type { Clock, TimerHandle } from '../../actors/ports/system.js'
import type { ActorHostRuntime, HostEvent, InspectionObserver,
  InspectionSource } from '../host/index.js'
import { countEvent, InspectedActors, isSame } from './actors.js'
import type { Inspected, Snapshot } from './actors.js'
import { packed } from './packing.js'
import type { NodeRecorder } from './recorder.js'
import { inspectionVersion } from './schema.js'
import type { InspectionStreamEvent } from './schema.js'
import type { Traffic } from './traffic.js'
import { noteTaken, takenOf } from './transitions.js'
import { troubleEvent } from './trouble.js'

export interface FeedOptions {
  readonly node: string
  readonly incarnation: () => number
  readonly clock: Clock
  readonly host: Pick<ActorHostRuntime, 'inspect' | 'report'>
  readonly traffic: Traffic
  readonly events: Pick<NodeRecorder, 'listen'>
  /** True if texts in contexts are shown. */
  readonly payloads: boolean
}

/**
 * Takes one envelope as JSON. If `dropped` (as in the envelope) is not 0, the listener needs
 * `present()` to be correct again. Must neither throw nor block.
 */
export type FeedListener = (envelope: string, dropped: number) => void

/** Interval of batches with changes of state, ms. */
const flushMs = 50
/** Flushes between two reports of counts: every half second. */
const flushesPerCount = 10
/** Events per flush (40,000 a second). Further ones are dropped and counted. */
const pendingMax = 2_000
/** Events that may wait while thousands of actors are presented, about a second. */
const pendingWhilePresentingMax = 20_000
const sliceMs = 2
/** Actors whose counts are reported at a time. The others wait for their turn. */
const countedActorsMax = 200

/**
 * The inspection stream of one node, in one edition. It observes the actor host while there are
 * listeners. Per event it only notes a change of state, or counts. Everything else, including JSON,
 * is done per batch.
 */
export class Feed {
  private readonly listeners = new Set<FeedListener>()
  private actors: InspectedActors
  private pending: InspectionStreamEvent[] = []
  private pendingMaxNow = pendingMax
  /** Actors with counts that are not reported yet. */
  private counted = new Set<Inspected>()
  private sentCharts = new Set<string>()
  private timer: TimerHandle | null = null
  private flushes = 0
  private number = 0
  private dropped = 0
  private streams = 0
  private parents = new Map<string, string | null>()
  /** The present state while it is put together, and its receivers. */
  private presentation: Generator<undefined, void> | null = null
  private awaiting: ((envelope: string) => void)[] = []
  private end: () => void = () => undefined

  /** Number of events dropped so far. */
  droppedTotal = 0

  constructor(private readonly options: FeedOptions) {
    this.actors = this.noActors()
  }

  get isOn(): boolean {
    return this.listeners.size > 0
  }

  /**
   * Adds a listener. The first one starts the observation, and the end of the last one ends it.
   * A listener that needs the present state calls `present`.
   */
  listen(listener: FeedListener): () => void {
    if (!this.isOn) this.begin()
    this.listeners.add(listener)
    return () => {
      if (this.listeners.delete(listener) && !this.isOn) this.cease()
    }
  }

  /** The present state of all actors, in envelopes with the number of the last one sent. */
  present(): string[] {
    const envelopes: string[] = []
    this.flush()
    const all = this.presented(() => [(envelope) => void envelopes.push(envelope)])
    while (!all.next().done) continue
    return envelopes
  }

  /** The same in slices, for thousands of actors. Later events are sent after it. */
  presentTo(take: (envelope: string) => void): void {
    this.awaiting.push(take)
    if (this.presentation === null) this.beginPresent()
  }

  private beginPresent(): void {
    this.flush()
    this.presentation = this.presented(() => this.awaiting.splice(0))
    this.pendingMaxNow = pendingWhilePresentingMax
    this.goOn()
  }

  private readonly goOn = (): void => {
    const { clock } = this.options
    const endMs = clock.monotonicMs() + sliceMs
    while (this.presentation !== null) {
      if (this.presentation.next().done) {
        this.presentation = null
        this.flush()
        // Some asked after the first envelope had been sent.
        if (this.awaiting.length > 0) this.beginPresent()
        return
      }
      if (clock.monotonicMs() >= endMs) return clock.nextTurn(this.goOn)
    }
  }

  private *presented(
    takersNow: () => readonly ((envelope: string) => void)[],
  ): Generator<undefined, void> {
    const atMs = this.options.clock.wallMs()
    const events: string[] = []
    const charts = new Set<string>()
    for (const inspected of this.actors) {
      if (inspected.snapshot === null) continue
      const { chart } = inspected
      if (chart !== null && !charts.has(chart)) {
        charts.add(chart)
        events.push(JSON.stringify(this.chartEvent(chart)))
      }
      events.push(JSON.stringify(this.actors.actorEvent(inspected, atMs)))
      yield
    }
    const parts = packed(events)
    const takers = takersNow()
    for (const [index, part] of parts.entries()) {
      const present = { part: index + 1, parts: parts.length }
      const envelope = this.envelope(part, this.number, 0, present)
      for (const take of takers) take(envelope)
      yield
    }
  }

  private begin(): void {
    const { host, traffic, clock, events } = this.options
    this.streams += 1
    this.number = 0
    this.flushes = 0
    this.sentCharts = new Set()
    this.actors = this.noActors()
    this.parents = new Map(host.report().actors.map(({ id, parent }) => [id, parent]))
    const endTraffic = traffic.observe()
    const endInspection = host.inspect(this.observe)
    const endEvents = events.listen((event) =>
      this.add({ type: 'recorded', atMs: event.atMs, event })
    )
    // Existing actors are reported by `present()`.
    this.pending = []
    this.counted.clear()
    this.end = () => {
      endTraffic()
      endInspection()
      endEvents()
    }
    this.timer = clock.setTimeout(this.tick, flushMs)
  }

  private cease(): void {
    this.end()
    if (this.timer !== null) this.options.clock.clearTimeout(this.timer)
    this.timer = null
    this.presentation = null
    this.awaiting = []
    this.pending = []
    this.pendingMaxNow = pendingMax
    this.counted.clear()
    this.actors = this.noActors()
  }

  private noActors(): InspectedActors {
    return new InspectedActors(
      this.options.payloads,
      (actor) => this.parents.get(actor) ?? null,
      (path) => this.forget(path, 'stopped'),
    )
  }

  private readonly observe: InspectionObserver = (event, source) => {
    switch (event.type) {
      case '@xstate.snapshot': {
        const inspected = this.actors.of(event.actorRef, source.actor)
        const snapshot = event.snapshot as Snapshot
        const isKnown = inspected.isAhead && inspected.snapshot === snapshot
        inspected.isAhead = false
        if (isKnown || inspected.isOver) return
        this.onSnapshot(inspected, snapshot, event.event.type)
        return
      }
      case '@xstate.actor':
        this.actors.of(event.actorRef, source.actor)
        return
      case '@xstate.microstep': {
        const inspected = this.actors.of(event.actorRef, source.actor)
        inspected.cause ??= event.event.type
        noteTaken(inspected.taken, event._transitions)
        return
      }
      case '@xstate.event':
        // A child of a chart starts, and may itself spawn actors.
        if (event.event.type === 'xstate.init')
          this.catchUp(this.chartAbove(event.actorRef, source))
        return
      case '@xstate.action':
      case '@xstate.transition':
        // The snapshot that follows has the result.
        return
      default:
        this.onHostEvent(event, source)
    }
  }

  private onSnapshot(inspected: Inspected, snapshot: Snapshot, event: string): void {
    const { snapshot: before, taken } = inspected
    inspected.snapshot = snapshot
    inspected.cause = null
    if (taken.length > 0) inspected.taken = []
    if (before === null) {
      this.addChart(inspected.chart)
      return this.add(this.actors.actorEvent(inspected, this.now()))
    }
    if (before.status === snapshot.status && isSame(before.value, snapshot.value)) {
      countEvent(inspected.counts, event)
      this.counted.add(inspected)
      if (before.children !== snapshot.children) this.forgetOrphans(inspected)
      return
    }
    this.add({
      type: 'transition',
      actor: inspected.path,
      atMs: this.now(),
      from: before.value ?? null,
      event,
      ...this.actors.stateOf(inspected),
      taken: taken.map(takenOf),
    })
    this.forgetOrphans(inspected)
  }

  private forgetOrphans(parent: Inspected): void {
    for (const orphan of this.actors.orphans(parent)) this.forget(orphan, 'stopped')
  }

  private chartAbove(ref: ActorRefLike, { actor }: InspectionSource): Inspected | undefined {
    const { parent } = this.actors.of(ref, actor)
    return (ref as AnyActorRef)._parent === undefined ? undefined : this.actors.at(parent ?? '')
  }

  /**
   * Reports the transition by which an actor ends, or begins another one. XState sends the snapshot
   * only after everything that follows from it.
   */
  private catchUp(inspected: Inspected | undefined): void {
    if (inspected === undefined) return
    const snapshot = inspected.ref.getSnapshot() as Snapshot
    // With an error there was no transition.
    if (snapshot === inspected.snapshot || snapshot.status === 'error') return
    this.onSnapshot(inspected, snapshot, inspected.cause ?? 'engram.exit')
    inspected.isAhead = true
  }

  private onHostEvent(event: HostEvent, { actor }: InspectionSource): void {
    switch (event.type) {
      case 'engram.spawn':
        this.catchUp(this.actors.at(event.parent ?? ''))
        this.parents.set(actor, event.parent)
        return
      case 'engram.exit':
        this.catchUp(this.actors.at(actor))
        this.parents.delete(actor)
        return this.forget(actor, event.kind)
      case 'engram.restart':
        this.catchUp(this.actors.at(actor))
        this.forget(actor, null)
        break
      default:
    }
    this.add(troubleEvent(event, actor, this.now()))
  }

  /** `kind` null: the actor itself begins a new life, and only what was below it ends. */
  private forget(path: string, kind: 'done' | 'stopped' | 'failed' | null): void {
    for (const inspected of this.actors.forget(path)) {
      const { path: actor, chart } = inspected
      this.counted.delete(inspected)
      const own = actor === path ? kind : 'stopped'
      if (own === null) continue
      this.add({ type: 'exit', actor, atMs: this.now(), kind: own, chart })
    }
  }

  private addChart(chart: string | null): void {
    if (chart === null || this.sentCharts.has(chart)) return
    this.sentCharts.add(chart)
    this.add(this.chartEvent(chart))
  }

  private chartEvent(chart: string): InspectionStreamEvent {
    return { type: 'chart', chart, definition: this.actors.definition(chart) ?? '{}' }
  }

  private add(event: InspectionStreamEvent): void {
    if (this.pending.length < this.pendingMaxNow) {
      this.pending.push(event)
      return
    }
    this.dropped += 1
    this.droppedTotal += 1
  }

  private now(): number {
    return this.options.clock.wallMs()
  }

  private readonly tick = (): void => {
    this.timer = this.options.clock.setTimeout(this.tick, flushMs)
    this.flushes += 1
    if (this.flushes % flushesPerCount === 0) this.addCounts()
    this.flush()
  }

  private addCounts(): void {
    const atMs = this.now()
    let added = 0
    for (const inspected of this.counted) {
      if (added === countedActorsMax) break
      added += 1
      this.counted.delete(inspected)
      const counts = Object.fromEntries(inspected.counts)
      inspected.counts.clear()
      this.add({
        type: 'progress',
        actor: inspected.path,
        atMs,
        counts,
        ...this.actors.stateOf(inspected),
      })
    }
    for (const count of this.options.traffic.take()) {
      this.add({ type: 'messages', atMs, ...count })
    }
  }

  private flush(): void {
    if (this.presentation !== null) return
    if (this.pending.length === 0 && this.dropped === 0) return
    const parts = packed(this.pending.slice(0, pendingMax).map((event) => JSON.stringify(event)))
    // Events that waited for a presentation take several flushes.
    this.pending = this.pending.slice(pendingMax)
    if (this.pending.length === 0) this.pendingMaxNow = pendingMax
    for (const part of parts) {
      this.number += 1
      const { dropped } = this
      this.dropped = 0
      const envelope = this.envelope(part, this.number, dropped, null)
      for (const listener of this.listeners) listener(envelope, dropped)
    }
  }

  private envelope(
    events: string,
    number: number,
    dropped: number,
    present: { part: number; parts: number } | null,
  ): string {
    const { node, incarnation } = this.options
    const head = JSON.stringify({
      version: inspectionVersion,
      node,
      incarnation: incarnation(),
      stream: `${incarnation()}.${this.streams}`,
      number,
      dropped,
      present,
    })
    return `${head.slice(0, -1)},"events":[${events}]}`
  }
}
