import { messageOf } from '../../machines/base/thrown.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'
import { Checkpointer } from './checkpointer.js'
import { Retention } from './retention.js'

export interface CheckpointingOptions {
  readonly context: NodeContext
  readonly members: () => Iterable<Member>
  readonly directory: NodeDirectory
}

/** Left free by checkpoints: writes come first. */
const spareBytes = 64 * 1024 * 1024

/** Checkpoints of a node, and what may be forgotten for them. */
export class Checkpointing {
  readonly checkpointer: Checkpointer
  readonly retention: Retention

  constructor(private readonly options: CheckpointingOptions) {
    const { context, members, directory } = options
    this.checkpointer = new Checkpointer({
      context,
      members,
      nodeBytes: () => context.commits.flushedBytes,
      pinning: () => this.retention.pinning,
      hasRoom: (bytes) => this.hasRoom(bytes),
    })
    this.retention = new Retention({
      context,
      members,
      directory,
      checkpointBytes: (uuid) => this.checkpointer.newestOf(uuid)?.bytes ?? 0,
    })
  }

  /** Called once per heartbeat. */
  tick(): void {
    this.retention.tick()
    this.checkpointer.tick()
  }

  async stop(): Promise<void> {
    await this.checkpointer.stop()
    await this.retention.stop()
  }

  private async hasRoom(bytes: number): Promise<boolean> {
    try {
      return await this.options.directory.freeBytes() >= bytes + spareBytes
    } catch (error) {
      this.options.context.ports.logger.warn({ error: messageOf(error) },
        'the room on the disk cannot be read')
      return false
    }
  }
}
