/** The journal's knowledge of its spaces' logs: built by recovery, updated by every write. */
import type { Frame } from '../../actors/ports/frames.js'
import type { CommitFloor, Coverage, JournalLog } from '../../actors/ports/journal.js'
import { epochAt, showPosition } from '../../machines/log/positions.js'
import type { RemovableSegment, SegmentSpace } from '../../machines/log/retention.js'
import type { Position } from '../../machines/base/ids.js'
import type { IndexTable } from './indexFile.js'
import { SegmentLedger, timeOf } from './ledger.js'
import { LogState, withinFrame } from './logState.js'
import { Parts, type DiskPart } from './parts.js'
import type { Places } from './places.js'
import { replayed, type Replay } from './replay.js'

/** A damaged log keeps its prefix before the damage, and takes nothing more until it is dropped. */
export class SpaceLog {
  state = new LogState()
  /**
   * Found by a read: earlier frames are lost, but the end is known, and appends still fit. Writes
   * go on until the owner reacts: one space must not fail a flush of all spaces.
   */
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

  /** The sequence before the first frame that can be read. */
  get base(): number {
    return this.parts.length > 0 ? this.parts.firstOf(0) - 1 : this.end.sequence
  }

  view(): JournalLog {
    const { root, history, end, floor, covers, newBytes } = this.state
    const damage = this.state.damage ?? this.damageAtRest
    const base = { epoch: epochAt(history, this.base), sequence: this.base }
    return { uuid: this.uuid, root, history, end, base, floor, covers, newBytes, damage }
  }
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
  /** Spaces whose last record says that they were dropped, with its segment. */
  readonly #ended = new Map<string, number>()
  /** Those of which nothing is left. */
  readonly #forgotten = new Set<string>()
  /** By segment: spaces of which something could not be read; null: it is not known of which. */
  readonly #unread = new Map<number, Set<string | null>>()

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
    for (const log of this.#logs.values()) {
      const { uuid, parts } = log
      const part = parts.in(ledger.segment)
      const count = part < 0 ? undefined : parts.diskOf(part)?.count
      if (count === undefined) continue
      parts.settle(part, null)
      if (ledger.of(uuid).places.length !== count) {
        log.damageAtRest ??= `segment ${ledger.segment} has other frames than its index had`
      }
    }
  }

  #settle(uuid: string, segment: number, disk: DiskPart): void {
    const parts = this.#logs.get(uuid)?.parts
    const part = parts?.in(segment) ?? -1
    if (part >= 0) parts!.settle(part, disk)
  }

  ended(): readonly string[] {
    return [...this.#ended.keys()]
  }

  /** Nothing is left of the space: that it was dropped need not be known after this start. */
  forgetDrop(uuid: string): void {
    this.#forgotten.add(uuid)
  }

  /** Spaces that were dropped, by a record in that segment, and of which something may be left. */
  endedIn(segment: number): string[] {
    return [...this.#ended].filter(([uuid, of]) => of === segment && !this.#forgotten.has(uuid))
      .map(([uuid]) => uuid)
  }

  /**
   * After records of unknown spaces were lost, a space without records counts as damaged too: it
   * must not pass for a new, empty one. Dropping it makes it new.
   */
  view(uuid: string): JournalLog | undefined {
    const log = this.#logs.get(uuid)
    if (log) return log.view()
    if (this.#lost === null || this.#dropped.has(uuid)) return undefined
    return { ...new SpaceLog(uuid).view(), damage: this.#lost }
  }

  /** Null: any log, since it is not known which. */
  damage(uuid: string | null, reason: string): void {
    this.#skip(uuid)
    if (uuid !== null) this.#open(uuid).state.damage ??= reason
    else this.#damageAll(reason)
  }

  #damageAll(reason: string): void {
    this.#lost ??= reason
    this.#dropped.clear()
    for (const log of this.#logs.values()) log.state.damage ??= reason
  }

  append(frame: Frame, offset: number): void {
    const log = this.#open(frame.uuid)
    log.state.append(frame, frame.bytes.length)
    this.#place(log, frame, offset)
  }

  #place({ uuid, parts }: SpaceLog, frame: Frame, offset: number): void {
    const { segment } = this.#current
    if (parts.length > 0 && parts.segmentOf(parts.length - 1) === segment) {
      parts.touch(timeOf(frame))
    } else parts.push(frame.first, segment, timeOf(frame))
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
    const log = this.#met(frame.uuid)
    if (this.#isUnread(log)) return
    if (this.#restates(log, frame)) {
      this.#current.isWhole = false
      return
    }
    const reason = log.state.takeRun(frame, frame.bytes.length)
    if (reason === null) this.#place(log, frame, offset)
    else this.damage(frame.uuid, `segment ${this.#current.segment}, offset ${offset}: ${reason}`)
  }

  /** A damaged log takes nothing. */
  #isUnread({ uuid, state }: SpaceLog): boolean {
    if (state.damage === null) return false
    this.#skip(uuid)
    return true
  }

  #skip(uuid: string | null, segment = this.#current.segment): void {
    if (segment === this.#current.segment) this.#current.isWhole = false
    let spaces = this.#unread.get(segment)
    if (!spaces) this.#unread.set(segment, spaces = new Set())
    spaces.add(uuid)
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

  /**
   * Entries up to a floor were durable here when the floor was written. Those of a log that is not
   * met yet were given up: a later record tells of its checkpoints.
   */
  recoverFloor({ uuid, sequence }: CommitFloor, place: string): void {
    const log = this.#logs.get(uuid)
    if (log && this.#isUnread(log)) return
    this.#current.of(uuid).floor(sequence)
    if (!log || log.state.takeFloor(sequence)) return
    this.damage(uuid, `${place}: entries up to ${sequence} were here, the log ends at `
      + showPosition(log.end))
  }

  noteFloor({ uuid, sequence }: CommitFloor): void {
    this.#logs.get(uuid)?.state.raiseFloor(sequence)
    this.#current.of(uuid).floor(sequence)
  }

  recoverTruncation(uuid: string, to: Position, place: string): void {
    const log = this.#met(uuid)
    if (this.#isUnread(log)) return
    const isWithinFrame = to.sequence < log.end.sequence
      && this.begins(log, to.sequence + 1) === false && to.sequence >= log.base
    const reason = isWithinFrame ? withinFrame(to) : log.state.takeTruncation(to)
    if (reason) return this.damage(uuid, `${place}: ${reason}`)
    log.parts.truncate(to.sequence)
    this.#current.of(uuid).truncate(to)
  }

  truncate(uuid: string, to: Position): void {
    const log = this.#logs.get(uuid)
    if (!log) return
    log.state.truncate(to)
    log.parts.truncate(to.sequence)
    this.#current.of(uuid).truncate(to)
  }

  /** For recovery. */
  recoverCoverage(uuid: string, covers: Coverage, place: string): void {
    const lost = this.#logs.has(uuid) ? null : this.#lost
    const log = this.#met(uuid)
    if (this.#isUnread(log)) return
    const reason = lost ?? log.state.takeCoverage(covers, this.#current.segment)
    if (reason) this.damage(uuid, `${place}: ${reason}`)
    else this.#current.of(uuid).cover(covers)
  }

  cover(uuid: string, covers: Coverage): void {
    const { segment } = this.#current
    this.#logs.get(uuid)?.state.cover(covers, segment)
    this.#current.of(uuid).cover(covers)
  }

  /** The log begins anew, after a checkpoint; whatever was damaged of it is void. */
  install(uuid: string, covers: Coverage): void {
    const log = new SpaceLog(uuid)
    log.state = LogState.installed(covers, this.#current.segment)
    this.#logs.set(uuid, log)
    // A node that was taken out of a space, and whose data was removed, may be added again.
    this.#ended.delete(uuid)
    this.#current.of(uuid).install(covers)
  }

  /**
   * For recovery, when all is read: decides on the logs whose beginning is not here. Returns those
   * that are damaged by that.
   */
  settle(): { uuid: string; reason: string }[] {
    const damaged: { uuid: string; reason: string }[] = []
    for (const { uuid, state } of this.#logs.values()) {
      const reason = state.damage === null ? state.close() : null
      if (reason === null) continue
      state.damage = reason
      damaged.push({ uuid, reason })
    }
    return damaged
  }

  drop(uuid: string): void {
    this.#logs.delete(uuid)
    this.#current.of(uuid).drop()
    this.#ended.set(uuid, this.#current.segment)
    this.#forgotten.delete(uuid)
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
      const replay = replayed(space, log?.state ?? null, segment)
      if (!replay) return false
      replays.push(replay)
    }
    for (const { space, state, keeps, isDropped, isUnread } of replays) {
      if (isUnread) this.#skip(space.uuid, segment)
      if (isDropped && this.#lost !== null) this.#dropped.add(space.uuid)
      if (!state) {
        this.#logs.delete(space.uuid)
        if (isDropped) this.#ended.set(space.uuid, segment)
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

  /** What counts in a closed segment. */
  useOf(segment: number): RemovableSegment {
    const unread = this.#unread.get(segment) ?? new Set()
    const spaces: SegmentSpace[] = []
    for (const log of this.#logs.values()) {
      const part = log.parts.in(segment)
      if (part < 0) continue
      spaces.push({ uuid: log.uuid, last: log.lastOf(part), timeMs: log.parts.timeOf(part) })
    }
    // What a damaged log has here cannot be restated.
    const damaged = this.coveredIn(segment).filter((uuid) => this.get(uuid)!.state.damage !== null)
    const unreadSpaces = [...unread, ...damaged].filter((uuid) => uuid !== null)
    return { spaces, unreadSpaces, isUnread: unread.has(null) }
  }

  /** Spaces of which the last record of checkpoints is in that segment. */
  coveredIn(segment: number): string[] {
    const logs = [...this.#logs.values()]
    return logs.filter(({ state }) => state.coversSegment === segment).map(({ uuid }) => uuid)
  }

  /** The oldest segment was given up. */
  forget(segment: number): void {
    for (const { parts } of this.#logs.values()) parts.forget(segment)
    this.#ledgers.delete(segment)
    this.#unread.delete(segment)
  }

  /** For recovery: a log that is met first may have lost its beginning. */
  #met(uuid: string): SpaceLog {
    let log = this.#logs.get(uuid)
    if (!log) {
      this.#logs.set(uuid, log = new SpaceLog(uuid))
      log.state = LogState.unknown()
      this.#ended.delete(uuid)
    }
    return log
  }

  #open(uuid: string): SpaceLog {
    let log = this.#logs.get(uuid)
    if (!log) {
      this.#logs.set(uuid, log = new SpaceLog(uuid))
      this.#ended.delete(uuid)
    }
    return log
  }
}
