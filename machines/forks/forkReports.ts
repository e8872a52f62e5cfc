/**
 * Folds log entries into the forks of a space: fork reports, what became of each write of a fork,
 * and the quarantine. Nothing but the entry, what the forks hold before it, and what stands where
 * it has its effect goes in, so every member's forks are the same, whatever batches it applied.
 */
import type { Position } from '../base/ids.js'
import type { MemoryEdge, MemoryNode, Operation } from '../graph/graph.js'
import type { LogEntry } from '../log/entries.js'
import { closedReportsMax } from '../log/forkNotes.js'
import type {
  ForkNote, ForkOpening, ForkReport, OriginRecord, QuarantineItem, SalvageNote, SalvageState,
  Version,
} from '../log/forkNotes.js'
import { originName, originsOf } from '../log/versions.js'

/**
 * Records of writes under epochs that have no report, as clients send them again and operators
 * apply them: beyond so many, that of the lowest epoch and sequence is forgotten.
 */
export const strayOriginsMax = 10_000

/** Salvages that one report lists: beyond, the earliest that waits no more goes, or the first. */
export const reportSalvagesMax = 64

/** The forks, as an entry finds and leaves them. Positions: where a write was logged first. */
export interface ForkReports {
  /** By epoch. */
  reports(): readonly ForkReport[]
  report(epoch: number): ForkReport | undefined
  putReport(report: ForkReport): void
  /** The report goes, with the origins of its epoch. */
  forgetReport(epoch: number): void
  origin(at: Position): OriginRecord | undefined
  putOrigin(at: Position, record: OriginRecord): void
  /** Sequences of that epoch, which has no report, that have a record. */
  strays(epoch: number): readonly number[]
  /** Records under epochs that have no report. */
  readonly strayCount: number
  /** The lowest of them goes. */
  forgetStray(): void
  hasItem(at: Position): boolean
  putItem(item: QuarantineItem): void
  /** If it is there. */
  removeItem(at: Position): void
}

/** What an entry displaces: the write that made it, and when. */
export interface Displaced {
  readonly operation: Operation
  readonly version: Version
}

/** Whether the forks have anything to do with the entry. */
export function concernsForks({ operation, reconciliation }: LogEntry): boolean {
  return reconciliation !== undefined || operation.type === 'ForkNote'
    || (operation.type === 'EpochStart' && operation.forks !== undefined)
}

/** Whether the entry has its effect on the graph. */
export function isEffective({ reconciliation }: LogEntry): boolean {
  return reconciliation === undefined || reconciliation.outcome === 'merged'
}

/** Whether something that stands where the entry has its effect goes into the quarantine. */
export function isDisplacing(entry: LogEntry): boolean {
  const { reconciliation } = entry
  return reconciliation !== undefined && reconciliation.displaces !== 'nothing'
    && isEffective(entry)
}

/** Of what stands at a node, that which an entry displaces. */
export function displacedNode(
  { node, stored, activated }: {
    readonly node: MemoryNode | undefined
    readonly stored: Version | undefined
    readonly activated: Version | undefined
  },
  displaces: 'value' | 'activation',
): Displaced | undefined {
  if (node === undefined) return undefined
  if (displaces === 'value') return { operation: { type: 'StoreNode', node }, version: stored! }
  if (activated === undefined) return undefined
  const { id: nodeId, activation } = node
  const operation = { type: 'UpdateActivation', nodeId, activation: activation! } as const
  return { operation, version: activated }
}

export function displacedEdge(edge: MemoryEdge, version: Version): Displaced {
  return { operation: { type: 'StoreEdge', edge }, version }
}

/** `displaced`: what stands there right before the entry, if that is displacing. */
export function foldForks(
  forks: ForkReports, entry: LogEntry, displaced: Displaced | undefined,
): void {
  const { operation, reconciliation } = entry
  if (operation.type === 'EpochStart') {
    for (const opening of operation.forks ?? []) open(forks, entry, opening)
  }
  if (operation.type === 'ForkNote') foldNote(forks, entry, operation)
  if (reconciliation === undefined) return
  const { origin, outcome } = reconciliation
  record(forks, entry)
  // An item that is applied is in quarantine no more, whoever brought it.
  if (outcome === 'merged') recounted(forks, origin, () => forks.removeItem(origin))
  if (displaced !== undefined) displace(forks, entry, displaced)
}

