import type { Position } from '../../machines/base/ids.js'
import type { Window } from '../../machines/log/commit.js'
import type { KeyRecord } from '../../machines/log/entries.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import type { Appender, Reconciled } from '../forks/appender.js'
import type { FlushItem, FlushSource, GroupCommit } from '../log/groupCommit.js'
import { LogClock } from '../log/logClock.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import { isForAnotherEpoch, levelOf, originOf } from '../messaging/answers.js'
import type { ReplyTarget } from '../messaging/answers.js'
import type { Overlay } from '../overlay/overlay.js'
import type { BusMessage } from '../ports/bus.js'
import type { ClientCodec, ErrorAnswer, ErrorCode, WriteAnswer } from '../ports/clientApi.js'
import type { AcceptedRequest, Frame } from '../ports/frames.js'
import type { NodePorts } from '../ports/node.js'
import type { ActorSettings } from '../ports/defaultSettings.js'
import type { Clock } from '../ports/system.js'
import { AckHistogram } from './ackHistogram.js'
import type { DataPath, EpochFacts } from './primaryEpoch.js'
import type { PendingView } from './pendingView.js'
import { entriesOf, PendingWrite, type OpenBatch } from './pendingWrite.js'
import { RepeatedBody } from './repeatedBody.js'
import type { UnflushedKey } from './repeatedBody.js'
import type { WriteAnswers } from './writeAnswers.js'
import type { WriteBuffer } from './writeBuffer.js'

/** Services of the node that are needed to take writes. */
export interface IngestServices extends Pick<NodeContext, 'budget' | 'commits' | 'settings'> {
  readonly ports: Pick<NodePorts, 'clients' | 'clock' | 'frames' | 'telemetry'>
  readonly lanes: Pick<NodeContext['lanes'], 'logReads'>
}

/** The replicas, to which frames are sent. */
export interface Replicas {
  /** The first write after a flush has come. */
  begun(): void
  /** A frame is in the file. */
  written(): void
  /** The durable sequence has moved: the commit sequence may move, too. */
  recommit(): void
}

/** Judge of writes that clients send again after an epoch that did not survive. */
export interface ResentWrites {
  /** Decides how a request is logged now that was logged under an earlier epoch first. */
  fromClient(request: AcceptedRequest, origin: Position): Reconciled
  /** Number of operations in quarantine, among the `count` last ones up to that origin. */
  losersAt(origin: Position, count: number): number
}

export interface IngestOptions {
  readonly epoch: EpochFacts
  readonly member: Pick<Member, 'log' | 'overlay' | 'store'>
  readonly context: IngestServices
  /** Number of members that are in sync. */
  readonly inSync: { readonly count: number }
  readonly buffer: WriteBuffer
  readonly pending: PendingView
  readonly replies: WriteAnswers
  readonly replicas: Replicas
  readonly resent: ResentWrites
}

/**
 * The primary's data path: decodes, checks, numbers and buffers writes; `WriteAnswers` answers
 * them. Plain code with one call per write. The `primary` statechart opens and closes it.
 */
export class Ingest implements FlushSource, Appender, DataPath {
  readonly flow = new AckHistogram()
  private refusal: { code: ErrorCode; message: string } | null = null
  /** Highest sequence answered at level `memory`. */
  private answeredInMemory = 0
  private readonly epoch: EpochFacts
  private readonly spaceLog: SpaceLog
  private readonly overlay: Overlay
  private readonly settings: ActorSettings
  private readonly clock: Clock
  private readonly clients: ClientCodec
  private readonly commits: GroupCommit
  private readonly buffer: WriteBuffer
  private readonly time: LogClock
  /** Vector clock after the log's last entry. */
  private readonly clockAtEnd: Record<string, number>
  /** Keys in the open batches and in the flush under way: not yet in the overlay. */
  private readonly unflushedKeys = new Map<string, UnflushedKey>()
  private readonly replies: WriteAnswers
  private readonly repeatedBody: RepeatedBody
  private readonly view: PendingView

  constructor(private readonly options: IngestOptions) {
    const { epoch, member: { log, overlay }, context } = options
    const { budget, lanes: { logReads }, ports: { clients, clock, frames } } = context
    this.epoch = epoch
    this.spaceLog = log
    this.overlay = overlay
    this.settings = context.settings
    this.clock = clock
    this.clients = clients
    this.commits = context.commits
    this.time = new LogClock(clock, epoch.started.timestamp, epoch.started.atMs)
    this.clockAtEnd = { ...epoch.started.clock }
    this.buffer = options.buffer
    this.view = options.pending
    this.replies = options.replies
    this.repeatedBody = new RepeatedBody({ log, overlay, frames, logReads, budget })
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
    if (this.buffer.hasOpen) this.commits.mark(this)
    return items
  }

