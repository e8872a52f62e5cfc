import type { NodeId } from '../../machines/base/ids.js'
import type { MergeRule } from '../../machines/forks/merge.js'
import type { ActorHost } from '../host/actorHost.js'
import type { OpenArbiter } from './arbiter.js'
import type { Bus } from './bus.js'
import type { ClientCodec } from './clientApi.js'
import type { ControlCodec } from './controlCodec.js'
import type { FrameCodec } from './frames.js'
import type { Journal, SalvageFiles } from './journal.js'
import type { Store } from './store.js'
import type { Clock, EventRecorder, Logger, Random, Telemetry } from './system.js'

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

/** Whether the arbiter knows this start of the node, and what to say of its directory. */
export interface Registration {
  readonly isRegistered: boolean
  readonly notice: string | null
}
