import type { JournalRecord } from '../../actors/ports/journal.js'
import type { Logs } from './logs.js'
import { partOf, recordBytes } from './record.js'

/** Restated in one flush. */
const RESTATED_BYTES = 256 * 1024

/** Records of checkpoints that are in that segment, to be written again: some of them. */
export function restated(logs: Logs, segment: number): JournalRecord[] {
  const records: JournalRecord[] = []
  let bytes = 0
  for (const uuid of logs.coveredIn(segment)) {
    const record: JournalRecord = { type: 'checkpoint', uuid, covers: logs.get(uuid)!.state.covers }
    bytes += recordBytes(partOf(record))
    if (records.length > 0 && bytes > RESTATED_BYTES) break
    records.push(record)
  }
  return records
}
