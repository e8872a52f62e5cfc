import type { KeyRecord } from '../machines/memory.js'
import type { AckLevel, SpaceSettings } from '../machines/protocol.js'
import { answerError, askerOf, errorAnswer, levelOf } from './answers.js'
import type { Asker, Publish } from './answers.js'
import type { FlushItem, FlushSource, GroupCommit } from './groupCommit.js'
import type { Lease } from './lease.js'
import type { Overlay } from './overlay.js'
import type {
  AcceptedRequest, BusMessage, ClientCodec, Clock, ErrorCode, Frame, FrameCodec, SpaceStore,
  Telemetry,
} from './ports.js'
import type { ActorSettings } from './settings.js'
import type { SpaceLog } from './spaceLog.js'
import { entriesOf, Waiting, type OpenBatch } from './waiting.js'

export interface IngestOptions {
  readonly space: string
  readonly node: string
  readonly epoch: number
  readonly settings: ActorSettings
  readonly spaceSettings: SpaceSettings
  readonly log: SpaceLog
  readonly overlay: Overlay
  readonly store: SpaceStore
  readonly lease: Lease
  readonly frames: FrameCodec
  readonly clients: ClientCodec
  readonly commits: GroupCommit
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly publish: Publish
  /** Members confirmed in sync, at this instant: those in both sets while one is changing. */
  readonly inSyncCount: () => number
  readonly onWritten: (frame: Frame) => void
  readonly onDurable: () => void
  readonly clockAtEnd: Record<string, number>
  readonly lastTimestamp: number
}

/** Repeated writes that wait for a level at a time: they hold no payload. */
const duplicatesMax = 65_536

/**
 * The primary's data path: decode, check, number, buffer, answer (DESIGN section 4). Plain code,
 * one call per write; the `primary` statechart opens and closes it.
 */
export class Ingest implements FlushSource {
  private refusal: { code: ErrorCode; message: string } | null = null
  private over = false
  private open: OpenBatch[] = []
  private readonly flushing = new Set<OpenBatch>()
  /** Highest sequence answered at level `memory`. */
  private answeredInMemory = 0
  /** The last flush failed: until one succeeds, `memory` too is answered when it is durable. */
  private isDiskFailing = false
  private openEntries = 0
  private openBytes = 0
  private flushingBytes = 0
  private lastTimestamp: number
  private readonly clockAtEnd: Record<string, number>
  /** Keys in the open batches and in the flush under way: not yet in the overlay. */
  private readonly youngKeys = new Map<string, KeyRecord>()
  /** Durable and waiting for the commit, in the order of the log. */
  private uncommitted: Waiting[] = []
  private duplicates: Waiting[] = []

  constructor(private readonly options: IngestOptions) {
    this.lastTimestamp = options.lastTimestamp
    this.clockAtEnd = { ...options.clockAtEnd }
  }

  /** From now on writes get this error; null: they are taken. */
  refuse(refusal: { code: ErrorCode; message: string } | null): void {
    this.refusal = refusal
  }

  get bufferedBytes(): number {
    return this.openBytes + this.flushingBytes
  }

  /** Nothing buffered, nothing being flushed, and nobody waits for a level. */
  get isIdle(): boolean {
    return this.openEntries === 0 && this.flushingBytes === 0
      && this.uncommitted.length === 0 && this.duplicates.length === 0
  }

  /** Highest sequence answered at level `memory`: no read sees it before the flush. */
  get highestAnswered(): number {
    return this.answeredInMemory
  }

  take(maxBytes: number): FlushItem[] {
    if (this.over) return []
    const items: FlushItem[] = []
    let bytes = 0
    while (this.open.length > 0 && bytes < maxBytes) {
      const batch = this.open.shift()!
      const item = this.seal(batch)
      bytes += item.bytes
      items.push(item)
    }
    if (this.open.length > 0) this.options.commits.mark(this)
    return items
  }

