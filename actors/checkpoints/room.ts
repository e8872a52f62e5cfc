import { bytesText } from '../../machines/base/units.js'
import { messageOf } from '../../machines/base/thrown.js'
import { checkpointBytesMin, neededBytes, spareBytes } from '../../machines/log/checkpointDue.js'
import { segmentPins } from '../../machines/log/retention.js'
import { sendNotice } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import { CheckpointDamagedError, CheckpointGoneError,
  CheckpointVersionError } from '../ports/checkpoints.js'
import type { Pace } from '../ports/checkpoints.js'
import type { Coverage, KeptCheckpoint } from '../ports/journal.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'
import { enterCoverage } from './enterCoverage.js'
import { removeFormer } from './formerFiles.js'
import { removeUnused } from './unusedFiles.js'
import { noteUnusable } from './unusable.js'

export interface RoomOptions {
  readonly context: NodeContext
  readonly directory: Pick<NodeDirectory,
    | 'freeBytes'
    | 'reserveBytes'
    | 'keepReserve'
    | 'releaseReserve'>
  /** Spaces for which a segment is kept that should be given up. */
  readonly pinning: () => ReadonlySet<string>
  /** Spaces here, and whether an install of them is under way. */
  readonly installing: () => ReadonlyMap<string, boolean>
}

/** How often the room is looked at. */
const lookMs = 1000
/** Of a file beside its section, about. */
const frameBytes = 1024

/** `freeBytes`: -Infinity if it cannot be read. */
export class NoRoomError extends Error {
  constructor(freeBytes: number, neededBytes: number) {
    super(freeBytes < 0
      ? 'the room on its disk cannot be read'
      : `its disk has ${bytesText(freeBytes)} free, and ${bytesText(neededBytes)} are needed: `
        + 'enlarge the disk, or remove files from it that are not Engram\'s')
    this.name = 'NoRoomError'
  }
}

/**
 * Room on the disk for the next checkpoint. Where it is missing, what nobody needs is removed. If
 * that is not enough, and a segment of the journal is kept for want of the checkpoint, the older
 * one of the two that count makes room for it: the journal still has all entries above that.
 */
export class CheckpointRoom {
  private isTaken = false
  private lookedAtMs = -Infinity

  constructor(private readonly options: RoomOptions) {}

  /**
   * Whether the room that is left is a checkpoint's, and not that of writes: they would fill it
   * before the checkpoint is there that lets segments go. So it is while a space that has given up
   * entries has one checkpoint, also after a start, if the next one just fits.
   */
  async isAwaited(): Promise<boolean> {
    const sizes = this.singleSizes()
    if (sizes.length === 0) return false
    const freeBytes = await this.freeBytes()
    return sizes.some((bytes) =>
      bytes <= freeBytes + this.leastBytes && freeBytes < bytes + spareBytes
    )
  }

  /** Whether writes may go on, with one of so many bytes. The reserve is kept then. */
  async isLeft(bytes: number): Promise<boolean> {
    return !this.isTaken && await this.options.directory.keepReserve()
      && await this.takes(bytes) && !await this.isAwaited()
  }

  /** Also where the room cannot be read: the write tells. */
  private async takes(bytes: number): Promise<boolean> {
    const freeBytes = await this.freeBytes()
    return freeBytes < 0 || freeBytes >= bytes
  }

  /** Called once per heartbeat. */
  tick(): void {
    const { context: { commits, ports: { clock } } } = this.options
    const nowMs = clock.monotonicMs()
    if (nowMs - this.lookedAtMs < lookMs) return
    this.lookedAtMs = nowMs
    void this.isAwaited().then((isAwaited) => {
      if (isAwaited && !this.isTaken) commits.hold()
    })
  }

  /** Whether there is room for a file of so many bytes beside writes. */
  async has(bytes: number): Promise<boolean> {
    return await this.freeBytes() >= neededBytes(bytes)
  }

  /**
   * Resolves when there is room for the next checkpoint of the member, which is expected to be as
   * large as its newest one. `release` has to be called when it is written, or was given up.
   * `pace`: of reading another one. Rejects with NoRoomError, and like a read and a record.
   */
  async make(member: Member, pace: Pace): Promise<void> {
    const { context: { commits }, directory, pinning } = this.options
    // The journal takes nothing, and waits for this checkpoint: nothing is left for writes.
    const isLast = commits.lacksRoom && pinning().has(member.uuid)
    if (isLast) {
      this.take()
      await directory.releaseReserve()
    }
    const lastBytes = this.newestBytes(member.uuid)
    const needed = isLast
      ? (lastBytes || checkpointBytesMin) + this.leastBytes
      : neededBytes(lastBytes)
    if (await this.freeBytes() < needed) await removeUnused(this.options)
    if (await this.freeBytes() < needed) await this.giveUpOne(member, needed, pace)
    const freeBytes = await this.freeBytes()
    if (freeBytes < needed) throw new NoRoomError(freeBytes, needed)
  }

  /** Called while a checkpoint is written. Rejects with NoRoomError: what is left is not for it. */
  async watch(): Promise<void> {
    const freeBytes = await this.freeBytes()
    if (freeBytes >= spareBytes) return
    const leastBytes = this.isTaken ? this.leastBytes : spareBytes
    if (freeBytes < leastBytes) throw new NoRoomError(freeBytes, leastBytes)
    this.options.context.commits.hold()
  }

