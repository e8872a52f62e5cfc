import { answerScenarios } from './answers.js'
import { arbiterScenarios } from './arbiter.js'
import { forkScenarios } from './forks.js'
import { commitScenarios } from './commit.js'
import { dataScenarios } from './data.js'
import { directoryScenarios } from './directories.js'
import { droppingScenarios } from './dropping.js'
import { fullDiskScenarios } from './fullDisks.js'
import { handoverScenarios } from './handovers.js'
import { installScenarios } from './installs.js'
import { journalScenarios } from './journal.js'
import { leaseScenarios } from './lease.js'
import { lossScenarios } from './loss.js'
import { maintenanceScenarios } from './maintenance.js'
import { memberForkScenarios } from './memberForks.js'
import { memberScenarios } from './members.js'
import { promotionScenarios } from './promotion.js'
import type { Scenario } from './scenario.js'
import { Stage } from './stage.js'
import { Transcript } from './transcript.js'

export const scenarios: readonly Scenario[] = [
  ...leaseScenarios,
  ...promotionScenarios,
  ...handoverScenarios,
  ...commitScenarios,
  ...dataScenarios,
  ...journalScenarios,
  ...lossScenarios,
  ...forkScenarios,
  ...directoryScenarios,
  ...arbiterScenarios,
  ...maintenanceScenarios,
  ...droppingScenarios,
  ...answerScenarios,
  ...installScenarios,
  ...fullDiskScenarios,
  ...memberScenarios,
  ...memberForkScenarios,
]

/** Throws when there is none of that name. */
export function scenarioOf(name: string): Scenario {
  const found = scenarios.find((scenario) => scenario.name === name)
  if (!found) {
    throw new Error(`no scenario ${name}: there are ${scenarios.map((s) => s.name).join(', ')}`)
  }
  return found
}

/** Rejects with what went wrong; the transcript then shows the run up to there. */
export async function play(scenario: Scenario, transcript = new Transcript()): Promise<void> {
  await scenario.run((options = {}) => Stage.set(options, transcript))
}
