import { stackOf } from '../../machines/base/thrown.js'
import { saysDropped } from '../../machines/protocol/assignments.js'
import { isHolder, removedAt } from '../../machines/protocol/members.js'
import { removeFormer } from '../checkpoints/formerFiles.js'
import { isSalvageOf } from '../forks/salvageSlices.js'
import { sendNotice } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import { type Coverage, JournalFullError } from '../ports/journal.js'

/**
 * Removes what this node has of spaces that were dropped, and of those whose members it was taken
 * out of. A record in the journal, durable first,
 * decides: whatever a crash interrupts after it, the next start continues. The order:
 *
 * 1. The arbiter's record is read, and says that this very space was dropped, or names this node as
 *    removed. An absent record never does, nor does that of another space which does not name this
 *    one, nor one that merely does not name the node.
 * 2. `spaceDropped` is written to the journal, and synced.
 * 3. The store forgets the space; its records go in the background.
 * 4. The checkpoints and the salvages of the space are removed, and what is kept beside them. Until
 *    then, the journal writes the record again whenever its segment goes.
 *
 * The space has no actor here any more, and gets none.
 */
export class Dropping {
  private readonly underWay = new Map<string, Promise<void>>()
  /** What failed, and is tried again. */
  private readonly due = new Map<string, () => Promise<void>>()

  constructor(private readonly context: NodeContext) {}

  /** Continues what a crash interrupted. `salvages`: names of the files that exist. */
  resume(salvages: readonly string[]): void {
    const { journal, store, checkpoints, salvages: files } = this.context.ports
    for (const uuid of journal.dropped()) {
      const isOf = (name: string): boolean => isSalvageOf(name, uuid)
      void this.run(uuid, async () => {
        const isLeft = store.has(uuid) || salvages.some(isOf)
          || (await checkpoints.parts(uuid)).length > 0 || (await files.kept()).some(isOf)
        if (isLeft) await this.remove(null, uuid, 'which is not held here any more')
        else journal.forgetDrop(uuid)
      })
    }
  }

  /** Whether this node has begun to remove the space, or has removed it. */
  isDropped(uuid: string): boolean {
    return this.context.ports.journal.dropped().includes(uuid)
  }

  /** Whether it is being removed, or is to be tried again. */
  isBusy(uuid: string): boolean {
    return this.underWay.has(uuid) || this.due.has(uuid)
  }

  /** Whether there is something to remove. */
  has(uuid: string): boolean {
    const { journal, store } = this.context.ports
    return journal.log(uuid) !== undefined || store.has(uuid)
  }

  /**
   * Removes the space if its record, read now, says that it was dropped, or that this node was
   * taken out of its members. `confirmedIn`: the epoch whose primary has confirmed that nothing
   * here is missing there; in a later one it may be. Never rejects.
   */
  drop(space: string, uuid: string, confirmedIn?: number): Promise<void> {
    const { commits, ports } = this.context
    let former: Coverage | undefined
    return this.run(uuid, async () => {
      const why = await this.whyOver(space, uuid, confirmedIn)
      if (why === null) return
      former ??= ports.journal.log(uuid)?.covers
      await commits.submit({ type: 'spaceDropped', uuid })
      await this.remove(space, uuid, why)
      // Those that it shared with others stay for these.
      if (former) await removeFormer(ports, former)
    })
  }

  /** Tries again what failed: the arbiter was away, or the disk full. */
  retry(): void {
    for (const [uuid, work] of this.due) void this.run(uuid, work)
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.underWay.values())
  }

  private run(uuid: string, work: () => Promise<void>): Promise<void> {
    const present = this.underWay.get(uuid)
    if (present) return present
    this.due.delete(uuid)
    const running = work()
      .catch((error: unknown) => {
        this.due.set(uuid, work)
        this.failed(uuid, error)
      })
      .finally(() => this.underWay.delete(uuid))
    this.underWay.set(uuid, running)
    return running
  }

  private async whyOver(space: string, uuid: string, confirmedIn?: number): Promise<string | null> {
    const { records, self } = this.context
    const read = await records.read(space)
    if (read.kind !== 'present') return null
    const { assignment } = read.record
    if (saysDropped(assignment, uuid)) return 'which was dropped'
    const isOut = assignment.uuid === uuid && removedAt(assignment, self.node) !== null
      && !isHolder(assignment, self.node) && assignment.epoch === confirmedIn
    return isOut ? 'which it is no member of any more' : null
  }

  private async remove(space: string | null, uuid: string, why: string): Promise<void> {
    const { context, context: { ports: { journal, store, checkpoints, telemetry, logger } } } = this
    await store.drop(uuid)
    await checkpoints.removeParts(uuid)
    for (const { number, sections } of checkpoints.files()) {
      const isOfSpace = sections.length > 0 && sections.every((section) => section.uuid === uuid)
      if (isOfSpace) await checkpoints.remove(number)
    }
    const files = await this.removeSalvages(uuid)
    journal.forgetDrop(uuid)
    telemetry.count('spacesDropped')
    const kept = files === 0 ? '' : `, with ${files} salvage(s)`
    const text = `${context.self.node} has removed its data of the space, ${why}${kept}`
    if (space === null) logger.info({ uuid }, text)
    else sendNotice(context, space, 'dataRemoved', { uuid, salvages: files }, text)
  }

  /** Returns how many salvages there were. */
  private async removeSalvages(uuid: string): Promise<number> {
    const { salvages, journal } = this.context.ports
    // The name has only a part of the uuid.
    const others = new Set((await salvages.list()).filter(({ header }) => header.uuid !== uuid)
      .map(({ name }) => name))
    const files = (await salvages.names())
      .filter((name) => isSalvageOf(name, uuid) && !others.has(name))
    for (const name of files) await salvages.remove(name)
    const isAmbiguous = journal.logs()
      .some((log) => log.uuid !== uuid && log.uuid.slice(0, 8) === uuid.slice(0, 8))
    const kept = isAmbiguous ? [] : await salvages.kept()
    for (const name of kept) if (isSalvageOf(name, uuid)) await salvages.remove(name)
    return files.length
  }

  private failed(uuid: string, error: unknown): void {
    const { logger } = this.context.ports
    const isExpected = error instanceof ArbiterUnavailableError || error instanceof JournalFullError
    logger[isExpected ? 'info' : 'error']({ uuid, error: stackOf(error) },
      'the data of a space could not be removed yet')
  }
}
