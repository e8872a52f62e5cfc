/**
 * The stream of frames from a page's server to the page. A recording has the same frames, one JSON
 * per line, so that the page draws present and past from one source. Types only, since the page
 * imports them.
 *
 * | request | answer |
 * |---|---|
 * | `GET /api/stream` | server-sent events named `frame`; the first is `start` |
 * | `POST /api/orders` | a PageCommand as JSON → CommandAnswer; only with `--playground` |
 *
 * A reader ignores kinds of frames, and fields, that it does not know.
 */
import type { Chart } from '../charts/chart.js'
import type { EventLine } from '../inspect/eventLine.js'
import type { Envelope } from '../inspect/schema.js'
import type { ClusterStatus } from '../status/status.js'

export const recordingFormat = 1

/** `atMs`: wall clock of the server, or virtual time of a simulator, since 1970. */
interface At {
  readonly atMs: number
}

/** First frame of a page and of a recording. */
export interface StartFrame extends At {
  readonly kind: 'start'
  readonly format: typeof recordingFormat
  /** Version of the release that serves the page. */
  readonly version: string
  /** `engram up`, one node, a simulator. */
  readonly source: 'up' | 'node' | 'simulator'
  /** The node that serves the page. null for others. */
  readonly node: string | null
  /** True if commands are accepted (`--playground`). */
  readonly playground: boolean
  /** True if contents of memories are in the stream (`--inspect-payloads`). */
  readonly payloads: boolean
  readonly thresholds: { readonly lagAlertMs: number; readonly lagAlertBytes: number }
  readonly times: { readonly heartbeatMs: number; readonly grantMs: number }
}

/** All charts by id, read from the machines. */
export interface ChartsFrame extends At {
  readonly kind: 'charts'
  readonly charts: Readonly<Record<string, Chart>>
}

/**
 * An envelope of a node's inspection stream, without `chart` events. With `present` it is a key
 * frame of that node's actors. A key frame without events says that the node has died or is not
 * heard.
 */
export interface InspectionFrame extends At {
  readonly kind: 'inspection'
  readonly envelope: Envelope
}

/** Status, twice a second. null if no node answered. */
export interface StatusFrame extends At {
  readonly kind: 'status'
  readonly status: ClusterStatus | null
}

/** Rates of each space with traffic, once a second, and zeros when the traffic has ended. */
export interface FlowFrame extends At {
  readonly kind: 'flow'
  readonly space: string
  readonly node: string
  /** Entries that became durable at the primary, per second. */
  readonly writesPerSecond: number
  /**
   * Time from the first write of a batch to its durable answer, counted for each of its writes, in
   * the last second. An upper bound, at most 19 % too high (buckets). null without a write.
   */
  readonly ackMs: { readonly p50: number; readonly p99: number } | null
}

/** An event line, as `engram events` prints it. */
export interface StoryFrame extends At {
  readonly kind: 'story'
  readonly line: EventLine
}

/**
 * Past events, as nodes have kept them. Sent first, and again when a node has more. Each line has
 * an `id`. A line that is known already, from a history or story frame, adds nothing.
 */
export interface HistoryFrame extends At {
  readonly kind: 'history'
  readonly lines: readonly EventLine[]
}

/** State of the server's connection to NATS. */
export interface BrokerFrame extends At {
  readonly kind: 'broker'
  readonly state: 'connected' | 'disconnected'
  readonly reason: string
}

/**
 * A command of the playground that was performed, so that recordings contain it. Without
 * `--inspect-payloads` the content of a write is replaced by its length.
 */
export interface OrderFrame extends At {
  readonly kind: 'order'
  readonly order: PageCommand
  readonly answer: CommandAnswer
}

/**
 * Number of frames that were dropped because this reader was too slow. The present state of all
 * nodes follows. A recording has no data on that time.
 */
export interface GapFrame extends At {
  readonly kind: 'gap'
  readonly frames: number
}

export type Frame = StartFrame | ChartsFrame | InspectionFrame | StatusFrame | FlowFrame
  | StoryFrame | HistoryFrame | BrokerFrame | OrderFrame | GapFrame

/** Commands of the playground. */
export type PageCommand =
  | {
    readonly type: 'write'
    readonly space: string
    readonly id: string
    readonly content: string
  }
  /** A writer in the server, at most 1,000 writes a second. 0 stops it. */
  | { readonly type: 'steady'; readonly space: string; readonly perSecond: number }
  | { readonly type: 'killActor'; readonly node: string; readonly actor: string }
  /** SIGKILL. The node stays down until `startNode`. Only for nodes that `engram up` owns. */
  | { readonly type: 'killNode'; readonly node: string }
  | { readonly type: 'startNode'; readonly node: string }
  /** SIGSTOP, and SIGCONT after `forMs`. */
  | { readonly type: 'pauseNode'; readonly node: string; readonly forMs: number }
  | { readonly type: 'handOver'; readonly space: string; readonly to: string | null }

export type CommandAnswer =
  | { readonly ok: true; readonly message: string }
  /** Reason and remedy. */
  | { readonly ok: false; readonly message: string }
