/** The journal's knowledge of its spaces' logs: built by recovery, updated by every write. */
import type { Frame } from '../../actors/ports/frames.js'
import type { CommitFloor, JournalLog, JournalRecord } from '../../actors/ports/journal.js'
import { GrowingHistory } from '../../machines/log/growingHistory.js'
import { comparePositions, emptyHistory, endOf, epochAt, hasEntry, origin,
  showPosition } from '../../machines/log/positions.js'
import type { EpochSpan, Position } from '../../machines/base/ids.js'
import { PlaceIndex } from './index.js'

/** A damaged log keeps its prefix before the damage, and takes nothing more until it is dropped. */
export class SpaceLog implements JournalLog {
  end: Position = origin
  floor = 0
  damage: string | null = null
  /** Found by a read: earlier frames are lost, but the end is known, and appends still fit. */
  damageAtRest: string | null = null
  readonly index = new PlaceIndex()

  private readonly epochs = new GrowingHistory()

  constructor(readonly uuid: string) {}

  get root(): Position {
    return this.epochs.root
  }

  get history(): readonly EpochSpan[] {
    return this.epochs.history
  }

  /** Null when the frame continues the log at `end`. */
  refuseFrame(frame: Frame, end: Position = this.end): string | null {
    if (frame.first !== end.sequence + 1 || frame.previousEpoch !== end.epoch) {
      return `a frame that continues (${frame.previousEpoch}, ${frame.first - 1}), where the log `
        + `ends at ${showPosition(end)}`
    }
    return frame.epoch < end.epoch ? 'a frame of a lower epoch' : null
  }

  /** Whether these entries are here already: equal (epoch, sequence), equal entry (I3). */
  restates(frame: Frame): boolean {
    return frame.last <= this.end.sequence && this.index.begins(frame.first)
      && epochAt(this.history, frame.first) === frame.epoch
      && epochAt(this.history, frame.last) === frame.epoch
  }

  append(frame: Frame, segment: number, offset: number): void {
    this.index.push(frame.first, segment, offset, frame.bytes.length)
    this.epochs.extend(frame.epoch, frame.last)
    this.end = { epoch: frame.epoch, sequence: frame.last }
  }

  /**
   * Null if the log can be truncated to there: a position that it holds, between two frames. Frames
   * are the same bytes on every member, so a common point is always between frames.
   */
  refuseTruncation(to: Position): string | null {
    if (to.sequence < this.root.sequence || !hasEntry(this, to)) {
      return `cannot truncate to ${showPosition(to)}: the log that ends at `
        + `${showPosition(this.end)} does not hold it`
    }
    if (to.sequence === this.end.sequence || this.index.begins(to.sequence + 1)) return null
    return `cannot truncate to ${showPosition(to)}: it is within a frame`
  }

  truncate(to: Position): void {
    this.index.truncate(to.sequence)
    this.epochs.truncate(to.sequence)
    this.end = endOf(this.history)
    // The floor is only lowered below an epoch that an operator forced.
    this.floor = Math.min(this.floor, to.sequence)
  }

  view(): JournalLog {
    const damage = this.damage ?? this.damageAtRest
    const { uuid, root, history, end, floor } = this
    return { uuid, root, history, end, floor, damage }
  }
}

export class Logs {
  readonly #logs = new Map<string, SpaceLog>()
  /** Records of unknown spaces are broken: a space that is not known here may have lost its log. */
  #lost: string | null = null
  readonly #dropped = new Set<string>()

