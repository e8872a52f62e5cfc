import type { EpochHistory, NodeId, Position } from '../../machines/base/ids.js'
import type { ForkNote, ForkOpening, ForkReport, SalvageNote,
  SalvageState } from '../../machines/log/forkNotes.js'
import { forkPointOf, startsOf } from '../../machines/log/lineage.js'
import type { Starts } from '../../machines/log/lineage.js'
import { spanOf } from '../../machines/log/positions.js'
import type { SpaceStore } from '../ports/store.js'
import type { Steps } from '../structures/inSlices.js'
import { closing, lostIn, notKept } from './lostWrites.js'
import type { KnownSalvage } from './lostWrites.js'

export interface ForkTrackerOptions {
  readonly store: SpaceStore
  /** History of the log when the epoch began, its first entry included. */
  readonly history: EpochHistory
  /** Reports that this epoch's first entry opened, and its timestamp. */
  readonly openings: readonly ForkOpening[]
  readonly openedAtMs: number
}

type Closing = ForkNote & { note: 'closed' }

interface Known extends KnownSalvage {
  state: SalvageState
  /** Sequence of the durable note that the salvage is taken. */
  takenAt?: number
}

/**
 * Fork reports as the primary of one epoch knows them: those in its store, which are applied, and
 * the notes that it has logged since. Returns the notes to log when something has changed.
 */
export class ForkTracker {
  private readonly openings = new Map<number, ForkOpening>()
  private readonly salvages = new Map<string, Known>()
  private readonly closed = new Set<number>()
  /** Closed reports among those that had been given up. */
  private readonly closedAfterAll = new Set<number>()
  private readonly historyStarts: Starts

  constructor(private readonly options: ForkTrackerOptions) {
    this.historyStarts = startsOf(options.history.history, options.history.root)
    for (const opening of options.openings) this.openings.set(opening.epoch, opening)
  }

  /**
   * Returns the last entry that this log and the log of that write have in common. If that is not
   * known, the write is taken to know none of this log: it then counts as concurrent, and nothing
   * is replaced without a trace.
   */
  sharedWith(write: Position, starts: Starts): number {
    return forkPointOf(this.options.history, write, starts, 'nothing').sequence
  }

  /** Whether the history does not tell if this log has that entry. */
  isBelowRoot({ epoch, sequence }: Position): boolean {
    const { root } = this.options.history
    return epoch < root.epoch && sequence < root.sequence
  }

  readonly startOf: Starts = (epoch) =>
    this.historyStarts(epoch) ?? this.openings.get(epoch)?.start ?? this.report(epoch)?.start

  private report(epoch: number): ForkReport | undefined {
    return this.options.store.reports().find((report) => report.epoch === epoch)
  }

  holderOf(epoch: number): NodeId {
    return (this.openings.get(epoch) ?? this.report(epoch))?.node ?? ''
  }

  /** Latest time of the epoch's entries: when the next epoch began. 0: it is not known. */
  noLaterThan(epoch: number): number {
    if (this.openings.has(epoch)) return this.options.openedAtMs
    return this.report(epoch)?.openedAtMs ?? 0
  }

  /** Whether all that is in a log of that epoch, up to there, is in this one (I3). */
  private hasAll(epoch: number, upTo: number): boolean {
    const { history } = this.options.history
    return (history[spanOf(history, epoch)]?.last ?? 0) >= upTo
  }

  /**
   * Returns notes of new salvages, and of reports for epochs that have none and of which the
   * salvage has what this log lacks. `isComplete` false: the node has more salvages than were
   * offered, so none counts as gone.
   */
  offered(
    node: NodeId,
    disk: string,
    salvages: readonly SalvageNote[],
    isComplete: boolean,
  ): ForkNote[] {
    const notes: ForkNote[] = []
    for (const salvage of salvages) {
      const starts = startsOf(salvage.spans, salvage.common)
      for (const { epoch, last, writes } of salvage.spans) {
        if (writes === 0 || this.hasAll(epoch, last)) continue
        if (!this.openings.has(epoch) && !this.report(epoch)) {
          const opening = this.openingOf(epoch, node, disk, starts)
          this.openings.set(epoch, opening)
          notes.push({ type: 'ForkNote', note: 'opened', opening })
        }
      }
      const name = `${node}/${salvage.name}`
      const known = this.salvages.get(name)?.state
      if (known === 'taken') continue
      if (known === 'gone' || (!known && !this.isWaiting(node, salvage.name))) {
        notes.push({ type: 'ForkNote', note: 'salvaged', salvage })
      }
      this.salvages.set(name, { note: salvage, state: 'waiting' })
    }
    return isComplete ? [...notes, ...this.missing(node, salvages)] : notes
  }

