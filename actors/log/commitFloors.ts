import type { Clock, TimerHandle } from '../ports/system.js'
import type { FlushItem, FlushSource, GroupCommit } from './groupCommit.js'
import type { SpaceLog } from './spaceLog.js'

/** Longest time from a commit until it is written into the journal. */
const writeMs = 1000
/** Floors in one record; the others go into the next one. */
const floorsMax = 1000

/**
 * Writes into the journal how far each space is committed, for the next start. A store that was
 * thrown away is then rebuilt up to there in bounded batches; only seconds of writes are above.
 */
export class CommitFloors implements FlushSource {
  private readonly moved = new Set<SpaceLog>()
  private timer: TimerHandle | null = null

  constructor(private readonly clock: Clock, private readonly commits: GroupCommit) {}

  /** Notes that the commit sequence of the log has moved. */
  note(log: SpaceLog): void {
    this.moved.add(log)
    this.timer ??= this.clock.setTimeout(() => {
      this.timer = null
      this.commits.mark(this)
    }, writeMs)
  }

  /** Nothing of that log is written any more, until it moves again. */
  forget(log: SpaceLog): void {
    this.moved.delete(log)
  }

  /** Leaves the last ones to the flush that follows. */
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
      uuid: log.uuid,
      sequence: Math.min(log.commitSequence, log.durable.sequence),
    }))
    if (floors.length === 0) return []
    // A floor that is not written now is written with the next commit.
    return [{ record: { type: 'confirm', floors }, bytes: floors.length * 24 }]
  }
}
