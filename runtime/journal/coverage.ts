/** Payload of the records `checkpoint` and `snapshotInstalled`: MessagePack. */
import { decode, encode } from '@msgpack/msgpack'
import type { Coverage, KeptCheckpoint } from '../../actors/ports/journal.js'
import type { Position } from '../../machines/base/ids.js'
import { historyFault, rootFault } from '../../machines/log/invariants.js'
import { comparePositions, emptyHistory, endOf, origin,
  showPosition } from '../../machines/log/positions.js'
import { encodeHistory, historySchema } from '../codec/historyCodec.js'
import { isSafe, isUuid } from '../codec/frameBytes.js'

/** That of a log whose entries are all in the journal. */
export const nothingCovered: Coverage = {
  installs: 0,
  kept: [],
  covered: origin,
  history: emptyHistory,
  clock: {},
  timestamp: 0,
}

export function encodeCoverage(uuid: string, covers: Coverage): Uint8Array {
  const { installs, kept, covered, history, clock, timestamp } = covers
  return encode({
    uuid,
    installs,
    kept: kept.map(({ file, id, position }) => [file, id, ...pair(position)]),
    covered: pair(covered),
    history: encodeHistory(history),
    clock,
    timestamp,
  })
}

/** A string is the fault found. */
export function decodeCoverage(payload: Uint8Array): Coverage | string {
  try {
    const value = decode(payload) as Record<string, unknown>
    const kept = (value['kept'] as unknown[][]).map(([file, id, ...position]) => ({
      file: safe(file),
      id: String(id),
      position: positionOf(position),
    }))
    const covers: Coverage = {
      installs: safe(value['installs']),
      kept,
      covered: positionOf(value['covered']),
      history: historySchema.parse(value['history']),
      clock: clockOf(value['clock']),
      timestamp: safe(value['timestamp']),
    }
    return refuseCoverage(covers) ?? covers
  } catch (error) {
    return `a record of checkpoints that does not decode: ${(error as Error).message}`
  }
}

/** Returns the space that such a payload is about, or null: it is none. */
export function spaceOfCoverage(payload: Uint8Array): string | null {
  if (typeof decodeCoverage(payload) === 'string') return null
  const { uuid } = decode(payload) as { uuid: unknown }
  return typeof uuid === 'string' && isUuid(uuid) ? uuid : null
}

/** Returns what makes no sense in it, or null. */
export function refuseCoverage({ kept, covered, history }: Coverage): string | null {
  const [older, newer] = kept
  if (kept.length > 2) return `${kept.length} checkpoints are kept`
  if (older && newer && comparePositions(older.position, newer.position) > 0) {
    return 'the newer checkpoint comes first'
  }
  if (older && newer && older.file === newer.file) return 'one checkpoint is named twice'
  if (!kept.every(isCheckpoint)) return 'a checkpoint without a file'
  if (older && comparePositions(covered, older.position) > 0) {
    return `covered is ${showPosition(covered)}, above a checkpoint at `
      + showPosition(older.position)
  }
  const fault = historyFault(history.history) ?? rootFault(history)
  if (fault) return fault
  const end = endOf(history.history)
  return comparePositions(end, covered) === 0
    ? null
    : `a history up to ${showPosition(end)}, where ${showPosition(covered)} is covered`
}

function isCheckpoint({ file, id }: KeptCheckpoint): boolean {
  return isSafe(file) && file > 0 && isUuid(id)
}

function pair({ epoch, sequence }: Position): [number, number] {
  return [epoch, sequence]
}

function positionOf(value: unknown): Position {
  const [epoch, sequence] = value as unknown[]
  return { epoch: safe(epoch), sequence: safe(sequence) }
}

function clockOf(value: unknown): Record<string, number> {
  return Object.fromEntries(Object.entries(value as object).map(([name, at]) => [name, safe(at)]))
}

function safe(value: unknown): number {
  if (isSafe(value)) return value
  throw new RangeError(`${String(value)} is no safe integer`)
}