  /** Numbers are promised in order: what was buffered behind a failed flush fails with it. */
  flushFailed(): void {
    this.isDiskFailing = true
    const left = this.open
    this.open = []
    this.openEntries = 0
    this.openBytes = 0
    this.answeredInMemory = 0
    for (const batch of left) for (const request of batch.requests) this.refuseUnwritten(request)
    this.youngKeys.clear()
    const end = this.options.log.end.sequence
    for (const waiting of this.duplicates) if (waiting.last > end) this.refuseUnwritten(waiting)
    this.duplicates = this.duplicates.filter((waiting) => waiting.last <= end)
  }

  onWrite(message: BusMessage): void {
    const { clients } = this.options
    if (this.over) {
      this.fail(askerOf(message), 'NOT_PRIMARY', 'this node does not reign any more')
      return
    }
    if (this.refusal) {
      this.fail(askerOf(message), this.refusal.code, this.refusal.message, 100)
      return
    }
    if (!this.options.lease.valid()) {
      this.fail(askerOf(message), 'LEASE_LAPSED', 'the lease of this primary has lapsed')
      return
    }
    const key = message.header('Nats-Msg-Id')
    const gated = clients.write(message.data, message.header('Content-Type'), key)
    const asker = { reply: message.reply, encoding: gated.encoding }
    if (!gated.ok) return this.fail(asker, gated.code, gated.message)
    const level = levelOf(message.header('Engram-Ack'), this.options.spaceSettings.ack)
    if (level === null) {
      this.fail(asker, 'INVALID_OPERATION', 'Engram-Ack is one of memory, durable, committed')
      return
    }
    this.accept(gated.value, level, asker)
  }

  private accept(request: AcceptedRequest, level: AckLevel, asker: Asker): void {
    const { options } = this
    const known = request.key === null ? undefined : this.knownKey(request.key)
    if (known) {
      this.acceptDuplicate(known, level, asker)
      return
    }
    if (level === 'committed' && options.inSyncCount() < options.spaceSettings.minInSync) {
      this.fail(asker, 'NOT_ENOUGH_IN_SYNC', `${options.inSyncCount()} in sync, the space asks `
        + `for ${options.spaceSettings.minInSync}`, 200)
      return
    }
    if (this.bufferedBytes > options.settings.unflushedBytesMax
      || options.overlay.bytes > options.settings.overlayBytesMax) {
      this.fail(asker, 'OVERLOADED', 'the disk or the replicas do not keep up', 50)
      return
    }
    const now = options.clock.wallMs()
    const timestamp = Math.max(Math.floor(now), this.lastTimestamp)
    this.lastTimestamp = timestamp
    const batch = this.batchFor(request)
    const before = batch.builder.bytes
    batch.builder.add(request, timestamp)
    this.openBytes += batch.builder.bytes - before
    const count = request.operations.length
    this.openEntries += count
    const last = options.log.end.sequence + this.openEntries
    const waiting = new Waiting(asker, level, request, count, last, timestamp, now)
    batch.requests.push(waiting)
    if (request.key !== null) {
      this.youngKeys.set(request.key, { epoch: options.epoch, sequence: last, count, timestamp })
    }
    if (level === 'memory' && !this.isDiskFailing) {
      this.answeredInMemory = last
      this.answerWaiting(waiting)
    }
    options.commits.mark(this)
  }

  /** The last open batch, or another when the frame would grow too large: never split one. */
  private batchFor(request: AcceptedRequest): OpenBatch {
    let size = 64
    for (const encoded of request.encoded) size += encoded.length + 32
    const last = this.open.at(-1)
    if (last && last.builder.bytes + size <= this.options.settings.frameBytesMax) return last
    const { frames, clock } = this.options
    const batch = { builder: frames.builder(), requests: [], openedAtMs: clock.monotonicMs() }
    // An empty builder counts the frame's own bytes: sealing takes them off again.
    this.openBytes += batch.builder.bytes
    this.open.push(batch)
    return batch
  }

  private knownKey(key: string): KeyRecord | undefined {
    return this.youngKeys.get(key) ?? this.options.overlay.key(key) ?? this.options.store.key(key)
  }

