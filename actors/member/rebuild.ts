import type { Applier } from '../log/applier.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { Coverage } from '../ports/journal.js'
import type { SpaceStore } from '../ports/store.js'

/** What was loaded of a checkpoint so far. */
export interface LoadProgress {
  readonly records: number
  readonly recordsTotal: number
}

/** A member whose store is loaded from a checkpoint. */
export interface LoadedMember {
  readonly space: string
  readonly uuid: string
  readonly rebuild: Rebuild
  /** No checkpoint can be read. */
  damaged(reason: string): void
}

/** Where members get the states of their checkpoints. */
export interface StoreLoading {
  add(member: LoadedMember): void
  /** Resolves when nothing is loaded any more. */
  stop(): Promise<void>
}

/**
 * Whether the store is not the one that the log goes on from: it was thrown away after a power cut,
 * or belongs to a log that was replaced.
 */
export function isBehind(store: SpaceStore, { kept, installs }: Coverage): boolean {
  const newest = kept.at(-1)
  if (!newest) return false
  return store.installs !== installs || store.applied.sequence < newest.position.sequence
}

export interface RebuildSource {
  readonly log: SpaceLog
  readonly store: SpaceStore
  readonly applier: Applier
}

/**
 * A store that is rebuilt after a start: from a checkpoint if it was thrown away, then from the
 * journal up to what was known to be committed. Until then the member is no candidate.
 */
export class Rebuild {
  private load: LoadProgress | null = null

  /** `to`: commit sequence at the start. */
  constructor(private readonly member: RebuildSource, private readonly to: number) {}

  /** Nothing is applied until the store has the state of a checkpoint. */
  begin(): void {
    this.load = { records: 0, recordsTotal: 0 }
    this.member.applier.hold()
  }

  loading(progress: LoadProgress): void {
    this.load = progress
  }

  /** The store has the state of a checkpoint: the journal goes on from there. */
  loaded(): void {
    this.load = null
    this.member.applier.release()
  }

  /** Progress, as text, or null: the store has all that it had before the start. */
  get text(): string | null {
    const { store, log, applier } = this.member
    const { load } = this
    const unwritable = applier.hindrance === null
      ? ''
      : `; it cannot be written: ${applier.hindrance}`
    if (load) {
      return `its store is being loaded from a checkpoint: ${load.records} of about `
        + `${load.recordsTotal} records done${unwritable}`
    }
    // Less after a promotion that an operator forced.
    const to = Math.min(this.to, log.commitSequence)
    if (store.applied.sequence >= to) return null
    return `its store is being rebuilt from the journal: ${store.applied.sequence} of ${to} `
      + `entries done${unwritable}`
  }
}
