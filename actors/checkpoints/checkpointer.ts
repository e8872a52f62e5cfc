import { checkpointNeed, epochsBetween } from '../../machines/log/checkpointDue.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { AlignedImage } from '../log/applier.js'
import { isDamage } from '../member/member.js'
import type { Member } from '../member/member.js'
import { ReadBackError } from '../ports/checkpoints.js'
import type { SectionManifest, SectionNotes, StoredSection } from '../ports/checkpoints.js'
import type { Coverage, KeptCheckpoint } from '../ports/journal.js'
import { ImageClosedError } from '../ports/store.js'
import { enterCoverage } from './enterCoverage.js'
import type { CoverageWriter } from './enterCoverage.js'
import { Failures } from './failures.js'
import { removeFormer } from './formerFiles.js'
import { LoopPace } from './loopPace.js'
import { type CheckpointRoom, NoRoomError } from './room.js'
import { shortHistory } from './shortHistory.js'
import { notesOf } from './sectionNotes.js'
import { noteUnusable } from './unusable.js'

export interface CheckpointerOptions extends CoverageWriter {
  readonly members: () => Iterable<Member>
  /** Bytes that all spaces have written to the journal since the start. */
  readonly nodeBytes: () => number
  /** Spaces for which a segment is kept that should be given up. */
  readonly pinning: () => ReadonlySet<string>
  readonly room: CheckpointRoom
}

/** How often the spaces are looked at. */
const lookMs = 1000
/** An image of a space that has no end of a frame for so long is not waited for. */
const alignMs = 10_000
/** The store's file grows while an image is open. */
const imageMsMax = 600_000
const bytesPerSecondMax = 32 * 1024 * 1024
/** An image is read in this time at most, however busy the loop is. */
const imageMsAim = 60_000
const duty = 0.1
/** Of a large one, and once the journal has twice the bytes at which the space was due. */
const lateDuty = 0.3
const lateNeed = 2
/** Of one that would not be done before its image is too old. */
const lastDuty = 0.5
/** How often the room on the disk is looked at meanwhile. */
const roomMs = 500
/** The same if it has what little room there is: some 0.6 MiB are written in between. */
const heldRoomMs = 20

interface Due {
  readonly member: Member
  readonly need: number
  /** An install waits for it, or a segment of the journal is kept for want of it. */
  readonly isUrgent: boolean
  readonly lastBytes: number
}

class TooSlowError extends Error {
  constructor() {
    super(`it took more than ${imageMsMax / 60_000} minutes`)
    this.name = 'TooSlowError'
  }
}

