import type { GroupCommit } from '../log/groupCommit.js'
import type { SpaceLog } from '../log/spaceLog.js'
import { JournalFullError } from '../ports/journal.js'

/** Answers that writers have got. */
export interface Answered {
  /** Highest sequence that was answered, also at level `memory`. */
  readonly highestAnswered: number
}

/** Makes reads see every answered write, also at level `memory`: those wait for the flush. */
export class ReadBarrier {
  private flush: { readonly upTo: number; readonly done: Promise<void> } | null = null

  constructor(
    private readonly log: SpaceLog,
    private readonly commits: GroupCommit,
    private readonly ingest: Answered,
    private readonly epoch: { readonly isOver: boolean },
  ) {}

  get isNow(): boolean {
    return this.epoch.isOver || this.log.durable.sequence >= this.ingest.highestAnswered
  }

  /** Resolves once answered writes can be read. One flush serves all that wait. */
  soon(): Promise<void> {
    const upTo = this.ingest.highestAnswered
    if (this.flush?.upTo !== upTo) this.flush = { upTo, done: this.durableUpTo(upTo) }
    return this.flush.done
  }

  private async durableUpTo(upTo: number): Promise<void> {
    try {
      while (!this.epoch.isOver && this.log.durable.sequence < upTo) {
        await this.commits.submit({ type: 'confirm' })
      }
    } catch (error) {
      // Those writes are lost then, and the epoch ends.
      if (!(error instanceof JournalFullError)) throw error
    }
  }
}