  private acceptDuplicate(known: KeyRecord, level: AckLevel, asker: Asker): void {
    const { log, clock, telemetry, spaceSettings } = this.options
    telemetry.count('writesDuplicates')
    const { count, sequence, timestamp } = known
    const waiting = new Waiting(asker, level, null, count, sequence, timestamp, clock.wallMs())
    if (level === 'committed' && this.options.inSyncCount() < spaceSettings.minInSync) {
      this.fail(asker, 'NOT_ENOUGH_IN_SYNC', 'too few members are in sync', 200, sequence)
    } else if (level === 'memory' || (level === 'durable' && sequence <= log.durable.sequence)) {
      this.answerWaiting(waiting)
    } else if (level === 'committed' && sequence <= log.commitSequence) {
      this.answerWaiting(waiting)
    } else if (this.duplicates.length >= duplicatesMax) {
      this.fail(asker, 'OVERLOADED', 'too many repeats wait for their level', 50, sequence)
    } else {
      this.duplicates.push(waiting)
    }
  }

  private seal(batch: OpenBatch): FlushItem {
    const { options } = this
    const { log, node, epoch } = options
    const frame = batch.builder.seal({
      uuid: log.uuid,
      epoch,
      first: log.end.sequence + 1,
      previousEpoch: log.end.epoch,
      node,
      clock: this.clockAtEnd,
    })
    const clockBefore = { ...this.clockAtEnd }
    this.clockAtEnd[node] = (this.clockAtEnd[node] ?? 0) + batch.builder.count
    this.openEntries -= batch.builder.count
    this.openBytes -= batch.builder.bytes
    this.flushingBytes += frame.bytes.length
    this.flushing.add(batch)
    log.accept(frame, options.clock.monotonicMs())
    return {
      record: { type: 'frame', frame },
      bytes: frame.bytes.length,
      written: () => {
        log.noteWritten(frame)
        options.onWritten(frame)
      },
      durable: () => this.durable(batch, frame, clockBefore),
      failed: () => this.unwritten(batch, frame, clockBefore),
    }
  }

  private unwritten(batch: OpenBatch, frame: Frame, clockBefore: Record<string, number>): void {
    this.flushingBytes -= frame.bytes.length
    this.flushing.delete(batch)
    const { node } = this.options
    this.clockAtEnd[node] = Math.min(this.clockAtEnd[node] ?? 0, clockBefore[node] ?? 0)
    this.options.log.rollback()
    for (const request of batch.requests) this.refuseUnwritten(request)
  }

  private refuseUnwritten(request: Waiting): void {
    if (request.answered) return
    this.fail(request, 'READ_ONLY', 'the journal cannot be written: is the disk full?', 500)
  }

  private durable(batch: OpenBatch, frame: Frame, clockBefore: Record<string, number>): void {
    const { log, overlay, node, telemetry, clock } = this.options
    this.flushingBytes -= frame.bytes.length
    this.flushing.delete(batch)
    this.isDiskFailing = false
    log.noteDurable(frame)
    if (this.over) {
      for (const request of batch.requests) {
        if (!request.answered) this.fail(request, 'LEASE_LAPSED', 'the reign has ended')
      }
      return
    }
    const entries = entriesOf(batch, frame, node, clockBefore)
    for (const { key } of batch.requests) if (key !== null) this.youngKeys.delete(key)
    overlay.add(entries, frame.bytes.length)
    telemetry.count('writes', entries.length)
    for (const waiting of batch.requests) {
      if (waiting.level !== 'committed') this.answerWaiting(waiting)
      else if (!waiting.answered) this.uncommitted.push(waiting)
    }
    telemetry.observe('durableAckMs', clock.monotonicMs() - batch.openedAtMs)
    this.options.onDurable()
    this.releaseDuplicates()
  }

  /** The commit sequence has moved: answer who waited for it. */
  committed(): void {
    const { log } = this.options
    let done = 0
    for (const waiting of this.uncommitted) {
      if (waiting.last > log.commitSequence) break
      this.answerWaiting(waiting)
      done += 1
    }
    if (done > 0) this.uncommitted.splice(0, done)
    this.releaseDuplicates()
  }

