import type { NodeId } from '../../machines/base/ids.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { NodeContext } from '../member/context.js'
import { errorAnswer, isForAnotherEpoch } from '../messaging/answers.js'
import { forwardedHeader, headerFault, writeHeaders } from '../messaging/headers.js'
import { NoRespondersError } from '../ports/bus.js'
import type { BusMessage, BusSubscription } from '../ports/bus.js'
import type { TimerHandle } from '../ports/system.js'
import { inSlices } from '../structures/inSlices.js'
import { forward, forwardEnd, HeldWrites } from './heldWrites.js'

export interface WriteGateOptions {
  readonly context: NodeContext
  readonly space: string
  readonly epoch: {
    readonly number: number
    /** The compare-and-set in favour of another node was sent: it may take writes, too. */
    readonly isGivenAway: boolean
  }
  /** The ingest loop, to which writes are passed. */
  readonly ingest: { onWrite(message: BusMessage): void }
}

/**
 * open: writes are taken. releasing: held writes are taken first. handingOver: writes are held
 * until the target is primary. forwarding: they are being forwarded to it. awaitingForwarded: this
 * node is that target; direct writes are held until the old primary's have come.
 */
type Mode = 'open' | 'releasing' | 'handingOver' | 'forwarding' | 'awaitingForwarded' | 'closed'

/** Time after which the old primary forwards held writes without a word of its successor, ms. */
export const forwardHeldAfterMs = (standByMs: number): number => standByMs * 2
/** Time after that during which forwarded writes are taken, ms. Later ones are refused. */
const forwardingMarginMs = 250

/**
 * Subscription to the writes of a space, and the gate between it and the ingest loop. Holds writes
 * during a handover. There may be many: all work on them is done in slices of the event loop.
 */
export class WriteGate {
  private mode: Mode = 'open'
  private from: NodeId | null = null
  private formerEpoch = 0
  /** Nonce of the record that named this node: the former primary marks forwarded writes by it. */
  private nonce = ''
  private held: HeldWrites
  private timer: TimerHandle | null = null
  private subscription: BusSubscription | null = null
  private readonly subject: string

  constructor(private readonly options: WriteGateOptions) {
    const { settings, budget } = options.context
    this.held = new HeldWrites(settings.heldBytesMax, budget)
    this.subject = subjects.write(options.space)
  }

  /** Throws BusClosedError. */
  subscribe(): void {
    this.subscription = this.options.context.wire.subscribe(
      this.subject,
      (message) => this.onWrite(message),
    )
  }

  get isSubscribed(): boolean {
    return this.subscription !== null
  }

  /** Whether no writes are held, and the end of those that were forwarded is marked. */
  get isEmpty(): boolean {
    return this.held.isEmpty && this.mode !== 'forwarding'
  }

  private unsubscribe(): void {
    this.subscription?.unsubscribe()
    this.subscription = null
  }

  onWrite(message: BusMessage): void {
    const { answers, ports: { telemetry } } = this.options.context
    // Not even held when it cannot be answered, or when a header is malformed or unknown.
    const asker = answers.asker(message)
    if (!asker) return
    const fault = headerFault(message, writeHeaders)
    if (fault !== null) {
      telemetry.count('writesRefused', 1, { code: 'INVALID_OPERATION' })
      return answers.answer(asker, errorAnswer('INVALID_OPERATION', fault))
    }
    const forwarded = message.header(forwardedHeader)
    if (forwarded) return this.onForwarded(message, forwarded)
    const { ingest } = this.options
    if (this.mode === 'open') return ingest.onWrite(message)
    // The ingest loop refuses it, with the reason. A held copy does not keep its epoch header.
    if (!this.isClosed && this.isForOtherEpoch(message)) return ingest.onWrite(message)
    if (!this.isClosed && this.held.hold(message)) return
    const reason = this.isClosed
      ? 'this node is no longer primary'
      : 'a handover is under way, and no more writes can be held'
    const code = this.isAlone ? 'SHUTTING_DOWN' : 'NOT_PRIMARY'
    answers.answer(asker, errorAnswer(code, reason, { retryAfterMs: 50 }))
  }

  /** No more writes are held. */
  private get isClosed(): boolean {
    return this.mode === 'closed' || this.mode === 'forwarding'
  }

  /**
   * True while no other node can receive the write. The target subscribes to the space's writes
   * when it is primary, which it cannot be before the compare-and-set in its favour was sent. Until
   * then, a write that is refused here was not taken. Later, or on the target, two nodes may
   * receive it, and a refusal by this one decides nothing.
   */
  private get isAlone(): boolean {
    return this.mode === 'handingOver' && !this.options.epoch.isGivenAway
  }

  /** `Engram-Epoch` names neither this epoch nor, after a handover, the one before it. */
  private isForOtherEpoch(message: BusMessage): boolean {
    return isForAnotherEpoch(message, this.options.epoch.number)
      && (this.mode !== 'awaitingForwarded' || isForAnotherEpoch(message, this.formerEpoch))
  }