/**
 * Takes checkpoints of the spaces that are due, one at a time, while writes go on. In this order:
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
  private readonly wanted = new WeakSet<Member>()

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
    for (const due of all) {
      const nowMs = clock.monotonicMs()
      if (this.isStopped || nowMs - this.lookedAtMs >= lookMs) return
      if (this.mayTake(due.member, nowMs) && !await this.take(due)) return
    }
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
    const pinning = this.options.pinning()
    const pinnedBytes = [...pinning].reduce((sum, uuid) => sum + (this.newestOf(uuid)?.bytes ?? 0),
      0)
    const all: Due[] = []
    for (const member of this.options.members()) {
      this.seeDamage(member)
      if (!this.mayTake(member, nowMs)) continue
      const isPinning = pinning.has(member.uuid) && this.mayRelease(member)
      const due = this.dueOf(member, isPinning ? pinnedBytes : null)
      if (due.need >= 1) all.push(due)
    }
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

  /** `pinnedBytes`: checkpoints of all spaces that keep a segment; null: this one keeps none. */
  private dueOf(member: Member, pinnedBytes: number | null): Due {
    const { context: { commits, ports: { journal }, settings }, nodeBytes } = this.options
    const log = journal.log(member.uuid)
    const lastBytes = this.newestOf(member.uuid)?.bytes ?? 0
    const takenAt = this.takenAt.get(member) ?? -Infinity
    const newest = log?.covers.kept.at(-1)?.position.sequence ?? 0
    const need = checkpointNeed({
      newBytes: log?.newBytes ?? 0,
      newEpochs: epochsBetween(member.log, newest, member.store.applied.sequence),
      lastBytes,
      pinning: pinnedBytes === null
        ? null
        // A full disk waits for it: nothing more is written that would make it due.
        : { checkpointBytes: pinnedBytes,
          nodeBytes: commits.lacksRoom ? Infinity : nodeBytes() - takenAt },
    }, settings)
    const isWanted = this.isWanted(member)
    const isUrgent = isWanted || pinnedBytes !== null
    return { member, need: isWanted ? Infinity : need, isUrgent, lastBytes }
  }

  /** Whether an install waits for a newer one, and there is one to take. */
  private isWanted(member: Member): boolean {
    return this.wanted.has(member)
      && member.store.applied.sequence > (this.newestOf(member.uuid)?.position.sequence ?? 0)
  }

  /** The newest checkpoint that counts. */
  newestOf(uuid: string): StoredSection | null {
    const { journal, checkpoints } = this.options.context.ports
    const kept = journal.log(uuid)?.covers.kept.at(-1)
    return kept ? checkpoints.find(uuid, kept) : null
  }

  /** False: it was not taken. */
  private async take(due: Due): Promise<boolean> {
    const { member } = due
    const { context, room, nodeBytes } = this.options
    const { space } = member
    const begunMs = context.ports.clock.monotonicMs()
    const takenAt = nodeBytes()
    try {
      await room.make(member, this.pace(due, () => Promise.resolve()))
      if (this.isStopped) return false
      const aligned = await this.aligned(member)
      // A log that ends within what is committed has no such end, until it goes on.
      if (!aligned) {
        this.failures.later(member)
        return false
      }
      const section = await this.write(due, aligned)
      this.takenAt.set(member, takenAt)
      this.wanted.delete(member)
      this.failures.over(member)
      const ms = Math.round(context.ports.clock.monotonicMs() - begunMs)
      context.ports.telemetry.count('checkpoints', 1, { result: 'written' })
      context.ports.telemetry.observe('checkpointMs', ms)
      context.ports.logger.info({ space, bytes: section.bytes, ms, file: section.file },
        `a checkpoint holds all up to ${section.position.sequence}`)
      return true
    } catch (error) {
      if (!this.isStopped && !(error instanceof ImageClosedError)) this.failed(member, error)
      return false
    } finally {
      room.release()
    }
  }

  private failed(member: Member, error: unknown): void {
    const { context } = this.options
    const code = (error as { code?: unknown }).code
    if (isDamage(error)) return member.damaged(messageOf(error))
    if (error instanceof NoRoomError || error instanceof TooSlowError
      || error instanceof ReadBackError || isFileFault(code))
    {
      context.ports.telemetry.count('checkpoints', 1, { result: 'failed' })
      return this.failures.note(member, messageOf(error), error instanceof ReadBackError)
    }
    // A wrong hash in the store, a violated invariant: nothing here can be trusted.
    context.fatal(error)
  }

  /** An image at the end of a frame; null: none came in time. */
  private aligned({ applier }: Member): Promise<AlignedImage | null> {
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
      const timer = clock.setTimeout(() => this.endWait(), alignMs)
      applier.takeImage(settle)
    })
  }

  private async write(due: Due, aligned: AlignedImage): Promise<StoredSection> {
    const { member } = due
    const { journal, checkpoints } = this.options.context.ports
    const { uuid } = member
    const installs = journal.log(uuid)?.covers.installs ?? 0
    let notes: SectionNotes
    try {
      notes = await notesOf(member, aligned)
    } catch (error) {
      aligned.image.close()
      // The image may be of a log that was replaced or dropped since.
      const log = journal.log(uuid)
      const isSame = log && log.covers.installs === installs && !member.following.isSwitching
      throw isSame ? error : new ImageClosedError()
    }
    const [section] = await checkpoints.write([{ notes, image: aligned.image }],
      this.pace(due, () => this.options.room.watch()))
    if (!section) throw new Error('bug: a file without its section')
    const before = journal.log(uuid)?.covers
    try {
      if (!before) throw new ImageClosedError()
      const covers = await this.coverage(member, before, section)
      await enterCoverage(this.options, member, { ...covers, installs })
      member.log.sumUp(covers.history.root)
      await removeFormer(this.options.context.ports, before)
      return section
    } catch (error) {
      const isNamed = journal.log(uuid)?.covers.kept.some(({ file }) => file === section.file)
      if (!isNamed) await checkpoints.remove(section.file).catch(() => undefined)
      throw error
    }
  }

  private pace(due: Due, watchRoom: () => Promise<void>): LoopPace {
    const { commits, ports: { clock } } = this.options.context
    const begunMs = clock.monotonicMs()
    let roomAtMs = begunMs
    return new LoopPace({
      clock,
      duty: () => {
        const passedMs = clock.monotonicMs() - begunMs
        if (passedMs > 3 * imageMsAim) return lastDuty
        const isLate = passedMs > imageMsAim || this.dueOf(due.member, null).need >= lateNeed
        return isLate ? lateDuty : duty
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

  /** The newest and the one before it that can be used count from now on. */
  private async coverage(
    member: Member,
    before: Coverage,
    { file, id, position }: StoredSection,
  ): Promise<Coverage> {
    const kept = { file, id, position }
    for (const older of before.kept.toReversed()) {
      const manifest = await this.manifestOf(member, older)
      if (!manifest) continue
      const { clock, timestamp } = manifest
      const history = shortHistory(member, older.position.sequence)
      const { installs } = before
      return { installs, kept: [older, kept], covered: older.position, history, clock, timestamp }
    }
    return { ...before, kept: [kept] }
  }

  /** Null: the checkpoint cannot be used. */
  private async manifestOf(
    { uuid }: Member,
    kept: KeptCheckpoint,
  ): Promise<SectionManifest | null> {
    const { context, context: { ports: { checkpoints } } } = this.options
    const stored = checkpoints.find(uuid, kept)
    if (!stored) return null
    try {
      const reader = await checkpoints.open(stored)
      await reader.close()
      return reader.manifest
    } catch (error) {
      noteUnusable(context, stored, error)
      return null
    }
  }
}

function isFileFault(code: unknown): boolean {
  return typeof code === 'string'
    && (/^E[A-Z0-9]+$/.test(code) || code === 'JOURNAL_FULL')
}
