/**
 * What a page's server tells the page: a stream of frames. A recording is the same frames, one as
 * JSON per line, so that the page draws what is and what was from one thing. Types only: the page
 * imports them too.
 *
 * | request | answer |
 * |---|---|
 * | `GET /api/stream` | server-sent events named `frame`; the first is `start` |
 * | `POST /api/orders` | a PageCommand as JSON → CommandAnswer; only with `--playground` |
 *
 * A reader passes over frames of a kind, and over fields, that it does not know.
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

/** What a page begins with, and a recording. */
export interface StartFrame extends At {
  readonly kind: 'start'
  readonly format: typeof recordingFormat
  /** Release that serves the page. */
  readonly version: string
  /** `engram up`, one node, a simulator. */
  readonly source: 'up' | 'node' | 'simulator'
  /** The node that serves the page; null otherwise. */
  readonly node: string | null
  /** Orders are taken (`--playground`). */
  readonly playground: boolean
  /** Contents of memories are in the stream (`--inspect-payloads`). */
  readonly payloads: boolean
  readonly thresholds: { readonly lagAlertMs: number; readonly lagAlertBytes: number }
  readonly times: { readonly heartbeatMs: number; readonly grantMs: number }
}

/** All charts that run here, read from the machines themselves; by chart id. */
export interface ChartsFrame extends At {
  readonly kind: 'charts'
  readonly charts: Readonly<Record<string, Chart>>
}

/**
 * What a node's inspection stream says, without its `chart` events. `present` in it is a key frame
 * of that node's actors; one without an event says that none of them is there any more: the node
 * has died, or is not heard.
 */
export interface InspectionFrame extends At {
  readonly kind: 'inspection'
  readonly envelope: Envelope
}

/** Twice a second. null: nobody answered. */
export interface StatusFrame extends At {
  readonly kind: 'status'
  readonly status: ClusterStatus | null
}

/** Each second, for each space with traffic, and once more with zeros when it has ended. */
export interface FlowFrame extends At {
  readonly kind: 'flow'
  readonly space: string
  readonly node: string
  /** Entries that became durable at the primary, per second. */
  readonly writesPerSecond: number
  /**
   * First write of a batch taken, to its durable answer, counted once per write of the batch: an
   * upper bound, at most 19 % above (buckets). Of the last second; null without a write.
   */
  readonly ackMs: { readonly p50: number; readonly p99: number } | null
}

/** A sentence of `engram events`. */
export interface StoryFrame extends At {
  readonly kind: 'story'
  readonly line: EventLine
}

/**
 * What happened before, as nodes have kept it: first, and again when a node answers that has more.
 * Each line has an `id`; one that is known already, from here or from a story, adds nothing.
 */
export interface HistoryFrame extends At {
  readonly kind: 'history'
  readonly lines: readonly EventLine[]
}

/** The connection of the page's server to NATS. */
export interface BrokerFrame extends At {
  readonly kind: 'broker'
  readonly state: 'connected' | 'disconnected'
  readonly reason: string
}

/**
 * An order of the playground that was carried out, so that recordings show what was done. Without
 * `--inspect-payloads` the content of a write is told by its length.
 */
export interface OrderFrame extends At {
  readonly kind: 'order'
  readonly order: PageCommand
  readonly answer: CommandAnswer
}

/**
 * The reader was too slow, and this many frames were left out for it alone; the present state of
 * all nodes follows. In a recording: nothing is known of that time.
 */
export interface GapFrame extends At {
  readonly kind: 'gap'
  readonly frames: number
}

export type Frame =
  | StartFrame | ChartsFrame | InspectionFrame | StatusFrame | FlowFrame | StoryFrame
  | HistoryFrame | BrokerFrame | OrderFrame | GapFrame

/** What the playground may ask for. */
export type PageCommand =
  | {
    readonly type: 'write'; readonly space: string; readonly id: string; readonly content: string
  }
  /** A writer of the server; 0 stops it. At most 1,000 a second. */
  | { readonly type: 'steady'; readonly space: string; readonly perSecond: number }
  | { readonly type: 'killActor'; readonly node: string; readonly actor: string }
  /** SIGKILL; it stays down until `startNode`. Only where `engram up` owns the nodes. */
  | { readonly type: 'killNode'; readonly node: string }
  | { readonly type: 'startNode'; readonly node: string }
  /** SIGSTOP, and SIGCONT after `forMs`. */
  | { readonly type: 'pauseNode'; readonly node: string; readonly forMs: number }
  | { readonly type: 'handOver'; readonly space: string; readonly to: string | null }

export type CommandAnswer =
  | { readonly ok: true; readonly message: string }
  /** Why not, and what to do. */
  | { readonly ok: false; readonly message: string }
