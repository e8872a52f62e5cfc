import type { AcceptedRequest, Frame, FrameCodec } from '../ports/frames.js'
import type { Clock } from '../ports/system.js'
import { pendingHeapBytes } from '../structures/budget.js'
import type { Account } from '../structures/budget.js'
import { decodedHeapBytes } from '../structures/decodedSize.js'
import type { OpenBatch, PendingWrite } from './pendingWrite.js'

export interface WriteBufferOptions {
  readonly frames: FrameCodec
  readonly clock: Clock
  readonly frameBytesMax: number
  readonly account: Account
}

/** Requests that are taken and not yet durable: in open batches and in batches being flushed. */
export class WriteBuffer {
  private open: OpenBatch[] = []
  private readonly flushing = new Set<OpenBatch>()
  private entries = 0
  private openBytes = 0
  private flushingEntries = 0
  private flushingBytes = 0
  /** Heap of open batches and of those being flushed. */
  private heapBytes = 0

  constructor(private readonly options: WriteBufferOptions) {}

  /** Bytes of the encoded requests. */
  get bytes(): number {
    return this.openBytes + this.flushingBytes
  }

  /** Entries in the open batches. */
  get openEntries(): number {
    return this.entries
  }

  get hasOpen(): boolean {
    return this.open.length > 0
  }

  get isEmpty(): boolean {
    return this.entries === 0 && this.flushingBytes === 0
  }

  /** All requests, in the order in which they were taken. */
  requests(): PendingWrite[] {
    return [...this.flushing, ...this.open].flatMap((batch) => batch.requests)
  }

  /** Adds a request to the last open batch, and returns that. */
  add(request: AcceptedRequest, timestamp: number): OpenBatch {
    const batch = this.batchFor(request)
    const before = batch.builder.bytes
    batch.builder.add(request, timestamp)
    this.openBytes += batch.builder.bytes - before
    this.entries += request.operations.length
    const heapBytes = decodedHeapBytes(request.operations)
    batch.heapBytes += heapBytes
    this.heapBytes += heapBytes
    this.tally()
    return batch
  }

  /** Returns the last open batch, or a new one if the frame would grow too large to take it. */
  private batchFor(request: AcceptedRequest): OpenBatch {
    let size = 64
    for (const encoded of request.encoded) size += encoded.length + 32
    const last = this.open.at(-1)
    const { frames, clock, frameBytesMax } = this.options
    if (last && last.builder.bytes + size <= frameBytesMax) return last
    const batch: OpenBatch = {
      builder: frames.builder(),
      requests: [],
      heapBytes: 0,
      openedAtMs: clock.monotonicMs(),
    }
    // An empty builder counts the frame's own bytes: sealing takes them off again.
    this.openBytes += batch.builder.bytes
    this.open.push(batch)
    return batch
  }

  /** Takes the first open batch out, so that its frame is sealed. */
  shift(): OpenBatch {
    const batch = this.open.shift()!
    this.entries -= batch.builder.count
    this.openBytes -= batch.builder.bytes
    this.flushing.add(batch)
    return batch
  }

  /** Counts a sealed frame that goes to the disk. */
  sealed(frame: Frame): void {
    this.count(frame, 1)
  }

  /** Forgets a batch whose frame is durable, or was not written. */
  done(batch: OpenBatch, frame: Frame): void {
    this.flushing.delete(batch)
    this.heapBytes -= batch.heapBytes
    this.count(frame, -1)
  }

  /** Empties the open batches, and returns their requests. */
  drop(): PendingWrite[] {
    const requests = this.open.flatMap((batch) => batch.requests)
    for (const { heapBytes } of this.open) this.heapBytes -= heapBytes
    this.open = []
    this.entries = 0
    this.openBytes = 0
    this.tally()
    return requests
  }

  private count({ first, last, bytes }: Frame, sign: 1 | -1): void {
    this.flushingEntries += sign * (last - first + 1)
    this.flushingBytes += sign * bytes.length
    this.tally()
  }

  /** Requests take memory three times: encoded, in a frame, and decoded. */
  private tally(): void {
    const entries = this.entries + this.flushingEntries
    this.options.account.set(2 * this.bytes + entries * pendingHeapBytes + this.heapBytes)
  }
}
