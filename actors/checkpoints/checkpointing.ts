import { messageOf } from '../../machines/base/thrown.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import { Checkpointer } from './checkpointer.js'

export interface CheckpointingOptions {
  readonly context: NodeContext
  readonly members: () => Iterable<Member>
  readonly freeBytes: () => Promise<number>
}

/** Left free by checkpoints: writes come first. */
const spareBytes = 64 * 1024 * 1024

/** Checkpoints of a node. */
export class Checkpointing {
  readonly checkpointer: Checkpointer

  constructor(private readonly options: CheckpointingOptions) {
    const { context, members } = options
    this.checkpointer = new Checkpointer({
      context,
      members,
      nodeBytes: () => context.commits.flushedBytes,
      pinning: () => new Set(),
      hasRoom: (bytes) => this.hasRoom(bytes),
    })
  }

  /** Called once per heartbeat. */
  tick(): void {
    this.checkpointer.tick()
  }

  async stop(): Promise<void> {
    await this.checkpointer.stop()
  }

  private async hasRoom(bytes: number): Promise<boolean> {
    try {
      return await this.options.freeBytes() >= bytes + spareBytes
    } catch (error) {
      this.options.context.ports.logger.warn({ error: messageOf(error) },
        'the room on the disk cannot be read')
      return false
    }
  }
}
