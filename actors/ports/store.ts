/** The state that results from the log. */

import type { Position } from '../../machines/base/ids.js'
import type { EdgePlace } from '../../machines/graph/edgePlace.js'
import type { KeyRetention, MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { KeyRecord, LogEntry } from '../../machines/log/entries.js'
import type { ForkReport, OriginRecord, QuarantineItem,
  Version } from '../../machines/log/forkNotes.js'
import type { AssignmentAt } from '../../machines/protocol/messages.js'

export type EdgeDirection = 'out' | 'in' | 'both'

export interface GraphReader {
  node(id: string): MemoryNode | undefined
  /**
   * Outgoing by target and kind, then incoming by source and kind, after the given place. For both
   * directions, loops are among the outgoing only. Read lazily; iterate within one turn.
   */
  edges(
    nodeId: string,
    direction: EdgeDirection,
    after?: EdgePlace | null,
  ): Iterable<MemoryEdge>
  /** By id order (UTF-8 bytes), after the given id. Read lazily; iterate within one turn. */
  nodes(after: string): Iterable<MemoryNode>
}

/** The present versions of a node's parts; undefined if there is none. */
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

/** Versions of the present state, and the writes of forks that were reconciled. */
export interface VersionReader {
  nodeState(id: string): NodeState
  edgeState(source: string, target: string, kind: string): EdgeState | undefined
  /** Outcome of the write that was logged first there, if it was reconciled. */
  origin(epoch: number, sequence: number): OriginRecord | undefined
}

/**
 * Fork reports and quarantine of a space (machines/log/forkNotes.ts), as of the last applied entry.
 */
export interface ForkReader {
  /** By epoch: all that are open, and the latest `closedReportsMax` of the others. */
  reports(): readonly ForkReport[]
  /** Number of open reports; usually 0. O(1). */
  readonly openReportCount: number
  readonly quarantineCount: number
  /**
   * Ordered by epoch and sequence, after the given id ('' for the first). Read lazily; iterate
   * within one turn.
   */
  quarantine(after: string): Iterable<QuarantineItem>
  quarantined(id: string): QuarantineItem | undefined
}

/** All that a space's header record says: with the records, the whole state at `position`. */
export interface SpaceState {
  readonly position: Position
  /** Sum of the hashes of nodes, edges, reports and items in quarantine, as in `digest`. */
  readonly digest: string
  readonly nodes: number
  readonly edges: number
  readonly ignored: number
  /** Idempotency keys, and rests of those whose request was split over two calls. */
  readonly keys: number
  /** Keys of earlier entries are forgotten. */
  readonly keysFrom: number
  /** Time by which keys age (machines/log/keyClock.ts). */
  readonly keysNow: number
  /** Time of the last entry; 0: not known. */
  readonly timestamp: number
  readonly openReports: number
  readonly quarantined: number
  /** Origins under epochs without a report. */
  readonly strays: number
  /** Forgotten reports whose origins are not removed yet. */
  readonly forgotten: number
}

/** A consistent state of a space, until it is closed; later writes do not show in it. */
export interface SpaceImage {
  readonly state: SpaceState
  /** Bytes that the store's file has grown by since it was taken; 0 once it is closed. */
  readonly grownBytes: number
  /**
   * The next records as bytes (runtime/store/imageRecords.ts), up to 512 and 128 KiB or one larger
   * record, in the order of table and key; none at the end. One slice of work of the event loop.
   * Each record is checked, and at the end their sum and counts: throws StoreDamagedError. Throws
   * ImageClosedError after a close, also that of the store.
   */
  next(): Uint8Array
  /** To be called in any case: an open image keeps the store's file from using pages again. */
  close(): void
}

/** The image was closed, or its store was. The state has to be read anew. */
export class ImageClosedError extends Error {
  readonly code = 'IMAGE_CLOSED'
  readonly retryable = true
  constructor() {
    super('the image of the space was closed before it was read: take a new one')
    this.name = 'ImageClosedError'
  }
}

/** Records, and about their bytes, that a state is loaded by at a time. */
export const stageRecordsMax = 512
export const stageBytesMax = 1024 * 1024

/** The committed graph of one space. Reads are synchronous and see the last applied entries. */
export interface SpaceStore extends GraphReader, VersionReader, ForkReader {
  readonly applied: Position
  /** Order-independent digest of the graph: equal at equal applied sequences. */
  readonly digest: string
  readonly nodeCount: number
  readonly edgeCount: number
  /** Activations for nodes that do not exist: logged, no effect, the same on every member. */
  readonly ignoredCount: number
  /** Complete once all keys are read. */
  key(key: string): KeyRecord | undefined
  /** After a start the earlier keys are read into memory, a slice of time in each turn. */
  readonly areKeysRead: boolean
  /** Resolves when they are. Rejects when the store cannot be read. */
  keysRead(): Promise<void>
  /**
   * Takes entries that continue `applied` exactly, in one transaction with graph, keys and
   * position. Forgets keys beyond the retention (default: `defaultKeyRetention`), soon if not at
   * once.
   */
  apply(entries: readonly LogEntry[], keys?: KeyRetention): Promise<void>
  /** The state at exactly that position, or null: the store is at another one, or it closes. */
  image(at: Position): SpaceImage | null
  /** How often this copy of the space was replaced as a whole, as its last `adopt` said. */
  readonly installs: number
}

/** Records that do not make the state they are said to make. The space is as before. */
export class RecordsDamagedError extends Error {
  readonly code = 'RECORDS_DAMAGED'
  readonly retryable = false
  constructor(reason: string) {
    super(`these records do not make the state of the space, which stays as it is: ${reason}`)
    this.name = 'RecordsDamagedError'
  }
}

/** The stage was discarded, or its store was closed. The state has to be loaded anew. */
export class StageDiscardedError extends Error {
  readonly code = 'STAGE_DISCARDED'
  readonly retryable = false
  constructor() {
    super('this load of the space was given up: begin a new one')
    this.name = 'StageDiscardedError'
  }
}

/**
 * A state that is loaded beside the present one, which is read and written meanwhile. One call at a
 * time. A write that fails has no effect, and the same call may be repeated.
 */
export interface Stage {
  readonly uuid: string
  readonly state: SpaceState
  /** Records that were put. */
  readonly records: number
  /**
   * Takes the next records of an image, in its order, at most `stageRecordsMax`, in one
   * transaction. Each is checked by itself: RecordsDamagedError. The bytes must not be written to
   * until it has resolved. StageDiscardedError.
   */
  put(records: Uint8Array): Promise<void>
  /** Checks digest and counts: whether all was put. RecordsDamagedError, StageDiscardedError. */
  check(): Promise<void>
  /**
   * Checks digest and counts; then the space has this state, by one transaction. Calls of `apply`
   * that were made before are carried out before. Objects of the space stay valid; its keys are
   * read anew (`keysRead`). RecordsDamagedError: what was put is not that state.
   * StageDiscardedError. Asserts I15.
   */
  adopt(installs: number): Promise<void>
  /** Gives it up: what was put is removed in the background. Does nothing after an `adopt`. */
  discard(): void
}

/** A space's record as this node saw it last, and the bucket that held it. */
export interface RememberedRecord extends AssignmentAt {
  readonly bucket: string
}

/** A log that cannot be trusted, until it is replaced by another one. */
export interface DamageMark {
  readonly reason: string
  /** How often the log had been replaced by then: a mark of an earlier one is void. */
  readonly installs: number
}

export interface Store {
  /** Opens the space's part, and makes it if it does not exist. */
  space(uuid: string): SpaceStore
  /**
   * Begins to load a state of the space. One of the same space that was begun before is discarded;
   * after a restart nothing is left of it.
   */
  stage(uuid: string, state: SpaceState): Stage
  /** Whether anything of the space is here, a mark of damage included. */
  has(uuid: string): boolean
  /**
   * Forgets the space, by one transaction: opened again, it is empty. Its records are removed in
   * the background, after a restart as well. What `space` returned before must not be used.
   */
  drop(uuid: string): Promise<void>
  /** The last assignment this node saw of each space, over restarts. */
  remember(space: string, seen: RememberedRecord): Promise<void>
  remembered(): Map<string, RememberedRecord>
  /**
   * Marks a log that can never be trusted again; the first reason stays. Durable when it resolves.
   */
  markDamaged(uuid: string, mark: DamageMark): Promise<void>
  /** Why the space's log was marked as damaged, or null. */
  markedDamaged(uuid: string): DamageMark | null
  /** The log was replaced. Durable when it resolves. */
  unmarkDamaged(uuid: string): Promise<void>
  /** Memory of the index of keys, bytes. */
  readonly keyBytes: number
  /** Bytes of the file that nothing uses, as of now. Cheap. */
  readonly freeBytes: number
  close(): Promise<void>
}