  private onForwarded(message: BusMessage, mark: string): void {
    const { answers } = this.options.context
    const isAwaited = this.mode === 'awaitingForwarded'
    if (isAwaited && mark === `end ${this.nonce}`) return this.open()
    if (isAwaited && mark === `write ${this.nonce}`) {
      this.held.drop(message)
      return this.options.ingest.onWrite(message)
    }
    // To a probe, any answer will do. A write may have been taken already, when it came directly;
    // or its sender is no primary.
    answers.refuse(message, 'NOT_PRIMARY', `${forwardedHeader}: the write was forwarded too late, `
      + 'or not by the primary that handed the space over')
  }

  /** Begins as the target of a handover: writes that the old primary held come first. */
  awaitForwarded(from: NodeId, formerEpoch: number, nonce: string): void {
    this.formerEpoch = formerEpoch
    this.nonce = nonce
    const { ports, settings } = this.options.context
    this.mode = 'awaitingForwarded'
    this.from = from
    const patienceMs = forwardHeldAfterMs(settings.standByMs) + forwardingMarginMs
    this.timer = ports.clock.setTimeout(() => this.open(), patienceMs)
  }

  /** Begins a handover to another node: from here on writes are held. */
  hold(): void {
    this.stopTimer()
    this.mode = 'handingOver'
  }

  /** Takes held writes in order, and then new ones again. */
  open(): void {
    this.stopTimer()
    if (this.isClosed || this.mode === 'releasing') return
    this.mode = 'releasing'
    inSlices(this.options.context.ports.clock, this.releaseNext, () => undefined)
  }

  /** A write that comes meanwhile is held behind the others. False: none is left to take. */
  private readonly releaseNext = (): boolean => {
    if (this.mode !== 'releasing') return false
    const write = this.held.shift()
    if (write) this.options.ingest.onWrite(write.message)
    else this.mode = 'open'
    return write !== undefined
  }

  /**
   * Unsubscribes, and forwards held writes to the new primary, in order; then calls `onDone`. Goes
   * on when the epoch ends meanwhile, but not over another connection: if writes were lost with the
   * first one, those behind them must not arrive. Nor does it begin after the end: the first ones
   * were refused then.
   */
  forwardHeld(nonce: string, onDone: () => void): void {
    this.unsubscribe()
    if (this.isClosed) return
    this.mode = 'forwarding'
    const { answers, wire, ports: { clock } } = this.options.context
    const { life } = wire
    inSlices(clock, () => {
      const write = this.held.shift()
      if (!write) return false
      if (wire.life === life) forward(wire, this.subject, write, nonce)
      else answers.refuse(write.message, 'NOT_PRIMARY', 'this node lost its connection to NATS')
      return true
    }, () => {
      this.mode = 'closed'
      if (wire.life === life) forwardEnd(wire, this.subject, nonce)
      onDone()
    })
  }

  /**
   * The same without a word of the new primary: it may be dead, or not heard. If nobody takes
   * writes, those that are held are refused. Forwarded, they would be lost, and their writers would
   * wait for their time limit.
   */
  async forwardUnasked(nonce: string, onDone: () => void): Promise<void> {
    this.unsubscribe()
    const { wire, settings } = this.options.context
    const probe = wire.request(this.subject, new Uint8Array(0), {
      timeoutMs: settings.probeMs,
      headers: { [forwardedHeader]: `probe ${nonce}` },
    })
    const isUnheard = await probe.then(() => false, (error) => error instanceof NoRespondersError)
    if (this.isClosed) return
    if (!isUnheard) return this.forwardHeld(nonce, onDone)
    this.close('nobody has taken the space over; send the write again, with the same key')
    onDone()
  }

  /**
   * A member joins this epoch. If it was primary before, it is not any more: it forwarded what it
   * held, perhaps before this node had subscribed, and will forward nothing.
   */
  joined(node: NodeId): void {
    if (this.mode === 'awaitingForwarded' && node === this.from) this.open()
  }

  /**
   * Called once per heartbeat: a dead primary forwards nothing. One that hangs may do so when it
   * goes on. Those writes are refused then, outcome unknown, so that the others need not wait.
   */
  tick(): void {
    if (this.mode !== 'awaitingForwarded' || !this.from) return
    const { peers } = this.options.context
    if (peers.isProvenDead(this.from) || peers.isSuspect(this.from)) this.open()
  }

  /** Ends with the epoch: held writes are refused, and their writers send again. */
  close(reason: string): void {
    this.stopTimer()
    this.unsubscribe()
    if (this.mode === 'forwarding') return
    this.mode = 'closed'
    const { answers, ports: { clock } } = this.options.context
    inSlices(clock, () => {
      const write = this.held.shift()
      if (write) answers.refuse(write.message, 'NOT_PRIMARY', reason)
      return write !== undefined
    }, () => undefined)
  }

  private stopTimer(): void {
    if (this.timer) this.options.context.ports.clock.clearTimeout(this.timer)
    this.timer = null
  }
}
