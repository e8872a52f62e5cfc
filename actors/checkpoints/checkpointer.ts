import { checkpointNeed, epochsBetween } from '../../machines/log/checkpointDue.js'
import type { PinningNeed } from '../../machines/log/checkpointDue.js'
import { checkpointGroups, SharedFiles } from '../../machines/log/checkpointGroups.js'
import type { CheckpointSize } from '../../machines/log/checkpointGroups.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { AlignedImage } from '../log/applier.js'
import { isDamage } from '../member/member.js'
import type { Member } from '../member/member.js'
import { ReadBackError } from '../ports/checkpoints.js'
import type { SectionNotes, SectionSource, StoredSection } from '../ports/checkpoints.js'
import { ImageClosedError } from '../ports/store.js'
import type { SpaceImage } from '../ports/store.js'
import type { CoverageWriter } from './enterCoverage.js'
import { Failures } from './failures.js'
import { imageDuty, imageMsAim } from './imagePace.js'
import { LoopPace } from './loopPace.js'
import type { RoomOutlook } from './outlook.js'
import type { CheckpointRoom } from './room.js'
import { NoRoomError } from './room.js'
import { nameSections } from './sectionNames.js'
import type { Written } from './sectionNames.js'
import { notesOf } from './sectionNotes.js'

export interface CheckpointerOptions extends CoverageWriter {
  readonly members: () => Iterable<Member>
  /** Bytes that all spaces have written to the journal since the start. */
  readonly nodeBytes: () => number
  /** Spaces for which a segment is kept that should be given up. */
  readonly pinning: () => ReadonlySet<string>
  /** The same if nothing was to be retained. */
  readonly pinningAnything: () => ReadonlySet<string>
  readonly room: CheckpointRoom
  readonly outlook: RoomOutlook
}

/** How often the spaces are looked at. */
const lookMs = 1000
/** An image of a space that has no end of a frame for so long is not waited for. */
const alignMs = 10_000
/** The same where others wait for their turn in the file. */
const sharedAlignMs = 1000
/** The store's file grows while an image is open. */
const imageMsMax = 600_000
const bytesPerSecondMax = 32 * 1024 * 1024
/** How often the room on the disk is looked at meanwhile. */
const roomMs = 500
/** The same if it has what little room there is: some 0.6 MiB are written in between. */
const heldRoomMs = 20

interface Due extends CheckpointSize {
  readonly member: Member
  readonly need: number
  /** An install waits for it, or a segment of the journal is kept for want of it. */
  readonly isUrgent: boolean
  /** It is taken while it fits. */
  readonly isHurried: boolean
}

class TooSlowError extends Error {
  constructor() {
    super(`it took more than ${imageMsMax / 60_000} minutes`)
    this.name = 'TooSlowError'
  }
}

/**
 * Takes checkpoints of the spaces that are due, one file at a time, while writes go on. Small ones
 * share a file. In this order:
 * the file is durable and was read back; a record of the journal names it, and so makes it count;
 * files that no longer count are removed. A crash anywhere leaves what counted before, or the new.
 */
export class Checkpointer {
  private lookedAtMs = -Infinity
  private isBusy = false
  private isStopped = false
  /** Ends the wait for an image. */
  private endWait: () => void = () => {}
  private settled: Promise<void> = Promise.resolve()
  private readonly failures: Failures
  /** Bytes of the node when the newest checkpoint was taken. */
  private readonly takenAt = new WeakMap<Member, number>()
  /** Those that have one that was hurried, and need another: only two let a segment go. */
  private readonly halfDone = new WeakSet<Member>()
  private readonly wanted = new WeakSet<Member>()
  /** That is read, or was read last. */
  private image: SpaceImage | null = null
  /** Files that are to be left: less than half of them counted at the last look. */
  private sparse: ReadonlySet<number> = new Set()

  constructor(private readonly options: CheckpointerOptions) {
    this.failures = new Failures(options.context)
  }

