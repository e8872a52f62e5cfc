/**
 * The mutants: what each guard of the protocol is for, as data. Applied to compiled files while
 * they are loaded (hooks.ts), in a process of their own; production code has no hook for them.
 */
import { answerMutants } from './answerMutants.js'
import { arbiterMutants } from './arbiterMutants.js'
import { balanceMutants } from './balanceMutants.js'
import { forgetMutants } from './forgetMutants.js'
import { forkMutants } from './forkMutants.js'
import { installMutants } from './installMutants.js'
import { checkpointMutants } from './checkpointMutants.js'
import { clockMutants } from './clockMutants.js'
import { commitMutants } from './commitMutants.js'
import { dataMutants } from './dataMutants.js'
import { directoryMutants } from './directoryMutants.js'
import { droppingMutants } from './droppingMutants.js'
import { fullDiskMutants } from './fullDiskMutants.js'
import { goneMutants } from './goneMutants.js'
import { leaseMutants } from './leaseMutants.js'
import { lossMutants } from './lossMutants.js'
import { memberMutants } from './memberMutants.js'
import { maintenanceMutants } from './maintenanceMutants.js'
import type { Mutant } from './mutant.js'
import { nearlyFullMutants } from './nearlyFullMutants.js'
import { promotionMutants } from './promotionMutants.js'
import { rehearsalMutants } from './rehearsalMutants.js'

export const mutants: readonly Mutant[] = [
  ...leaseMutants,
  ...promotionMutants,
  ...commitMutants,
  ...dataMutants,
  ...lossMutants,
  ...forkMutants,
  ...directoryMutants,
  ...arbiterMutants,
  ...clockMutants,
  ...maintenanceMutants,
  ...droppingMutants,
  ...answerMutants,
  ...goneMutants,
  ...checkpointMutants,
  ...installMutants,
  ...fullDiskMutants,
  ...nearlyFullMutants,
  ...memberMutants,
  ...rehearsalMutants,
  ...balanceMutants,
  ...forgetMutants,
]

/** Throws when there is none of that name. */
export function mutantOf(name: string): Mutant {
  const found = mutants.find((mutant) => mutant.name === name)
  if (!found) {
    throw new Error(`no mutant ${name}: there are ${mutants.map((each) => each.name).join(', ')}`)
  }
  return found
}
