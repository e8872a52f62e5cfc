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
  [promotionMachine, 'from a vacant reign to an open one'],
  [primaryMachine, 'one reign: ingest, lease, membership, handover'],
  [reconciliationMachine, 'how a member brings home what an earlier reign had acknowledged'],
  [streamMachine, 'how a primary sees one replica'],
  [failureDetectorMachine, 'how a node judges one peer'],
  [lagMonitorMachine, 'the alarm on the lag of one replica'],
]

export interface CatalogueEntry {
  readonly machine: AnyStateMachine
  readonly chart: Chart
  /** One line on what it decides. */
  readonly about: string
}

/** Read from the machines at each call: they are small. */
export function catalogue(): CatalogueEntry[] {
  return machines.map(([machine, about]) => ({ machine, chart: chartOf(machine), about }))
}