/**
 * What is known of a write once an entry has said so of it: what was said first, but a write in
 * quarantine that is merged has left it. So a write that comes twice is not counted twice.
 */
export function recordAfter(known: OriginRecord | undefined, said: OriginRecord): OriginRecord {
  if (known === undefined) return said
  return known.outcome === 'quarantined' && said.outcome === 'merged' ? said : known
}

/** What is known of a write once `entry` has displaced it. */
export function recordDisplaced(known: OriginRecord, entry: LogEntry): OriginRecord {
  return { outcome: 'quarantined', via: known.via, now: placeOf(entry), by: winnerOf(entry) }
}

/** The write in the entry is the one that stands there: it cannot displace itself. */
export function isSameWrite({ reconciliation }: LogEntry, version: Position): boolean {
  const { epoch, sequence } = reconciliation!.origin
  return epoch === version.epoch && sequence === version.sequence
}

/** Where the write of that name was logged first; undefined: no such name. */
export function originOf(name: string): Position | undefined {
  const match = /^(\d{1,16})-(\d{1,16})$/.exec(name)
  if (match === null) return undefined
  const [epoch, sequence] = [Number(match[1]), Number(match[2])]
  return originName(epoch, sequence) === name && Number.isSafeInteger(epoch)
    && Number.isSafeInteger(sequence) ? { epoch, sequence } : undefined
}

function foldNote(forks: ForkReports, entry: LogEntry, note: ForkNote): void {
  switch (note.note) {
    case 'opened':
      open(forks, entry, note.opening)
      return
    case 'salvaged':
      salvaged(forks, note.salvage)
      return
    case 'taken':
    case 'gone':
      markSalvage(forks, note, note.note)
      return
    case 'resent':
      record(forks, entry)
      return
    case 'discarded': {
      const at = originOf(note.id)
      if (at !== undefined) recounted(forks, at, () => forks.removeItem(at))
      return
    }
    case 'closed':
      close(forks, entry, note)
  }
}

/** A report of that epoch that exists stays as it is. Writes that came before it are counted. */
function open(forks: ForkReports, entry: LogEntry, opening: ForkOpening): void {
  const { epoch } = opening
  if (forks.report(epoch) !== undefined) return
  const strays = forks.strays(epoch).map((sequence) => ({ epoch, sequence }))
  forks.putReport({
    ...opening, opened: placeOf(entry), openedAtMs: entry.timestamp, closedAtMs: null,
    outcome: null, reason: '', resent: 0, merged: 0, superseded: 0, quarantined: 0, discarded: 0,
    lost: 0, salvages: [],
  })
  for (const at of strays) count(forks, at, undefined, countOf(forks, at))
}

/** Closed is closed; only what was given up may yet turn out to be reconciled. */
function close(forks: ForkReports, entry: LogEntry, note: ForkNote & { note: 'closed' }): void {
  const report = forks.report(note.epoch)
  if (report === undefined) return
  const wasGivenUp = report.outcome === 'dismissed' || report.outcome === 'lost'
  if (report.outcome !== null && !(wasGivenUp && note.outcome === 'reconciled')) return
  const { outcome, lost, reason } = note
  forks.putReport({ ...report, outcome, lost, reason, closedAtMs: entry.timestamp })
  const closed = forks.reports().filter((one) => one.outcome !== null)
  for (const { epoch } of closed.slice(0, -closedReportsMax)) forks.forgetReport(epoch)
}

/** It belongs to each report of whose reign it holds writes. What was taken or gone waits again. */
function salvaged(forks: ForkReports, salvage: SalvageNote): void {
  for (const report of forks.reports()) {
    const holds = salvage.spans.some(({ epoch, writes }) => epoch === report.epoch && writes > 0)
    if (!holds) continue
    const salvages = [...report.salvages]
    const index = salvages.findIndex((one) => isSame(one, salvage))
    const waiting = { ...salvage, state: 'waiting' } as const
    if (index >= 0) salvages[index] = waiting
    else salvages.push(waiting)
    if (salvages.length > reportSalvagesMax) {
      salvages.splice(Math.max(0, salvages.findIndex(({ state }) => state !== 'waiting')), 1)
    }
    forks.putReport({ ...report, salvages })
  }
}

