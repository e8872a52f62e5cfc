/** Public API of the package. */
export { connect, EngramClient } from './client/client.js'
export type {
  ClientOptions, QueryValue, ReadOptions, ReadResult, WriteOptions,
} from './client/client.js'
export type { ListQuery } from './client/pages.js'
export {
  AdminError, ConnectError, EngramError, NotSafeError, ReadError, WriteOutcomeUnknownError,
  WriteRefusedError,
} from './client/errors.js'
export { DeniedError } from './client/denials.js'
export { connectReasons } from './bus/faults.js'
export type { ConnectReason } from './bus/faults.js'
export type { ResendRefused, Resent } from './client/spaceOutbox.js'
export type { Unsafe } from './client/outbox.js'
export type { AdminAnswer, AdminRequest, SpaceListing } from './client/operator.js'
export type { NatsOptions, TlsOptions } from './bus/natsOptions.js'
export { checkConfig, ConfigError, defaultConfig, options } from './config/options.js'
export type { Config, ConfigFault, OptionName } from './config/options.js'
export type {
  ClusterMember, ClusterNode, ClusterSpace, ClusterStatus, LossWindow, MemberRole, MemberStatus,
  NodeStatus, NodeStatusReport, PeerStatus, ReplicaLag,
} from './status/status.js'
export type { ErrorCode, HistoryValue, Query, WriteAnswer } from '../actors/ports/clientApi.js'
export type { LogEntry } from '../machines/log/entries.js'
export type { Json, MemoryEdge, MemoryNode, Operation } from '../machines/graph/graph.js'
export { defaultRule } from '../machines/forks/merge.js'
export type { Contender, MergeRule } from '../machines/forks/merge.js'
export type { Position } from '../machines/base/ids.js'
export type { AckLevel } from '../machines/protocol/messages.js'
export {
  ActorFailedError, ActorKilledError, createActorHost, MailboxOverflowError,
} from './host/index.js'
export type {
  ActorHostOptions, ActorHostRuntime, HostEvent, InspectionObserver, InspectionSource,
} from './host/index.js'
export type {
  ActorExit, ActorHost, ActorSpec, HostedActor, MailboxPolicy, Supervision,
} from '../actors/host/actorHost.js'
