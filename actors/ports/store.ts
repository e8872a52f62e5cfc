/** The state that the log leads to. */

import type { Position } from '../../machines/base/ids.js'
import type { EdgePlace } from '../../machines/graph/edgePlace.js'
import type { KeyRetention, MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { KeyRecord, LogEntry } from '../../machines/log/entries.js'
import type {
  ForkReport, OriginRecord, QuarantineItem, Version,
} from '../../machines/log/forkNotes.js'
import type { AssignmentAt } from '../../machines/protocol/messages.js'

export type EdgeDirection = 'out' | 'in' | 'both'

export interface GraphReader {
  node(id: string): MemoryNode | undefined
  /**
   * Outgoing by target and kind, then incoming by source and kind, after the given place; of both
   * directions, loops among the outgoing only. Read as they are taken, within one turn.
   */
  edges(
    nodeId: string, direction: EdgeDirection, after?: EdgePlace | null,
  ): Iterable<MemoryEdge>
  /** By id order (UTF-8 bytes), after the given id. Read as they are taken, within one turn. */
  nodes(after: string): Iterable<MemoryNode>
}

/** What stands at a node: undefined where nothing does. */
export interface NodeState {
  readonly node: MemoryNode | undefined
  /** The last StoreNode. */
  readonly stored: Version | undefined
  /** The last UpdateActivation since then, if any. */
  readonly activated: Version | undefined
}

export interface EdgeState {
  readonly edge: MemoryEdge
  readonly version: Version
}

/** Who made each thing what it is, and which writes of forks have come. */
export interface VersionReader {
  nodeState(id: string): NodeState
  edgeState(source: string, target: string, kind: string): EdgeState | undefined
  /** What became of the write that was logged first there, if it has come. */
  origin(epoch: number, sequence: number): OriginRecord | undefined
}

/** The books of a space (machines/log/forkNotes.ts), as of the last applied entry. */
export interface ForkReader {
  /** By epoch: all that are open, and the latest `closedReportsMax` of the others. */
  reports(): readonly ForkReport[]
  /** Of those, the open ones: 0 as a rule, and cheap to ask. */
  readonly openReportCount: number
  readonly quarantineCount: number
  /**
   * In the order of epoch and sequence, after the given id ('' for the first). Read as they are
   * taken, within one turn.
   */
  quarantine(after: string): Iterable<QuarantineItem>
  quarantined(id: string): QuarantineItem | undefined
}

/** The committed graph of one space. Reads are synchronous and see the last applied entries. */
export interface SpaceStore extends GraphReader, VersionReader, ForkReader {
  readonly applied: Position
  /** Order-independent digest of the graph: equal at equal applied sequences. */
  readonly digest: string
  readonly nodeCount: number
  readonly edgeCount: number
  /** Activations for nodes that do not exist: logged, no effect, the same on every member. */
  readonly ignoredCount: number
  /** Once all keys are read. */
  key(key: string): KeyRecord | undefined
  /** After a start the keys of before are read into memory, a slice of time in a turn. */
  readonly areKeysRead: boolean
  /** Resolves when they are. Rejects when the store cannot be read. */
  keysRead(): Promise<void>
  /**
   * Entries that continue `applied` exactly; graph, keys, position: one transaction. Forgets keys
   * beyond the retention (default: `defaultKeyRetention`), soon if not at once.
   */
  apply(entries: readonly LogEntry[], keys?: KeyRetention): Promise<void>
}

/** A space's record as this node saw it last, and in which bucket. */
export interface RememberedRecord extends AssignmentAt {
  readonly bucket: string
}

export interface Store {
  /** Opens the space's part, making it when absent. */
  space(uuid: string): SpaceStore
  /** The last assignment this node saw of each space, over restarts. */
  remember(space: string, seen: RememberedRecord): Promise<void>
  remembered(): Map<string, RememberedRecord>
  /** Its log cannot be trusted, for the disk's life; the first reason stays. Durable at the end. */
  markDamaged(uuid: string, reason: string): Promise<void>
  /** Why the space's log was condemned, or null. */
  markedDamaged(uuid: string): string | null
  /** Memory of what it knows of keys, bytes. */
  readonly keyBytes: number
  close(): Promise<void>
}
