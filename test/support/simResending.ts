/**
 * The resending of a client, in virtual time: it keeps acknowledged writes until
 * they are safe, and sends again what a later epoch lacks. (`runtime/client` does so in real time.)
 */
import { decode } from '@msgpack/msgpack'
import type { ErrorAnswer, HistoryValue, ReadAnswer } from '../../actors/ports/clientApi.js'
import type { Announcement } from '../../machines/protocol/messages.js'
import { KeptWrites } from '../../runtime/client/keptWrites.js'
import type { Kept, Sendable, Taken } from '../../runtime/client/keptWrites.js'
import type { Answer } from './simCluster.js'

/** Between two tries of a write that is sent again, ms. */
const pauseMs = 10

export interface KeepingOptions {
  readonly nowMs: () => number
  readonly pause: (ms: number) => Promise<void>
  /** Names of what a write changes: two that share one must not overtake each other. */
  readonly touches: (write: Kept) => readonly string[]
  /** Sends the write again, once; null: no answer. */
  readonly resend: (write: Kept, headers: Record<string, string>) => Promise<Answer | null>
  /** Asks the primary for its history; null: no answer. */
  readonly history: () => Promise<ReadAnswer | ErrorAnswer | null>
  readonly pollMs: number
}

export class SimResending {
  readonly kept: KeptWrites
  /** Sent again: taken by the epoch as a new write, or known to it. */
  resent = 0
  survived = 0
  private isStopping = false
  private isPolling = false

  constructor(private readonly options: KeepingOptions) {
    const { touches } = options
    this.kept = new KeptWrites({ resendingMax: 8, onSafe: () => undefined, touches })
  }

  /** Looks for a later epoch, and for what is safe, again and again. */
  start(): void {
    void this.poll()
  }

  /** Goes on until all is safe. */
  stop(): void {
    this.isStopping = true
  }

  get isOver(): boolean {
    return this.kept.writes === 0
  }

  /** Headers of a new write; null: it has to wait until others have been sent again. */
  fence(): Record<string, string> | null {
    const { kept } = this
    if (kept.isBehind) return null
    return kept.writes > 0 ? { 'Engram-Epoch': String(kept.epoch) } : {}
  }

  /** False: of an epoch that is over; it decides nothing. */
  answered(write: Sendable, taken: Taken): boolean {
    const { kept, options } = this
    if (taken.epoch < kept.epoch) return false
    kept.heard(taken.epoch)
    kept.answered(write, taken, options.nowMs())
    void this.poll()
    return true
  }

  refused(answer: Answer | null): void {
    if (answer && !answer.ok && answer.epoch !== undefined) this.kept.heard(answer.epoch)
  }

  /** Takes a message of `engram.v1.assignment.<space>`. */
  announced(data: Uint8Array): void {
    const { kind, assignment, history } = decode(data) as Announcement
    if (kind !== 'changed' || assignment.state !== 'open') return
    this.kept.takeOver(assignment.epoch, history)
    this.resendAll()
  }

  private async poll(): Promise<void> {
    if (this.isPolling) return
    this.isPolling = true
    while (!this.isStopping || !this.isOver) {
      await this.options.pause(this.options.pollMs)
      await this.look()
    }
    this.isPolling = false
  }

  private async look(): Promise<void> {
    const read = await this.options.history()
    if (!read?.ok) return
    const { history, safeSequence } = read.value as HistoryValue
    this.kept.takeOver(read.epoch, history)
    this.kept.safe(read.epoch, safeSequence)
    this.resendAll()
  }

  private resendAll(): void {
    const { kept } = this
    for (let write = kept.next(); write; write = kept.next()) void this.resend(write)
  }

  private async resend(write: Kept): Promise<void> {
    const { kept, options } = this
    const { epoch } = kept
    const { key, level, origin } = write
    // Until it is taken, or taken back since a later epoch is known.
    while (kept.epoch === epoch) {
      const answer = await options.resend(write, {
        'Nats-Msg-Id': key,
        'Engram-Ack': level,
        'Engram-Epoch': String(epoch),
        'Engram-Origin': `${origin.epoch}/${origin.sequence}`,
      })
      this.refused(answer)
      if (answer?.ok && kept.resent(write, answer)) {
        if (answer.duplicate) this.survived += 1
        else this.resent += 1
        return this.resendAll()
      }
      await options.pause(pauseMs)
    }
  }
}
