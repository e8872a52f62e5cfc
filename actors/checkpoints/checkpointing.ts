import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'
import { Checkpointer } from './checkpointer.js'
import { RoomOutlook } from './outlook.js'
import { Retention } from './retention.js'
import { CheckpointRoom } from './room.js'

export interface CheckpointingOptions {
  readonly context: NodeContext
  readonly members: () => Iterable<Member>
  /** Spaces here, and whether an install of them is under way. */
  readonly installing: () => ReadonlyMap<string, boolean>
  readonly directory: NodeDirectory
}

/** Checkpoints of a node, and what may be forgotten for them. */
export class Checkpointing {
  readonly checkpointer: Checkpointer
  readonly retention: Retention
  readonly room: CheckpointRoom
  private readonly outlook: RoomOutlook

  constructor(options: CheckpointingOptions) {
    const { context, members, directory } = options
    const pinning = (): ReadonlySet<string> => this.retention.pinning
    this.room = new CheckpointRoom({ ...options, pinning })
    this.outlook = new RoomOutlook(options)
    this.checkpointer = new Checkpointer({
      context,
      members,
      directory,
      pinning,
      pinningAnything: () => this.retention.pinningAnything,
      room: this.room,
      outlook: this.outlook,
      nodeBytes: () => context.commits.flushedBytes,
    })
    this.retention = new Retention({
      context,
      members,
      directory,
      outlook: this.outlook,
      checkpointBytes: (uuid) => this.checkpointer.newestOf(uuid)?.bytes ?? 0,
    })
  }

  /** Called once per heartbeat. */
  tick(): void {
    this.room.tick()
    this.outlook.tick()
    this.retention.tick()
    this.checkpointer.tick()
  }

  async stop(): Promise<void> {
    await this.checkpointer.stop()
    await this.retention.stop()
  }
}
