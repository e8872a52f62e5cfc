import type { LogEntry, Operation } from '../machines/memory.js'
import type { AckLevel } from '../machines/protocol.js'
import type { Asker } from './answers.js'
import type { AcceptedRequest, Encoding, Frame, FrameBuilder } from './ports.js'

/**
 * One request, from when it is taken until it is answered at the level its writer asked for. One
 * object all the way: putting new ones together with spreads took 4 µs, a tenth of a write.
 */
export class Waiting implements Asker {
  readonly reply: string | undefined
  readonly encoding: Encoding
  readonly operations: readonly Operation[]
  readonly key: string | null
  readonly duplicate: boolean
  answered = false

  /** `request` null: it repeats one that is in the log already. Its encoded bytes are not kept. */
  constructor(
    asker: Asker,
    readonly level: AckLevel,
    request: AcceptedRequest | null,
    readonly count: number,
    /** Sequence of the last operation; expected, until the request is durable. */
    public last: number,
    readonly timestamp: number,
    readonly takenAtMs: number,
    /** Of what is in the log already: the epoch under which. */
    readonly loggedEpoch?: number,
  ) {
    this.reply = asker.reply
    this.encoding = asker.encoding
    this.operations = request === null ? none : request.operations
    this.key = request === null ? null : request.key
    this.duplicate = request === null
  }
}

const none: readonly Operation[] = []

/** Requests whose frame is being put together. */
export interface OpenBatch {
  readonly builder: FrameBuilder
  readonly requests: Waiting[]
  /** When its first request was taken, by the monotonic clock. */
  readonly openedAtMs: number
}

/**
 * The entries of a batch, as its sealed frame numbers them; tells each request its last sequence.
 * `clockBefore`: the vector clock before the frame, in which `node` counts its own entries.
 */
export function entriesOf(
  batch: OpenBatch, frame: Frame, node: string, clockBefore: Readonly<Record<string, number>>,
): LogEntry[] {
  const { epoch } = frame
  const entries: LogEntry[] = []
  const counted = (clockBefore[node] ?? 0) - frame.first + 1
  let sequence = frame.first
  for (const waiting of batch.requests) {
    const { operations, key, timestamp } = waiting
    for (const operation of operations) {
      const vectorClock = { ...clockBefore, [node]: counted + sequence }
      entries.push({ sequence, epoch, timestamp, vectorClock, writeId: key, operation })
      sequence += 1
    }
    waiting.last = sequence - 1
  }
  return entries
}
