/**
 * Folds log entries into the fork reports of a space, the records of single writes of forks, and
 * the quarantine. The result depends only on the entry, the state before it, and the value in its
 * place, so it is the same on every member, whatever batches were applied.
 */
import type { Position } from '../base/ids.js'
import type { MemoryEdge, MemoryNode, Operation } from '../graph/graph.js'
import type { LogEntry } from '../log/entries.js'
import { closedReportsMax } from '../log/forkNotes.js'
import type { ForkNote, ForkOpening, ForkReport, OriginRecord, QuarantineItem, SalvageNote,
  SalvageState, Version } from '../log/forkNotes.js'
import { contains, partsOf } from '../log/salvageParts.js'
import { originName, originsOf } from '../log/versions.js'

/**
 * Limit of records of writes under epochs that have no report, as clients resend them and operators
 * apply them. Beyond it, that of the lowest epoch and sequence is forgotten.
 */
export const strayOriginsMax = 10_000

/** Salvages in one report; beyond it, the first that does not wait is dropped, else the first. */
export const reportSalvagesMax = 64

/** State that an entry finds and changes. Positions are origins of writes. */
export interface ForkReports {
  /** Ordered by epoch. */
  reports(): readonly ForkReport[]
  report(epoch: number): ForkReport | undefined
  putReport(report: ForkReport): void
  /** Removes the report and the origins of its epoch. */
  forgetReport(epoch: number): void
  origin(at: Position): OriginRecord | undefined
  putOrigin(at: Position, record: OriginRecord): void
  /** Returns the sequences with a record of that epoch, which has no report. */
  strays(epoch: number): readonly number[]
  /** Number of records under epochs that have no report. */
  readonly strayCount: number
  /** Removes the lowest of them. */
  forgetStray(): void
  hasItem(at: Position): boolean
  putItem(item: QuarantineItem): void
  /** Removes the item if it is there. */
  removeItem(at: Position): void
}

/** A value that an entry displaces: the write that made it, and its version. */
export interface Displaced {
  readonly operation: Operation
  readonly version: Version
}

/** Whether the entry concerns forks. */
export function concernsForks({ operation, reconciliation }: LogEntry): boolean {
  return reconciliation !== undefined || operation.type === 'ForkNote'
    || (operation.type === 'EpochStart' && operation.forks !== undefined)
}

/** Whether the entry has its effect on the graph. */
export function isEffective({ reconciliation }: LogEntry): boolean {
  return reconciliation === undefined || reconciliation.outcome === 'merged'
}

/** Whether the entry puts the present value of its place into the quarantine. */
export function isDisplacing(entry: LogEntry): boolean {
  const { reconciliation } = entry
  return reconciliation !== undefined && reconciliation.displaces !== 'nothing'
    && isEffective(entry)
}

/** Returns the part of a node that an entry displaces. */
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

/** `displaced`: value in the entry's place right before it, if the entry displaces it. */
export function foldForks(
  forks: ForkReports,
  entry: LogEntry,
  displaced: Displaced | undefined,
): void {
  const { operation, reconciliation } = entry
  if (operation.type === 'EpochStart') {
    for (const opening of operation.forks ?? []) open(forks, entry, opening)
  }
  if (operation.type === 'ForkNote') foldNote(forks, entry, operation)
  if (reconciliation === undefined) return
  const { origin, outcome } = reconciliation
  record(forks, entry)
  // An item that is applied leaves the quarantine, whatever its source.
  if (outcome === 'merged') recounted(forks, origin, () => forks.removeItem(origin))
  if (displaced !== undefined) displace(forks, entry, displaced)
}

/**
 * Returns the record of a write after an entry has a record of it. The first one stays, except that
 * a merged write leaves the quarantine. So a write that comes twice is not counted twice.
 */
export function recordAfter(known: OriginRecord | undefined, said: OriginRecord): OriginRecord {
  if (known === undefined) return said
  return known.outcome === 'quarantined' && said.outcome === 'merged' ? said : known
}

/** Returns the record of a write that `entry` has displaced. */
export function recordDisplaced(known: OriginRecord, entry: LogEntry): OriginRecord {
  return { outcome: 'quarantined', via: known.via, now: placeOf(entry), by: winnerOf(entry) }
}

/** Whether the entry's write is the present one in its place: it cannot displace itself. */
export function isSameWrite({ reconciliation }: LogEntry, version: Position): boolean {
  const { epoch, sequence } = reconciliation!.origin
  return epoch === version.epoch && sequence === version.sequence
}

