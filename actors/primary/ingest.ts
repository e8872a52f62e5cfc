import type { Position } from '../../machines/base/ids.js'
import type { Window } from '../../machines/log/commit.js'
import type { KeyRecord } from '../../machines/log/entries.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import type { Appender, Reconciled } from '../forks/appender.js'
import type { FlushItem, FlushSource, GroupCommit } from '../log/groupCommit.js'
import { LogClock } from '../log/logClock.js'
import { isForAnotherEpoch, levelOf, originOf } from '../messaging/answers.js'
import type { ReplyTarget } from '../messaging/answers.js'
import type { Overlay } from '../overlay/overlay.js'
import type { BusMessage } from '../ports/bus.js'
import type { ClientCodec, ErrorAnswer, ErrorCode, WriteAnswer } from '../ports/clientApi.js'
import type { AcceptedRequest, Frame, FrameCodec } from '../ports/frames.js'
import type { SpaceStore } from '../ports/store.js'
import type { Lane } from '../structures/workQueue.js'
import { AckHistogram } from './ackHistogram.js'
import { PendingView } from './pendingView.js'
import { entriesOf, PendingWrite, type OpenBatch } from './pendingWrite.js'
import { RepeatedBody } from './repeatedBody.js'
import type { UnflushedKey } from './repeatedBody.js'
import { Replies, type RepliesOptions } from './replies.js'
import { WriteBuffer } from './writeBuffer.js'

export interface IngestOptions extends RepliesOptions {
  readonly overlay: Overlay
  readonly store: SpaceStore
  readonly frames: FrameCodec
  readonly clients: ClientCodec
  readonly commits: GroupCommit
  /** Lane of reads that wait for the log's files. */
  readonly logReads: Lane
  readonly onWritten: (frame: Frame) => void
  readonly onDurable: () => void
  /** Writes answered at level `memory` are gone: their sequences must not be given again. */
  readonly onAckedWritesLost: (reason: string) => void
  /** Vector clock after the log's last entry, and the component that counts this epoch's. */
  readonly clockAtEnd: Record<string, number>
  readonly component: string
  /** Timestamp of the log's last entry, and when that was by the monotonic clock. */
  readonly lastTimestamp: number
  readonly lastTimestampAtMs: number
  /** Decides how a request is logged now that was logged under an earlier epoch first. */
  readonly reconcile: (request: AcceptedRequest, origin: Position) => Reconciled
  /** Number of operations in quarantine, among the `count` last ones up to that origin. */
  readonly losersAt: (origin: Position, count: number) => number
}

/**
 * The primary's data path: decodes, checks, numbers and buffers writes; `Replies` answers them.
 * Plain code with one call per write. The `primary` statechart opens and closes it.
 */
export class Ingest implements FlushSource, Appender {
  readonly flow = new AckHistogram()
  private refusal: { code: ErrorCode; message: string } | null = null
  /** Highest sequence answered at level `memory`. */
  private answeredInMemory = 0
  private readonly buffer: WriteBuffer
  private readonly time: LogClock
  private readonly clockAtEnd: Record<string, number>
  /** Keys in the open batches and in the flush under way: not yet in the overlay. */
  private readonly unflushedKeys = new Map<string, UnflushedKey>()
  private readonly replies: Replies
  private readonly repeatedBody: RepeatedBody
  private readonly view: PendingView

  constructor(private readonly options: IngestOptions) {
    this.time = new LogClock(options.clock, options.lastTimestamp, options.lastTimestampAtMs)
    this.clockAtEnd = { ...options.clockAtEnd }
    this.buffer = new WriteBuffer({
      frames: options.frames, clock: options.clock, account: options.budget.account('writes'),
      frameBytesMax: options.settings.frameBytesMax,
    })
    this.replies = new Replies(options)
    this.repeatedBody = new RepeatedBody(options)
    this.view = new PendingView(options.clock, options.epoch, () => this.buffer.requests())
  }

  /** Refuses writes with this error from now on; null: they are taken. */
  refuse(refusal: { code: ErrorCode; message: string } | null): void {
    this.refusal = refusal
  }

  get bufferedBytes(): number {
    return this.buffer.bytes
  }

  /** Nothing buffered, nothing being flushed, and nobody waits for a level. */
  get isIdle(): boolean {
    return this.buffer.isEmpty && this.replies.isIdle && this.repeatedBody.isIdle
  }

  /** Highest sequence answered at level `memory`: no read sees it before the flush. */
  get highestAnswered(): number {
    return this.answeredInMemory
  }

  take(maxBytes: number): FlushItem[] {
    if (this.replies.isOver) return []
    const items: FlushItem[] = []
    let bytes = 0
    while (this.buffer.hasOpen && bytes < maxBytes) {
      const item = this.seal(this.buffer.shift())
      bytes += item.bytes
      items.push(item)
    }
    if (this.buffer.hasOpen) this.options.commits.mark(this)
    return items
  }

