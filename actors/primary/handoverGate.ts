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
  /** Whether the compare-and-set in favour of another node was sent: it may take writes, too. */
  readonly isGivenAway: () => boolean
  /** Passes a write to the ingest loop. */
  readonly take: (message: BusMessage) => void
}

/**
 * open: writes are taken. releasing: held writes are taken first. handingOver: writes are held
 * until the target is primary, then forwarded to it. awaitingForwarded: this node is that target;
 * direct writes are held until the old primary's have come.
 */
type Mode = 'open' | 'releasing' | 'handingOver' | 'awaitingForwarded' | 'closed'

/** Time after which the old primary forwards held writes without a word of its successor, ms. */
export const forwardHeldAfterMs = (standByMs: number): number => standByMs * 2
/** Time after that during which forwarded writes are taken, ms. Later ones are refused. */
const forwardingMarginMs = 250
/** Longest slice in which held writes are taken: the event loop has to keep the lease. */
const sliceMs = 3

/** Gate between a primary's subscription and its ingest loop. Holds writes during a handover. */
export class HandoverGate {
  private mode: Mode = 'open'
  private from: NodeId | null = null
  private formerEpoch = 0
  /** Nonce of the record that named this node: the former primary marks forwarded writes by it. */
  private nonce = ''
  private held: HeldWrites
  private timer: TimerHandle | null = null

  constructor(private readonly options: HandoverGateOptions) {
    const { settings, budget } = options.context
    this.held = new HeldWrites(settings.heldBytesMax, budget)
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
    if (this.mode === 'open') return this.options.take(message)
    // The ingest loop refuses it, with the reason. A held copy does not keep its epoch header.
    if (this.mode !== 'closed' && this.isForOtherEpoch(message)) return this.options.take(message)
    if (this.mode !== 'closed' && this.held.hold(message)) return
    const reason = this.mode === 'closed' ? 'this node is no longer primary'
      : 'a handover is under way, and no more writes can be held'
    const code = this.isAlone ? 'SHUTTING_DOWN' : 'NOT_PRIMARY'
    answers.answer(asker, errorAnswer(code, reason, { retryAfterMs: 50 }))
  }

  /**
   * True while no other node can receive the write. The target subscribes to the space's writes
   * when it is primary, which it cannot be before the compare-and-set in its favour was sent. Until
   * then, a write that is refused here was not taken. Later, or on the target, two nodes may
   * receive it, and a refusal by this one decides nothing.
   */
  private get isAlone(): boolean {
    return this.mode === 'handingOver' && !this.options.isGivenAway()
  }

  /** `Engram-Epoch` names neither this epoch nor, after a handover, the one before it. */
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
    if (this.mode === 'closed') return
    this.mode = 'releasing'
    this.release()
  }

  /** Works in slices; a write that comes meanwhile is held behind the others. */
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

  /** Forwards held writes to the new primary, in order. */
  forwardHeld(nonce: string): void {
    const { context, space } = this.options
    this.mode = 'closed'
    forward(context.wire, subjects.write(space), this.held.release(), nonce)
  }

  /** Called once per heartbeat: a dead primary forwards nothing. */
  tick(): void {
    if (this.mode !== 'awaitingForwarded' || !this.from) return
    if (this.options.context.peers.isProvenDead(this.from)) this.open()
  }

  /** Ends with the epoch: held writes are refused, and their writers send again. */
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
