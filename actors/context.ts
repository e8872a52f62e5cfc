import type { MergeRule } from '../machines/merge.js'
import type { NodeId } from '../machines/protocol.js'
import type { Answers } from './answers.js'
import type { Budget } from './budget.js'
import type { CommitFloors } from './commitFloors.js'
import type { Duty } from './duty.js'
import type { GroupCommit } from './groupCommit.js'
import type { Identity } from './identity.js'
import type { ActorHost } from './hosting.js'
import type { Peers } from './peers.js'
import type {
  Bus, ClientCodec, Clock, ControlCodec, EventRecorder, FrameCodec, Journal, Logger, OpenArbiter,
  Random, SalvageFiles, Store, Telemetry,
} from './ports.js'
import type { Records } from './records.js'
import type { ActorSettings } from './settings.js'
import type { Wire } from './wire.js'
import type { WorkLanes } from './workLanes.js'

/** Every way to the outside, as handed to a node. */
export interface NodePorts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly telemetry: Telemetry
  readonly events: EventRecorder
  readonly bus: Bus
  readonly openArbiter: OpenArbiter
  readonly journal: Journal
  readonly store: Store
  readonly salvages: SalvageFiles
  readonly frames: FrameCodec
  readonly clients: ClientCodec
  readonly control: ControlCodec
  readonly host: ActorHost
  /** Of spaces that do not go by the default rule. */
  readonly mergeRules?: Readonly<Record<string, MergeRule>>
}

/** Who this node is, for the whole of this start. */
export interface NodeIdentityInput {
  readonly node: NodeId
  /** Set by Identity: when it is known, and when the directory is a copy of the past. */
  disk: string
  /** Number of this start; set with the disk. */
  incarnation: number
  readonly pid: number
  readonly hostname: string
  http: string | null
  readonly data: string
  readonly version: string
}

/** What the parts of one node share. */
export interface NodeContext {
  readonly ports: NodePorts
  readonly settings: ActorSettings
  readonly self: NodeIdentityInput
  readonly wire: Wire
  readonly peers: Peers
  readonly records: Records
  readonly identity: Identity
  readonly commits: GroupCommit
  readonly floors: CommitFloors
  readonly answers: Answers
  readonly lanes: WorkLanes
  readonly duty: Duty
  readonly budget: Budget
  /** Ends the node: something happened after which it must not go on. */
  readonly fatal: (error: unknown) => void
}
