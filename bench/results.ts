/** The findings of a run of the benchmark. */

import type { Account } from './account.js'
import type { ClientResult } from './client.js'
import type { FailoverResult } from './failover.js'
import type { InspectionResult } from './inspection.js'
import type { LagResult } from './lag.js'
import type { LoadName, Measured } from './measured.js'
import type { RecoveryResult } from './recovery.js'
import type { SettingsResult } from './settings.js'
import type { SpacesResult } from './spaces.js'
import { median } from './table.js'

export interface Results {
  readonly command: string
  readonly at: string
  readonly machine: {
    readonly cores: number
    readonly model: string
    readonly memoryGiB: number
    readonly node: string
    readonly broker: string
    readonly redis: string | null
  }
  readonly seconds: number
  readonly repeats: number
  readonly warmSeconds: number
  /** By system and load, one result per repeat. */
  readonly loads: Record<string, Partial<Record<LoadName, Measured[]>>>
  /** Without any load: by system, one account per repeat. */
  readonly idle: Record<string, Account[]>
  /** Wakes of a thread pool that one append and its fdatasync cost on this disk. */
  oneSyncWakes: number | null
  /** Systems that could not be measured here, and why. */
  readonly leftOut: string[]
  client: ClientResult | null
  lag: LagResult | null
  settings: SettingsResult | null
  inspection: InspectionResult | null
  failover: FailoverResult[]
  recovery: RecoveryResult | null
  spaces: SpacesResult | null
}

/** The findings of a run that has not measured anything yet. */
export function noFindings(): Omit<Results,
  'command' | 'at' | 'machine' | 'seconds' | 'repeats' | 'warmSeconds'>
{
  return {
    loads: {},
    idle: {},
    oneSyncWakes: null,
    leftOut: [],
    client: null,
    lag: null,
    settings: null,
    inspection: null,
    failover: [],
    recovery: null,
    spaces: null,
  }
}

/** Median of the repeats of a load; NaN if it was not measured. */
export function ofLoad(
  { loads }: Results,
  system: string,
  load: LoadName,
  value: (measured: Measured) => number,
): number {
  return median((loads[system]?.[load] ?? []).map((measured) => value(measured)))
}

/** The same without a load. */
export function ofIdle(
  { idle }: Results,
  system: string,
  value: (account: Account) => number,
): number {
  return median((idle[system] ?? []).map((account) => value(account)))
}