function markSalvage(
  forks: ForkReports, salvage: Pick<SalvageNote, 'name' | 'node'>, state: SalvageState,
): void {
  for (const report of forks.reports()) {
    // What has been taken may go.
    const isNews = (one: ForkReport['salvages'][number]): boolean =>
      isSame(one, salvage) && (state === 'taken' || one.state === 'waiting')
    if (!report.salvages.some(isNews)) continue
    const salvages = report.salvages.map((one) => isNews(one) ? { ...one, state } : one)
    forks.putReport({ ...report, salvages })
  }
}

function isSame(
  a: Pick<SalvageNote, 'name' | 'node'>, b: Pick<SalvageNote, 'name' | 'node'>,
): boolean {
  return a.name === b.name && a.node === b.node
}

/** What the entry says of writes of forks. */
function record(forks: ForkReports, entry: LogEntry): void {
  for (const [name, said] of originsOf(entry)) {
    const at = originOf(name)!
    const known = forks.origin(at)
    const next = recordAfter(known, said)
    if (next === known) continue
    recounted(forks, at, () => {
      forks.putOrigin(at, next)
      if (next.outcome === 'quarantined') forks.putItem(itemOf(entry))
    })
    while (forks.strayCount > strayOriginsMax) forks.forgetStray()
  }
}

/** The write that lost, of an entry that has no effect. */
function itemOf(entry: LogEntry): QuarantineItem {
  const { origin, timestamp, by } = entry.reconciliation!
  const { epoch, sequence } = origin
  const since = placeOf(entry)
  return {
    id: originName(epoch, sequence), operation: entry.operation as Operation,
    origin: { epoch, sequence }, timestamp, since, by: by ?? since,
  }
}

function displace(forks: ForkReports, entry: LogEntry, { operation, version }: Displaced): void {
  if (isSameWrite(entry, version)) return
  const { epoch, sequence, timestamp } = version
  const at = { epoch, sequence }
  const known = forks.origin(at)
  recounted(forks, at, () => {
    if (known !== undefined) forks.putOrigin(at, recordDisplaced(known, entry))
    forks.putItem({
      id: originName(epoch, sequence), operation, origin: at, timestamp, since: placeOf(entry),
      by: winnerOf(entry),
    })
  })
}

type Count = 'resent' | 'merged' | 'superseded' | 'quarantined' | 'discarded'

/** The one count that a write is in: undefined while nothing is known of it. */
function countOf(forks: ForkReports, at: Position): Count | undefined {
  const known = forks.origin(at)
  if (known === undefined) return undefined
  if (known.outcome === 'quarantined') return forks.hasItem(at) ? 'quarantined' : 'discarded'
  return known.outcome === 'merged' && known.via === 'client' ? 'resent' : known.outcome
}

/** Changes what is known of the write, and moves it between the counts of its report. */
function recounted(forks: ForkReports, at: Position, change: () => void): void {
  const before = countOf(forks, at)
  change()
  count(forks, at, before, countOf(forks, at))
}

function count(
  forks: ForkReports, at: Position, from: Count | undefined, to: Count | undefined,
): void {
  const report = forks.report(at.epoch)
  if (from === to || report === undefined) return
  // Up to the fork point it is in the log: displaced and applied again, but no write of the fork.
  if (at.sequence <= report.forkPoint.sequence) return
  const counts: Partial<Record<Count, number>> = {}
  if (from !== undefined) counts[from] = report[from] - 1
  if (to !== undefined) counts[to] = report[to] + 1
  // What comes when it has been counted as lost was not.
  const isFound = from === undefined && at.sequence <= report.lastKnown
  const lost = isFound ? Math.max(0, report.lost - 1) : report.lost
  forks.putReport({ ...report, ...counts, lost })
}

function placeOf({ epoch, sequence }: LogEntry): Position {
  return { epoch, sequence }
}

/** Where the entry's write was logged first: others lose against that. */
function winnerOf({ reconciliation }: LogEntry): Position {
  const { epoch, sequence } = reconciliation!.origin
  return { epoch, sequence }
}
