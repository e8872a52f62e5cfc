import { FileSystemError } from '../ports/fileSystem.js'
import type { NodeContext } from '../member/context.js'
import type { LoadedMember, StoreLoading } from '../member/rebuild.js'
import type { SectionReader, StoredSection } from '../ports/checkpoints.js'
import type { Stage } from '../ports/store.js'
import { untilTaken } from '../structures/untilTaken.js'
import { noteUnusable } from './unusable.js'

/**
 * Loads stores from the newest checkpoint of their space that can be read, one at a time. The
 * journal goes on from there. Meanwhile the member is rebuilding: it follows and acknowledges,
 * since that is about its journal, and is no candidate.
 */
export class StoreLoads implements StoreLoading {
  private readonly queue: LoadedMember[] = []
  private running: Promise<void> | null = null
  private isStopped = false

  constructor(private readonly contextOf: () => NodeContext) {}

  private get context(): NodeContext {
    return this.contextOf()
  }

  add(member: LoadedMember): void {
    this.queue.push(member)
    this.running ??= this.run()
  }

  async stop(): Promise<void> {
    this.isStopped = true
    await this.running
  }

  private async run(): Promise<void> {
    // Its members are complete when their constructors have returned.
    await Promise.resolve()
    for (let next = this.queue.shift(); next && !this.isStopped; next = this.queue.shift()) {
      try {
        await this.load(next)
      } catch (error) {
        const isDropped = !this.context.ports.journal.log(next.uuid)
        if (!this.isStopped && !isDropped) this.context.fatal(error)
      }
    }
    this.running = null
  }

  private async load(member: LoadedMember): Promise<void> {
    const { journal, checkpoints } = this.context.ports
    const covers = journal.log(member.uuid)?.covers
    if (!covers) return
    const reasons: string[] = []
    for (const kept of covers.kept.toReversed()) {
      const section = checkpoints.find(member.uuid, kept)
      if (!section) {
        reasons.push(`file ${kept.file} is gone`)
        continue
      }
      const fault = await this.loadFrom(member, section, covers.installs)
      if (this.isOver(member)) return
      if (fault === null) return member.rebuild.loaded()
      reasons.push(fault.message)
      noteUnusable(this.context, section, fault)
    }
    if (this.isOver(member)) return
    member.rebuild.failed()
    member.damaged(`its store has to be rebuilt, and no checkpoint of it can be read: `
      + reasons.join('; '))
  }

  /** Returns why the section cannot be used, or null when the store has its state. */
  private async loadFrom(
    member: LoadedMember,
    section: StoredSection,
    installs: number,
  ): Promise<Error | null> {
    const { checkpoints, store } = this.context.ports
    let reader: SectionReader | null = null
    let stage: Stage | null = null
    try {
      reader = await checkpoints.open(section)
      const { state } = reader.manifest
      stage = store.stage(member.uuid, state)
      const recordsTotal = state.nodes + state.edges + state.keys
      for await (const records of reader.records()) {
        if (this.isOver(member)) return null
        await this.writing(member, () => stage!.put(records))
        member.rebuild.loading({ records: stage.records, recordsTotal })
      }
      if (this.isOver(member)) return null
      await this.writing(member, () => stage!.adopt(installs))
      return null
    } catch (error) {
      if (!isUnusable(error)) throw error
      return error
    } finally {
      stage?.discard()
      await reader?.close()
    }
  }

  /** The node stops, or the space was dropped. */
  private isOver({ uuid }: LoadedMember): boolean {
    return this.isStopped || !this.context.ports.journal.log(uuid)
  }

  private writing(member: LoadedMember, write: () => Promise<void>): Promise<void> {
    const { clock, logger } = this.context.ports
    return untilTaken(write, {
      clock,
      isOver: () => this.isOver(member),
      onHindered: (error) =>
        logger.error({ space: member.space, error }, 'the store cannot be written'),
    })
  }
}

const unusable: ReadonlySet<unknown> = new Set(['CHECKPOINT_DAMAGED', 'CHECKPOINT_VERSION',
  'CHECKPOINT_GONE', 'RECORDS_DAMAGED'])

/** Also one that the disk does not give back. */
function isUnusable(error: unknown): error is Error {
  if (error instanceof FileSystemError) return error.code === 'EIO'
  return error instanceof Error && 'code' in error && unusable.has(error.code)
}
