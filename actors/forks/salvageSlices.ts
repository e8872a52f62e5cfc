import type { NodeId } from '../../machines/base/ids.js'
import type { Operation } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { ForkSpan, SalvageNote } from '../../machines/log/forkNotes.js'
import { missingCount } from '../../machines/log/salvageParts.js'
import { dotOf, nodeOf } from '../../machines/log/vectorClock.js'
import type { SalvagedWrite } from '../../machines/protocol/messages.js'
import { isDamage } from '../member/member.js'
import type { Member } from '../member/member.js'
import type { Frame, FrameCodec } from '../ports/frames.js'
import type { OpenSalvage, SalvageHeader } from '../ports/journal.js'

/** Writes in one slice: enough to be quick, few enough for live writes to get their turn. */
const sliceWritesMax = 128
const sliceBytesMax = 128 * 1024
/**
 * Bounds of a larger request, which is a slice by itself. The largest valid request, 1,000 writes
 * of 400 KiB, takes some 860 KB with the longest keys and names. A message has at most 1,024 writes
 * and 896 KiB.
 */
const requestWritesMax = 1024
const requestBytesMax = 880 * 1024
/** Entries read in one turn of the event loop, some 7 ms: heartbeats go on in between. */
const entriesPerTurn = 2048
/** Bytes of frames that are read at a time. */
const readBytes = 1024 * 1024

export interface Slice {
  readonly writes: readonly SalvagedWrite[]
  readonly isLast: boolean
}

/**
 * A salvage that is uploaded slice by slice. One frame of it and the last slice are in memory;
 * reading continues where that slice ended.
 */
export class Salvage {
  private source: OpenSalvage | null = null
  /** Writes of the present frame, and the number of writes before it. */
  private writes: readonly LogEntry[] = []
  private passed = 0
  private turn: Promise<unknown> = Promise.resolve()
  private last: { readonly sent: number; readonly slice: Slice } | null = null

  /** `bytesOf` returns the size of a write in a message. */
  constructor(
    private readonly open: () => Promise<OpenSalvage>,
    private readonly codec: FrameCodec,
    private readonly bytesOf: (write: SalvagedWrite) => number,
  ) {}

  /**
   * Returns whole requests after the first `sent` writes. Rejects when a request fits no slice, and
   * when the file cannot be read.
   */
  async slice(sent: number): Promise<Slice> {
    // One after the other: after a timeout the caller asks again while the disk is still read.
    const slice = this.turn.then(async () => {
      if (this.last?.sent !== sent) this.last = { sent, slice: await this.cut(sent) }
      return this.last.slice
    })
    this.turn = slice.catch(() => undefined)
    return await slice
  }

  async close(): Promise<void> {
    const { source } = this
    this.source = null
    await source?.close()
  }

  private async cut(sent: number): Promise<Slice> {
    if (this.source === null || sent < this.passed) await this.begin()
    const writes: SalvagedWrite[] = []
    let bytes = 0
    for (;;) {
      const known = Math.max(0, sent - this.passed)
      for (const request of requestsOf(this.writes.slice(known))) {
        const more = request.map(writeOf)
        const moreBytes = more.reduce((sum, write) => sum + this.bytesOf(write), 0)
        if (more.length > requestWritesMax || moreBytes > requestBytesMax) {
          throw new RangeError(`a request of ${more.length} writes, ${moreBytes} bytes`)
        }
        const isOver = writes.length + more.length > sliceWritesMax
          || bytes + moreBytes > sliceBytesMax
        if (isOver && writes.length > 0) return { writes, isLast: false }
        writes.push(...more)
        bytes += moreBytes
      }
      if (!await this.advance()) return { writes, isLast: true }
    }
  }

  /** Starts again at the first frame, for a slice before the present position. */
  private async begin(): Promise<void> {
    await this.close()
    this.source = await this.open()
    this.writes = []
    this.passed = 0
  }

  /** Reads the next frame; false: there is none. */
  private async advance(): Promise<boolean> {
    const frame = await this.source!.next()
    if (frame === null) return false
    this.passed += this.writes.length
    this.writes = this.codec.entries(frame).filter(isWrite)
    return true
  }
}

/** Groups consecutive writes by request: those with one key; each without a key is its own. */
export function requestsOf<T extends { readonly writeId: string | null }>(
  writes: readonly T[],
): T[][] {
  const requests: T[][] = []
  for (const write of writes) {
    const request = requests.at(-1)
    if (request && write.writeId !== null && request[0]!.writeId === write.writeId) {
      request.push(write)
    } else requests.push([write])
  }
  return requests
}

/** Reads what a salvage holds. `pause` yields to other work of the event loop. */
export async function noteOf(
  name: string,
  node: NodeId,
  source: OpenSalvage,
  codec: FrameCodec,
  pause: () => Promise<void>,
): Promise<SalvageNote> {
  const { common, missing } = source.header
  const spans = missingSpans(source.header)
  let looked = 0
  for (let frame = await source.next(); frame !== null; frame = await source.next()) {
    const { epoch, first, last } = frame
    const writes = codec.entries(frame).filter(isWrite).length
    const before = spans.at(-1)
    if (before?.epoch === epoch) {
      spans[spans.length - 1] = { epoch, last, writes: before.writes + writes }
    } else spans.push({ epoch, last, writes })
    looked += last - first + 1
    if (looked < entriesPerTurn) continue
    looked = 0
    await pause()
  }
  const note = { name, node, common, spans }
  if (!missing) return note
  const { begins, checkpoint } = missing
  return checkpoint ? { ...note, begins, checkpoint } : { ...note, begins }
}

/** Of missing entries it is not known which are writes: all but the first ones of epochs may be. */
function missingSpans({ common, missing }: SalvageHeader): ForkSpan[] {
  const { spans, begins } = missing ?? { spans: [], begins: 0 }
  return spans.map(({ epoch, last }) => ({
    epoch,
    last,
    writes: missingCount({ common, spans, begins }, epoch),
  }))
}

/** Filters the names of a space's salvages, whether they can be read or not. */
export function namesOf(names: readonly string[], space: string, uuid: string): string[] {
  return names.filter((name) => name.startsWith(`${space}.${uuid.slice(0, 8)}.`))
}

/** Whether it is named like a salvage, or what is kept beside one, whatever the space is called. */
export function isSalvageOf(name: string, uuid: string): boolean {
  return name.split('.')[1] === uuid.slice(0, 8)
}

function isWrite({ operation: { type } }: LogEntry): boolean {
  return type !== 'EpochStart' && type !== 'ForkNote'
}

/** True if this epoch originated the entry; operators' re-applied writes count as originated. */
function isOwn({ reconciliation }: LogEntry): boolean {
  return reconciliation === undefined || reconciliation.via === 'quarantine'
}

/** Returns the write of an entry. One that was reconciled in the fork keeps its first origin. */
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

/**
 * Reads the frames of the member's log after a sequence, at least up to another one, for a salvage.
 * At one that cannot be read it rejects, when it has yielded those before it.
 */
export async function* framesAfter(
  member: Member,
  after: number,
  upTo: number,
): AsyncIterable<Frame[]> {
  let from = after + 1
  let bytes = readBytes
  while (from <= upTo) {
    const frames = await member.log.framesFrom(from, bytes).catch((error: unknown) => {
      if (bytes === 1 || !isDamage(error)) throw error
      return null
    })
    if (frames === null) {
      // One by one: a broken one further on must not hide those before it.
      bytes = 1
      continue
    }
    const last = frames.at(-1)
    if (!last) return
    yield frames
    from = last.last + 1
  }
}