/** Returns the origin in a name; undefined: the name is malformed. */
export function originOf(name: string): Position | undefined {
  const match = /^(\d{1,16})-(\d{1,16})$/.exec(name)
  if (match === null) return undefined
  const [epoch, sequence] = [Number(match[1]), Number(match[2])]
  return originName(epoch, sequence) === name && Number.isSafeInteger(epoch)
      && Number.isSafeInteger(sequence)
    ? { epoch, sequence }
    : undefined
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

/** Opens a report, unless there is one. Writes that came before it are counted. */
function open(forks: ForkReports, entry: LogEntry, opening: ForkOpening): void {
  const { epoch } = opening
  if (forks.report(epoch) !== undefined) return
  const strays = forks.strays(epoch).map((sequence) => ({ epoch, sequence }))
  forks.putReport({
    ...opening,
    opened: placeOf(entry),
    openedAtMs: entry.timestamp,
    closedAtMs: null,
    outcome: null,
    reason: '',
    resent: 0,
    merged: 0,
    superseded: 0,
    quarantined: 0,
    discarded: 0,
    lost: 0,
    salvages: [],
  })
  for (const at of strays) count(forks, at, undefined, countOf(forks, at))
}

/**
 * Closes a report. A closed one that was given up may still become reconciled, and one of which a
 * salvage misses entries may still become lost, with more entries than before.
 */
function close(forks: ForkReports, entry: LogEntry, note: ForkNote & { note: 'closed' }): void {
  const report = forks.report(note.epoch)
  if (report === undefined) return
  if (report.outcome !== null && !mayBecome(report, note)) return
  const { outcome, lost, reason } = note
  forks.putReport({ ...report, outcome, lost, reason, closedAtMs: entry.timestamp })
  const closed = forks.reports().filter((one) => one.outcome !== null)
  for (const { epoch } of closed.slice(0, -closedReportsMax)) forks.forgetReport(epoch)
}

function mayBecome(
  { outcome: before, lost, salvages }: ForkReport,
  note: ForkNote & { note: 'closed' },
): boolean {
  if (note.outcome === 'reconciled') return before === 'dismissed' || before === 'lost'
  if (note.outcome !== 'lost' || before === 'dismissed') return false
  return salvages.some(({ begins }) => begins !== undefined)
    && (before !== 'lost' || note.lost > lost)
}

/** Adds the salvage to the reports on its epochs. One that was taken or gone waits again. */
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
  forks: ForkReports,
  salvage: Pick<SalvageNote, 'name' | 'node'>,
  state: SalvageState,
): void {
  for (const report of forks.reports()) {
    // A salvage that was taken may also be gone later, which changes nothing.
    const isChange = (one: ForkReport['salvages'][number]): boolean =>
      isSame(one, salvage) && (state === 'taken' || one.state === 'waiting')
    if (!report.salvages.some(isChange)) continue
    const salvages = report.salvages.map((one) => isChange(one) ? { ...one, state } : one)
    forks.putReport({ ...report, salvages })
  }
}

function isSame(
  a: Pick<SalvageNote, 'name' | 'node'>,
  b: Pick<SalvageNote, 'name' | 'node'>,
): boolean {
  return a.name === b.name && a.node === b.node
}

/** Stores the records of writes of forks that the entry has. */
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

/** Returns the item for the lost write in an entry that has no effect. */
function itemOf(entry: LogEntry): QuarantineItem {
  const { origin, timestamp, by } = entry.reconciliation!
  const { epoch, sequence } = origin
  const since = placeOf(entry)
  return {
    id: originName(epoch, sequence),
    operation: entry.operation as Operation,
    origin: { epoch, sequence },
    timestamp,
    since,
    by: by ?? since,
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
      id: originName(epoch, sequence),
      operation,
      origin: at,
      timestamp,
      since: placeOf(entry),
      by: winnerOf(entry),
    })
  })
}

type Count = 'resent' | 'merged' | 'superseded' | 'quarantined' | 'discarded'

/** Returns the count that a write is in; undefined: there is no record of it. */
function countOf(forks: ForkReports, at: Position): Count | undefined {
  const known = forks.origin(at)
  if (known === undefined) return undefined
  if (known.outcome === 'quarantined') return forks.hasItem(at) ? 'quarantined' : 'discarded'
  return known.outcome === 'merged' && known.via === 'client' ? 'resent' : known.outcome
}

/** Changes the record of the write, and moves it between the counts of its report. */
function recounted(forks: ForkReports, at: Position, change: () => void): void {
  const before = countOf(forks, at)
  change()
  count(forks, at, before, countOf(forks, at))
}

function count(
  forks: ForkReports,
  at: Position,
  from: Count | undefined,
  to: Count | undefined,
): void {
  const report = forks.report(at.epoch)
  if (from === to || report === undefined) return
  // Up to the fork point it is in the log: it may be displaced and re-applied, but is of no fork.
  if (at.sequence <= report.forkPoint.sequence) return
  const counts: Partial<Record<Count, number>> = {}
  if (from !== undefined) counts[from] = report[from] - 1
  if (to !== undefined) counts[to] = report[to] + 1
  // A write that was counted as lost and comes later was not lost.
  const isFound = from === undefined && (at.sequence <= report.lastKnown || isMissed(report, at))
  const lost = isFound ? Math.max(0, report.lost - 1) : report.lost
  forks.putReport({ ...report, ...counts, lost })
}

/** A salvage misses the entry. */
function isMissed({ salvages }: ForkReport, { epoch, sequence }: Position): boolean {
  return salvages.some((salvage) =>
    salvage.begins !== undefined && contains(partsOf(salvage, epoch).missing, sequence)
  )
}

function placeOf({ epoch, sequence }: LogEntry): Position {
  return { epoch, sequence }
}

/** Returns the origin of the entry's write, against which others lost. */
function winnerOf({ reconciliation }: LogEntry): Position {
  const { epoch, sequence } = reconciliation!.origin
  return { epoch, sequence }
}
