/** Checks that a repeated request has the body that is logged under its key (answer `mismatch`). */
import type { KeyRecord, LogEntry } from '../../machines/log/entries.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { Overlay } from '../overlay/overlay.js'
import type { AcceptedRequest, FrameCodec } from '../ports/frames.js'
import type { Account, Budget } from '../structures/budget.js'
import { decodedHeapBytes } from '../structures/decodedSize.js'
import type { Lane } from '../structures/workQueue.js'

/** Key of a request that is not flushed yet, with its operations. */
export interface UnflushedKey extends KeyRecord {
  readonly operations: AcceptedRequest['operations']
}

export interface RepeatedBodyOptions {
  readonly log: SpaceLog
  readonly overlay: Overlay
  readonly frames: FrameCodec
  /** Lane of reads that wait for the log's files. */
  readonly logReads: Lane
  /** Memory of the node. */
  readonly budget: Budget
}

/** Comparisons that may wait for the log at a time; beyond that, no mismatch is reported. */
const comparedMax = 1024
/** Decoded bytes of waiting comparisons. */
const comparedBytesMax = 4 * 1024 * 1024
const logBytes = 64 * 1024

/** Compares a repeated request with the logged one, which may have to be read back. */
export class RepeatedBody {
  private comparing = 0
  private readonly account: Account

  constructor(private readonly options: RepeatedBodyOptions) {
    this.account = options.budget.account('writes')
  }

  get isIdle(): boolean {
    return this.comparing === 0
  }

  /** Calls `done` at once, or once the log was read; with false where it is not known. */
  compare(
    known: KeyRecord | UnflushedKey,
    { operations, encoded }: AcceptedRequest,
    done: (isMismatch: boolean) => void,
  ): void {
    const { overlay, logReads, budget } = this.options
    const { count, sequence } = known
    if (operations.length !== count) return done(true)
    if ('operations' in known) return done(!isSame(known.operations, operations))
    const first = sequence - count + 1
    if (overlay.firstSequence > 0 && first >= overlay.firstSequence) {
      return done(isOther(overlay.entries(first, count), known, operations))
    }
    let bytes = decodedHeapBytes(operations)
    for (const { length } of encoded) bytes += length
    const { account } = this
    if (this.comparing >= comparedMax || account.bytes + bytes > comparedBytesMax
      || !budget.allows('writes')) return done(false)
    this.comparing += 1
    account.set(account.bytes + bytes)
    logReads.push(async () => {
      const entries = await this.logged(first, sequence).catch(() => [])
      this.comparing -= 1
      account.set(account.bytes - bytes)
      done(isOther(entries, known, operations))
    })
  }

  private async logged(first: number, last: number): Promise<LogEntry[]> {
    const { log, frames } = this.options
    const entries: LogEntry[] = []
    // A request is never split over frames.
    const [frame] = await log.framesFrom(first, logBytes)
    if (frame && frame.last >= last) entries.push(...frames.entries(frame, first, last))
    return entries
  }
}

/** False also for entries that are gone, and for those that a merge rule may have changed. */
function isOther(
  entries: readonly LogEntry[],
  { epoch, count }: KeyRecord,
  operations: AcceptedRequest['operations'],
): boolean {
  const isTheirs = entries.length === count
    && entries.every((entry) => entry.epoch === epoch && entry.reconciliation === undefined)
  return isTheirs && !isSame(entries.map(({ operation }) => operation), operations)
}

/** Equality as JSON values: the order of fields does not matter, and -0 equals 0. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const [keysOfA, keysOfB] = [Object.keys(a), Object.keys(b)]
  return keysOfA.length === keysOfB.length && keysOfA.every((key) =>
    Object.hasOwn(b, key)
    && isSame((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key])
  )
}
