import type { Clock, TimerHandle } from '../ports/system.js'
import type { FlushItem, FlushSource, GroupCommit } from './groupCommit.js'
import type { SpaceLog } from './spaceLog.js'

/** A commit stands in the journal at the latest this long after it was known. */
const writeMs = 1000
/** Floors of one record; what is more goes into the next. */
const floorsMax = 1000

/**
 * Writes into the journal how far each space is committed, so that a start knows it: a store that
 * was thrown away is then built anew up to there in bounded batches, and what lies above is
 * seconds of writes.
 */
export class CommitFloors implements FlushSource {
  private readonly moved = new Set<SpaceLog>()
  private timer: TimerHandle | null = null

  constructor(private readonly clock: Clock, private readonly commits: GroupCommit) {}

  /** The commit sequence of the log has moved. */
  note(log: SpaceLog): void {
    this.moved.add(log)
    this.timer ??= this.clock.setTimeout(() => {
      this.timer = null
      this.commits.mark(this)
    }, writeMs)
  }

  /** The last ones are written with the flush that follows. */
  stop(): void {
    if (this.timer) this.clock.clearTimeout(this.timer)
    this.timer = null
    if (this.moved.size > 0) this.commits.mark(this)
  }

  take(): FlushItem[] {
    const logs = [...this.moved].slice(0, floorsMax)
    for (const log of logs) this.moved.delete(log)
    if (this.moved.size > 0) this.commits.mark(this)
    const floors = logs.map((log) => ({
      uuid: log.uuid, sequence: Math.min(log.commitSequence, log.durable.sequence),
    }))
    if (floors.length === 0) return []
    // What is not written is written with the next commit.
    return [{ record: { type: 'confirm', floors }, bytes: floors.length * 24 }]
  }
}
