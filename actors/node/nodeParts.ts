import type { NodeId } from '../../machines/base/ids.js'
import { stackOf } from '../../machines/base/thrown.js'
import { InvariantViolation } from '../../machines/log/invariants.js'
import { AssignmentStore } from '../arbiter/assignmentStore.js'
import { StoreLoads } from '../checkpoints/storeLoads.js'
import { CommitFloors } from '../log/commitFloors.js'
import { GroupCommit } from '../log/groupCommit.js'
import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import { Duty } from '../member/duty.js'
import { InstallPins } from '../member/installPins.js'
import { Heartbeats } from '../membership/heartbeats.js'
import { Answers } from '../messaging/answers.js'
import { NodeConnection } from '../messaging/connection.js'
import { workLanes } from '../messaging/workLanes.js'
import { SyncFailedError } from '../ports/journal.js'
import type { NodeIdentityInput, NodePorts } from '../ports/node.js'
import type { ActorSettings } from '../ports/defaultSettings.js'
import type { SpaceActor } from '../space/space.js'
import { Budget } from '../structures/budget.js'
import { Turns } from '../structures/turns.js'
import { MemoryWatch } from './memoryWatch.js'
import type { NodeRegistration } from './nodeRegistration.js'

/** Functions of a node that its parts call. */
export interface NodeCalls {
  readonly spaces: () => Iterable<SpaceActor>
  /** Something is known of the peer that may end epochs. */
  readonly evidence: (peer: NodeId) => void
  readonly isHeld: (space: string) => boolean
  /** A peer's heartbeat renewed its grant. */
  readonly grantsRenewed: () => void
  /** Once per heartbeat interval. */
  readonly tick: () => void
  /** Nodes to check at every heartbeat. */
  readonly watched: () => Set<NodeId>
  readonly syncFailed: (error: string) => void
  /** Called when a journal that took no records takes them again. */
  readonly healed: () => void
  readonly hasRoom: (bytes: number) => Promise<boolean>
  readonly fatal: (error: unknown) => void
  /** Answers to clients go to subjects below these. */
  readonly replyPrefixes: readonly string[]
}

/** Members that the primaries of one node replace by themselves at a time. */
const replacingMax = 8
/** Primaries that one node hands over for balance at a time, and members that it moves. */
const balancingMax = 1
const movingMax = 2

/** The parts that the spaces of one node share, on a recovered data directory. */
export function contextOf(
  ports: NodePorts,
  settings: ActorSettings,
  self: NodeIdentityInput,
  registration: NodeRegistration,
  calls: NodeCalls,
): NodeContext {
  const { clock, random, control, store, logger } = ports
  const commits = commitsOf(ports, settings, calls)
  const duty = new Duty(self.node, () => commits.isFull)
  const wire = new NodeConnection(self.incarnation, logger, calls.fatal)
  const answers = new Answers({ ...calls, ...ports, wire })
  const peers = new Heartbeats({
    ports,
    settings,
    self,
    wire,
    answers,
    onGrants: calls.grantsRenewed,
    onEvidence: calls.evidence,
    onTick: () => {
      registration.tick()
      memory.tick()
      calls.tick()
    },
    onOwnName: (incarnation) => registration.heardOwnName(incarnation),
    isRegistered: () => registration.isRegistered,
    watched: calls.watched,
    duty,
  })
  const records = new AssignmentStore({
    clock,
    random,
    control,
    store,
    logger,
    isHeld: calls.isHeld,
    onBucketLost: (space, reason) => sendAlert(context, space, 'arbiterLost', {}, reason),
  })
  const lanes = workLanes(clock, settings, wire, (error) => {
    if (error instanceof InvariantViolation) return calls.fatal(error)
    logger.error({ error: stackOf(error) }, 'a request could not be served')
  })
  const budget = new Budget(settings.memoryBytes)
  const memory = new MemoryWatch(budget, lanes, ports)
  const context: NodeContext = {
    ports,
    settings,
    self,
    wire,
    peers,
    records,
    commits,
    duty,
    identity: registration,
    answers,
    lanes,
    budget,
    floors: new CommitFloors(clock, commits),
    loads: new StoreLoads(() => context),
    pins: new InstallPins(),
    replacing: new Turns(replacingMax),
    balancing: new Turns(balancingMax),
    moving: new Turns(movingMax),
    fatal: calls.fatal,
  }
  return context
}

function commitsOf(
  { journal, clock, logger, telemetry }: NodePorts,
  settings: ActorSettings,
  calls: NodeCalls,
): GroupCommit {
  const { flushBytesMax, idleConfirmMs } = settings
  const report = (fault: string | null): void => {
    if (fault === null) calls.healed()
    for (const space of calls.spaces()) space.journalFault(fault)
  }
  return new GroupCommit({
    journal,
    clock,
    logger,
    telemetry,
    flushBytesMax,
    idleConfirmMs,
    // Any other error at the end of a flush is a bug, not a disk fault.
    onSyncFailed: (error) => (error instanceof SyncFailedError
      ? calls.syncFailed(String(error))
      : calls.fatal(error)),
    onFull: (error) => report(error.message),
    onHealed: () => report(null),
    hasRoom: calls.hasRoom,
  })
}
