import type { EpochHistory, NodeId, Position } from '../../machines/base/ids.js'
import type { ForkNote, ForkOpening, ForkReport, SalvageNote,
  SalvageState } from '../../machines/log/forkNotes.js'
import { forkPointOf, startsOf } from '../../machines/log/lineage.js'
import type { Starts } from '../../machines/log/lineage.js'
import type { SpaceStore } from '../ports/store.js'

export interface ForkTrackerOptions {
  readonly store: SpaceStore
  /** History of the log when the epoch began, its first entry included. */
  readonly history: EpochHistory
  /** Reports that this epoch's first entry opened, and its timestamp. */
  readonly openings: readonly ForkOpening[]
  readonly openedAtMs: number
}

interface Known {
  readonly note: SalvageNote
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

  /**
   * Returns notes of new salvages, and of reports for epochs that have none. `isComplete` false:
   * the node has more salvages than were offered, so none counts as gone and no report is closed.
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
      for (const { epoch, writes } of salvage.spans) {
        if (writes > 0 && !this.openings.has(epoch) && !this.report(epoch)) {
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
    if (!isComplete) return notes
    return [...notes, ...this.missing(node, salvages), ...this.closings(node, disk)]
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

  /** Returns notes that close reports to which the node cannot add anything any more. */
  private closings(node: NodeId, disk: string): ForkNote[] {
    const notes: ForkNote[] = []
    const givenUp = this.givenUp(disk)
    for (const report of [...this.open(), ...givenUp]) {
      const { epoch } = report
      const closed = givenUp.includes(report) ? this.closedAfterAll : this.closed
      if (report.node !== node || closed.has(epoch)) continue
      const salvages = this.salvagesOf(epoch)
      if (salvages.some(({ state }) => state === 'waiting')) continue
      closed.add(epoch)
      notes.push(closing(report, disk, salvages, () => this.lostOf(report)))
    }
    return notes
  }

  private salvagesOf(epoch: number): Known[] {
    const known = new Map<string, Known>()
    for (const { name, node, common, spans, state } of this.report(epoch)?.salvages ?? []) {
      known.set(`${node}/${name}`, { note: { name, node, common, spans }, state })
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

  /** Reports that were given up, on epochs with that disk, whose writes came after all. */
  private givenUp(disk: string): ForkOpening[] {
    return this.options.store.reports().filter((report) =>
      (report.outcome === 'lost' || report.outcome === 'dismissed') && report.disk === disk
      && report.salvages.some(({ state }) => state === 'taken')
      && report.salvages.every(({ state }) => state !== 'gone')
    )
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
  dismiss(epoch: number): ForkNote | null {
    const report = this.open().find((one) => one.epoch === epoch)
    if (!report || this.closed.has(epoch)) return null
    this.closed.add(epoch)
    return {
      type: 'ForkNote',
      note: 'closed',
      epoch,
      outcome: 'dismissed',
      lost: this.lostOf(report),
      reason: 'an operator closed the report',
    }
  }

  /**
   * Returns how many writes are known to have been logged and are found nowhere: a lower bound.
   * Writes of earlier epochs in that log count as well, unless they have a report of their own.
   */
  private lostOf({ epoch, start, forkPoint, lastKnown }: ForkOpening): number {
    const { store } = this.options
    const isOwnOnly = this.openings.has(start.epoch) || this.report(start.epoch) !== undefined
    const from = isOwnOnly ? Math.max(start.sequence, forkPoint.sequence) : forkPoint.sequence
    let lost = Math.max(0, lastKnown - from - countedMax)
    for (let sequence = from + 1 + lost; sequence <= lastKnown; sequence += 1) {
      // The first entry of the epoch is no write.
      if (sequence === start.sequence + 1) continue
      const epochs = sequence > start.sequence ? [epoch] : [start.epoch, forkPoint.epoch]
      if (!epochs.some((of) => store.origin(of, sequence))) lost += 1
    }
    return lost
  }
}

/** Entries that are looked up one by one; earlier ones count as lost. */
const countedMax = 100_000

function closing(
  report: ForkOpening,
  disk: string,
  salvages: readonly Known[],
  lostOf: () => number,
): ForkNote {
  const { epoch, node, start, forkPoint, lastKnown } = report
  const note = { type: 'ForkNote', note: 'closed', epoch } as const
  if (report.disk !== disk) {
    return {
      ...note,
      outcome: 'lost',
      lost: lostOf(),
      reason: `${node} came back with another disk`,
    }
  }
  const gone = salvages.filter(({ state }) => state === 'gone')
  if (gone.length > 0) {
    const reason = `${gone.map((one) => one.note.name).join(', ')} disappeared before it was taken`
    return { ...note, outcome: 'lost', lost: lostOf(), reason }
  }
  const lasts = salvages.flatMap((one) => one.note.spans.filter((span) => span.epoch === epoch))
  // Its first entry is no write, and those before it are of earlier epochs.
  const found = Math.max(forkPoint.sequence, start.sequence + 1, ...lasts.map(({ last }) => last))
  const lost = Math.max(0, lastKnown - found)
  return salvages.length === 0
    ? { ...note, outcome: 'level', lost, reason: `${node} had nothing beyond the fork point` }
    : { ...note, outcome: 'reconciled', lost, reason: 'all that was found is in the log' }
}
