/**
 * A run as frames of a page (runtime/page/protocol.ts): `npm run sim -- --seed 42 --recording FILE`
 * writes them, and the page opens the file. The charts, the story and the key frames are made by
 * the code that serves a running cluster; only the times are virtual.
 */
import { defaultSettings } from '../../actors/ports/defaultSettings.js'
import type { ActorHostRuntime } from '../../runtime/host/index.js'
import { Feed } from '../../runtime/inspect/feed.js'
import type { NodeRecorder } from '../../runtime/inspect/recorder.js'
import { readEnvelope } from '../../runtime/inspect/schema.js'
import { eventLine } from '../../runtime/inspect/eventText.js'
import { Traffic } from '../../runtime/inspect/traffic.js'
import { Report } from '../../runtime/node/report.js'
import { chartsFrame, startFrame } from '../../runtime/page/server/hub.js'
import { FrameFeed } from '../../runtime/page/server/frameFeed.js'
import type { NodeStatusReport } from '../../runtime/status/status.js'
import type { VirtualClock } from '../fakes/virtualClock.js'
import type { SimNode } from '../support/simNode.js'

const statusEveryMs = 500
const storyEveryMs = 50

/** The recorder of one life of a node. */
interface Watched {
  readonly node: SimNode
  readonly feed: Feed
  readonly traffic: Traffic
  readonly startedAtMs: number
  readonly end: () => void
}

export class Recording {
  /** One frame as JSON each. */
  readonly lines: string[] = []
  private readonly frames: FrameFeed
  private readonly watched = new Map<string, Watched>()
  /** The feed says when a timer was set, and XState notes that by `Date.now()`. */
  private readonly dateNow = Date.now

  /** Until `finish()`, `Date.now()` is the time of the simulation. */
  constructor(private readonly clock: VirtualClock) {
    Date.now = () => clock.wallMs()
    const { lagAlertMs, lagAlertBytes, heartbeatMs, grantMs } = defaultSettings
    this.frames = new FrameFeed({
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      emit: (frame) => this.lines.push(JSON.stringify(frame)),
    })
    const atMs = clock.wallMs()
    for (const frame of [startFrame({
      source: 'simulator',
      node: null,
      playground: false,
      payloads: false,
      thresholds: { lagAlertMs, lagAlertBytes },
      times: { heartbeatMs, grantMs },
    }, atMs), chartsFrame(atMs)]) this.lines.push(JSON.stringify(frame))
    this.frames.onBroker('connected', 'the broker of the simulator')
    this.every(statusEveryMs, () => this.frames.onReports(this.reports()))
    this.every(storyEveryMs, () => this.frames.flushLines())
  }

  /** A life begins. */
  starting(node: SimNode, host: ActorHostRuntime, events: NodeRecorder): void {
    const traffic = new Traffic()
    const feed = new Feed({
      node: node.id,
      clock: this.clock,
      host,
      traffic,
      events,
      payloads: false,
      incarnation: () => node.life?.actor.context?.wire.life.incarnation ?? 0,
    })
    const end = feed.listen((text) => {
      const envelope = readEnvelope(text)
      if (typeof envelope === 'string') throw new Error(envelope)
      this.frames.onEnvelope(envelope)
    })
    const startedAtMs = this.clock.monotonicMs()
    this.watched.set(node.id, { node, feed, traffic, startedAtMs, end })
  }

  /** A life is over: its last events are sent first. */
  ended(node: SimNode): void {
    const watched = this.watched.get(node.id)
    watched?.feed.present()
    watched?.end()
    this.watched.delete(node.id)
    this.frames.dropNode(node.id)
  }

  published(node: SimNode, subject: string, data: Uint8Array): void {
    this.watched.get(node.id)?.traffic.note(subject, data.length)
  }

  /** Something that was done to the cluster. */
  note(text: string): void {
    this.frames.onFault(eventLine(this.clock.wallMs(), 'fault', text, {}))
  }

  /** Sends, at the end of the run, what still waits. */
  finish(): void {
    for (const { feed } of this.watched.values()) feed.present()
    this.frames.onReports(this.reports())
    this.frames.flushLines(true)
    Date.now = this.dateNow
  }

  private every(ms: number, run: () => void): void {
    this.clock.setTimeout(() => {
      run()
      this.every(ms, run)
    }, ms)
  }

  /** Reports of nodes that would answer: they run, and are connected. */
  private reports(): NodeStatusReport[] {
    return [...this.watched.values()].flatMap(({ node, startedAtMs }) => {
      const { life } = node
      if (life === null || life.clock.isFrozen || (life.connection?.isClosed ?? true)) return []
      const report = new Report({
        actor: () => life.actor,
        id: node.id,
        data: '/data',
        version: '0',
        startedAtMs,
        http: () => null,
        nowMs: () => life.clock.monotonicMs(),
      })
      const spaces = [...life.actor.spaces.values()].map((space) => report.member(space))
      return [{ ...report.head(), node: { ...report.node(), pid: life.number }, spaces }]
    })
  }
}
