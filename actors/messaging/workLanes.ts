import type { ActorSettings } from '../ports/defaultSettings.js'
import type { Clock } from '../ports/system.js'
import { WorkQueue } from '../structures/workQueue.js'
import type { Lane } from '../structures/workQueue.js'
import type { NodeConnection } from './connection.js'

/** Lanes of requests to a node, by kind: readers cannot crowd operators out. */
export interface WorkLanes {
  readonly queue: WorkQueue
  readonly reads: Lane
  /** Reads that need the log's files. */
  readonly logReads: Lane
  /** Status, lists, inspection. */
  readonly status: Lane
}

/** Slice of the event loop: heartbeats are due each 100 ms, and one step may take a few ms. */
const sliceMs = 3
/**
 * Bytes of answers that wait in this process. A heartbeat waits behind them, and a client that does
 * not read makes the server slow with this node, too.
 */
const bufferedBytesMax = 1024 * 1024
/** Parallel reads: each has a frame in memory, and a piece of work in a turn. */
const logReadsMax = 2
const statusBytesMax = 4 * 1024 * 1024

/** @param onFailed called with an error that is a bug */
export function workLanes(
  clock: Clock,
  settings: ActorSettings,
  wire: NodeConnection,
  onFailed: (error: unknown) => void,
): WorkLanes {
  const queue = new WorkQueue({
    clock,
    sliceMs,
    isCongested: () => wire.bufferedBytes > bufferedBytesMax,
    onFailed,
  })
  return {
    queue,
    reads: queue.lane({ bytesMax: settings.readQueueBytes, openMax: 1 }),
    logReads: queue.lane({ bytesMax: 0, openMax: logReadsMax }),
    status: queue.lane({ bytesMax: statusBytesMax, openMax: 1 }),
  }
}
