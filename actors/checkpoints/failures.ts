import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'

/** Pause after a checkpoint could not be taken. */
const pauseMs = 60_000
/** Failures in a row that raise an alert. */
const alertAfter = 2

interface Failed {
  readonly count: number
  readonly untilMs: number
  readonly readBacks: number
}

/** Spaces of which the last checkpoint could not be taken. */
export class Failures {
  private readonly bySpace = new Map<string, Failed>()

  constructor(private readonly context: NodeContext) {}

  isPausing(uuid: string, nowMs: number): boolean {
    return (this.bySpace.get(uuid)?.untilMs ?? -Infinity) > nowMs
  }

  /** Tries the others first. */
  later({ uuid }: Member): void {
    const before = this.bySpace.get(uuid)
    const untilMs = this.context.ports.clock.monotonicMs() + pauseMs
    this.bySpace.set(uuid, { count: 0, readBacks: 0, ...before, untilMs })
  }

  /** `isReadBack`: the disk gave back other bytes than were written. */
  note({ uuid, space }: Member, reason: string, isReadBack: boolean): void {
    const { ports } = this.context
    const before = this.bySpace.get(uuid)
    const count = (before?.count ?? 0) + 1
    const readBacks = isReadBack ? (before?.readBacks ?? 0) + 1 : 0
    const untilMs = ports.clock.monotonicMs() + pauseMs
    this.bySpace.set(uuid, { count, readBacks, untilMs })
    ports.logger.warn({ space, reason }, 'a checkpoint could not be taken; the journal is kept')
    if (count === alertAfter) {
      sendAlert(this.context, space, 'checkpointFailed', {},
        `checkpoints of ${space} cannot be taken, so its journal is kept and grows: ${reason}`)
    }
    if (readBacks === alertAfter) {
      sendAlert(this.context, space, 'diskRotten', {},
        `the disk does not give back what was written: ${reason}. Replace the disk`)
    }
  }

  over({ uuid, space }: Member): void {
    const failed = this.bySpace.get(uuid)
    this.bySpace.delete(uuid)
    if (failed && failed.count >= alertAfter) {
      sendAlert(this.context, space, 'checkpointFailedCleared', {},
        `checkpoints of ${space} are taken again`)
    }
  }
}