  private openingOf(epoch: number, node: NodeId, disk: string, starts: Starts): ForkOpening {
    const all: Starts = (of) => starts(of) ?? this.startOf(of)
    const end = { epoch, sequence: Number.MAX_SAFE_INTEGER }
    const forkPoint = forkPointOf(this.options.history, end, all)
    return {
      epoch,
      node,
      disk,
      forkPoint,
      start: all(epoch) ?? forkPoint,
      lastKnown: forkPoint.sequence,
      atMost: null,
    }
  }

  private isWaiting(node: NodeId, name: string): boolean {
    return this.options.store.reports().some(({ salvages }) =>
      salvages.some((salvage) =>
        salvage.node === node && salvage.name === name && salvage.state === 'waiting'
      )
    )
  }

  /** Returns notes of salvages that are noted as waiting and not offered any more. */
  private missing(node: NodeId, salvages: readonly SalvageNote[]): ForkNote[] {
    const offered = new Set(salvages.map(({ name }) => name))
    const gone = new Set<string>()
    for (const report of this.options.store.reports()) {
      for (const { name, node: holder, state } of report.salvages) {
        const known = this.salvages.get(`${node}/${name}`)?.state ?? state
        if (holder === node && known === 'waiting' && !offered.has(name)) gone.add(name)
      }
    }
    return [...gone].map((name) => {
      const known = this.salvages.get(`${node}/${name}`)
      if (known) known.state = 'gone'
      return { type: 'ForkNote', note: 'gone', name, node }
    })
  }

  /** Returns the salvage as it was offered in this epoch. */
  salvage(node: NodeId, name: string): SalvageNote | undefined {
    return this.salvages.get(`${node}/${name}`)?.note
  }

  /** Sequence of the durable note that all of the salvage is in the log; in this epoch. */
  takenAt(node: NodeId, name: string): number | undefined {
    return this.salvages.get(`${node}/${name}`)?.takenAt
  }

  notedTaken(node: NodeId, name: string, sequence: number): void {
    const known = this.salvages.get(`${node}/${name}`)
    if (known) known.takenAt = sequence
  }

  taken(node: NodeId, name: string): ForkNote {
    const known = this.salvages.get(`${node}/${name}`)
    if (known) known.state = 'taken'
    return { type: 'ForkNote', note: 'taken', name, node }
  }

  /**
   * Returns notes that close reports to which the node cannot add anything any more, after an offer
   * that was complete. There may be much to count.
   */
  *closings(node: NodeId, disk: string): Steps<ForkNote[]> {
    const notes: ForkNote[] = []
    for (const report of this.open()) {
      const salvages = this.settledOf(report)
      if (report.node !== node || this.closed.has(report.epoch) || !salvages) continue
      const note = yield* this.steadily(report, closing(report, disk, salvages, this.view(report)))
      if (note) this.add(notes, note, this.closed)
    }
    for (const report of this.options.store.reports()) {
      if (report.outcome === null || this.closedAfterAll.has(report.epoch)) continue
      const note = yield* this.steadily(report, this.afterAll(report, node, disk))
      if (note) this.add(notes, note, this.closedAfterAll)
    }
    return notes
  }

  private add(notes: ForkNote[], note: Closing, closed: Set<number>): void {
    if (closed.has(note.epoch)) return
    closed.add(note.epoch)
    notes.push(note)
  }

  /** What was counted, or null: writes of that epoch have come meanwhile. */
  private *steadily<T>({ epoch }: ForkOpening, count: Steps<T>): Steps<T | null> {
    const before = recordedOf(this.report(epoch))
    const counted = yield* count
    return recordedOf(this.report(epoch)) === before ? counted : null
  }

  private *afterAll(report: ForkReport, node: NodeId, disk: string): Steps<Closing | null> {
    const found = isGivenUp(report, node, disk) ? yield* this.foundAfterAll(report, disk) : null
    return found ?? (yield* this.lostAfterAll(report, node))
  }

