/** The surroundings of a simulated node: what its cluster lends it, and what it reports. */
import type { BusConnection } from '../../actors/ports/bus.js'
import type { Frame } from '../../actors/ports/frames.js'
import type { Journal, JournalRecord } from '../../actors/ports/journal.js'
import type { ActorSettings } from '../../actors/ports/defaultSettings.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { ActorHostRuntime } from '../../runtime/host/index.js'
import type { NodeRecorder } from '../../runtime/inspect/recorder.js'
import type { MemoryBucket } from '../fakes/memoryArbiter.js'
import type { MemoryBroker } from '../fakes/memoryBus.js'
import type { SeededRandom } from '../fakes/seededRandom.js'
import type { VirtualClock } from '../fakes/virtualClock.js'
import type { ProcessClock } from './simProcess.js'

export interface SimEnvironment<TNode> {
  readonly clock: VirtualClock
  readonly random: SeededRandom
  readonly settings: ActorSettings
  readonly broker: MemoryBroker
  readonly bucket: MemoryBucket
  /** The arbiter takes requests as long as it runs, whatever became of their senders. */
  readonly arbiterConnection: BusConnection
  /** ms of a request to the arbiter, or of its answer; null: lost. Without it: at once. */
  readonly arbiterDelayMs: ((node: string, way: 'request' | 'answer') => number | null) | null
    | undefined
  readonly owners: Map<BusConnection, { name: string; clock: ProcessClock | null }>
  readonly observer: SimEvents<TNode> | null
  /** Time of one fdatasync, ms. */
  readonly fsyncMs: number
  /** Size of a segment of the journals; null: the default. */
  readonly segmentBytes: number | null
}

/** Called with what nodes do to the world, at the instant it happens. */
export interface SimEvents<TNode> {
  delivered?(from: string, to: string, subject: string, data: Uint8Array): void
  /** A primary has numbered entries; nothing of the frame is written yet. */
  sealed?(node: TNode, frame: Frame): void
  published?(node: TNode, subject: string, data: Uint8Array): void
  /** The journal is asked to: the process may die before it hears that it has. */
  writing?(node: TNode, records: readonly JournalRecord[]): void
  written?(node: TNode, records: readonly JournalRecord[]): void
  synced?(node: TNode): void
  /** The journal has given up its oldest segment. */
  removed?(node: TNode, journal: Journal): void
  recovered?(node: TNode, journal: Journal): void
  applied?(node: TNode, uuid: string, entries: readonly LogEntry[]): void
  /** A salvage is about to be removed; what the promise waits for takes no time of the world. */
  releasing?(node: TNode, name: string): Promise<void>
  /** A life begins, with this host for its actors. */
  starting?(node: TNode, host: ActorHostRuntime, events: NodeRecorder): void
  /** A life is about to end. */
  ending?(node: TNode, reason: string): void
  /** A process ended itself. */
  exited?(node: TNode, code: number, reason: string): void
  logged?(node: TNode, level: string, message: string, fields: object): void
}
