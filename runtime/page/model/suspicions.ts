/** Findings of failure detectors, as runs from the first suspicion of a peer until it is heard. */
import type { PromotionStep } from './promotionStep.js'

interface Run {
  readonly peer: string
  readonly steps: PromotionStep[]
  /** Time at which the peer was heard again. null if it was not. */
  overMs: number | null
}

const suspicious = /^(suspect|probing|unreachable|dead|left)/

export class Suspicions {
  private readonly runs: Run[] = []
  /** The latest run of each witness about each peer. */
  private readonly latest = new Map<string, Run>()

  /** Notes a change of a detector's state. Called in order of time. */
  note(peer: string, step: PromotionStep): void {
    const key = `${step.node} ${peer}`
    const run = this.latest.get(key)
    const isOpen = run !== undefined && run.overMs === null
    if (!suspicious.test(step.state)) {
      if (isOpen) run.overMs = step.atMs
    } else if (isOpen) run.steps.push(step)
    else {
      const begun = { peer, steps: [step], overMs: null }
      this.latest.set(key, begun)
      this.runs.push(begun)
    }
  }

  /**
   * Returns the steps that led to a promotion at `beginMs`: those between `sinceMs` and `untilMs`
   * of runs about that peer that had not ended by then.
   */
  of(peer: string, beginMs: number, sinceMs: number, untilMs: number): PromotionStep[] {
    return this.runs
      .filter((run) => run.peer === peer && (run.overMs === null || run.overMs > beginMs))
      .flatMap(({ steps }) => steps.filter(({ atMs }) => atMs >= sinceMs && atMs <= untilMs))
  }
}
