/** All statecharts of the product, in the order in which to read them. */
import type { AnyStateMachine } from 'xstate'
import { failureDetectorMachine } from '../../machines/failureDetector.js'
import { lagMonitorMachine } from '../../machines/lagMonitor.js'
import { nodeMachine } from '../../machines/node.js'
import { primaryMachine } from '../../machines/primary.js'
import { promotionMachine } from '../../machines/promotion.js'
import { reconciliationMachine } from '../../machines/reconciliation.js'
import { replicaMachine } from '../../machines/replica.js'
import { spaceMachine } from '../../machines/space.js'
import { streamMachine } from '../../machines/stream.js'
import { chartOf } from './chart.js'
import type { Chart } from './chart.js'

const machines: readonly (readonly [AnyStateMachine, about: string])[] = [
  [nodeMachine, 'the life of a process: connecting, running, isolated, draining'],
  [spaceMachine, 'the role of a member in one space'],
  [replicaMachine, 'a member that follows a primary'],
  [promotionMachine, 'from a vacancy to an open epoch'],
  [primaryMachine, 'a primary in one epoch: ingest, lease, membership, handover'],
  [reconciliationMachine, 'how a member uploads writes that were acknowledged in an earlier epoch'],
  [streamMachine, 'how a primary tracks one replica'],
  [failureDetectorMachine, 'how a node judges one peer'],
  [lagMonitorMachine, 'the alert on the lag of one replica'],
]

export interface CatalogueEntry {
  readonly machine: AnyStateMachine
  readonly chart: Chart
  /** One line that says what it decides. */
  readonly about: string
}

/** All charts, read from the machines at each call. */
export function catalogue(): CatalogueEntry[] {
  return machines.map(([machine, about]) => ({ machine, chart: chartOf(machine), about }))
}
