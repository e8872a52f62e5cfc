/** Types of the replica's chart. */
import type { NodeId, Position } from '../base/ids.js'
import type { ProtocolTimes } from './defaultTimes.js'
import type { InstallOffer } from './installMessages.js'

export interface ReplicaInput {
  readonly space: string
  readonly self: NodeId
  readonly times: ProtocolTimes
  /** Joins requested before: their answers may still be on the way. */
  readonly joins: number
}

export interface ReplicaContext extends Omit<ReplicaInput, 'joins'> {
  primary: NodeId | null
  /** Epoch that is followed, or was last. */
  epoch: number
  session: number
  joins: number
  common: Position
  /** Durable sequence here, and the end of the primary's log as last received. */
  durable: number
  primaryEnd: number
  /** How this member is to be installed, as the join was answered. */
  install: InstallOffer | null
  /** Member that the checkpoint comes from, and what of it is here. */
  source: NodeId | null
  doneBytes: number
  totalBytes: number
  /** The record of the switch was handed to the journal: nothing stops it any more. */
  isSwitching: boolean
  lastReason: string
}

export type ReplicaEvent =
  | { type: 'primarySeen'; primary: NodeId; epoch: number }
  | {
    type: 'joined'
    number: number
    session: number
    common: Position
    primaryEnd: number
    isFork: boolean
    snapshotNeeded: boolean
    install: InstallOffer | null
  }
  | { type: 'joinFailed'; number: number; reason: string }
  | { type: 'forkTruncated' }
  | { type: 'truncationFailed'; reason: string }
  | { type: 'forkSalvaged' }
  | { type: 'salvageFailed'; reason: string }
  | { type: 'checkpointOpened'; source: NodeId; position: Position; totalBytes: number }
  | { type: 'noSource'; reason: string }
  | { type: 'pulled' }
  | { type: 'sourceLost'; reason: string }
  | { type: 'verified' }
  | { type: 'unusable'; reason: string }
  /** The primary agrees to the switch. */
  | { type: 'switchAllowed' }
  | { type: 'switched'; position: Position }
  | { type: 'switchRefused'; reason: string }
  | { type: 'installMeasured'; doneBytes: number; totalBytes: number }
  | { type: 'measured'; durable: number; primaryEnd: number }
  | { type: 'gapFound'; position: Position; reason: string }
  | { type: 'sessionLost'; reason: string }
  | { type: 'primaryLost'; reason: string }

export type ReplicaEffect =
  | { type: 'join'; primary: NodeId; epoch: number; number: number }
  | { type: 'truncate'; common: Position; epoch: number; session: number }
  | { type: 'follow'; primary: NodeId; epoch: number; session: number; common: Position }
  | { type: 'leave' }
  | { type: 'salvage'; primary: NodeId; epoch: number; session: number; offer: InstallOffer }
  /** Repeated until there is one, or this member leaves the session. */
  | { type: 'openCheckpoint' }
  | { type: 'pull' }
  | { type: 'load' }
  /** Ask the primary whether the loaded state may be switched to. */
  | { type: 'askToSwitch' }
  | { type: 'switch' }
  | { type: 'nack'; position: Position; reason: string }
  | { type: 'progressed'; state: string; reason: string }
