/** What is known of the cluster, as frames; no I/O, so that a simulator tells the same. */
import type { RecordedEvent } from '../../../machines/protocol/events.js'
import type { EventLine } from '../../inspect/eventLine.js'
import { InspectionSnapshot } from '../../inspect/snapshot.js'
import type { Envelope } from '../../inspect/schema.js'
import { EventText, InOrder } from '../../inspect/eventText.js'
import { mergeStatus } from '../../status/mergeStatus.js'
import type { NodeStatusReport } from '../../status/status.js'
import type { BrokerFrame, Frame, HistoryFrame, InspectionFrame, StatusFrame } from '../protocol.js'
import { FlowRates } from './flow.js'

export interface FrameFeedOptions {
  readonly wallMs: () => number
  readonly monotonicMs: () => number
  readonly emit: (frame: Frame) => void
}

/** Rates are of the time since they were told last, and that is at least so long. ms */
const flowEveryMs = 900

/** Lines of what nodes have noted that a new reader gets: some 300 bytes each. */
const historyMax = 1_000

/** Of the last envelope of a node: what its present state is numbered with. */
interface Head {
  readonly stream: string
  readonly number: number
  readonly heardAtMs: number
}

/** Takes what nodes say, and tells it; `present()` is for who comes later. */
export class FrameFeed {
  private readonly snapshot = new InspectionSnapshot()
  private readonly heads = new Map<string, Head>()
  private readonly order = new InOrder()
  private readonly story: EventText
  private readonly flows = new FlowRates()
  private flowsAtMs = -Infinity
  /** In order of time. */
  private readonly kept: EventLine[] = []
  private status: StatusFrame | null = null
  private broker: BrokerFrame | null = null

  constructor(private readonly options: FrameFeedOptions) {
    this.story = new EventText({
      emit: (line) => {
        if (line.id !== undefined) this.keep([line])
        this.order.add(line, options.monotonicMs())
      },
    })
  }

  /** False: the present state of that node is not known, and should be asked for. */
  onEnvelope(envelope: Envelope): boolean {
    const { node, stream, number, present } = envelope
    const isKnown = present !== null || number === 1 || this.snapshot.nodes.has(node)
    this.snapshot.apply(envelope)
    this.heads.set(node, { stream, number, heardAtMs: this.options.monotonicMs() })
    this.story.onEnvelope(envelope)
    // The charts are told once, by themselves, and not as the machines' configurations; noted
    // events go through the story.
    const events = envelope.events.filter(({ type }) => type !== 'chart' && type !== 'recorded')
    if (events.length > 0 || present !== null) {
      this.emit({ kind: 'inspection', atMs: this.now(), envelope: { ...envelope, events } })
    }
    return isKnown
  }

  /** What a node has kept of the time before. */
  onPast(events: readonly RecordedEvent[]): void {
    const lines = this.story.onPast(events)
    if (lines.length === 0) return
    this.keep(lines)
    this.emit({ kind: 'history', atMs: this.now(), lines })
  }

  /** Of one look at all nodes. */
  onReports(reports: readonly NodeStatusReport[]): void {
    const atMs = this.now()
    const status = reports.length === 0 ? null : mergeStatus(reports)
    this.status = { kind: 'status', atMs, status }
    this.emit(this.status)
    const nowMs = this.options.monotonicMs()
    if (nowMs - this.flowsAtMs < flowEveryMs) return
    this.flowsAtMs = nowMs
    for (const flow of this.flows.take(reports)) this.emit({ kind: 'flow', atMs, ...flow })
  }

  /** Told by who did it, and not by a node. */
  onFault(line: EventLine): void {
    this.order.add(line, this.options.monotonicMs())
  }

  onBroker(state: BrokerFrame['state'], reason: string): void {
    if (this.broker?.state === state && this.broker.reason === reason) return
    this.broker = { kind: 'broker', atMs: this.now(), state, reason }
    this.emit(this.broker)
  }

  /** Nodes of which nothing was heard for so long are no longer shown with what ran on them. */
  dropSilent(silentMs: number): void {
    const nowMs = this.options.monotonicMs()
    for (const [node, { heardAtMs }] of this.heads) {
      if (nowMs - heardAtMs > silentMs) this.dropNode(node)
    }
  }

  /** Its process has ended. */
  dropNode(node: string): void {
    const gone = this.keyFrame(node, false)
    this.snapshot.drop(node)
    this.heads.delete(node)
    if (gone !== null) this.emit(gone)
  }

  /** Lines of the story wait for a moment, since those of another node may come before them. */
  flushLines(all = false): void {
    for (const line of this.order.due(all ? Infinity : this.options.monotonicMs())) {
      this.emit({ kind: 'story', atMs: this.now(), line })
    }
  }

  /** Everything that a new reader needs. */
  present(): Frame[] {
    const actors = [...this.snapshot.nodes.keys()].flatMap((node) => this.keyFrame(node) ?? [])
    const history: HistoryFrame | null = this.kept.length === 0 ? null
      : { kind: 'history', atMs: this.now(), lines: [...this.kept] }
    // With the time of now: a reader takes its first frame for the beginning of what it knows.
    const broker = this.broker && { ...this.broker, atMs: this.now() }
    return [broker, history, ...actors, this.status].filter((frame) => frame !== null)
  }

  /** Most lines are the latest ones so far. */
  private keep(lines: readonly EventLine[]): void {
    for (const line of lines) {
      const before = this.kept.findLastIndex(({ at }) => at <= line.at)
      this.kept.splice(before + 1, 0, line)
    }
    this.kept.splice(0, Math.max(0, this.kept.length - historyMax))
  }

  private keyFrame(node: string, withActors = true): InspectionFrame | null {
    const shown = this.snapshot.nodes.get(node)
    const head = this.heads.get(node)
    if (shown === undefined || head === undefined) return null
    const { stream, number } = head
    return {
      kind: 'inspection', atMs: this.now(),
      envelope: {
        version: 1, node, incarnation: shown.incarnation, stream, number, dropped: 0,
        present: { part: 1, parts: 1 }, events: withActors ? [...shown.actors.values()] : [],
      },
    }
  }

  private emit(frame: Frame): void {
    this.options.emit(frame)
  }

  private now(): number {
    return this.options.wallMs()
  }
}
