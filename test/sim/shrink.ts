/**
 * Cuts a failing plan down: first the list of faults (delta debugging, Zeller & Hildebrandt 2002),
 * then the length of each, then the workload. The rest still violates the same invariant.
 */
import type { Fault, Plan } from './plan.js'
import { runPlan } from './run.js'
import type { RunResult } from './run.js'

export interface Shrunk {
  readonly result: RunResult
  readonly runs: number
}

export interface ShrinkOptions {
  /** No further run begins after this long, ms of real time. */
  readonly withinMs: number
  readonly onProgress?: (faults: number, runs: number) => void
}

/** `failed`: the run to shrink; it must have a violation. */
export async function shrink(failed: RunResult, options: ShrinkOptions): Promise<Shrunk> {
  const search = new Search(failed, options)
  await search.reduceFaults()
  await search.shortenWorkload()
  await search.simplify()
  await search.reduceFaults()
  return { result: search.best, runs: search.runs }
}

class Search {
  best: RunResult
  runs = 0
  private readonly limitMs: number
  private readonly invariant: string

  constructor(failed: RunResult, private readonly options: ShrinkOptions) {
    if (!failed.violation) throw new Error('a run without a violation cannot be shrunk')
    this.best = failed
    this.invariant = failed.violation.invariant
    this.limitMs = performance.now() + options.withinMs
  }

  private get isOver(): boolean {
    return performance.now() > this.limitMs
  }

  /** Keeps the plan if it still fails in the same way. */
  private async tries(change: Partial<Plan>): Promise<boolean> {
    if (this.isOver) return false
    this.runs += 1
    const result = await runPlan({ ...this.best.plan, ...change })
    if (result.violation?.invariant !== this.invariant) return false
    this.best = result
    this.options.onProgress?.(result.plan.faults.length, this.runs)
    return true
  }

  async reduceFaults(): Promise<void> {
    // Anything that began after the violation had no part in it.
    const { atMs } = this.best.violation!
    const before = this.best.plan.faults.filter((fault) => fault.atMs <= atMs)
    if (before.length < this.best.plan.faults.length) await this.tries({ faults: before })
    if (await this.tries({ faults: [] })) return
    let parts = 2
    while (this.best.plan.faults.length >= 2 && !this.isOver) {
      const { faults } = this.best.plan
      const size = Math.ceil(faults.length / parts)
      let isLess = false
      for (let from = 0; from < faults.length && !isLess; from += size) {
        const left = [...faults.slice(0, from), ...faults.slice(from + size)]
        isLess = left.length < faults.length && await this.tries({ faults: left })
      }
      if (isLess) parts = Math.max(parts - 1, 2)
      else if (size === 1) return
      else parts = Math.min(parts * 2, this.best.plan.faults.length)
    }
  }

  async shortenWorkload(): Promise<void> {
    const last = this.best.plan.faults.at(-1)
    const faultsMs = Math.ceil((last ? last.atMs + last.forMs : 0) + 500)
    if (faultsMs < this.best.plan.faultsMs) await this.tries({ faultsMs })
    for (let clients = 0; clients < this.best.plan.clients.length; clients += 1) {
      if (await this.tries({ clients: this.best.plan.clients.slice(0, clients) })) return
    }
    for (let requestsMax = 1; requestsMax < this.best.plan.requestsMax; requestsMax *= 4) {
      if (await this.tries({ requestsMax })) return
    }
  }

  /** Rounder: clocks that agree, fewer nodes. */
  async simplify(): Promise<void> {
    const { nodes } = this.best.plan
    await this.tries({
      clocks: Object.fromEntries(nodes.map((node) => [node, { rate: 1, wallOffsetMs: 0 }])),
    })
    const used = new Set(this.best.plan.faults.flatMap((fault: Fault) => [fault.node, fault.other]))
    const fewer = nodes.filter((node, index) => index < 3 || used.has(node))
    if (fewer.length < nodes.length) {
      const replicas = Math.min(this.best.plan.replicas, fewer.length - 1)
      await this.tries({ nodes: fewer, replicas })
    }
  }
}