  /** Fails everything buffered behind a failed flush, since sequences are given in order. */
  flushFailed(): void {
    this.replies.diskFailed()
    this.view.drop()
    this.answeredInMemory = 0
    this.replies.unwritten(this.buffer.drop())
    this.unflushedKeys.clear()
    const isForgotten = this.replies.unwrittenAbove(this.spaceLog.end.sequence)
    // An epoch has one entry at a sequence. The epoch ends, so that none is given a second time.
    if (!isForgotten) return
    this.epoch.deposed('the journal refused writes that were answered in memory')
  }

  /** Takes a write whose headers and reply subject were checked. */
  onWrite(message: BusMessage): void {
    const { replies, clients, epoch } = this
    if (replies.isOver) return replies.over(this.askerOf(message))
    const { refusal } = this
    if (refusal) return replies.fail(this.askerOf(message), refusal.code, refusal.message, 100)
    if (!epoch.lease.valid()) {
      replies.fail(this.askerOf(message), 'LEASE_LAPSED', 'the lease of this primary has lapsed')
      return
    }
    if (this.isForOtherEpoch(message)) return
    const key = message.header('Nats-Msg-Id')
    const validated = clients.write(message.data, message.header('Content-Type'), key)
    const asker = { reply: message.reply, encoding: validated.encoding }
    if (!validated.ok) return replies.fail(asker, validated.code, validated.message)
    const level = levelOf(message.header('Engram-Ack'), epoch.settings.ack)
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
    return { reply, encoding: this.clients.encodingOf(data, type) }
  }

  /** Logs a request of this node's own, about forks; `settle` gets the answer. */
  log(
    request: AcceptedRequest,
    level: AckLevel,
    settle: (answer: WriteAnswer | ErrorAnswer) => void,
  ): void {
    const asker: ReplyTarget = { reply: undefined, encoding: 'json', settle }
    const { replies, refusal } = this
    if (replies.isOver) replies.over(asker)
    else if (refusal) replies.fail(asker, refusal.code, refusal.message, 100)
    else this.accept(request, level, asker)
  }

  /**
   * Refuses a write whose `Engram-Epoch` is another one. Its sender keeps writes that the other
   * epoch may have left behind, and has to resend them before this one is taken.
   */
  private isForOtherEpoch(message: BusMessage): boolean {
    const { epoch, replies } = this
    if (!isForAnotherEpoch(message, epoch.number)) return false
    const wanted = message.header('Engram-Epoch') ?? ''
    const asker = this.askerOf(message)
    if (!/^\d{1,15}$/.test(wanted)) {
      replies.fail(asker, 'INVALID_OPERATION', 'Engram-Epoch must be the number of an epoch')
    } else replies.otherEpoch(asker, wanted)
    return true
  }

  private accept(
    request: AcceptedRequest,
    level: AckLevel,
    asker: ReplyTarget,
    origin?: Position,
  ): void {
    const { epoch, options, overlay, replies, settings } = this
    const known = request.key === null ? undefined : this.knownKey(request.key)
    if (known) {
      const lost = origin ? options.resent.losersAt(origin, known.count) : 0
      this.repeatedBody.compare(known, request, (isMismatch) =>
        replies.repeated(known, level, asker, lost, isMismatch))
      return
    }
    if (level === 'committed' && replies.tooFewInSync) {
      replies.fail(asker, 'NOT_ENOUGH_IN_SYNC', `${options.inSync.count} in sync, but the space `
        + `requires ${epoch.settings.minInSync} (minInSync)`, 200)
      return
    }
    if (replies.bound.refuses) {
      replies.fail(asker, 'NOT_ENOUGH_IN_SYNC', 'too few members are in sync, and the space '
        + 'refuses writes until more are (whenUnderReplicated)', 200)
      return
    }
    if (this.bufferedBytes > settings.unflushedBytesMax
      || overlay.bytes > settings.overlayBytesMax)
    {
      replies.fail(asker, 'OVERLOADED', 'the disk or the replicas do not keep up', 50)
      return
    }
    const { budget } = options.context
    if (!budget.allows('writes')) {
      replies.fail(asker, 'OVERLOADED', 'the memory of this node is used up (memoryBytes, '
        + `${budget.bytesMax} bytes)`, 50)
      return
    }
    // A write of this epoch belongs to no fork: its key would have been known.
    if (!origin || origin.epoch === epoch.number) return this.append(request, level, asker)
    const reconciled = options.resent.fromClient(request, origin)
    if (reconciled.kind === 'known') {
      const lost = options.resent.losersAt(origin, reconciled.record.count)
      replies.repeated(reconciled.record, level, asker, lost)
    } else if (reconciled.kind === 'decided') this.append(reconciled.request, level, asker)
    else replies.fail(asker, reconciled.code, reconciled.message, 200)
  }