  /** Called once per heartbeat. */
  tick(): void {
    const nowMs = this.options.context.ports.clock.monotonicMs()
    if (this.isBusy || this.isStopped || nowMs - this.lookedAtMs < lookMs) return
    this.lookedAtMs = nowMs
    const due = this.allDue(nowMs)
    if (due.length === 0) return
    this.isBusy = true
    this.settled = this.takeAll(due).finally(() => {
      this.isBusy = false
    })
  }

  /** As many as there is time for until the next look: there may be many small ones. */
  private async takeAll(all: readonly Due[]): Promise<void> {
    const { clock } = this.options.context.ports
    for (const due of checkpointGroups(all)) {
      for (const group of await this.fitting(due)) {
        if (this.isStopped || clock.monotonicMs() - this.lookedAtMs >= lookMs) return
        if (!await this.take(group)) return
      }
    }
  }

  /** Without room for all of a group, each by itself: room is made for one. */
  private async fitting(group: Due[]): Promise<Due[][]> {
    const bytes = group.reduce((sum, { lastBytes }) => sum + lastBytes, 0)
    return group.length === 1 || await this.options.room.has(bytes)
      ? [group]
      : group.map((due) => [due])
  }

  /** A member that has to be installed needs a newer one: it is taken as soon as may be. */
  want(member: Member): void {
    this.wanted.add(member)
  }

  /** Resolves when nothing is written any more. */
  async stop(): Promise<void> {
    this.isStopped = true
    this.endWait()
    await this.settled
  }

  /** The most urgent one first. */
  private allDue(nowMs: number): Due[] {
    const { pinning: pinningNow, pinningAnything, outlook } = this.options
    const now = pinningNow()
    const pinning = outlook.isShort ? pinningAnything() : now
    const checkpointBytes = [...pinning].reduce(
      (sum, uuid) => sum + (this.newestOf(uuid)?.bytes ?? 0),
      0,
    )
    const shared = new SharedFiles()
    const all: Due[] = []
    for (const member of this.options.members()) {
      this.seeDamage(member)
      for (const section of this.sectionsOf(member)) shared.add(section)
      if (!this.mayTake(member, nowMs)) continue
      const isRoomShort = outlook.isHurried(this.newestOf(member.uuid)?.bytes ?? 0)
      const isPinning = (isRoomShort ? pinning : now).has(member.uuid) && this.mayRelease(member)
      const due = this.dueOf(member, isPinning ? { checkpointBytes, isRoomShort } : null)
      if (due.need >= 1) all.push(due)
    }
    this.sparse = shared.sparse()
    return all.toSorted((a, b) => Number(b.isUrgent) - Number(a.isUrgent) || b.need - a.need)
  }

  /** A reader that goes on without its entries, or finds damage of others, does not tell them. */
  private seeDamage(member: Member): void {
    const damage = this.options.context.ports.journal.log(member.uuid)?.damage ?? null
    if (damage !== null && member.damage === null) member.damaged(damage)
  }

  private mayTake(member: Member, nowMs: number): boolean {
    const { damage, rebuilding, store, following } = member
    return damage === null && rebuilding === null && store.applied.sequence > 0
      && !following.isSwitching && !this.failures.isPausing(member, nowMs)
  }

  /** Whether one more checkpoint would cover more entries, or take the place of a lost one. */
  private mayRelease({ uuid, store }: Member): boolean {
    const { journal, checkpoints } = this.options.context.ports
    const { kept = [] } = journal.log(uuid)?.covers ?? {}
    return kept.length < 2 || kept[0]!.position.sequence < store.applied.sequence
      || kept.some((one) => checkpoints.find(uuid, one) === null)
  }

