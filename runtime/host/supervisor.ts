import type { Supervision } from '../../actors/host/actorHost.js'

export type Verdict =
  | { readonly kind: 'restart'; readonly attempt: number; readonly delayMs: number }
  | { readonly kind: 'giveUp' }

/**
 * Counts restarts within the period (by the monotonic clock). The pause doubles with each
 * restart still in the period, so a quiet period brings it back to the first.
 */
export class RestartBudget {
  private restartsAt: number[] = []

  constructor(private readonly supervision: Supervision | undefined) {}

  next(nowMs: number): Verdict {
    const rules = this.supervision
    if (rules === undefined) return { kind: 'giveUp' }
    this.restartsAt = this.restartsAt.filter((at) => nowMs - at < rules.withinMs)
    if (this.restartsAt.length >= rules.maxRestarts) return { kind: 'giveUp' }
    const delayMs = Math.min(rules.backoffMs * 2 ** this.restartsAt.length, rules.backoffMaxMs)
    this.restartsAt.push(nowMs)
    return { kind: 'restart', attempt: this.restartsAt.length, delayMs }
  }
}