  private releaseDuplicates(): void {
    if (this.duplicates.length === 0) return
    const { log } = this.options
    this.duplicates = this.duplicates.filter((waiting) => {
      const reached = waiting.level === 'durable' ? log.durable.sequence : log.commitSequence
      if (waiting.last > reached) return true
      this.answerWaiting(waiting)
      return false
    })
  }

  /** Once per heartbeat: who waited too long is told that the level is unknown. */
  expire(): void {
    const limit = this.options.clock.wallMs() - this.options.settings.ackTimeoutMs
    const unflushed = [...this.open, ...this.flushing].flatMap((batch) => batch.requests)
    for (const waiting of [...unflushed, ...this.uncommitted, ...this.duplicates]) {
      if (waiting.answered || waiting.takenAtMs >= limit) continue
      this.giveUp(waiting, 'the level was not reached in time')
    }
    this.uncommitted = this.uncommitted.filter((waiting) => !waiting.answered)
    this.duplicates = this.duplicates.filter((waiting) => !waiting.answered)
  }

  private giveUp(waiting: Waiting, reason: string): void {
    waiting.answered = true
    this.options.telemetry.count('writesRefused', 1, { code: 'ACK_TIMEOUT' })
    const answer = errorAnswer('ACK_TIMEOUT', `${reason}: the write stands, its level is unknown`, {
      sequence: waiting.last, epoch: this.options.epoch,
    })
    answerError(this.options.publish, this.options.clients, waiting, answer)
  }

  private answerWaiting(waiting: Waiting): void {
    if (waiting.answered) return
    const { spaceSettings } = this.options
    if (waiting.level === 'committed' && this.options.inSyncCount() < spaceSettings.minInSync) {
      this.giveUp(waiting, 'members fell out of sync')
      return
    }
    waiting.answered = true
    this.answer(waiting)
  }

  /** A positive answer: the lease is checked now, as it was when the write was taken. */
  private answer(waiting: Waiting): void {
    if (!waiting.reply) return
    const { options } = this
    const { last: sequence, count, level, duplicate } = waiting
    if (this.over || !options.lease.valid()) {
      this.fail(waiting, 'LEASE_LAPSED', 'the lease lapsed before the answer', 0, sequence)
      return
    }
    const answer = options.clients.encodeWriteAnswer({
      ok: true,
      space: options.space,
      // The reign that answers, also for a duplicate: a lower epoch would count as outdated.
      epoch: options.epoch,
      sequence,
      count,
      ack: level,
      safeSequence: options.log.safeSequence,
      node: options.node,
      duplicate,
    }, waiting.encoding)
    options.publish(waiting.reply, answer)
  }

  /** The reign is over: nothing is answered positively from here on. */
  end(code: 'LEASE_LAPSED' | 'NOT_PRIMARY', reason: string): void {
    if (this.over) return
    this.over = true
    const waiting = [...this.uncommitted, ...this.duplicates]
    for (const each of waiting) each.answered = true
    const asked: Asker[] = waiting
    for (const batch of this.open) {
      for (const request of batch.requests) if (!request.answered) asked.push(request)
    }
    this.open = []
    this.openEntries = 0
    for (const asker of asked) this.fail(asker, code, reason)
    this.uncommitted = []
    this.duplicates = []
    this.youngKeys.clear()
  }

  private fail(
    asker: Asker, code: ErrorCode, message: string, retryAfterMs = 0, sequence?: number,
  ): void {
    this.options.telemetry.count('writesRefused', 1, { code })
    const answer = errorAnswer(code, message, {
      ...(retryAfterMs > 0 ? { retryAfterMs } : {}),
      // With a sequence the write stands, whatever the code: only its level is unknown.
      ...(sequence && { sequence, epoch: this.options.epoch, outcome: 'unknown' }),
    })
    answerError(this.options.publish, this.options.clients, asker, answer)
  }
}
