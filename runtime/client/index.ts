/** The client alone: neither the store nor the actor host is loaded with it. */
export { connect, EngramClient } from './client.js'
export type {
  ClientOptions, QueryValue, ReadOptions, ReadResult, WriteOptions,
} from './client.js'
export type { ListQuery } from './pages.js'
export {
  AdminError, ConnectError, EngramError, NotSafeError, ReadError, WriteOutcomeUnknownError,
  WriteRefusedError,
} from './errors.js'
export { DeniedError } from './denials.js'
export { connectReasons } from '../bus/faults.js'
export type { ConnectReason } from '../bus/faults.js'
export type { ResendRefused, Resent } from './spaceOutbox.js'
export type { Unsafe } from './outbox.js'
export type { AdminAnswer, AdminRequest, SpaceListing } from './operator.js'
export type { NatsOptions, TlsOptions } from '../bus/natsOptions.js'
export type {
  ClusterMember, ClusterNode, ClusterSpace, ClusterStatus, LossWindow, MemberRole, MemberStatus,
  NodeStatus, NodeStatusReport, PeerStatus, ReplicaLag,
} from '../status/status.js'
export type { ErrorCode, HistoryValue, Query, WriteAnswer } from '../../actors/ports/clientApi.js'
export type { LogEntry } from '../../machines/log/entries.js'
export type { Json, MemoryEdge, MemoryNode, Operation } from '../../machines/graph/graph.js'
export type { Position } from '../../machines/base/ids.js'
export type { AckLevel } from '../../machines/protocol/messages.js'
