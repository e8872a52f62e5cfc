import type { NodeId } from '../../machines/base/ids.js'
import type { MergeRule } from '../../machines/forks/merge.js'
import type { ActorHost } from '../host/actorHost.js'
import type { OpenArbiter } from './arbiter.js'
import type { Bus } from './bus.js'
import type { Checkpoints } from './checkpoints.js'
import type { ClientCodec } from './clientApi.js'
import type { ControlCodec } from './controlCodec.js'
import type { FrameCodec } from './frames.js'
import type { Journal, SalvageFiles } from './journal.js'
import type { Store } from './store.js'
import type { Clock, EventRecorder, Logger, Random, Telemetry } from './system.js'

/** The ports of a node: all its access to the outside. */
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
  readonly checkpoints: Checkpoints
  readonly frames: FrameCodec
  readonly clients: ClientCodec
  readonly control: ControlCodec
  readonly host: ActorHost
  /** Rules of spaces that do not use the default rule. */
  readonly mergeRules?: Readonly<Record<string, MergeRule>>
}

/** The process of a node. */
export interface NodeProcessInput {
  readonly node: NodeId
  readonly pid: number
  readonly hostname: string
  readonly data: string
  readonly version: string
  /** Failure domain, such as a rack; null: none was given. */
  readonly zone: string | null
}

/** Identity of this node for the whole of this start. */
export interface NodeIdentityInput extends NodeProcessInput {
  /** Set by NodeRegistration: at first, and again if the directory turns out to be an old copy. */
  disk: string
  /** Number of this start; set with the disk. */
  incarnation: number
  http: string | null
}

/** Whether the arbiter knows this start of the node, and a notice about its directory. */
export interface Registration {
  readonly isRegistered: boolean
  readonly notice: string | null
}
