/** Turns what is known of the cluster into frames. No I/O, so that the simulator uses it too. */
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

/** Minimum interval between rate samples, ms. */
const flowEveryMs = 900

/** Past lines that a new reader gets, about 300 bytes each. */
const historyMax = 1_000

/** Stream and number of a node's last envelope, which its present state carries. */
interface Head {
  readonly stream: string
  readonly number: number
  readonly heardAtMs: number
}

/** Takes reports of nodes and emits frames. `present()` serves readers that connect later. */
export class FrameFeed {
  private readonly snapshot = new InspectionSnapshot()
  private readonly heads = new Map<string, Head>()
  private readonly order = new InOrder()
  private readonly lines: EventText
  private readonly flows = new FlowRates()
  private flowsAtMs = -Infinity
  /** Past lines in order of time. */
  private readonly kept: EventLine[] = []
  private status: StatusFrame | null = null
  private broker: BrokerFrame | null = null

  constructor(private readonly options: FrameFeedOptions) {
    this.lines = new EventText({
      emit: (line) => {
        if (line.id !== undefined) this.keep([line])
        this.order.add(line, options.monotonicMs())
      },
    })
  }

  /** Returns false if the node's present state is not known and should be requested. */
  onEnvelope(envelope: Envelope): boolean {
    const { node, stream, number, present } = envelope
    const isKnown = present !== null || number === 1 || this.snapshot.nodes.has(node)
    this.snapshot.apply(envelope)
    this.heads.set(node, { stream, number, heardAtMs: this.options.monotonicMs() })
    this.lines.onEnvelope(envelope)
    // Charts are sent once, as a frame of their own. Recorded events are sent as lines.
    const events = envelope.events.filter(({ type }) => type !== 'chart' && type !== 'recorded')
    if (events.length > 0 || present !== null) {
      this.emit({ kind: 'inspection', atMs: this.now(), envelope: { ...envelope, events } })
    }
    return isKnown
  }

  /** Takes past events that a node has kept. */
  onPast(events: readonly RecordedEvent[]): void {
    const lines = this.lines.onPast(events)
    if (lines.length === 0) return
    this.keep(lines)
    this.emit({ kind: 'history', atMs: this.now(), lines })
  }

  /** Takes the reports of one poll of all nodes. */
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

  /** Takes a line about an injected fault, which no node reports. */
  onFault(line: EventLine): void {
    this.order.add(line, this.options.monotonicMs())
  }

  onBroker(state: BrokerFrame['state'], reason: string): void {
    if (this.broker?.state === state && this.broker.reason === reason) return
    this.broker = { kind: 'broker', atMs: this.now(), state, reason }
    this.emit(this.broker)
  }

  /** Drops the actors of nodes that have been silent for this time. */
  dropSilent(silentMs: number): void {
    const nowMs = this.options.monotonicMs()
    for (const [node, { heardAtMs }] of this.heads) {
      if (nowMs - heardAtMs > silentMs) this.dropNode(node)
    }
  }

  /** Drops the actors of a node whose process has ended. */
  dropNode(node: string): void {
    const gone = this.keyFrame(node, false)
    this.snapshot.drop(node)
    this.heads.delete(node)
    if (gone !== null) this.emit(gone)
  }

  /** Emits lines that are due. They wait briefly, since earlier ones of other nodes may follow. */
  flushLines(all = false): void {
    for (const line of this.order.due(all ? Infinity : this.options.monotonicMs())) {
      this.emit({ kind: 'story', atMs: this.now(), line })
    }
  }

  /** Frames that a new reader needs. */
  present(): Frame[] {
    const actors = [...this.snapshot.nodes.keys()].flatMap((node) => this.keyFrame(node) ?? [])
    const history: HistoryFrame | null = this.kept.length === 0
      ? null
      : { kind: 'history', atMs: this.now(), lines: [...this.kept] }
    // With the present time, since a reader's recording begins with its first frame.
    const broker = this.broker && { ...this.broker, atMs: this.now() }
    return [broker, history, ...actors, this.status].filter((frame) => frame !== null)
  }

  /** Inserts lines in order. Most are the latest so far. */
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
      kind: 'inspection',
      atMs: this.now(),
      envelope: {
        version: 1,
        node,
        incarnation: shown.incarnation,
        stream,
        number,
        dropped: 0,
        present: { part: 1, parts: 1 },
        events: withActors ? [...shown.actors.values()] : [],
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
