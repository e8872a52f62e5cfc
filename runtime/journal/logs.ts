/** The journal's knowledge of its spaces' logs: built by recovery, updated by every write. */
import type { Frame } from '../../actors/ports/frames.js'
import type { CommitFloor, JournalLog, JournalRecord } from '../../actors/ports/journal.js'
import { comparePositions, emptyHistory, origin, showPosition } from '../../machines/log/positions.js'
import type { Position } from '../../machines/base/ids.js'
import type { IndexedSpace, IndexTable } from './indexFile.js'
import { SegmentLedger, timeOf } from './ledger.js'
import { LogState } from './logState.js'
import { Parts, type DiskPart } from './parts.js'
import type { Places } from './places.js'

/** A damaged log keeps its prefix before the damage, and takes nothing more until it is dropped. */
export class SpaceLog {
  state = new LogState()
  /** Found by a read: earlier frames are lost, but the end is known, and appends still fit. */
  damageAtRest: string | null = null
  readonly parts = new Parts()

  constructor(readonly uuid: string) {}

  get end(): Position {
    return this.state.end
  }

  /** The last sequence of a part. */
  lastOf(part: number): number {
    return part + 1 < this.parts.length ? this.parts.firstOf(part + 1) - 1 : this.end.sequence
  }

  view(): JournalLog {
    const { root, history, end, floor } = this.state
    const damage = this.state.damage ?? this.damageAtRest
    return { uuid: this.uuid, root, history, end, floor, damage }
  }
}

/** What an index does to a log. */
interface Replay {
  readonly space: IndexedSpace
  /** Null: there is no log, or no more. */
  readonly state: LogState | null
  /** Earlier frames stay up to there. */
  readonly keeps: number
  readonly isDropped: boolean
}

export class Logs {
  readonly #logs = new Map<string, SpaceLog>()
  /** Segments whose places are in memory. */
  readonly #ledgers = new Map<number, SegmentLedger>()
  /** The segment that the next records are in. */
  #current = new SegmentLedger(0)
  /** Records of unknown spaces are broken: a space that is not known here may have lost its log. */
  #lost: string | null = null
  readonly #dropped = new Set<string>()

  get current(): SegmentLedger {
    return this.#current
  }

