import { defaultTimes } from '../../machines/protocol/defaultTimes.js'
import type { ProtocolTimes } from '../../machines/protocol/defaultTimes.js'
import type { AutoBalanceMode } from '../../machines/protocol/rebalance.js'

/** Settings that the actors need (runtime/config/options.ts documents each option). */
export interface ActorSettings extends ProtocolTimes {
  /** Largest frame, bytes; below the server's max_payload. */
  readonly frameBytesMax: number
  /** Limit of one flush, bytes; the rest waits for the next one. */
  readonly flushBytesMax: number
  /** Bytes in flight towards one replica. */
  readonly windowBytes: number
  /** Limit of accepted writes that are not yet durable; beyond it OVERLOADED. */
  readonly unflushedBytesMax: number
  /** Limit of durable writes that are not yet applied; beyond it OVERLOADED. */
  readonly overlayBytesMax: number
  /** Latest frames kept in memory for streams, per space. */
  readonly tailBytesMax: number
  readonly ackTimeoutMs: number
  readonly readWaitMs: number
  /** Memory of the reads that wait for their turn, or for a sequence; beyond it OVERLOADED. */
  readonly readQueueBytes: number
  /** A read that has waited longer for its turn gets OVERLOADED. */
  readonly readQueueMs: number
  /** Encoded items of one list; below the server's max_payload. */
  readonly answerBytesMax: number
  readonly lagAlertBytes: number
  readonly lagAlertMs: number
  /** Writes held during a handover. */
  readonly heldBytesMax: number
  /** Memory budget of the structures of the node; beyond it OVERLOADED. */
  readonly memoryBytes: number
  /** The journal writes a confirm record after this long without a flush. */
  readonly idleConfirmMs: number
  /** Journal bytes of a space after which a checkpoint of it is due. */
  readonly checkpointBytes: number
  /** The same, as a multiple of its last checkpoint. */
  readonly checkpointRatio: number
  /** Epochs whose entries checkpoints cover that a history keeps; older ones are summed up. */
  readonly coveredSpansMax: number
  /** Closed segments of the journal that are kept, bytes. */
  readonly retainBytes: number
  /** Data of a space is kept for so long after this node was taken out of its members, ms. */
  readonly removedKeepMs: number
  /** A member that is gone for so long is replaced by a spare node, ms; 0: never. */
  readonly replaceAfterMs: number
  /** What primaries move by themselves. */
  readonly autoBalance: AutoBalanceMode
  /** A node has to be well for so long before a primary or a member is moved to it, ms. */
  readonly balanceAfterMs: number
  /** Rate at which checkpoints are sent to others; 0: by how busy this node is. */
  readonly installBytesPerSecond: number
}

const MiB = 1024 * 1024

/** Defaults of the options that have a setting here; a node's memory budget goes by its process. */
export const defaultSettings: ActorSettings = {
  ...defaultTimes,
  frameBytesMax: 512 * 1024,
  flushBytesMax: 1_000_000,
  windowBytes: 8 * MiB,
  unflushedBytesMax: 64 * MiB,
  overlayBytesMax: 128 * MiB,
  tailBytesMax: 16 * MiB,
  ackTimeoutMs: 5000,
  readWaitMs: 1000,
  readQueueBytes: 16 * MiB,
  readQueueMs: 2000,
  answerBytesMax: 512 * 1024,
  lagAlertBytes: 100_000_000,
  lagAlertMs: 5000,
  heldBytesMax: 16 * MiB,
  memoryBytes: 1024 * MiB,
  idleConfirmMs: 100,
  checkpointBytes: 256 * MiB,
  checkpointRatio: 2,
  coveredSpansMax: 256,
  retainBytes: 1024 * MiB,
  removedKeepMs: 24 * 60 * 60_000,
  replaceAfterMs: 10 * 60_000,
  autoBalance: 'primaries',
  balanceAfterMs: 60_000,
  installBytesPerSecond: 0,
}