  /** `pinning`: null: it keeps no segment. */
  private dueOf(member: Member, pinning: Omit<PinningNeed, 'nodeBytes'> | null): Due {
    const { context: { commits, ports: { journal }, settings }, nodeBytes, outlook } = this.options
    const log = journal.log(member.uuid)
    const lastBytes = this.newestOf(member.uuid)?.bytes ?? 0
    const takenAt = this.takenAt.get(member) ?? -Infinity
    const newest = log?.covers.kept.at(-1)?.position.sequence ?? 0
    const newBytes = log?.newBytes ?? 0
    const need = checkpointNeed({
      newBytes,
      newEpochs: epochsBetween(member.log, newest, member.store.applied.sequence),
      lastBytes,
      // A full disk waits for it: nothing more is written that would make it due.
      pinning: pinning
        && { ...pinning, nodeBytes: commits.lacksRoom ? Infinity : nodeBytes() - takenAt },
    }, settings)
    const isWanted = this.isWanted(member)
    const isSecond = this.halfDone.has(member) && outlook.fits(lastBytes) && this.mayRelease(member)
    const isUrgent = isWanted || isSecond || pinning !== null
    const isLeft = log?.covers.kept.some(({ file }) => this.sparse.has(file)) ?? false
    const least = isWanted ? Infinity : isLeft || isSecond ? 1 : 0
    const isHurried = pinning?.isRoomShort ?? false
    return { member, need: Math.max(need, least), isUrgent, isHurried, lastBytes, newBytes }
  }

  /** Whether an install waits for a newer one, and there is one to take. */
  private isWanted(member: Member): boolean {
    return this.wanted.has(member)
      && member.store.applied.sequence > (this.newestOf(member.uuid)?.position.sequence ?? 0)
  }

  /** Those that count and can be used. */
  private sectionsOf({ uuid }: Member): StoredSection[] {
    const { journal, checkpoints } = this.options.context.ports
    const { kept = [] } = journal.log(uuid)?.covers ?? {}
    return kept.flatMap((one) => checkpoints.find(uuid, one) ?? [])
  }

  /** The newest checkpoint that counts. */
  newestOf(uuid: string): StoredSection | null {
    const { journal, checkpoints } = this.options.context.ports
    const kept = journal.log(uuid)?.covers.kept.at(-1)
    return kept ? checkpoints.find(uuid, kept) : null
  }

  /** False: none was taken. */
  private async take(group: readonly Due[]): Promise<boolean> {
    const { context: { ports: { clock } }, room, nodeBytes } = this.options
    const [first] = group
    const begunMs = clock.monotonicMs()
    const takenAt = nodeBytes()
    try {
      await room.make(first!.member, this.pace(first!, () => Promise.resolve()))
      if (this.isStopped) return false
      const named = await this.write(group)
      for (const { member } of named) {
        this.takenAt.set(member, takenAt)
        const isFirst = group.some((due) => due.member === member && due.isHurried)
        if (!this.halfDone.delete(member) && isFirst) this.halfDone.add(member)
        this.wanted.delete(member)
        this.failures.over(member)
      }
      this.report(named, Math.round(clock.monotonicMs() - begunMs))
      return named.length > 0
    } catch (error) {
      if (!this.isStopped && !(error instanceof ImageClosedError)) this.failed(group, error)
      return false
    } finally {
      room.release()
    }
  }

  private report(named: readonly Written[], ms: number): void {
    const [first] = named
    if (!first) return
    const { telemetry, logger } = this.options.context.ports
    const { member: { space }, section: { file, position } } = first
    telemetry.count('checkpoints', named.length, { result: 'written' })
    telemetry.observe('checkpointMs', ms)
    const bytes = named.reduce((sum, { section }) => sum + section.bytes, 0)
    if (named.length === 1) {
      logger.info({ space, bytes, ms, file }, `a checkpoint holds all up to ${position.sequence}`)
    } else {
      logger.info({ spaces: named.length, bytes, ms, file },
        `a file has checkpoints of ${named.length} spaces`)
    }
  }

  private failed(group: readonly Due[], error: unknown): void {
    const { context } = this.options
    const code = (error as { code?: unknown }).code
    if (error instanceof NoRoomError || error instanceof TooSlowError
      || error instanceof ReadBackError || isFileFault(code))
    {
      context.ports.telemetry.count('checkpoints', group.length, { result: 'failed' })
      const members = group.map(({ member }) => member)
      return this.failures.note(members, messageOf(error), error instanceof ReadBackError)
    }
    // A wrong hash in the store, a violated invariant: nothing here can be trusted.
    context.fatal(error)
  }

