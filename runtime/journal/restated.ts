import type { JournalRecord } from '../../actors/ports/journal.js'
import type { Logs } from './logs.js'
import { partOf, recordBytes } from './record.js'

/** Restated in one flush. */
const RESTATED_BYTES = 256 * 1024

/** Records that are in that segment, and have to be written again before it goes: some of them. */
export function restated(logs: Logs, segment: number): JournalRecord[] {
  const all = [
    ...logs.coveredIn(segment).map((uuid) => (
      { type: 'checkpoint', uuid, covers: logs.get(uuid)!.state.covers } as const
    )),
    ...logs.endedIn(segment).map((uuid) => ({ type: 'spaceDropped', uuid } as const)),
  ]
  const records: JournalRecord[] = []
  let bytes = 0
  for (const record of all) {
    bytes += recordBytes(partOf(record))
    if (records.length > 0 && bytes > RESTATED_BYTES) break
    records.push(record)
  }
  return records
}
