import type { NodeId } from '../../machines/base/ids.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { NodeContext } from '../member/context.js'
import { errorAnswer, isForAnotherEpoch } from '../messaging/answers.js'
import { forwardedHeader, headerFault, writeHeaders } from '../messaging/headers.js'
import type { BusMessage } from '../ports/bus.js'
import type { TimerHandle } from '../ports/system.js'
import { forward, HeldWrites } from './heldWrites.js'

export interface HandoverGateOptions {
  readonly context: NodeContext
  readonly space: string
  readonly epoch: number
  /** The compare-and-set in favour of another node was sent: it may take writes, too. */
  readonly isGivenAway: () => boolean
  /** Into the ingest loop. */
  readonly take: (message: BusMessage) => void
}

/**
 * open: writes are taken. releasing: those that were held come first. handingOver: held until the
 * target reigns, then passed on. awaitingForwarded: as that target, direct ones are held until the
 * old primary's have come.
 */
type Mode = 'open' | 'releasing' | 'handingOver' | 'awaitingForwarded' | 'closed'

/** Patience of the old primary before it passes on without having heard its successor, ms. */
export const forwardHeldAfterMs = (standByMs: number): number => standByMs * 2
/** So long after that its writes still count; what comes later is refused. */
const forwardingMarginMs = 250
/** Held writes are taken for so long, and then the event loop turns: it keeps the lease. */
const sliceMs = 3

/** What lies between a primary's subscription and its ingest loop: writes of a handover. */
export class HandoverGate {
  private mode: Mode = 'open'
  private from: NodeId | null = null
  private formerEpoch = 0
  /** Of the record that gave the reign to this node: the former primary marks what it passes on. */
  private nonce = ''
  private held: HeldWrites
  private timer: TimerHandle | null = null

  constructor(private readonly options: HandoverGateOptions) {
    const { settings, budget } = options.context
    this.held = new HeldWrites(settings.heldBytesMax, budget)
  }

  onWrite(message: BusMessage): void {
    const { answers, ports: { telemetry } } = this.options.context
    // Not even held when it could never be answered, or says what its sender does not mean.
    const asker = answers.asker(message)
    if (!asker) return
    const fault = headerFault(message, writeHeaders)
    if (fault !== null) {
      telemetry.count('writesRefused', 1, { code: 'INVALID_OPERATION' })
      return answers.answer(asker, errorAnswer('INVALID_OPERATION', fault))
    }
    const forwarded = message.header(forwardedHeader)
    if (forwarded) return this.onForwarded(message, forwarded)
    if (this.mode === 'open') return this.options.take(message)
    // The ingest loop refuses it, with the reason: once held, it would bear no fence any more.
    if (this.mode !== 'closed' && this.isForOtherEpoch(message)) return this.options.take(message)
    if (this.mode !== 'closed' && this.held.hold(message)) return
    const reason = this.mode === 'closed' ? 'this node does not reign any more'
      : 'a handover is under way, and no more writes can be held'
    const code = this.isAlone ? 'SHUTTING_DOWN' : 'NOT_PRIMARY'
    answers.answer(asker, errorAnswer(code, reason, { retryAfterMs: 50 }))
  }

  /**
   * No other node can have the write that comes now: the target subscribes to the space's writes
   * when it reigns, and it cannot before the compare-and-set in its favour was sent. So what is
   * refused here was not taken. Later, and as the target, two nodes may have it: that this one
   * does not take it decides nothing.
   */
  private get isAlone(): boolean {
    return this.mode === 'handingOver' && !this.options.isGivenAway()
  }

  /** `Engram-Epoch`: of neither this reign nor, where it took it over whole, the one before. */
  private isForOtherEpoch(message: BusMessage): boolean {
    return isForAnotherEpoch(message, this.options.epoch)
      && (this.mode !== 'awaitingForwarded' || isForAnotherEpoch(message, this.formerEpoch))
  }

  private onForwarded(message: BusMessage, mark: string): void {
    const { answers } = this.options.context
    const isAwaited = this.mode === 'awaitingForwarded'
    if (isAwaited && mark === `end ${this.nonce}`) return this.open()
    if (isAwaited && mark === `write ${this.nonce}`) {
      this.held.drop(message)
      return this.options.take(message)
    }
    // It may have been taken already, when it came directly; or its sender is no primary.
    answers.refuse(message, 'NOT_PRIMARY', `${forwardedHeader}: it was passed on too late, or not `
      + 'by the primary that handed the space over')
  }

  /** A handover in my favour: what the old primary held comes first. */
  awaitForwarded(from: NodeId, formerEpoch: number, nonce: string): void {
    this.formerEpoch = formerEpoch
    this.nonce = nonce
    const { ports, settings } = this.options.context
    this.mode = 'awaitingForwarded'
    this.from = from
    const patienceMs = forwardHeldAfterMs(settings.standByMs) + forwardingMarginMs
    this.timer = ports.clock.setTimeout(() => this.open(), patienceMs)
  }

  /** A handover of mine: nothing is taken from here on. */
  hold(): void {
    this.stopTimer()
    this.mode = 'handingOver'
  }

  /** What was held is taken, in order, and writes are taken again. */
  open(): void {
    this.stopTimer()
    if (this.mode === 'closed') return
    this.mode = 'releasing'
    this.release()
  }

  /** What comes meanwhile is held behind. */
  private readonly release = (): void => {
    const { clock } = this.options.context.ports
    const endMs = clock.monotonicMs() + sliceMs
    while (this.mode === 'releasing') {
      const write = this.held.shift()
      if (!write) {
        this.mode = 'open'
        return
      }
      this.options.take(write.message)
      if (clock.monotonicMs() >= endMs) return clock.nextTurn(this.release)
    }
  }

  /** Gives what was held to the new primary, in order. */
  forwardHeld(nonce: string): void {
    const { context, space } = this.options
    this.mode = 'closed'
    forward(context.wire, subjects.write(space), this.held.release(), nonce)
  }

  /** Once per heartbeat: a dead primary passes nothing on. */
  tick(): void {
    if (this.mode !== 'awaitingForwarded' || !this.from) return
    if (this.options.context.peers.isProvenDead(this.from)) this.open()
  }

  /** The reign is over: who was held asks again. */
  close(reason: string): void {
    this.stopTimer()
    this.mode = 'closed'
    for (const { message } of this.held.release()) {
      this.options.context.answers.refuse(message, 'NOT_PRIMARY', reason)
    }
  }

  private stopTimer(): void {
    if (this.timer) this.options.context.ports.clock.clearTimeout(this.timer)
    this.timer = null
  }
}