  /** An image at the end of a frame; null: none came in time. */
  private aligned({ applier }: Member, maxMs: number): Promise<AlignedImage | null> {
    const { clock } = this.options.context.ports
    return new Promise((resolve) => {
      const settle = (aligned: AlignedImage | null): void => {
        clock.clearTimeout(timer)
        this.endWait = () => {}
        resolve(aligned)
      }
      this.endWait = () => {
        applier.cancelImage()
        settle(null)
      }
      const timer = clock.setTimeout(() => this.endWait(), maxMs)
      applier.takeImage(settle)
    })
  }

  /** Returns those that count from now on. */
  private async write(group: readonly Due[]): Promise<readonly Written[]> {
    const { context: { ports: { checkpoints } }, room } = this.options
    const pace = this.pace(group[0]!, () => room.watch())
    const imaged = new Map<string, Omit<Written, 'section'>>()
    const sections = await checkpoints.write(this.sources(group, imaged), pace)
    return await nameSections(this.options, sections.map((section) => ({
      ...imaged.get(section.uuid)!,
      section,
    })))
  }

  /** One image after the other, of those that have one by then. */
  private async *sources(
    group: readonly Due[],
    imaged: Map<string, Omit<Written, 'section'>>,
  ): AsyncGenerator<SectionSource> {
    const { journal, clock } = this.options.context.ports
    for (const { member } of group) {
      if (!this.mayTake(member, clock.monotonicMs())) continue
      const aligned = await this.aligned(member, group.length > 1 ? sharedAlignMs : alignMs)
      if (this.isStopped) {
        aligned?.image.close()
        throw new ImageClosedError()
      }
      // A log that ends within what is committed has no such end, until it goes on.
      if (!aligned) {
        this.failures.later(member)
        continue
      }
      const installs = journal.log(member.uuid)?.covers.installs ?? 0
      const notes = await this.notes(member, aligned, installs)
      if (!notes) continue
      imaged.set(member.uuid, { member, installs })
      this.image = aligned.image
      yield { notes, image: aligned.image }
    }
  }

  /** Null: the log is damaged, or it was replaced or dropped since the image was taken. */
  private async notes(
    member: Member,
    aligned: AlignedImage,
    installs: number,
  ): Promise<SectionNotes | null> {
    try {
      return await notesOf(member, aligned)
    } catch (error) {
      aligned.image.close()
      const log = this.options.context.ports.journal.log(member.uuid)
      const isSame = log && log.covers.installs === installs && !member.following.isSwitching
      if (!isSame) return null
      if (!isDamage(error)) throw error
      member.damaged(messageOf(error))
      return null
    }
  }

  private pace(due: Due, watchRoom: () => Promise<void>): LoopPace {
    const { commits, ports: { clock } } = this.options.context
    const begunMs = clock.monotonicMs()
    let roomAtMs = begunMs
    return new LoopPace({
      clock,
      duty: () => {
        const { need, lastBytes, newBytes } = this.dueOf(due.member, null)
        return imageDuty({
          passedMs: clock.monotonicMs() - begunMs,
          need,
          grownBytes: this.image?.grownBytes ?? 0,
          stateBytes: Math.max(lastBytes, newBytes),
        })
      },
      bytesPerSecond: Math.max(bytesPerSecondMax, due.lastBytes * 1000 / imageMsAim),
      check: async () => {
        if (this.isStopped) throw new ImageClosedError()
        const nowMs = clock.monotonicMs()
        if (nowMs - begunMs > imageMsMax) throw new TooSlowError()
        if (nowMs - roomAtMs < (commits.isHeld ? heldRoomMs : roomMs)) return
        roomAtMs = nowMs
        await watchRoom()
      },
    })
  }
}

function isFileFault(code: unknown): boolean {
  return typeof code === 'string'
    && (/^E[A-Z0-9]+$/.test(code) || code === 'JOURNAL_FULL')
}
