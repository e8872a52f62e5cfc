import type { Applier } from '../log/applier.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { Coverage } from '../ports/journal.js'
import type { SpaceStore } from '../ports/store.js'

/** What was loaded of a checkpoint so far. */
export interface LoadProgress {
  readonly records: number
  readonly recordsTotal: number
}

export interface RebuildProgress {
  /** From a checkpoint first, by records; then from the journal, by entries. */
  readonly phase: 'checkpoint' | 'journal'
  readonly done: number
  readonly total: number
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

  /** `to`: commit sequence at the start. `onLoaded`: the store has the state of a checkpoint. */
  constructor(
    private readonly member: RebuildSource,
    private readonly to: number,
    private readonly onLoaded: () => void,
  ) {}

  /** Nothing is applied until the store has the state of a checkpoint. */
  begin(): void {
    this.load = { records: 0, recordsTotal: 0 }
    this.member.applier.hold()
  }

  /** The store is being loaded. */
  get isLoading(): boolean {
    return this.load !== null
  }

  loading(progress: LoadProgress): void {
    this.load = progress
  }

  /** No checkpoint can be loaded. Nothing is applied until the log was replaced. */
  failed(): void {
    this.load = null
  }

  /** The store has the state of a checkpoint: the journal goes on from there. */
  loaded(): void {
    this.load = null
    this.member.applier.release()
    this.onLoaded()
  }

  /** Null: the store has all that it had before the start. */
  get progress(): RebuildProgress | null {
    const { store, log } = this.member
    if (this.load) {
      const { records: done, recordsTotal } = this.load
      return { phase: 'checkpoint', done, total: Math.max(done, recordsTotal) }
    }
    // Less after a promotion that an operator forced.
    const total = Math.min(this.to, log.commitSequence)
    const done = store.applied.sequence
    return done >= total ? null : { phase: 'journal', done, total }
  }

  /** The same as text. */
  get text(): string | null {
    const { progress, member: { applier: { hindrance } } } = this
    if (progress === null) return null
    const { phase, done, total } = progress
    const text = phase === 'checkpoint'
      ? `its store is being loaded from a checkpoint: ${done} of about ${total} records done`
      : `its store is being rebuilt from the journal: ${done} of ${total} entries done`
    return hindrance === null ? text : `${text}; it cannot be written: ${hindrance}`
  }
}
