import { neededBytes, shortBytes } from '../../machines/log/checkpointDue.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'

export interface OutlookOptions {
  readonly context: NodeContext
  readonly members: () => Iterable<Member>
  readonly directory: Pick<NodeDirectory, 'freeBytes'>
}

/** How often the room is looked at. */
const lookMs = 1000

/**
 * Whether the disk has room for the checkpoints to come. Where the next one of a space may not fit
 * any more, the journal gives up all that may go, and a checkpoint that lets more of it go is taken
 * while it fits: on a full disk it can only take the place of one of its own size.
 */
export class RoomOutlook {
  private lookedAtMs = -Infinity
  private freeBytes = Infinity
  private isShortOfRoom = false

  constructor(private readonly options: OutlookOptions) {}

  /** As of the last look. A journal without closed segments has nothing to give. */
  get isShort(): boolean {
    return this.isShortOfRoom
  }

  /** Whether a checkpoint is worth while now, and may not fit later. */
  isHurried(lastBytes: number): boolean {
    return this.isShortOfRoom && this.fits(lastBytes)
  }

  fits(lastBytes: number): boolean {
    return this.freeBytes >= neededBytes(lastBytes)
  }

  /** Called once per heartbeat. */
  tick(): void {
    const nowMs = this.options.context.ports.clock.monotonicMs()
    if (nowMs - this.lookedAtMs >= lookMs) void this.look()
  }

  /** Never rejects: a disk that does not tell is taken to have room. */
  async look(): Promise<void> {
    const { context: { ports: { clock, journal } }, directory } = this.options
    this.lookedAtMs = clock.monotonicMs()
    this.freeBytes = await directory.freeBytes().catch(() => Infinity)
    this.isShortOfRoom = journal.segments().length > 0 && this.freeBytes < this.wantedBytes()
  }

  /** Of the space that may need most. */
  private wantedBytes(): number {
    const { context: { ports: { journal, checkpoints } }, members } = this.options
    let most = 0
    for (const { uuid } of members()) {
      const log = journal.log(uuid)
      if (!log || log.damage !== null) continue
      const { newBytes, covers: { kept } } = log
      const sizes = kept.map((one) => checkpoints.find(uuid, one)?.bytes ?? 0)
      const [lastBytes = 0, olderBytes = 0] = sizes.toReversed()
      most = Math.max(most, shortBytes({ newBytes, lastBytes, olderBytes }))
    }
    return most
  }
}