  private append(request: AcceptedRequest, level: AckLevel, asker: ReplyTarget): void {
    const { epoch, replies } = this
    if (!this.buffer.hasOpen) this.options.replicas.begun()
    const timestamp = this.time.next()
    const batch = this.buffer.add(request, timestamp)
    const count = request.operations.length
    const last = this.spaceLog.end.sequence + this.buffer.openEntries
    const waiting = new PendingWrite(asker, level, request, this.clock.monotonicMs())
      .place(last, timestamp)
    batch.requests.push(waiting)
    this.view.taken(waiting)
    if (request.key !== null) {
      const { operations } = request
      this.unflushedKeys.set(request.key, { epoch: epoch.number, sequence: last, count, timestamp,
        operations })
    }
    if (level === 'memory' && !replies.isDiskFailing) {
      this.answeredInMemory = last
      replies.reached(waiting)
    }
    this.commits.mark(this)
  }

  knownKey(key: string): KeyRecord | undefined {
    const { store } = this.options.member
    return this.unflushedKeys.get(key) ?? this.overlay.key(key) ?? store.key(key)
  }

  private seal(batch: OpenBatch): FlushItem {
    const { spaceLog: log, epoch, options } = this
    const { component } = epoch.started
    const frame = batch.builder.seal({
      uuid: log.uuid,
      epoch: epoch.number,
      first: log.end.sequence + 1,
      previousEpoch: log.end.epoch,
      node: component,
      clock: this.clockAtEnd,
    })
    const clockBefore = { ...this.clockAtEnd }
    this.clockAtEnd[component] = (this.clockAtEnd[component] ?? 0) + batch.builder.count
    this.buffer.sealed(frame)
    log.accept(frame, this.clock.monotonicMs())
    return {
      record: { type: 'frame', frame },
      bytes: frame.bytes.length,
      requests: batch.requests.length,
      written: () => {
        log.noteWritten(frame)
        options.replicas.written()
      },
      durable: () => this.durable(batch, frame, clockBefore),
      failed: () => this.unwritten(batch, frame, clockBefore),
    }
  }

  private unwritten(batch: OpenBatch, frame: Frame, clockBefore: Record<string, number>): void {
    this.view.drop()
    this.buffer.done(batch, frame)
    const { component } = this.epoch.started
    const { [component]: before = 0 } = clockBefore
    this.clockAtEnd[component] = Math.min(this.clockAtEnd[component] ?? 0, before)
    this.spaceLog.rollback()
    this.replies.unwritten(batch.requests)
  }

  private durable(batch: OpenBatch, frame: Frame, clockBefore: Record<string, number>): void {
    const { spaceLog: log, overlay, options: { context: { ports: { telemetry } } } } = this
    this.buffer.done(batch, frame)
    this.replies.diskFlushed()
    log.noteDurable(frame)
    if (this.replies.isOver) {
      this.replies.refuse(batch.requests, {
        code: 'LEASE_LAPSED',
        message: 'this node is no longer primary',
      })
      return
    }
    const entries = entriesOf(batch, frame, this.epoch.started.component, clockBefore)
    for (const { key } of batch.requests) if (key !== null) this.unflushedKeys.delete(key)
    overlay.add(entries, frame.bytes.length, batch.heapBytes)
    this.view.durable(frame.last)
    telemetry.count('writes', entries.length)
    for (const waiting of batch.requests) this.replies.durable(waiting)
    const ms = this.clock.monotonicMs() - batch.openedAtMs
    telemetry.observe('durableAckMs', ms)
    this.flow.note(entries.length, batch.requests.length, ms)
    this.options.replicas.recommit()
    this.replies.releaseDuplicates()
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
