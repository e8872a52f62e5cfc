import type { Answers } from './answers.js'
import type { Budget } from './budget.js'
import type { CommitFloors } from './commitFloors.js'
import type { Duty } from './duty.js'
import type { GroupCommit } from './groupCommit.js'
import type { NodeIdentityInput, NodePorts, Registration } from './nodePorts.js'
import type { Peers } from './peers.js'
import type { Records } from './records.js'
import type { ActorSettings } from './settings.js'
import type { Wire } from './wire.js'
import type { WorkLanes } from './workLanes.js'

/** What the parts of one node share. */
export interface NodeContext {
  readonly ports: NodePorts
  readonly settings: ActorSettings
  readonly self: NodeIdentityInput
  readonly wire: Wire
  readonly peers: Peers
  readonly records: Records
  readonly identity: Registration
  readonly commits: GroupCommit
  readonly floors: CommitFloors
  readonly answers: Answers
  readonly lanes: WorkLanes
  readonly duty: Duty
  readonly budget: Budget
  /** Ends the node: something happened after which it must not go on. */
  readonly fatal: (error: unknown) => void
}
