/** The findings of a run of the benchmark. */

import type { ClientResult } from './client.js'
import type { FailoverResult } from './failover.js'
import type { InspectionResult } from './inspection.js'
import type { LagResult } from './lag.js'
import type { LoadResult, LoadSpec } from './load.js'
import type { RecoveryResult } from './recovery.js'
import type { SettingsResult } from './settings.js'
import type { SpacesResult } from './spaces.js'

/** One way to load a system. */
export const loads = {
  one: { inFlight: 1 },
  open: { rate: 5000 },
  closed: { inFlight: 256 },
} as const satisfies Record<string, Pick<LoadSpec, 'inFlight' | 'rate'>>
export type LoadName = keyof typeof loads

export interface Results {
  readonly command: string
  readonly at: string
  readonly machine: {
    readonly cores: number
    readonly model: string
    readonly memoryGiB: number
    readonly node: string
    readonly broker: string
  }
  readonly seconds: number
  readonly repeats: number
  /** By system and load, one result per repeat. */
  readonly latency: Record<string, Partial<Record<LoadName, LoadResult[]>>>
  client: ClientResult | null
  lag: LagResult | null
  settings: SettingsResult | null
  inspection: InspectionResult | null
  failover: FailoverResult[]
  recovery: RecoveryResult | null
  spaces: SpacesResult | null
}
