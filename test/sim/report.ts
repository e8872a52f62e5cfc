/** A run's outcome as text. */
import { showFault } from './plan.js'
import type { RunResult } from './run.js'

type Outcome = Omit<RunResult, 'transcript'>

/** One line when all held; else what was violated, by which faults, and how to see it again. */
export function showOutcome(outcome: Outcome): string {
  const { seed, violation, stats, hash, plan } = outcome
  if (!violation) {
    return `seed ${seed}: ok, hash ${hash}, ${
      (stats.simulatedMs / 1000).toFixed(1)
    } s simulated in `
      + `${(stats.realMs / 1000).toFixed(2)} s, ${stats.messages} messages, `
      + `${stats.acknowledged} of ${stats.writes} writes answered, epoch ${stats.epochs}`
      + (outcome.excuse ? `; ended early: ${outcome.excuse}` : '')
  }
  return [
    `seed ${seed}: ${violation.invariant} is violated at ${violation.atMs.toFixed(1)} ms`,
    `  ${violation.details.replaceAll('\n', '\n  ')}`,
    `  ${plan.nodes.length} nodes, ${plan.replicas} replicas, minInSync ${plan.minInSync}, `
    + `${plan.clients.length} clients, ${plan.requestsMax} requests at most, faults:`,
    ...plan.faults.map((fault) => `    ${showFault(fault)}`),
    `  again: npm run sim -- --seed ${seed} --trace`,
  ].join('\n')
}
