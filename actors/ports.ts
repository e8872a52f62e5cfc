/**
 * The only ways from actors/ to the outside. Each port has a real implementation in runtime/ and
 * a fake in test/fakes/, and both pass the same contract suite in test/contract/.
 */
import type { ClusterEvent } from '../machines/events.js'
import type { EpochSpan, Position } from '../machines/ids.js'
import type {
  AckLevel, AckMessage, Announcement, Assignment, AssignmentAt, Heartbeat, JoinAnswer,
  NodeIdentity, PingAnswer, PingRequest, PingRequestAnswer, ReconcileAnswer, Reigning,
  SurveyAnswer, SurveyRequest, WalHeader,
} from '../machines/protocol.js'
import type {
  ForkNote, ForkReport, OriginRecord, QuarantineItem, Reconciliation, Version,
} from '../machines/books.js'
import type { EpochStart, KeyRecord, LogEntry } from '../machines/entries.js'
import type { KeyRetention, MemoryEdge, MemoryNode, Operation } from '../machines/memory.js'
import type { EdgePlace } from './edgePlace.js'

// ---------------------------------------------------------------- clock, random, logger

export type TimerHandle = object

export interface Clock {
  /** Wall clock, ms since 1970. May jump. */
  wallMs(): number
  /** Never goes back; stands still while the machine is suspended. Milliseconds, fractional. */
  monotonicMs(): number
  /** Processor time that this process has used, ms, of all its threads. */
  cpuMs(): number
  setTimeout(run: () => void, ms: number): TimerHandle
  clearTimeout(timer: TimerHandle): void
  /** Soon: after the timers that are due, and what the sockets have ready. */
  nextTurn(run: () => void): void
}

export interface Random {
  /** In [0, 1). */
  next(): number
  uuid(): string
}

export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Counters and distributions; called per batch, never per write. */
export interface Telemetry {
  count(name: string, by?: number, labels?: Record<string, string>): void
  observe(name: string, value: number, labels?: Record<string, string>): void
}

/** Keeps the last of what is worth telling later. Neither throws nor blocks. */
export interface EventRecorder {
  note(event: ClusterEvent): void
}

// ---------------------------------------------------------------- file system