  /** Closes a report that was given up, and whose writes came after all. */
  private *foundAfterAll(report: ForkReport, disk: string): Steps<Closing | null> {
    const salvages = this.settledOf(report)
    const note = salvages && (yield* closing(report, disk, salvages, this.view(report)))
    return note?.outcome === 'reconciled' ? note : null
  }

  /** Closes a report again, as lost: the node has brought a salvage that misses entries. */
  private *lostAfterAll(report: ForkReport, node: NodeId): Steps<Closing | null> {
    const { epoch, outcome } = report
    const salvages = this.settledOf(report)
    if (outcome === 'dismissed' || !salvages) return null
    const isNews = salvages.some(({ note: { name, node: holder, begins } }) =>
      holder === node && begins !== undefined && this.salvages.has(`${node}/${name}`)
    )
    if (!isNews) return null
    const { count, reason } = yield* notKept(report, salvages, this.options.store)
    if (count === 0 || (outcome === 'lost' && count <= report.lost)) return null
    const lost = Math.max(count, report.lost)
    return { type: 'ForkNote', note: 'closed', epoch, outcome: 'lost', lost, reason }
  }

  /** Returns the salvages with writes of the epoch; null: one of them waits. */
  private settledOf({ epoch }: ForkOpening): Known[] | null {
    const salvages = this.salvagesOf(epoch)
    return salvages.some(({ state }) => state === 'waiting') ? null : salvages
  }

  private view({ start }: ForkOpening): Parameters<typeof lostIn>[2] {
    const hasEarlier = this.openings.has(start.epoch) || this.report(start.epoch) !== undefined
    return { store: this.options.store, isOwnOnly: hasEarlier }
  }

  private salvagesOf(epoch: number): Known[] {
    const known = new Map<string, Known>()
    for (const { state, ...note } of this.report(epoch)?.salvages ?? []) {
      known.set(`${note.node}/${note.name}`, { note, state })
    }
    for (const [name, salvage] of this.salvages) {
      if (salvage.note.spans.some((span) => span.epoch === epoch && span.writes > 0)) {
        known.set(name, salvage)
      }
    }
    return [...known.values()]
  }

  /** Open reports, with those that this epoch has noted. */
  private open(): ForkOpening[] {
    const reports = this.options.store.reports()
    const stored = new Set(reports.map(({ epoch }) => epoch))
    const own = [...this.openings.values()].filter(({ epoch }) => !stored.has(epoch))
    return [...reports.filter(({ outcome }) => outcome === null), ...own]
  }

  /** Notes that the note could not be logged, so that it is returned again. */
  unlogged(note: ForkNote): void {
    if (note.note === 'opened') this.openings.delete(note.opening.epoch)
    else if (note.note === 'salvaged') {
      this.salvages.delete(`${note.salvage.node}/${note.salvage.name}`)
    } else if (note.note === 'closed') {
      this.closed.delete(note.epoch)
      this.closedAfterAll.delete(note.epoch)
    } else if (note.note === 'taken' || note.note === 'gone') {
      const known = this.salvages.get(`${note.node}/${note.name}`)
      if (known) known.state = 'waiting'
    }
  }

  /** Closes the report as given up by an operator; null: there is no open one of that epoch. */
  *dismiss(epoch: number): Steps<ForkNote | null> {
    const report = this.open().find((one) => one.epoch === epoch)
    if (!report || this.closed.has(epoch)) return null
    const lost = yield* lostIn(report, this.salvagesOf(epoch), this.view(report))
    if (this.closed.has(epoch)) return null
    this.closed.add(epoch)
    return {
      type: 'ForkNote',
      note: 'closed',
      epoch,
      outcome: 'dismissed',
      lost,
      reason: 'an operator closed the report',
    }
  }
}

/** Number of writes of the fork that have a record. */
function recordedOf(report: ForkReport | undefined): number {
  if (!report) return 0
  const { resent, merged, superseded, quarantined, discarded } = report
  return resent + merged + superseded + quarantined + discarded
}

/** A report that was given up, on an epoch with that disk, and has salvages that came after all. */
function isGivenUp(
  { node: holder, outcome, disk: former, salvages }: ForkReport,
  node: NodeId,
  disk: string,
): boolean {
  return (outcome === 'lost' || outcome === 'dismissed') && holder === node && former === disk
    && salvages.some(({ state }) => state === 'taken')
    && salvages.every(({ state }) => state !== 'gone')
}
