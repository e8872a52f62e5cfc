import type { GroupCommit } from '../log/groupCommit.js'
import type { SpaceLog } from '../log/spaceLog.js'
import { JournalFullError } from '../ports/journal.js'

/** What was answered can be read: also at level `memory`, whose entries come with the flush. */
export class Readable {
  private flush: { readonly upTo: number; readonly done: Promise<void> } | null = null

  /** `answered`: the highest sequence that was answered, also at level `memory`. */
  constructor(
    private readonly log: SpaceLog, private readonly commits: GroupCommit,
    private readonly answered: () => number, private readonly isOver: () => boolean,
  ) {}

  get isNow(): boolean {
    return this.isOver() || this.log.durable.sequence >= this.answered()
  }

  /** Resolves when it is so; one flush does for all that wait for it. */
  soon(): Promise<void> {
    const upTo = this.answered()
    if (this.flush?.upTo !== upTo) this.flush = { upTo, done: this.durableUpTo(upTo) }
    return this.flush.done
  }

  private async durableUpTo(upTo: number): Promise<void> {
    try {
      while (!this.isOver() && this.log.durable.sequence < upTo) {
        await this.commits.submit({ type: 'confirm' })
      }
    } catch (error) {
      // Then those answers are void.
      if (!(error instanceof JournalFullError)) throw error
    }
  }
}
