import type { Clock, Logger, Telemetry } from '../../actors/ports/system.js'
import type { DeadLetter, DeadLetterReason } from './types.js'

/** One line in the log per reason and second; further ones are counted in the next line. */
const logPauseMs = 1_000

/** Counts, logs (rate limited) and publishes events that reached nobody. */
export class DeadLetters {
  private readonly counts = new Map<DeadLetterReason, number>()
  private readonly lastLog = new Map<DeadLetterReason, { atMs: number; silenced: number }>()
  private readonly listeners = new Set<(letter: DeadLetter) => void>()
  private total = 0

  constructor(
    private readonly clock: Clock,
    private readonly logger: Logger,
    private readonly telemetry: Telemetry | undefined,
  ) {}

  add(letter: DeadLetter): void {
    this.total += 1
    this.counts.set(letter.reason, (this.counts.get(letter.reason) ?? 0) + 1)
    this.telemetry?.count('engram_host_dead_letters_total', 1, { reason: letter.reason })
    this.log(letter)
    for (const listener of this.listeners) {
      try {
        listener(letter)
      } catch (error) {
        this.logger.error({ error }, 'a listener for dead letters threw')
      }
    }
  }

  listen(listener: (letter: DeadLetter) => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  report(): { readonly total: number } & Partial<Record<DeadLetterReason, number>> {
    return { total: this.total, ...Object.fromEntries(this.counts) }
  }

  private log(letter: DeadLetter): void {
    const now = this.clock.monotonicMs()
    const last = this.lastLog.get(letter.reason)
    if (last !== undefined && now - last.atMs < logPauseMs) {
      last.silenced += 1
      return
    }
    this.lastLog.set(letter.reason, { atMs: now, silenced: 0 })
    const { reason, detail, to, from } = letter
    const event = letter.event?.type
    const before = last?.silenced ?? 0
    // An answer that arrives after its asker has ended is part of every stop.
    const level = reason === 'actorOver' ? 'info' : 'warn'
    this.logger[level]({ reason, detail, to, from, event, before }, 'dead letter')
  }
}
