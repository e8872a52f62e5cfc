/** Checkpoints as records of the journal, and journals as bytes, for tests. */
import type { Coverage, Journal, JournalRecord,
  KeptCheckpoint } from '../../actors/ports/journal.js'
import type { EpochSpan, Position } from '../../machines/base/ids.js'
import { epochAt } from '../../machines/log/positions.js'
import { partOf, retainedPart, type RecordPart } from '../../runtime/journal/record.js'
import { createSegment } from '../../runtime/journal/segment.js'
import type { MemoryFileSystem } from '../fakes/memoryFileSystem.js'
import { DIRECTORY } from './journalKit.js'

export function keptAt(file: number, position: Position): KeptCheckpoint {
  return { file, id: `00000000-0000-4000-8000-${String(file).padStart(12, '0')}`, position }
}

/** What a log of these epochs has in checkpoints at these sequences; the first one is covered. */
export function coverageOf(
  history: readonly EpochSpan[],
  sequences: readonly number[],
  over: Partial<Coverage> = {},
): Coverage {
  const at = (sequence: number): Position => ({ epoch: epochAt(history, sequence), sequence })
  const covered = at(sequences[0] ?? 0)
  return {
    installs: 0,
    kept: sequences.map((sequence, i) => keptAt(i + 1, at(sequence))),
    covered,
    history: { root: { epoch: 0, sequence: 0 }, history: upTo(history, covered.sequence) },
    clock: { n1: covered.sequence },
    timestamp: covered.sequence === 0 ? 0 : 1000 + covered.sequence,
    ...over,
  }
}

function upTo(history: readonly EpochSpan[], sequence: number): EpochSpan[] {
  return history
    .filter(({ last }, i) => (history[i - 1]?.last ?? 0) < sequence && last > 0)
    .map(({ epoch, last }) => ({ epoch, last: Math.min(last, sequence) }))
}

export function covering(
  uuid: string,
  history: readonly EpochSpan[],
  sequences: readonly number[],
  over: Partial<Coverage> = {},
): JournalRecord {
  return { type: 'checkpoint', uuid, covers: coverageOf(history, sequences, over) }
}

/** Covers all of a log, twice. */
export function coveringAll(journal: Journal, uuid: string): JournalRecord {
  const { history, end, root, covers: { installs } } = journal.log(uuid)!
  const covers = coverageOf(history, [end.sequence, end.sequence], { installs })
  return {
    type: 'checkpoint',
    uuid,
    covers: { ...covers, history: { root, history: covers.history.history } },
  }
}

/** Writes a journal whose segments have these records, durable, with numbers from `first` on. */
export async function writeSegments(
  disk: MemoryFileSystem,
  segments: readonly (readonly JournalRecord[])[],
  first = 1,
  retained = first,
): Promise<void> {
  await disk.makeDirectory(DIRECTORY)
  const journal = 'dddddddd-0000-4000-8000-000000000004'
  let previousEnd = first > 1 ? 500 : 0
  for (const [i, records] of segments.entries()) {
    const place = { journal, segment: first + i, flush: i + 1, syncedFlush: i }
    const parts: RecordPart[] = [
      ...(retained > 1 ? [retainedPart(retained)] : []),
      ...records.map(partOf),
    ]
    const { handle, end } = await createSegment(disk, DIRECTORY, place, previousEnd, parts)
    await handle.close()
    previousEnd = end
  }
}
