import { bytesText } from '../../machines/base/units.js'
import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'

/** Salvages of a node that take more need somebody: they are never dropped to make room. */
export const salvageBytesMax = 2 ** 30
/** The alert ends below this share of it. */
const clearedAt = 0.75
const lookMs = 60_000

/**
 * Says when the salvages of all spaces of this node take much of the disk. They go when their
 * writes are in the log, or when an operator removes them. Those that cannot be read, and those of
 * spaces that this node no longer holds, count, too.
 */
export class SalvageWatch {
  private lookedAtMs: number
  private isBusy = false
  /** The space that was named in the alert, while it stands. */
  private alerted: string | null = null

  constructor(
    private readonly context: NodeContext,
    private readonly directory: Pick<NodeDirectory, 'salvageFiles'>,
  ) {
    this.lookedAtMs = context.ports.clock.monotonicMs()
  }

  /** Called once per heartbeat; looks once a minute. */
  tick(): void {
    const nowMs = this.context.ports.clock.monotonicMs()
    if (this.isBusy || nowMs - this.lookedAtMs < lookMs) return
    this.lookedAtMs = nowMs
    this.isBusy = true
    void this.look().finally(() => {
      this.isBusy = false
    })
  }

  private async look(): Promise<void> {
    let files
    try {
      files = await this.directory.salvageFiles()
    } catch (error) {
      // Who reads or writes one says so; the next look may succeed.
      this.context.ports.logger.debug({ error: String(error) }, 'the salvages cannot be counted')
      return
    }
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    if (this.alerted === null) {
      if (bytes > salvageBytesMax) this.alert(files, bytes)
    } else if (bytes <= salvageBytesMax * clearedAt) {
      const { alerted, context } = this
      this.alerted = null
      sendAlert(context, alerted, 'salvageBytesCleared', { bytes },
        `the salvages of ${context.self.node} take ${bytesText(bytes)} now`)
    }
  }

  private alert(
    files: readonly { readonly name: string; readonly bytes: number }[],
    bytes: number,
  ): void {
    const { context, context: { self: { node } } } = this
    const spaces = new Map<string, number>()
    for (const file of files) {
      // A name begins with the space and a dot.
      const [space = ''] = file.name.split('.')
      spaces.set(space, (spaces.get(space) ?? 0) + file.bytes)
    }
    const [[space, most] = ['', 0]] = [...spaces].toSorted(([, a], [, b]) => b - a)
    this.alerted = space
    sendAlert(context, space, 'salvageBytes', { bytes, files: files.length },
      `the salvages of ${node} take ${bytesText(bytes)} in ${files.length} files, those of `
        + `${space} ${
          bytesText(most)
        }: they stay until they are reconciled, or removed (engram salvage)`)
  }
}
