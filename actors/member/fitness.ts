import type { Position } from '../../machines/base/ids.js'
import { comparePositions, origin, showPosition } from '../../machines/log/positions.js'
import type { Applier } from '../log/applier.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { SpaceStore } from '../ports/store.js'
import type { NodeContext } from './context.js'
import type { FollowingView } from './following.js'
import type { KnownRecord } from './knownRecord.js'

/** Parts of a member that its fitness is derived from. */
export interface FitnessSource {
  readonly context: Pick<NodeContext, 'ports' | 'settings' | 'commits' | 'identity' | 'duty'>
  readonly log: Pick<SpaceLog, 'commitSequence' | 'durable'>
  readonly store: Pick<SpaceStore, 'areKeysRead'>
  readonly applier: Pick<Applier, 'hindrance'>
  readonly known: Pick<KnownRecord, 'epoch'>
  readonly following: Pick<FollowingView, 'isTruncating' | 'isSwitching'>
  readonly damage: string | null
  readonly rebuilding: string | null
}

/** Whether this member should be promoted now, and if not, why. */
export class Fitness {
  private failedUntilMs = -Infinity
  private failure = ''
  private command = { by: '', untilMs: -Infinity }
  /** Highest position that another member reported as committed. */
  private furthestCommitted: Position = origin

  constructor(private readonly member: FitnessSource) {}

  /**
   * Why this member should not be promoted now, or null. Sent to other candidates, so that a worse
   * one does not wait for it.
   */
  get unfit(): string | null {
    return this.member.context.duty.drained ?? this.fault
  }

  /** The same, without the operator's drain. */
  get fault(): string | null {
    const { damage, following, store, context } = this.member
    const { ports, commits, identity } = context
    if (!identity.isRegistered) return 'the arbiter does not know this start of its node yet'
    if (damage) return `its log is damaged: ${damage}`
    if (following.isSwitching) return 'it is being installed'
    if (following.isTruncating) return 'it is giving up a fork'
    if (this.rebuilding) return this.rebuilding
    if (this.lacking) return this.lacking
    if (!store.areKeysRead) return 'it is reading the idempotency keys of its store'
    if (commits.isFull) return 'its journal cannot be written'
    return ports.clock.monotonicMs() < this.failedUntilMs ? this.failure : null
  }

  /**
   * Progress of a store that is being rebuilt, or null. A disk without room for the store may have
   * some for the journal, which holds the same.
   */
  get rebuilding(): string | null {
    const { rebuilding, applier } = this.member
    return applier.hindrance === null ? rebuilding : null
  }

  /** Why this log lacks committed entries, or null. Never happens to a member in sync by itself. */
  get lacking(): string | null {
    const { member: { known, log: { commitSequence, durable } }, furthestCommitted } = this
    const own = { epoch: known.epoch, sequence: commitSequence }
    const committed = commitSequence > durable.sequence
      ? own
      : comparePositions(furthestCommitted, durable) > 0
      ? furthestCommitted
      : null
    return committed && `its log ends at ${showPosition(durable)}, but entries up to `
        + `${showPosition(committed)} are committed`
  }

  /** Notes a position that another member knows to be committed. */
  heardCommitted(position: Position): void {
    if (comparePositions(position, this.furthestCommitted) > 0) this.furthestCommitted = position
  }

  /** Notes a failed step of its promotion: the next try would fail too, so others go first. */
  promotionFailed(reason: string): void {
    const { ports, settings } = this.member.context
    this.failure = `its last promotion failed: ${reason}`
    this.failedUntilMs = ports.clock.monotonicMs() + settings.standByMs * 10
  }

  /** Notes an operator's command to be primary, whether the space is paused or not. */
  commanded(by: string, forMs: number): void {
    this.command = { by, untilMs: this.member.context.ports.clock.monotonicMs() + forMs }
  }

  /** The operator whose command to be primary still counts; null: there is none. */
  get commandedBy(): string | null {
    const { by, untilMs } = this.command
    return this.member.context.ports.clock.monotonicMs() < untilMs ? by : null
  }
}
