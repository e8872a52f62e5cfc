import { dotOf, nodeOf } from '../machines/vectorClock.js'
import type { ForkSpan, SalvageNote } from '../machines/books.js'
import type { LogEntry, Operation } from '../machines/memory.js'
import type { NodeId, SalvagedWrite } from '../machines/protocol.js'
import type { Member } from './member.js'
import type { Frame, FrameCodec, SalvageHeader } from './ports.js'

/** One slice: enough to be quick, few enough for live writes to get their turn. */
const sliceWritesMax = 128
const sliceBytesMax = 128 * 1024

export interface Slice {
  readonly writes: readonly SalvagedWrite[]
  readonly isLast: boolean
}

/** A salvage that is open: what it holds, slice by slice, decoded as it is needed. */
export class Salvage {
  readonly note: SalvageNote
  /** Writes in each frame. */
  private readonly counts: readonly number[]

  constructor(
    readonly name: string, node: NodeId, { common }: SalvageHeader,
    private readonly frames: readonly Frame[], private readonly codec: FrameCodec,
  ) {
    const spans: ForkSpan[] = []
    this.counts = frames.map((frame) => {
      const entries = codec.entries(frame)
      const writes = entries.filter(isWrite).length
      const before = spans.at(-1)
      if (before?.epoch === frame.epoch) {
        spans[spans.length - 1] =
          { epoch: frame.epoch, last: frame.last, writes: before.writes + writes }
      } else spans.push({ epoch: frame.epoch, last: frame.last, writes })
      return writes
    })
    this.note = { name, node, common, spans }
  }

  /** The writes after the first `sent` of them; those with one key are never split. */
  slice(sent: number): Slice {
    const writes: SalvagedWrite[] = []
    let bytes = 0
    let passed = 0
    for (const [index, frame] of this.frames.entries()) {
      const count = this.counts[index]!
      if (passed + count <= sent) {
        passed += count
        continue
      }
      const share = frame.bytes.length / (frame.last - frame.first + 1)
      for (const entry of this.codec.entries(frame).filter(isWrite)) {
        passed += 1
        if (passed <= sent) continue
        const isFull = writes.length >= sliceWritesMax || bytes >= sliceBytesMax
        const { writeId } = entry
        if (isFull && (writeId === null || writes.at(-1)?.writeId !== writeId)) {
          return { writes, isLast: false }
        }
        writes.push(writeOf(entry))
        bytes += share
      }
    }
    return { writes, isLast: true }
  }
}

/** Of a salvage that cannot be read: of its last epoch at least it holds something. */
export function unreadNote(
  name: string, node: NodeId, { common, end }: SalvageHeader,
): SalvageNote {
  return { name, node, common, spans: [{ epoch: end.epoch, last: end.sequence, writes: 1 }] }
}

function isWrite({ operation: { type } }: LogEntry): boolean {
  return type !== 'EpochStart' && type !== 'ForkNote'
}

/** Logged first by the reign whose entry it is, as an operator's order counts as well. */
function isOwn({ reconciliation }: LogEntry): boolean {
  return reconciliation === undefined || reconciliation.via === 'quarantine'
}

/** What had come home in the fork is again on its way, as what it was first. */
function writeOf(entry: LogEntry): SalvagedWrite {
  const { epoch, sequence, timestamp, vectorClock, writeId, reconciliation } = entry
  const operation = entry.operation as Operation
  if (reconciliation && !isOwn(entry)) {
    const { origin, timestamp: first } = reconciliation
    return { origin, copy: { epoch, sequence }, timestamp: first, writeId, operation }
  }
  const component = dotOf(vectorClock, epoch)?.component ?? ''
  return { origin: { epoch, sequence, node: nodeOf(component) }, timestamp, writeId, operation }
}

/** What of the member's log lies beyond, as a salvage keeps it. */
export async function* framesAbove(member: Member, sequence: number): AsyncIterable<Frame[]> {
  let from = sequence + 1
  while (from <= member.log.end.sequence) {
    const frames = await member.log.framesFrom(from, 1024 * 1024)
    const last = frames.at(-1)
    if (!last) return
    yield frames
    from = last.last + 1
  }
}
