/** The end of a fork report: what was found, and how much is known to be nowhere. */
import type { ForkNote, ForkOpening, SalvageNote,
  SalvageState } from '../../machines/log/forkNotes.js'
import { lengthOf, missingRanges, partsOf } from '../../machines/log/salvageParts.js'
import type { SequenceRange } from '../../machines/log/salvageParts.js'
import type { SpaceStore } from '../ports/store.js'
import type { Steps } from '../structures/inSlices.js'

export interface KnownSalvage {
  readonly note: SalvageNote
  readonly state: SalvageState
}

/** What the log has of forks. `isOwnOnly`: the epoch before it in its log has a report, too. */
interface View {
  readonly store: Pick<SpaceStore, 'origin'>
  readonly isOwnOnly: boolean
}

/** Entries that are looked up one by one, each in a step; earlier ones count as lost. */
const countedMax = 100_000

/** Returns the note that closes the report. `disk`: the present one of its node. */
export function* closing(
  report: ForkOpening,
  disk: string,
  salvages: readonly KnownSalvage[],
  view: View,
): Steps<ForkNote & { note: 'closed' }> {
  const { epoch, node, start, forkPoint, lastKnown } = report
  const note = { type: 'ForkNote', note: 'closed', epoch } as const
  const gone = salvages.filter(({ state }) => state === 'gone').map((one) => one.note.name)
  if (report.disk !== disk || gone.length > 0) {
    const reason = report.disk !== disk
      ? `${node} came back with another disk`
      : `${gone.join(', ')} disappeared before it was taken`
    return { ...note, outcome: 'lost', lost: yield* lostIn(report, salvages, view), reason }
  }
  const lasts = salvages.flatMap((one) => one.note.spans.filter((span) => span.epoch === epoch))
  // Its first entry is no write, and those before it are of earlier epochs.
  const found = Math.max(forkPoint.sequence, start.sequence + 1, ...lasts.map(({ last }) => last))
  const beyond = Math.max(0, lastKnown - found)
  const { count, reason } = yield* notKept(report, salvages, view.store)
  if (count > 0) return { ...note, outcome: 'lost', lost: count + beyond, reason }
  return salvages.length === 0
    ? { ...note, outcome: 'level', lost: beyond,
      reason: `${node} had nothing beyond the fork point` }
    : { ...note, outcome: 'reconciled', lost: beyond, reason: 'all that was found is in the log' }
}

/**
 * Returns how many writes are known to have been logged and are found nowhere: a lower bound.
 * Writes of earlier epochs in that log count as well, unless they have a report of their own.
 */
export function* lostIn(
  report: ForkOpening,
  salvages: readonly KnownSalvage[],
  { store, isOwnOnly }: View,
): Steps<number> {
  const { epoch, start, forkPoint, lastKnown } = report
  const from = isOwnOnly ? Math.max(start.sequence, forkPoint.sequence) : forkPoint.sequence
  let lost = Math.max(0, lastKnown - from - countedMax)
  for (let sequence = from + 1 + lost; sequence <= lastKnown; sequence += 1) {
    // The first entry of the epoch is no write.
    if (sequence === start.sequence + 1) continue
    yield
    const epochs = sequence > start.sequence ? [epoch] : [start.epoch, forkPoint.epoch]
    if (!epochs.some((of) => store.origin(of, sequence))) lost += 1
  }
  return lost + (yield* notKept(report, salvages, store, lastKnown)).count
}

/**
 * Returns how many entries of the epoch, after its fork point and after `above`, no member keeps
 * any more and are found nowhere, and which they are. Notes on forks count, too: those who had them
 * know no longer what they were.
 */
export function* notKept(
  { epoch, start, forkPoint }: ForkOpening,
  salvages: readonly KnownSalvage[],
  store: Pick<SpaceStore, 'origin'>,
  above = 0,
): Steps<{ readonly count: number; readonly reason: string }> {
  const notes = salvages.map(({ note }) => note)
  const taken = salvages.filter(({ state }) => state === 'taken').map(({ note }) => note)
  const least = Math.max(start.sequence, forkPoint.sequence, above)
  const ranges = missingRanges(notes, taken, epoch, least)
  const isWrite = (sequence: number) => sequence !== start.sequence + 1 || start.epoch >= epoch
  let uncounted = ranges.reduce((sum, range) => sum + lengthOf(range), 0) - countedMax
  let count = 0
  let [from, upTo] = [0, 0]
  const add = (first: number, last: number): void => {
    if (count === 0) from = first
    count += last + 1 - first
    upTo = last
  }
  for (const { first, last } of ranges) {
    const skipped = Math.max(0, Math.min(uncounted, last + 1 - first))
    uncounted -= skipped
    if (skipped > 0) add(first, first + skipped - 1)
    for (let sequence = first + skipped; sequence <= last; sequence += 1) {
      yield
      if (isWrite(sequence) && !store.origin(epoch, sequence)) add(sequence, sequence)
    }
  }
  return { count, reason: count > 0 ? reasonOf({ first: from, last: upTo }, notes, epoch) : '' }
}

/** Names the member with the newest checkpoint of those that miss such entries. */
function reasonOf(lost: SequenceRange, notes: readonly SalvageNote[], epoch: number): string {
  const { first, last } = lost
  const [{ node, checkpoint }] = notes
    .filter((note) => {
      const { missing } = partsOf(note, epoch)
      return missing !== null && missing.first <= last && missing.last >= first
    })
    .toSorted((a, b) => (b.checkpoint?.sequence ?? 0) - (a.checkpoint?.sequence ?? 0)) as [
      SalvageNote,
    ]
  const which = first === last ? `entry ${first}` : `entries ${first} to ${last}`
  const effect = checkpoint
    ? `: its checkpoint at ${checkpoint.sequence} has their effect`
    : ', and no checkpoint with their effect was found there'
  return `${node} no longer keeps ${which} of that log${effect}`
}
