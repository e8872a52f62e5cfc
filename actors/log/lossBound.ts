import type { SpaceSettings } from '../../machines/protocol/messages.js'
import type { Clock } from '../ports/system.js'
import type { SpaceLog } from './spaceLog.js'

export interface LossBoundOptions {
  readonly log: SpaceLog
  readonly clock: Clock
  /** The space, with its present settings. */
  readonly epoch: { readonly settings: SpaceSettings }
  /** Whether fewer than min(2, RF) members are in sync: the safe sequence does not move then. */
  readonly inSync: { readonly isUnderReplicated: boolean }
}

/**
 * Bound of how far answers may run ahead of the safe sequence, by `maxLoss` and
 * `whenUnderReplicated` of the space. A write above it is stored, and answered when there is room.
 */
export class LossBound {
  constructor(private readonly options: LossBoundOptions) {}

  /** Returns the highest sequence that may be answered now; Infinity: there is no bound. */
  limit(): number {
    const { log } = this.options
    const { maxLoss, whenUnderReplicated = 'accept' } = this.options.epoch.settings
    if (!maxLoss && whenUnderReplicated !== 'wait') return Infinity
    const safe = log.safeSequence
    const isUnder = this.options.inSync.isUnderReplicated
    if (isUnder && whenUnderReplicated === 'accept') return Infinity
    if (!maxLoss) return isUnder ? safe : Infinity
    const { entries = Infinity, bytes, ms = Infinity } = maxLoss
    // Entries above the safe sequence from before this start may be large, and old.
    if ((bytes !== undefined || ms < Infinity) && !log.knowsAbove(safe)) return safe
    if (ms < Infinity && log.ageAbove(safe, this.options.clock.monotonicMs()) >= ms) return safe
    return Math.min(safe + entries, bytes === undefined ? Infinity : log.reach(safe, bytes))
  }

  /** Whether writes are refused: the space may require that while it is under-replicated. */
  get refuses(): boolean {
    const { epoch, inSync } = this.options
    return epoch.settings.whenUnderReplicated === 'refuse' && inSync.isUnderReplicated
  }
}
