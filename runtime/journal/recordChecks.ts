/** Checks of records before they are written: one that does not fit its log is a defect. */
import type { Coverage, JournalRecord } from '../../actors/ports/journal.js'
import type { Position } from '../../machines/base/ids.js'
import { comparePositions, origin } from '../../machines/log/positions.js'
import { refuseCoverage } from './coverage.js'
import { LogState, withinFrame } from './logState.js'
import type { Logs } from './logs.js'

type LogRecord = Exclude<JournalRecord, { type: 'confirm' }>

/** Throws RangeError, before anything is written, when a record does not fit its log: a bug. */
export function checkRecords(logs: Logs, records: readonly JournalRecord[]): void {
  const ends = new Map<string, Position | null>()
  const cuts = new Map<string, number>()
  for (const record of records) {
    if (record.type === 'confirm') continue
    const uuid = record.type === 'frame' ? record.frame.uuid : record.uuid
    const reason = refuse(logs, uuid, record, ends.get(uuid), cuts.get(uuid) ?? Infinity)
    if (reason) throw new RangeError(`bug: space ${uuid}: ${reason}`)
    const end = endAfter(record)
    if (end !== undefined) ends.set(uuid, end)
    const isCut = record.type === 'truncate' || record.type === 'spaceDropped'
    if (end && isCut) cuts.set(uuid, Math.min(end.sequence, cuts.get(uuid) ?? Infinity))
  }
}

/**
 * `staged`: end of the log in this flush; null: nothing of the space may follow in it. `cut`: above
 * it, entries from before this flush are gone.
 */
function refuse(
  logs: Logs,
  uuid: string,
  record: LogRecord,
  staged: Position | null | undefined,
  cut: number,
): string | null {
  if (record.type === 'spaceDropped') return null
  if (staged === null) return 'a record after an install, in the same flush'
  if (record.type === 'snapshotInstalled') return refuseInstall(logs, uuid, record, staged)
  const log = logs.get(uuid)
  const damage = staged ? null : log ? log.state.damage : logs.view(uuid)?.damage
  if (damage) return `a write to a damaged log: ${damage}`
  if (record.type === 'frame') {
    return (log?.state ?? new LogState()).refuseFrame(record.frame, staged ?? log?.end ?? origin)
  }
  if (record.type === 'truncate') return refuseTruncation(logs, uuid, staged, record.to)
  if (!log) return 'checkpoints of no log'
  if ((record.covers.kept.at(-1)?.position.sequence ?? 0) > cut) {
    return 'a checkpoint of what this flush cuts off'
  }
  return refuseCover(log.state, record.covers)
}

function endAfter(record: LogRecord): Position | null | undefined {
  switch (record.type) {
    case 'frame':
      return { epoch: record.frame.epoch, sequence: record.frame.last }
    case 'truncate':
      return record.to
    case 'spaceDropped':
      return origin
    case 'snapshotInstalled':
      return null
    case 'checkpoint':
      return undefined
  }
}

function refuseInstall(
  logs: Logs,
  uuid: string,
  { covers }: LogRecord & { type: 'snapshotInstalled' },
  staged: Position | undefined,
): string | null {
  const [only, ...others] = covers.kept
  if (staged) return 'an install is alone among the records of its space in a flush'
  if (!only || others.length > 0) return `an install with ${covers.kept.length} checkpoints`
  if (comparePositions(only.position, covers.covered) !== 0)
    return 'an install covers its checkpoint'
  const before = logs.get(uuid)?.state.covers.installs ?? 0
  if (covers.installs <= before) return `install ${covers.installs} after install ${before}`
  return refuseCoverage(covers)
}

function refuseCover(state: LogState, covers: Coverage): string | null {
  const { installs, covered } = state.covers
  if (covers.installs !== installs) {
    return `checkpoints of install ${covers.installs}, where ${installs} is the last one`
  }
  if (comparePositions(covers.covered, covered) < 0)
    return 'checkpoints that cover less than before'
  const reason = state.refuseCoverage(covers)
  if (reason || covers.kept.length > 1 || comparePositions(covers.covered, covered) <= 0) {
    return reason
  }
  return `${covers.kept.length} checkpoint(s) that cover more than before`
}

/**
 * Frames are the same bytes on every member, so a common point is always between frames. Places in
 * index files are not looked up here.
 */
function refuseTruncation(
  logs: Logs,
  uuid: string,
  staged: Position | undefined,
  to: Position,
): string | null {
  if (staged) {
    return comparePositions(staged, to) === 0
      ? null
      : 'a truncation comes first among the records of its space in a flush'
  }
  const log = logs.get(uuid)
  if (!log) return 'nothing to truncate'
  const reason = log.state.refuseTruncation(to)
  if (reason || to.sequence === log.end.sequence) return reason
  return logs.begins(log, to.sequence + 1) === false ? withinFrame(to) : null
}