export interface FileHandle {
  /** Writes all bytes at `offset` or throws: FileSystemError with code ENOSPC, EIO … */
  write(buffers: readonly Uint8Array[], offset: number): Promise<void>
  /** Returns the number of bytes read: less than asked for only at the end of the file. */
  read(into: Uint8Array, offset: number): Promise<number>
  datasync(): Promise<void>
  truncate(length: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

export interface FileSystem {
  makeDirectory(path: string): Promise<void>
  /** Names in the directory, sorted; empty when it does not exist. */
  list(path: string): Promise<string[]>
  /** `create` fails when the file exists. */
  open(path: string, mode: 'create' | 'readWrite' | 'read'): Promise<FileHandle>
  /** Makes creations, renames and removals within the directory durable. */
  syncDirectory(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
}

export class FileSystemError extends Error {
  constructor(readonly code: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'FileSystemError'
  }
}

// ---------------------------------------------------------------- bus

export interface BusMessage {
  readonly subject: string
  /** A view of the receive buffer: copy before keeping. */
  readonly data: Uint8Array
  readonly reply: string | undefined
  /** Value of a header, or undefined. Parsed only when asked for. */
  header(name: string): string | undefined
  /**
   * Names of the headers as they are written, each as often as it is there; null: the header block
   * is malformed, and what it was meant to say cannot be known.
   */
  headerNames(): readonly string[] | null
}

export interface BusSubscription {
  unsubscribe(): void
}

export interface PublishOptions {
  readonly reply?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Answers to writes; to reads, and whatever else clients ask for. */
export type AsideWay = 'writes' | 'reads'

/** One connection. It never reconnects: a new connection is a new life (section 5). */
export interface BusConnection {
  /** Id of the server this connection is on. */
  readonly serverId: string
  /** Answers to requests of this connection come below it: `_INBOX_node`. */
  readonly inboxPrefix: string
  readonly maxPayload: number
  /**
   * Published, answers to reads among it, and still in this process's memory: the server takes its
   * bytes more slowly.
   */
  readonly bufferedBytes: number
  readonly isClosed: boolean
  /** Resolves with the reason when the connection is gone, for whatever cause. Never rejects. */
  readonly closed: Promise<string>
  /** At most once; throws BusClosedError. The bytes are not to be changed afterwards. */
  publish(subject: string, data: Uint8Array, options?: PublishOptions): void
  /**
   * The same for clients, who may be slow to take it: of each way, what it is held up by is only
   * itself. In order among what goes the same way, once the connection has been used for a while.
   */
  publishAside(subject: string, data: Uint8Array, way: AsideWay): void
  /** The handler runs in order of arrival; what it throws is logged, and never stops others. */
  subscribe(
    subject: string, handler: (message: BusMessage) => void, options?: { queue?: string },
  ): BusSubscription
  /** Rejects with NoRespondersError, RequestTimeoutError, ForbiddenError or BusClosedError. */
  request(
    subject: string, data: Uint8Array,
    options: { timeoutMs: number; headers?: Readonly<Record<string, string>> },
  ): Promise<BusMessage>
  /** Round trip: all that was published before has reached the server. */
  flush(): Promise<void>
  close(): Promise<void>
}

export interface Bus {
  /** Rejects with BusConnectError when no server can be reached or it refuses the credentials. */
  connect(): Promise<BusConnection>
}

export class BusConnectError extends Error {
  readonly code = 'BUS_CONNECT'
  constructor(message: string, readonly retryable: boolean, cause?: unknown) {
    super(message, { cause })
    this.name = 'BusConnectError'
  }
}
export class BusClosedError extends Error {
  readonly code = 'BUS_CLOSED'
  constructor(message = 'the NATS connection is closed') {
    super(message)
    this.name = 'BusClosedError'
  }
}
export class NoRespondersError extends Error {
  readonly code = 'NO_RESPONDERS'
  constructor(subject: string) {
    super(`nobody subscribes to ${subject}`)
    this.name = 'NoRespondersError'
  }
}
export class RequestTimeoutError extends Error {
  readonly code = 'REQUEST_TIMEOUT'
  constructor(subject: string, timeoutMs: number) {
    super(`no answer on ${subject} within ${timeoutMs} ms`)
    this.name = 'RequestTimeoutError'
  }
}

/** The server dropped what was published: nobody got it, and nobody will. */
export class ForbiddenError extends Error {
  readonly code = 'FORBIDDEN'
  constructor(readonly subject: string) {
    super(`these NATS credentials may not publish to ${subject}`)
    this.name = 'ForbiddenError'
  }
}

/** What became of a request says nothing but that no answer came. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof NoRespondersError || error instanceof RequestTimeoutError
    || error instanceof BusClosedError || error instanceof ForbiddenError
}

// ---------------------------------------------------------------- arbiter

export interface ArbiterRecord {
  readonly value: Uint8Array
  /** Grows with every change of any key of the bucket. */
  readonly revision: number
}

/**
 * `refused`: the revision has moved, definitely not applied by this request.
 * `unknown`: no definite answer; it may have been applied, or may still be (section 5).
 * `rejected`: the arbiter says why it does not store this, and will say so again until somebody
 * changes something: it is full, the record too large, a permission is missing. No more definite
 * than `unknown`: an attempt before this one may still arrive, and a leader whose own disk refused
 * what its followers have stored may be succeeded by one of them.
 */
export type CompareAndSetOutcome =
  | { readonly kind: 'applied'; readonly revision: number }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unknown'; readonly reason: string }
  | { readonly kind: 'rejected'; readonly reason: string }

/** A view of the bucket over one bus connection. Linearizable. */
export interface Arbiter {
  /** null: no such key. Rejects with ArbiterUnavailableError. */
  read(key: string): Promise<ArbiterRecord | null>
  /** `revision` 0: the key must not exist. Never rejects. */
  compareAndSet(key: string, value: Uint8Array, revision: number): Promise<CompareAndSetOutcome>
  /** Keys that begin with the prefix. Rejects with ArbiterUnavailableError. */
  keys(prefix: string): Promise<string[]>
  /**
   * Identity of the bucket: changes when it was made anew (then what it held is lost).
   * Makes the bucket when it does not exist. Rejects with ArbiterUnavailableError.
   */
  bucketId(): Promise<string>
  /**
   * What in the configuration of the bucket endangers what it holds, each with its remedy; none
   * as a rule. Rejects with ArbiterUnavailableError.
   */
  faults(): Promise<readonly string[]>
}

export class ArbiterUnavailableError extends Error {
  readonly code = 'ARBITER_UNAVAILABLE'
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'ArbiterUnavailableError'
  }
}

/** Makes the arbiter's view over a fresh connection. */
export type OpenArbiter = (connection: BusConnection) => Arbiter

// ---------------------------------------------------------------- frames and the journal

/** Consecutive entries of one space and one epoch; the same bytes on disk and on the wire. */
export interface Frame {
  readonly bytes: Uint8Array
  readonly kind: 'entries' | 'epochStart'
  readonly uuid: string
  readonly epoch: number
  readonly first: number
  readonly last: number
  /** Epoch of entry first - 1: with it, the previous position that a replica checks. */
  readonly previousEpoch: number
}

/** One request that passed the gate: all or nothing, never split over frames. */
export interface AcceptedRequest {
  readonly operations: readonly (Operation | ForkNote)[]
  /** One per operation: the bytes that go into the log, beginning with an encoding tag. */
  readonly encoded: readonly Uint8Array[]
  readonly key: string | null
  /** One per operation, of a request that was logged under an earlier epoch first. */
  readonly reconciliations?: readonly Reconciliation[]
}

export interface FrameOrigin {
  readonly uuid: string
  readonly epoch: number
  readonly first: number
  readonly previousEpoch: number
  /** Component of the clock that counts these entries: `n1`, or `n1@3`; who numbers them. */
  readonly node: string
  /** Vector clock before the first entry. */
  readonly clock: Readonly<Record<string, number>>
}

/** An open batch. Sealing fixes its place in the log. */
export interface FrameBuilder {
  readonly count: number
  /** Bytes the frame will have; a request that would exceed the limit goes into the next frame. */
  readonly bytes: number
  add(request: AcceptedRequest, timestamp: number): void
  seal(origin: FrameOrigin): Frame
}

export interface FrameCodec {
  builder(): FrameBuilder
  epochStart(origin: FrameOrigin, reign: EpochStart, timestamp: number): Frame
  /** An operation with what became of it, or a note, as `AcceptedRequest.encoded` wants it. */
  encodeEntry(operation: Operation | ForkNote, reconciliation: Reconciliation | null): Uint8Array
  /** Checks everything: magic, version, lengths, checksum. A string is the reason of refusal. */
  parse(bytes: Uint8Array): Frame | string
  /**
   * Decodes the entries of a frame that `parse` has passed, all or those from a sequence on, up to
   * another one. Throws on a defect (a bug).
   */
  entries(frame: Frame, from?: number, to?: number): LogEntry[]
  /** Vector clock after the last entry of the frame. */
  clockAfter(frame: Frame): Record<string, number>
  /** A WAL message: the header, then the frame unless it is a notice. A fresh buffer. */
  encodeWal(header: WalHeader, frame: Frame | null): Uint8Array
  decodeWal(bytes: Uint8Array): { header: WalHeader; frame: Frame | null } | string
}

export type JournalRecord =
  | { readonly type: 'frame'; readonly frame: Frame }
  | {
    readonly type: 'truncate'
    readonly uuid: string
    /** What stays: the last common point. */
    readonly to: Position
    /** Name of the salvage that keeps what was cut. */
    readonly salvage: string
  }
  /** Says that all before it is durable, and how far some spaces are committed. */
  | { readonly type: 'confirm'; readonly floors?: readonly CommitFloor[] }
  | { readonly type: 'spaceDropped'; readonly uuid: string }

/** Entries of a space up to there are committed, as far as this member knew. */
export interface CommitFloor {
  readonly uuid: string
  readonly sequence: number
}

/** What the journal knows of one space's log. */
export interface JournalLog {
  readonly uuid: string
  readonly history: readonly EpochSpan[]
  readonly end: Position
  /** Sequence up to which it was known to be committed; 0 when that was never written. */
  readonly floor: number
  /** Why this log cannot be trusted, or null. A damaged log neither serves nor stands. */
  readonly damage: string | null
}

export interface RecoveryReport {
  readonly segments: number
  readonly bytes: number
  readonly records: number
  readonly ms: number
  /** A torn last flush that was cut, or null. */
  readonly torn: {
    readonly segment: number
    readonly offset: number
    readonly reason: string
  } | null
  readonly damaged: readonly { readonly uuid: string | null; readonly reason: string }[]
}

/** The node's one write-ahead log. One write or sync at a time: the caller sees to it. */
export interface Journal {
  readonly id: string
  readonly recovery: RecoveryReport
  logs(): readonly JournalLog[]
  log(uuid: string): JournalLog | undefined
  /**
   * Appends the records as one flush, not yet durable. JournalFullError: the disk is full or
   * refused; everything of this flush is cut off again, and a later write may succeed.
   * SyncFailedError: it could not be cut off; the process must end.
   */
  write(records: readonly JournalRecord[]): Promise<void>
  /** fdatasync of all that was written. SyncFailedError: never retry, the process must end. */
  sync(): Promise<void>
  /**
   * Whole frames in order, the first one holding `from`, up to about `maxBytes` (at least one).
   * Empty when `from` is beyond the end. Reads what was written, durable or not.
   */
  read(uuid: string, from: number, maxBytes: number): Promise<Frame[]>
  /** `indexBytes`: memory of what it knows of its frames. */
  stats(): { segments: number; bytes: number; flush: number; indexBytes: number }
  close(): Promise<void>
}

export class JournalFullError extends Error {
  readonly code = 'JOURNAL_FULL'
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'JournalFullError'
  }
}
export class SyncFailedError extends Error {
  readonly code = 'SYNC_FAILED'
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'SyncFailedError'
  }
}

