/** Forks: how they are reconciled, what they meet, what may die on the way. */
import { conflictScenarios } from './conflicts.js'
import { goneForkScenarios } from './goneForks.js'
import { reconciliationScenarios } from './reconciliation.js'
import { interruptionScenarios } from './interruptions.js'
import type { Scenario } from './scenario.js'

export const forkScenarios: readonly Scenario[] = [
  ...reconciliationScenarios,
  ...conflictScenarios,
  ...interruptionScenarios,
  ...goneForkScenarios,
]
