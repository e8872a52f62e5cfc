import type { AssignmentStore } from '../arbiter/assignmentStore.js'
import type { CommitFloors } from '../log/commitFloors.js'
import type { GroupCommit } from '../log/groupCommit.js'
import type { Heartbeats } from '../membership/heartbeats.js'
import type { Answers } from '../messaging/answers.js'
import type { NodeConnection } from '../messaging/connection.js'
import type { WorkLanes } from '../messaging/workLanes.js'
import type { NodeIdentityInput, NodePorts, Registration } from '../ports/node.js'
import type { ActorSettings } from '../ports/defaultSettings.js'
import type { Budget } from '../structures/budget.js'
import type { Turns } from '../structures/turns.js'
import type { Duty } from './duty.js'
import type { InstallPins } from './installPins.js'
import type { StoreLoading } from './rebuild.js'

/** Services and state that the parts of one node share. */
export interface NodeContext {
  readonly ports: NodePorts
  readonly settings: ActorSettings
  readonly self: NodeIdentityInput
  readonly wire: NodeConnection
  readonly peers: Heartbeats
  readonly records: AssignmentStore
  readonly identity: Registration
  readonly commits: GroupCommit
  readonly floors: CommitFloors
  readonly loads: StoreLoading
  readonly pins: InstallPins
  readonly answers: Answers
  readonly lanes: WorkLanes
  readonly duty: Duty
  /** Spaces of which this node, as their primary, replaces a member by itself. */
  readonly replacing: Turns<string>
  /** Spaces that it hands over to their preferred primary, and those of which it moves a member. */
  readonly balancing: Turns<string>
  readonly moving: Turns<string>
  readonly budget: Budget
  /** Ends the node after an error after which it must not go on. */
  readonly fatal: (error: unknown) => void
}