  /** Memory of the places of all frames. */
  get indexBytes(): number {
    let bytes = 0
    for (const { parts } of this.#logs.values()) bytes += parts.memoryBytes
    for (const ledger of this.#ledgers.values()) bytes += ledger.memoryBytes
    return bytes
  }

  /** The next records are in that segment. */
  begin(segment: number): SegmentLedger {
    this.#current = new SegmentLedger(segment)
    this.#ledgers.set(segment, this.#current)
    return this.#current
  }

  /** Closed segments whose places are in memory, oldest first. */
  closedLedgers(): SegmentLedger[] {
    return [...this.#ledgers.values()].filter((ledger) => ledger !== this.#current)
  }

  all(): readonly JournalLog[] {
    return [...this.#logs.values()].map((log) => log.view())
  }

  get(uuid: string): SpaceLog | undefined {
    return this.#logs.get(uuid)
  }

  /** The places of a part that is in memory. */
  placesOf(log: SpaceLog, part: number): Places {
    return this.#ledgers.get(log.parts.segmentOf(part))!.of(log.uuid).places
  }

  /** The places of that segment are in an index file: they leave the memory. */
  moveToDisk(ledger: SegmentLedger, places: ReadonlyMap<string, DiskPart>): void {
    if (this.#ledgers.get(ledger.segment) !== ledger) return
    for (const [uuid, disk] of places) this.#settle(uuid, ledger.segment, disk)
    this.#ledgers.delete(ledger.segment)
  }

  /** The places of that segment are in memory: its index file cannot be used. */
  moveToMemory(ledger: SegmentLedger): void {
    this.#ledgers.set(ledger.segment, ledger)
    for (const { uuid, parts } of this.#logs.values()) {
      const part = parts.in(ledger.segment)
      const count = part < 0 ? undefined : parts.diskOf(part)?.count
      if (count === undefined) continue
      parts.settle(part, null)
      if (ledger.of(uuid).places.length !== count) {
        this.damageAtRest(uuid, `segment ${ledger.segment} has other frames than its index had`)
      }
    }
  }

  #settle(uuid: string, segment: number, disk: DiskPart): void {
    const parts = this.#logs.get(uuid)?.parts
    const part = parts?.in(segment) ?? -1
    if (part >= 0) parts!.settle(part, disk)
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

  /** Null: any log, since it is not known which. */
  damage(uuid: string | null, reason: string): void {
    this.#current.isWhole = false
    if (uuid !== null) this.#open(uuid).state.damage ??= reason
    else this.#damageAll(reason)
  }

  /** Writes go on until the owner reacts: one space must not fail a flush of all spaces. */
  damageAtRest(uuid: string, reason: string): void {
    const log = this.#logs.get(uuid)
    if (log) log.damageAtRest ??= reason
  }

  #damageAll(reason: string): void {
    this.#lost ??= reason
    this.#dropped.clear()
    for (const log of this.#logs.values()) log.state.damage ??= reason
  }

  append(frame: Frame, offset: number): void {
    const { uuid } = frame
    const log = this.#open(uuid)
    const { segment } = this.#current
    const { parts } = log
    if (parts.length > 0 && parts.segmentOf(parts.length - 1) === segment) {
      parts.touch(timeOf(frame))
    } else parts.push(frame.first, segment, timeOf(frame))
    log.state.append(frame)
    this.#current.of(uuid).frame(frame, offset)
  }

  /**
   * For recovery: takes the contents of the disk, and marks the log as damaged if they make no
   * sense. A log that begins at 1 is whole, whatever was lost before.
   */
  recoverFrame(frame: Frame, offset: number): void {
    const known = this.#logs.get(frame.uuid)
    if (!known && this.#lost !== null && frame.first > 1) {
      this.damage(frame.uuid, this.#lost)
      return
    }
    const log = this.#open(frame.uuid)
    if (log.state.damage !== null || this.#restates(log, frame)) {
      this.#current.isWhole = false
      return
    }
    const reason = log.state.refuseFrame(frame)
    if (reason)
      this.damage(frame.uuid, `segment ${this.#current.segment}, offset ${offset}: ${reason}`)
    else this.append(frame, offset)
  }

  /** Whether these entries are here already: equal (epoch, sequence), equal entry (I3). */
  #restates(log: SpaceLog, frame: Frame): boolean {
    return log.state.holds(frame) && this.begins(log, frame.first) === true
  }

  /** Whether a frame begins at `sequence`; null: its place is in an index file. */
  begins(log: SpaceLog, sequence: number): boolean | null {
    const part = log.parts.find(sequence)
    if (part < 0) return false
    if (log.parts.diskOf(part)) return null
    const places = this.placesOf(log, part)
    const i = places.find(sequence)
    return i >= 0 && places.at(i).first === sequence
  }

  /** Entries up to a floor were durable here when the floor was written. */
  recoverFloor(floor: CommitFloor, place: string): void {
    const { uuid, sequence } = floor
    const log = this.#logs.get(uuid)
    if (!log || log.state.damage !== null) return
    this.noteFloor(floor)
    if (sequence <= log.end.sequence) return
    this.damage(uuid, `${place}: entries up to ${sequence} were here, the log ends at `
      + showPosition(log.end))
  }

  noteFloor({ uuid, sequence }: CommitFloor): void {
    const log = this.#logs.get(uuid)
    if (!log) return
    log.state.raiseFloor(sequence)
    this.#current.of(uuid).floor(sequence)
  }

  recoverTruncation(uuid: string, to: Position, place: string): void {
    const log = this.#open(uuid)
    if (log.state.damage !== null) {
      this.#current.isWhole = false
      return
    }
    const reason = this.#refuseTruncation(log, to)
    if (reason) this.damage(uuid, `${place}: ${reason}`)
    else this.truncate(uuid, to)
  }

  truncate(uuid: string, to: Position): void {
    const log = this.#logs.get(uuid)
    if (!log) return
    log.state.truncate(to)
    log.parts.truncate(to.sequence)
    this.#current.of(uuid).truncate(to)
  }

  drop(uuid: string): void {
    this.#logs.delete(uuid)
    this.#current.of(uuid).drop()
    if (this.#lost !== null) this.#dropped.add(uuid)
  }

  /**
   * For recovery: takes the contents of a segment as its index has them. False, and nothing is
   * taken: they do not fit the logs, and only a scan can tell why.
   */
  recoverIndex(segment: number, table: IndexTable): boolean {
    const replays: Replay[] = []
    for (const space of table.spaces) {
      const log = this.#logs.get(space.uuid)
      if (!log && this.#lost !== null) return false
      const replay = replayed(space, log?.state ?? null)
      if (!replay) return false
      replays.push(replay)
    }
    for (const { space, state, keeps, isDropped } of replays) {
      if (isDropped && this.#lost !== null) this.#dropped.add(space.uuid)
      if (!state) {
        this.#logs.delete(space.uuid)
        continue
      }
      const log = this.#open(space.uuid)
      log.state = state
      log.parts.truncate(keeps)
      if (space.count === 0 || state.damage !== null) continue
      log.parts.push(space.first, segment, space.timeMs, space)
    }
    return true
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
      const damage = staged ? null : log ? log.state.damage : this.view(uuid)?.damage
      if (damage) throw new RangeError(`bug: a write to the damaged log of ${uuid}: ${damage}`)
      const reason = record.type === 'frame'
        ? (log?.state ?? new LogState()).refuseFrame(record.frame, staged ?? log?.end ?? origin)
        : this.#refuseStagedTruncation(log, staged, record.to)
      if (reason) throw new RangeError(`bug: space ${uuid}: ${reason}`)
      ends.set(uuid, record.type === 'truncate'
        ? record.to
        : { epoch: record.frame.epoch, sequence: record.frame.last })
    }
  }

  #refuseStagedTruncation(
    log: SpaceLog | undefined,
    staged: Position | undefined,
    to: Position,
  ): string | null {
    if (staged) {
      return comparePositions(staged, to) === 0
        ? null
        : 'a truncation comes first among the records of its space in a flush'
    }
    return log ? this.#refuseTruncation(log, to) : 'nothing to truncate'
  }

  /**
   * Null if the log can be truncated to there: a position that it holds, between two frames. Frames
   * are the same bytes on every member, so a common point is always between frames. Places in index
   * files are not looked up here.
   */
  #refuseTruncation(log: SpaceLog, to: Position): string | null {
    const reason = log.state.refuseTruncation(to)
    if (reason || to.sequence === log.end.sequence) return reason
    return this.begins(log, to.sequence + 1) === false ? withinFrame(to) : null
  }

  #open(uuid: string): SpaceLog {
    let log = this.#logs.get(uuid)
    if (!log) this.#logs.set(uuid, log = new SpaceLog(uuid))
    return log
  }
}

export function withinFrame(to: Position): string {
  return `cannot truncate to ${showPosition(to)}: it is within a frame`
}

/** Null: the items do not fit the log. A damaged log takes nothing until it is dropped. */
function replayed(space: IndexedSpace, before: LogState | null): Replay | null {
  let state = before?.copy() ?? null
  let keeps = Number.POSITIVE_INFINITY
  let isDropped = false
  for (const item of space.items) {
    if (item.kind === 'dropped') {
      state = null
      keeps = 0
      isDropped = true
    } else if (item.kind === 'floor') {
      if (state && !state.takeFloor(item.sequence)) return null
    } else {
      state ??= new LogState()
      if (state.damage !== null) continue
      if (item.kind === 'truncate') {
        if (state.refuseTruncation(item.to)) return null
        state.truncate(item.to)
        keeps = Math.min(keeps, item.to.sequence)
      } else {
        if (state.refuseFrame(item.run)) return null
        state.append(item.run)
      }
    }
  }
  return { space, state, keeps, isDropped }
}