/** One salvage, read from its beginning. */
export interface OpenSalvage {
  readonly header: SalvageHeader
  /** Null: that was the last one, and all of the file is whole. */
  next(): Promise<Frame | null>
  close(): Promise<void>
}

/** Files that keep what a member had to truncate. */
export interface SalvageHeader {
  readonly space: string
  readonly uuid: string
  readonly node: string
  /** Last common point with the reign that was joined. */
  readonly common: Position
  /** End of the fork. */
  readonly end: Position
  /** The reign that the member joined. */
  readonly joinedEpoch: number
  readonly savedAtMs: number
}
export interface SalvageFiles {
  /**
   * Returns the name once file and directory are fsynced. It begins with the space, a dot, the
   * first 8 characters of the uuid, and a dot.
   */
  save(header: SalvageHeader, frames: AsyncIterable<readonly Frame[]>): Promise<string>
  /** Of all files there are, whether they can be read or not. */
  names(): Promise<string[]>
  /** Those whose header can be read; the others are logged. */
  list(): Promise<{ name: string; header: SalvageHeader; bytes: number; entries: number }[]>
  /** It may be larger than memory: frame by frame. What opens it closes it. */
  open(name: string): Promise<OpenSalvage>
  /** Durable when it resolves; a file that is gone already is no error. */
  remove(name: string): Promise<void>
}

