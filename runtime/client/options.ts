/** Options and results of the client. */
import type { FateValue, HistoryValue, Query, ReadAnswer } from '../../actors/ports/clientApi.js'
import type { MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { ForkReport, QuarantineItem } from '../../machines/log/forkNotes.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import type { NatsOptions } from '../bus/natsOptions.js'
import type { ResendRefused, Resent } from './spaceOutbox.js'

export interface ClientOptions extends NatsOptions {
  /** Encoding of requests and so of answers. Default json. */
  readonly encoding?: 'json' | 'msgpack'
  /** Time limit of a write or read, all attempts together. Default 10,000. */
  readonly deadlineMs?: number
  /** Reads see at least this client's own writes, wherever they are answered. Default false. */
  readonly readYourWrites?: boolean
  /** Limit of writes and reads in flight; one more is refused. Default 65,536. */
  readonly inFlightMax?: number
  /**
   * Keeps each acknowledged write until it is safe, and sends it again after a failover that left
   * it behind. Default true.
   */
  readonly protect?: boolean
  /**
   * Limit of the bytes of writes that are or may be kept. Beyond it writes use `committed`, and so
   * wait for the replicas. Default 8 MiB.
   */
  readonly unsafeBytesMax?: number
  /** Called when a write that a failover had left behind is in the log again. */
  readonly onResent?: (resent: Resent) => void
  /** Called when a write that a failover left behind is refused for good; it stays unsafe. */
  readonly onResendRefused?: (refused: ResendRefused) => void
}

export interface WriteOptions {
  /** Default: the ack level of the space. */
  readonly ack?: AckLevel
  /** Idempotency key, visible ASCII, at most 256 characters. Default: a new one for each write. */
  readonly key?: string
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

export interface ReadOptions {
  /** `primary` (default): the latest. `any`: the committed state of any member. */
  readonly from?: 'primary' | 'any'
  /** With `any`: a member waits until it has applied this sequence, or refuses. */
  readonly minSequence?: number
  /** With `any`: a member that is further behind refuses. */
  readonly maxStalenessMs?: number
  /** With `primary`: committed state only. */
  readonly committed?: boolean
  readonly readYourWrites?: boolean
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

/** Value of a query: null for a node that does not exist. */
export type QueryValue<Q extends Pick<Query, 'type'>> = Q['type'] extends 'GetNode'
  ? MemoryNode | null
  : Q['type'] extends 'GetEdges' ? MemoryEdge[]
  : Q['type'] extends 'ListNodes' ? MemoryNode[]
  : Q['type'] extends 'GetHistory' ? HistoryValue
  : Q['type'] extends 'GetForks' ? ForkReport[]
  : Q['type'] extends 'GetQuarantine' ? QuarantineItem[]
  : Q['type'] extends 'GetFate' ? FateValue
  : LogEntry[]

export type ReadResult<Q extends Pick<Query, 'type'>> = Omit<ReadAnswer, 'value'> & {
  value: QueryValue<Q>
}