  /** Fails everything buffered behind a failed flush, since sequences are given in order. */
  flushFailed(): void {
    this.replies.isDiskFailing = true
    this.view.drop()
    this.answeredInMemory = 0
    for (const request of this.buffer.drop()) this.replies.unwritten(request)
    this.unflushedKeys.clear()
    const isForgotten = this.replies.unwrittenAbove(this.options.log.end.sequence)
    // An epoch has one entry at a sequence. The epoch ends, so that none is given a second time.
    if (!isForgotten) return
    this.options.onAckedWritesLost('the journal refused writes that were answered in memory')
  }

  /** Takes a write whose headers and reply subject were checked. */
  onWrite(message: BusMessage): void {
    const { replies, options: { clients } } = this
    if (replies.isOver) return replies.over(this.askerOf(message))
    const { refusal } = this
    if (refusal) return replies.fail(this.askerOf(message), refusal.code, refusal.message, 100)
    if (!this.options.lease.valid()) {
      replies.fail(this.askerOf(message), 'LEASE_LAPSED', 'the lease of this primary has lapsed')
      return
    }
    if (this.isForOtherEpoch(message)) return
    const key = message.header('Nats-Msg-Id')
    const validated = clients.write(message.data, message.header('Content-Type'), key)
    const asker = { reply: message.reply, encoding: validated.encoding }
    if (!validated.ok) return replies.fail(asker, validated.code, validated.message)
    const level = levelOf(message.header('Engram-Ack'), this.options.spaceSettings().ack)
    if (level === null) {
      replies.fail(asker, 'INVALID_OPERATION',
        'Engram-Ack must be one of memory, durable, committed')
      return
    }
    const header = message.header('Engram-Origin')
    const origin = header ? originOf(header) : undefined
    if (origin === null) {
      replies.fail(asker, 'INVALID_OPERATION', 'Engram-Origin must be <epoch>/<sequence>')
      return
    }
    this.accept(validated.value, level, asker, origin)
  }

  /** Returns the reply target of a request whose payload was not decoded. */
  private askerOf(message: BusMessage): ReplyTarget {
    const { reply, data } = message
    const type = message.header('Content-Type')
    return { reply, encoding: this.options.clients.encodingOf(data, type) }
  }

  /** Logs a request of this node's own, about forks; `settle` gets the answer. */
  log(
    request: AcceptedRequest, level: AckLevel, settle: (answer: WriteAnswer | ErrorAnswer) => void,
  ): void {
    const asker: ReplyTarget = { reply: undefined, encoding: 'json', settle }
    const { replies, refusal } = this
    if (replies.isOver) replies.over(asker)
    else if (refusal) replies.fail(asker, refusal.code, refusal.message, 100)
    else this.accept(request, level, asker)
  }

  /** Writes that are taken and not yet in the overlay, with their expected sequences. */
  pending(): Overlay {
    return this.view.pending()
  }

  /** Sequence of the next entry that is taken. */
  get nextSequence(): number {
    return this.options.log.end.sequence + this.buffer.openEntries + 1
  }

  /**
   * Refuses a write whose `Engram-Epoch` is another one. Its sender keeps writes that the other
   * epoch may have left behind, and has to resend them before this one is taken.
   */
  private isForOtherEpoch(message: BusMessage): boolean {
    const { options: { epoch }, replies } = this
    if (!isForAnotherEpoch(message, epoch)) return false
    const wanted = message.header('Engram-Epoch') ?? ''
    const asker = this.askerOf(message)
    if (!/^\d{1,15}$/.test(wanted)) {
      replies.fail(asker, 'INVALID_OPERATION', 'Engram-Epoch must be the number of an epoch')
    } else replies.otherEpoch(asker, wanted)
    return true
  }

  private accept(
    request: AcceptedRequest, level: AckLevel, asker: ReplyTarget, origin?: Position,
  ): void {
    const { options, replies } = this
    const known = request.key === null ? undefined : this.knownKey(request.key)
    if (known) {
      const lost = origin ? options.losersAt(origin, known.count) : 0
      this.repeatedBody.compare(known, request, (isMismatch) =>
        replies.repeated(known, level, asker, lost, isMismatch))
      return
    }
    if (level === 'committed' && options.inSyncCount() < options.spaceSettings().minInSync) {
      replies.fail(asker, 'NOT_ENOUGH_IN_SYNC', `${options.inSyncCount()} in sync, but the space `
        + `requires ${options.spaceSettings().minInSync} (minInSync)`, 200)
      return
    }
    if (replies.bound.refuses) {
      replies.fail(asker, 'NOT_ENOUGH_IN_SYNC', 'too few members are in sync, and the space '
        + 'refuses writes until more are (whenUnderReplicated)', 200)
      return
    }
    if (this.bufferedBytes > options.settings.unflushedBytesMax
      || options.overlay.bytes > options.settings.overlayBytesMax) {
      replies.fail(asker, 'OVERLOADED', 'the disk or the replicas do not keep up', 50)
      return
    }
    if (!options.budget.allows('writes')) {
      replies.fail(asker, 'OVERLOADED', 'the memory of this node is used up (memoryBytes, '
        + `${options.budget.bytesMax} bytes)`, 50)
      return
    }
    // A write of this epoch belongs to no fork: its key would have been known.
    if (!origin || origin.epoch === options.epoch) return this.append(request, level, asker)
    const reconciled = options.reconcile(request, origin)
    if (reconciled.kind === 'known') {
      const lost = options.losersAt(origin, reconciled.record.count)
      replies.repeated(reconciled.record, level, asker, lost)
    } else if (reconciled.kind === 'decided') this.append(reconciled.request, level, asker)
    else replies.fail(asker, reconciled.code, reconciled.message, 200)
  }