// ---------------------------------------------------------------- store

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

/** The books of a space (machines/books.ts), as of the last applied entry. */
export interface BooksReader {
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
export interface SpaceStore extends GraphReader, VersionReader, BooksReader {
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
  condemn(uuid: string, reason: string): Promise<void>
  /** Why the space's log was condemned, or null. */
  condemned(uuid: string): string | null
  /** Memory of what it knows of keys, bytes. */
  readonly keyBytes: number
  close(): Promise<void>
}

// ---------------------------------------------------------------- what clients send and get

export type Encoding = 'json' | 'msgpack'

export type ErrorCode =
  | 'INVALID_OPERATION' | 'PAYLOAD_TOO_LARGE' | 'NOT_ENOUGH_IN_SYNC' | 'OVERLOADED' | 'READ_ONLY'
  | 'SHUTTING_DOWN' | 'NOT_PRIMARY' | 'LEASE_LAPSED' | 'ACK_TIMEOUT' | 'INTERNAL' | 'STALE_READ'
  | 'UNKNOWN_SPACE'

export interface WriteAnswer {
  readonly ok: true
  readonly space: string
  readonly epoch: number
  readonly sequence: number
  readonly count: number
  readonly ack: AckLevel
  readonly safeSequence: number
  readonly node: string
  readonly duplicate: boolean
  /** Of a duplicate: the epoch under which it is logged, `epoch` or a lower one. */
  readonly loggedEpoch?: number
  /** Of a duplicate: it asks for something else than what is logged under its key. */
  readonly mismatch?: true
  /** Of a write that is sent again: so many of its operations lost against concurrent ones. */
  readonly quarantined?: number
}

export interface ErrorAnswer {
  readonly ok: false
  readonly code: ErrorCode
  readonly message: string
  readonly outcome: 'notTaken' | 'unknown'
  readonly retryable: boolean
  readonly retryAfterMs?: number
  readonly sequence?: number
  readonly epoch?: number
  /** Of a list whose next item fits no answer: goes on behind it. */
  readonly after?: string | number
}

/**
 * An answer with a list may hold less than `limit` and than there is: it says `more` then, and
 * `after` of it goes on in the next query.
 */
export type Query =
  | { readonly type: 'GetNode'; readonly nodeId: string }
  | {
    readonly type: 'GetEdges'
    readonly nodeId: string
    readonly direction: EdgeDirection
    /** Opaque: of an answer. */
    readonly after?: string
    readonly limit?: number
  }
  /** `after`: id of a node. */
  | { readonly type: 'ListNodes'; readonly after: string; readonly limit: number }
  /** `after`: a sequence; where both are given, what comes later begins. */
  | {
    readonly type: 'GetEntries'
    readonly from: number
    readonly limit: number
    readonly after?: number
  }
  /** `after`: an epoch. */
  | { readonly type: 'GetHistory'; readonly after?: number }
  | { readonly type: 'GetForks'; readonly after?: number; readonly limit?: number }
  | { readonly type: 'GetQuarantine'; readonly after: string; readonly limit: number }
  | { readonly type: 'GetFate'; readonly key: string }
  | { readonly type: 'GetFate'; readonly epoch: number; readonly sequence: number }

/** Value of `GetHistory`: which epochs the log consists of, and how far it is safe. */
export interface HistoryValue {
  /** Oldest first. Entry (e, s) is in the log exactly if the span that s falls into is e's. */
  readonly history: readonly EpochSpan[]
  readonly safeSequence: number
}

/** Value of `GetFate`: what became of one write, and where it is now. */
export interface FateValue {
  /**
   * safe, committed, durable: in the log, at `now`; durable: on the primary, and not yet on all
   * in-sync members. superseded: overwritten by a later write of its own fork (`by`).
   * quarantined: lost against `by`. salvaged: waits on `node` to be taken into the log. lost: its
   * disk is gone, or it never reached one. unknown: nothing is known of it (yet).
   */
  readonly fate: 'safe' | 'committed' | 'durable' | 'superseded' | 'quarantined' | 'salvaged'
    | 'lost' | 'unknown'
  /** Where it was logged first, as far as that is known. */
  readonly epoch: number | null
  readonly sequence: number | null
  /** Entry that it is now; differs from the first when it came home from a fork. */
  readonly now: Position | null
  readonly via: 'client' | 'salvage' | 'quarantine' | null
  readonly by: Position | null
  readonly node: string | null
  /** In words. */
  readonly reason: string
}

export interface ReadAnswer {
  readonly ok: true
  readonly value: unknown
  /** There is more than `value` holds: the same query with this `after` goes on. */
  readonly more?: true
  readonly after?: string | number
  readonly sequence: number
  readonly epoch: number
  readonly node: string
  readonly role: 'primary' | 'replica'
  readonly stalenessMs: number
}

export type Gated<T> =
  | { readonly ok: true; readonly encoding: Encoding; readonly value: T }
  | {
    readonly ok: false
    readonly encoding: Encoding
    readonly code: ErrorCode
    readonly message: string
  }

/** An answer whose value is a list, encoded item by item: its size is known before it is sent. */
export interface ListEncoder {
  readonly count: number
  /** Of the items so far. */
  readonly bytes: number
  add(item: unknown): void
  /** Takes the last item out again. */
  drop(): void
  answer(rest: Omit<ReadAnswer, 'value'>): Uint8Array
}

/** The gate: bytes from clients are checked once, here; inside, types are trusted. */
export interface ClientCodec {
  /** `key`: header Nats-Msg-Id, `contentType`: header Content-Type. Copies what it keeps. */
  write(
    data: Uint8Array, contentType: string | undefined, key: string | undefined,
  ): Gated<AcceptedRequest>
  query(data: Uint8Array, contentType: string | undefined): Gated<Query>
  /** A value that code of a deployment returned: the rules are those of `write`. A copy. */
  operation(value: unknown): Decoded<Operation>
  /** Told without decoding it. */
  encodingOf(data: Uint8Array, contentType: string | undefined): Encoding
  list(encoding: Encoding): ListEncoder
  encodeWriteAnswer(answer: WriteAnswer, encoding: Encoding): Uint8Array
  encode(value: ErrorAnswer | ReadAnswer | object, encoding: Encoding): Uint8Array
}

export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  /** `isNewer`: a later version of the product wrote it; nothing is known to be wrong with it. */
  | { readonly ok: false; readonly reason: string; readonly isNewer?: boolean }

/** Control messages between nodes (MessagePack) and arbiter records (JSON), checked fully. */
export interface ControlCodec {
  encode(message: object): Uint8Array
  encodeRecord(record: Assignment | NodeIdentity): Uint8Array
  heartbeat(bytes: Uint8Array): Decoded<Heartbeat>
  pingAnswer(bytes: Uint8Array): Decoded<PingAnswer>
  pingRequest(bytes: Uint8Array): Decoded<PingRequest>
  pingRequestAnswer(bytes: Uint8Array): Decoded<PingRequestAnswer>
  surveyRequest(bytes: Uint8Array): Decoded<SurveyRequest>
  surveyAnswer(bytes: Uint8Array): Decoded<SurveyAnswer>
  ackMessage(bytes: Uint8Array): Decoded<AckMessage>
  joinAnswer(bytes: Uint8Array): Decoded<JoinAnswer>
  reconcileAnswer(bytes: Uint8Array): Decoded<ReconcileAnswer>
  announcement(bytes: Uint8Array): Decoded<Announcement>
  assignment(bytes: Uint8Array): Decoded<Assignment>
  nodeIdentity(bytes: Uint8Array): Decoded<NodeIdentity>
}

export type { Reigning }
