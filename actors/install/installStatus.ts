import type { NodeId } from '../../machines/base/ids.js'
import type { InstallPhase } from '../../machines/protocol/installMessages.js'
import type { Staged } from './staged.js'

/** An install under way. `phase`: the state of the replica's chart below `installing`. */
export interface InstallStatus {
  readonly phase: InstallPhase
  readonly source: NodeId | null
  readonly doneBytes: number
  /** 0: no state is chosen. */
  readonly totalBytes: number
  /** While it pulls. Null, here and below: not known. */
  readonly bytesPerSecond: number | null
  /** Until all is here. */
  readonly etaMs: number | null
  /** Least position of a state that is of use. */
  readonly minimum: number | null
}

/** Phases by the state of the replica's chart. */
const phases: Readonly<Record<string, InstallPhase>> = {
  installing: 'waiting',
  'installing.salvaging': 'salvaging',
  'installing.asking': 'asking',
  'installing.pulling': 'pulling',
  'installing.verifying': 'verifying',
  'installing.switching': 'switching',
}

/** Null: a state of the chart in which nothing is installed. */
export function phaseOf(state: string): InstallPhase | null {
  return phases[state] ?? null
}

export function installStatus(
  phase: InstallPhase,
  staged: Staged | null,
  minimum: number | null,
  nowMs: number,
): InstallStatus {
  const { source = null, doneBytes = 0, totalBytes = 0 } = staged ?? {}
  const isPulling = phase === 'pulling' && staged !== null && !staged.isComplete
  const bytesPerSecond = isPulling ? staged.bytesPerSecond(nowMs) : null
  const etaMs = bytesPerSecond
    ? Math.round((totalBytes - doneBytes) * 1000 / bytesPerSecond)
    : null
  return { phase, source, doneBytes, totalBytes, bytesPerSecond, etaMs, minimum }
}