  private append(request: AcceptedRequest, level: AckLevel, asker: ReplyTarget): void {
    const { options, replies } = this
    const timestamp = this.time.next()
    const batch = this.buffer.add(request, timestamp)
    const count = request.operations.length
    const last = options.log.end.sequence + this.buffer.openEntries
    const waiting = new PendingWrite(
      asker, level, request, count, last, timestamp, options.clock.monotonicMs())
    batch.requests.push(waiting)
    this.view.taken(waiting)
    if (request.key !== null) {
      const { operations } = request
      this.unflushedKeys.set(request.key,
        { epoch: options.epoch, sequence: last, count, timestamp, operations })
    }
    if (level === 'memory' && !replies.isDiskFailing) {
      this.answeredInMemory = last
      replies.reached(waiting)
    }
    options.commits.mark(this)
  }

  knownKey(key: string): KeyRecord | undefined {
    const { overlay, store } = this.options
    return this.unflushedKeys.get(key) ?? overlay.key(key) ?? store.key(key)
  }

  private seal(batch: OpenBatch): FlushItem {
    const { options } = this
    const { log, component, epoch } = options
    const frame = batch.builder.seal({
      uuid: log.uuid,
      epoch,
      first: log.end.sequence + 1,
      previousEpoch: log.end.epoch,
      node: component,
      clock: this.clockAtEnd,
    })
    const clockBefore = { ...this.clockAtEnd }
    this.clockAtEnd[component] = (this.clockAtEnd[component] ?? 0) + batch.builder.count
    this.buffer.sealed(frame)
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
    this.view.drop()
    this.buffer.done(batch, frame)
    const { component } = this.options
    const { [component]: before = 0 } = clockBefore
    this.clockAtEnd[component] = Math.min(this.clockAtEnd[component] ?? 0, before)
    this.options.log.rollback()
    for (const request of batch.requests) this.replies.unwritten(request)
  }

  private durable(batch: OpenBatch, frame: Frame, clockBefore: Record<string, number>): void {
    const { log, overlay, component, telemetry, clock } = this.options
    this.buffer.done(batch, frame)
    this.replies.isDiskFailing = false
    log.noteDurable(frame)
    if (this.replies.isOver) {
      for (const request of batch.requests) {
        if (request.answered) continue
        this.replies.fail(request, 'LEASE_LAPSED', 'this node is no longer primary')
      }
      return
    }
    const entries = entriesOf(batch, frame, component, clockBefore)
    for (const { key } of batch.requests) if (key !== null) this.unflushedKeys.delete(key)
    overlay.add(entries, frame.bytes.length, batch.heapBytes)
    this.view.durable(frame.last)
    telemetry.count('writes', entries.length)
    for (const waiting of batch.requests) this.replies.durable(waiting)
    const ms = clock.monotonicMs() - batch.openedAtMs
    telemetry.observe('durableAckMs', ms)
    this.flow.note(entries.length, batch.requests.length, ms)
    this.options.onDurable()
    this.replies.releaseDuplicates()
  }

  /** Answers writes after the commit or the safe sequence has moved. */
  committed(): void {
    this.replies.committed()
  }

  /** Writes that are acknowledged and not yet safe; `nowMs`: monotonic. */
  lossWindow(nowMs: number): Window {
    return this.replies.lossWindow(nowMs)
  }

  /** Whether an answer had to wait for room in the loss window since the last call. */
  takeThrottled(): boolean {
    return this.replies.takeThrottled()
  }

  /** Called once per heartbeat: fails writes that waited too long for their level. */
  expire(): void {
    this.view.tick()
    this.replies.expire(this.buffer.requests())
  }

  /** Ends with the epoch: nothing is answered positively from here on. */
  end(code: 'LEASE_LAPSED' | 'NOT_PRIMARY', reason: string): void {
    if (this.replies.isOver) return
    const unflushed = this.buffer.drop()
    this.view.drop()
    this.unflushedKeys.clear()
    this.replies.end(code, reason, unflushed)
  }
}