  /** Memory of the places of all frames. */
  get indexBytes(): number {
    let bytes = 0
    for (const { index } of this.#logs.values()) bytes += index.memoryBytes
    return bytes
  }

  all(): readonly JournalLog[] {
    return [...this.#logs.values()].map((log) => log.view())
  }

  get(uuid: string): SpaceLog | undefined {
    return this.#logs.get(uuid)
  }

  /**
   * After records of unknown spaces were lost, a space without records counts as damaged too: it
   * must not pass for a new, empty one. Dropping it makes it new.
   */
  view(uuid: string): JournalLog | undefined {
    const log = this.#logs.get(uuid)
    if (log) return log.view()
    if (this.#lost === null || this.#dropped.has(uuid)) return undefined
    return { uuid, ...emptyHistory, end: origin, floor: 0, damage: this.#lost }
  }

  damage(uuid: string, reason: string): void {
    this.#open(uuid).damage ??= reason
  }

  /** Writes go on until the owner reacts: one space must not fail a flush of all spaces. */
  damageAtRest(uuid: string, reason: string): void {
    const log = this.#logs.get(uuid)
    if (log) log.damageAtRest ??= reason
  }

  damageAll(reason: string): void {
    this.#lost ??= reason
    this.#dropped.clear()
    for (const log of this.#logs.values()) log.damage ??= reason
  }

  append(frame: Frame, segment: number, offset: number): void {
    this.#open(frame.uuid).append(frame, segment, offset)
  }

  /**
   * For recovery: takes the contents of the disk, and marks the log as damaged if they make no
   * sense. A log that begins at 1 is whole, whatever was lost before.
   */
  recoverFrame(frame: Frame, segment: number, offset: number): void {
    const known = this.#logs.get(frame.uuid)
    if (!known && this.#lost !== null && frame.first > 1) {
      this.damage(frame.uuid, this.#lost)
      return
    }
    const log = this.#open(frame.uuid)
    if (log.damage !== null || log.restates(frame)) return
    const reason = log.refuseFrame(frame)
    if (reason) log.damage = `segment ${segment}, offset ${offset}: ${reason}`
    else log.append(frame, segment, offset)
  }

  /** Entries up to a floor were durable here when the floor was written. */
  recoverFloor({ uuid, sequence }: CommitFloor, place: string): void {
    const log = this.#logs.get(uuid)
    if (!log || log.damage !== null) return
    log.floor = sequence
    if (sequence <= log.end.sequence) return
    log.damage = `${place}: entries up to ${sequence} were here, the log ends at `
      + showPosition(log.end)
  }

  noteFloor({ uuid, sequence }: CommitFloor): void {
    const log = this.#logs.get(uuid)
    if (log) log.floor = sequence
  }

  recoverTruncation(uuid: string, to: Position, place: string): void {
    const log = this.#open(uuid)
    if (log.damage !== null) return
    const reason = log.refuseTruncation(to)
    if (reason) log.damage = `${place}: ${reason}`
    else log.truncate(to)
  }

  truncate(uuid: string, to: Position): void {
    this.#logs.get(uuid)?.truncate(to)
  }

  drop(uuid: string): void {
    this.#logs.delete(uuid)
    if (this.#lost !== null) this.#dropped.add(uuid)
  }

  /** Throws RangeError, before anything is written, when a record does not fit its log: a bug. */
  check(records: readonly JournalRecord[]): void {
    const ends = new Map<string, Position>()
    for (const record of records) {
      if (record.type === 'confirm') continue
      const uuid = record.type === 'frame' ? record.frame.uuid : record.uuid
      if (record.type === 'spaceDropped') {
        ends.set(uuid, origin)
        continue
      }
      const staged = ends.get(uuid)
      const log = this.#logs.get(uuid)
      const damage = staged ? null : log ? log.damage : this.view(uuid)?.damage
      if (damage) throw new RangeError(`bug: a write to the damaged log of ${uuid}: ${damage}`)
      const reason = record.type === 'frame'
        ? (log ?? new SpaceLog(uuid)).refuseFrame(record.frame, staged ?? log?.end ?? origin)
        : refuseStagedTruncation(log, staged, record.to)
      if (reason) throw new RangeError(`bug: space ${uuid}: ${reason}`)
      ends.set(uuid, record.type === 'truncate'
        ? record.to
        : { epoch: record.frame.epoch, sequence: record.frame.last })
    }
  }

  #open(uuid: string): SpaceLog {
    let log = this.#logs.get(uuid)
    if (!log) this.#logs.set(uuid, log = new SpaceLog(uuid))
    return log
  }
}

function refuseStagedTruncation(
  log: SpaceLog | undefined,
  staged: Position | undefined,
  to: Position,
): string | null {
  if (staged) {
    return comparePositions(staged, to) === 0
      ? null
      : 'a truncation comes first among the records of its space in a flush'
  }
  return log ? log.refuseTruncation(to) : 'nothing to truncate'
}