  release(): void {
    this.isTaken = false
  }

  /** Until it is released. A journal that takes nothing does not begin to before that. */
  private take(): void {
    const { commits } = this.options.context
    this.isTaken = true
    if (commits.lacksRoom) commits.hold()
  }

  /** Left in any case, for small records and for a start: the reserve may be used up to there. */
  private get leastBytes(): number {
    return this.options.directory.reserveBytes / 2
  }

  /** Of spaces that have given up entries, have one checkpoint, and keep the oldest segment. */
  private singleSizes(): number[] {
    const { journal } = this.options.context.ports
    const [oldest] = journal.segments()
    if (!oldest) return []
    const pins = segmentPins(journal.useOf(oldest.segment), (uuid) => journal.log(uuid))
    return pins.flatMap(({ uuid }) => {
      const { base, covers, damage } = journal.log(uuid ?? '') ?? {}
      const isSingle = covers?.kept.length === 1 && damage === null && base!.sequence > 0
      return isSingle ? this.newestBytes(uuid!) || [] : []
    })
  }

  /** Of a file that has only the newest checkpoint of the space; 0: there is none. */
  private newestBytes(uuid: string): number {
    const { journal, checkpoints } = this.options.context.ports
    const newest = journal.log(uuid)?.covers.kept.at(-1)
    const file = checkpoints.files().find(({ number }) => number === newest?.file)
    if (!newest || !file) return 0
    const section = file.sections.length > 1 ? checkpoints.find(uuid, newest) : null
    return section ? section.bytes + frameBytes : file.bytes
  }

  private async freeBytes(): Promise<number> {
    try {
      return await this.options.directory.freeBytes()
    } catch (error) {
      this.options.context.ports.logger.warn({ error: messageOf(error) },
        'the room on the disk cannot be read')
      return -Infinity
    }
  }

  /**
   * Leaves one of two checkpoints, if it verifies, and removes the other one, if that makes enough
   * room. `covered` stays: entries above it are in the journal, which gives up nothing before two
   * checkpoints count again.
   */
  private async giveUpOne(member: Member, needed: number, pace: Pace): Promise<void> {
    const { context: { ports }, pinning } = this.options
    const { uuid } = member
    const before = ports.journal.log(uuid)?.covers
    if (!before || before.kept.length < 2 || !pinning().has(uuid)) return
    const isEnough = async (one: KeptCheckpoint): Promise<boolean> =>
      await this.freeBytes() + this.bytesOf(one) >= needed
    if (!await isEnough(before.kept[0]!) && !await isEnough(before.kept[1]!)) return
    const stays = await this.newestSound(uuid, before, pace)
    const goes = before.kept.find((one) => one !== stays)!
    // It took a while: there may be more room by now, or less.
    if (!stays || await this.freeBytes() >= needed || !await isEnough(goes)) return
    const bytes = this.bytesOf(goes)
    this.take()
    await enterCoverage(this.options, member, { ...before, kept: [stays] })
    await removeFormer(ports, before)
    this.note(member, goes, stays, bytes)
  }

  private note(
    { space }: Member,
    { file }: KeptCheckpoint,
    { position }: KeptCheckpoint,
    bytes: number,
  ): void {
    sendNotice(this.options.context, space, 'checkpointGivenUp', { file, bytes },
      `one of two checkpoints of ${space} was removed to make room for the next one: the disk is `
        + 'full, and only that one lets segments of the journal go. The other one, as of '
        + `${position.sequence}, was read and verified before`)
  }

  /** Bytes that come free with the file: none if another space has a checkpoint in it. */
  private bytesOf({ file }: KeptCheckpoint): number {
    const { journal, checkpoints } = this.options.context.ports
    const users = journal.logs().filter(({ covers }) =>
      covers.kept.some((one) => one.file === file)
    )
    return users.length > 1
      ? 0
      : checkpoints.files().find(({ number }) => number === file)?.bytes ?? 0
  }

  /** The newest one that verifies, if all that are newer are damaged; null: there is none. */
  private async newestSound(
    uuid: string,
    { kept }: Coverage,
    pace: Pace,
  ): Promise<KeptCheckpoint | null> {
    const { checkpoints } = this.options.context.ports
    for (const one of kept.toReversed()) {
      if (await this.verifies(uuid, one, pace)) return one
      const fault = checkpoints.files().find(({ number }) => number === one.file)?.fault
      if (fault?.code !== 'CHECKPOINT_DAMAGED') return null
    }
    return null
  }

  private async verifies(uuid: string, kept: KeptCheckpoint, pace: Pace): Promise<boolean> {
    const { context, context: { ports: { checkpoints } } } = this.options
    const section = checkpoints.find(uuid, kept)
    if (!section) return false
    try {
      await checkpoints.verify(section, pace)
      return true
    } catch (error) {
      if (!isUnusable(error)) throw error
      noteUnusable(context, section, error)
      return false
    }
  }
}

function isUnusable(error: unknown): boolean {
  return error instanceof CheckpointDamagedError || error instanceof CheckpointVersionError
    || error instanceof CheckpointGoneError
}
