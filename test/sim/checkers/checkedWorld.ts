/** The part of a run's world that the checkers see, and what they know of each other. */
import type { Position } from '../../../machines/base/ids.js'
import type { Assignment } from '../../../machines/protocol/messages.js'
import type { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'
import type { Plan } from '../plan.js'
import type { Entries } from './entries.js'

export interface CheckedWorld {
  readonly plan: Plan
  readonly cluster: SimCluster
  readonly now: number
  readonly transcript: { note(atMs: number, text: string): void } | null
  readonly checks: CheckerKnowledge
  violate(invariant: string, details: string): void
}

export interface CheckerKnowledge {
  readonly entries: Entries
  readonly record: RecordKnowledge
  readonly logs: DiskKnowledge
  /** Counts something rare: a checker that never sees it proves nothing. */
  saw(what: string, times?: number): void
}

/** The arbiter's record, as far as other checkers depend on it. */
export interface RecordKnowledge {
  /** null: the arbiter has none. */
  readonly current: Assignment | null
  readonly epochSinceMs: number
  readonly hasForced: boolean
  readonly hasLostBucket: boolean
  readonly mayLoseCommitted: boolean
  isExempt(epoch: number, later: number): boolean
  tailCut(): void
  /** A member in sync that has not got that entry; null: none, or entries may be lost. */
  inSyncLacking(position: Position): string | null
  appliedUpTo(node: SimNode, position: Position): void
  safeUpTo(node: SimNode, position: Position): void
  /** The node removes its data. */
  removing(node: SimNode): void
  mustBeCommitted(node: SimNode, position: Position): void
}

/** The disks of the nodes, by node name. */
export interface DiskKnowledge {
  lookAtAll(): void
  diskOf(name: string): string
  /** By epoch: the entry that its first one continues. */
  readonly begins: ReadonlyMap<number, Position>
  /** Names of nodes on whose disks a bit was flipped. */
  readonly disksFlipped: ReadonlySet<string>
  holds(name: string, position: Position): boolean
}
