/** The account of forks: how they come home, what they meet there, what may die on the way. */
import { conflictScenarios } from './conflicts.js'
import { homecomingScenarios } from './homecoming.js'
import { interruptionScenarios } from './interruptions.js'
import type { Scenario } from './scenario.js'

export const booksScenarios: readonly Scenario[] = [
  ...homecomingScenarios, ...conflictScenarios, ...interruptionScenarios,
]
