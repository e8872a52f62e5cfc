/** Random flushes for tests of the journal. */
import type { Frame } from '../../actors/ports/frames.js'
import type { JournalRecord } from '../../actors/ports/journal.js'
import type { SeededRandom } from '../fakes/seededRandom.js'
import { A, B, C, modelOf, rec } from './journalKit.js'

/** A random flush that fits the logs as they are. */
export function randomFlush(random: SeededRandom, past: readonly JournalRecord[]): JournalRecord[] {
  const model = modelOf(past)
  const flush: JournalRecord[] = []
  for (let left = 1 + random.integer(3); left > 0; left--) {
    const uuid = random.pick([A, B, C])
    const log: Frame[] = model.logs.get(uuid) ?? []
    const touched = flush.some((r) => r.type !== 'confirm' && r.type !== 'frame' && r.uuid === uuid)
      || flush.some((r) => r.type === 'frame' && r.frame.uuid === uuid)
    const record = randomRecord(random, uuid, log, touched)
    model.apply(record)
    flush.push(record)
  }
  return flush
}

function randomRecord(
  random: SeededRandom,
  uuid: string,
  log: readonly Frame[],
  touched: boolean,
): JournalRecord {
  const last = log.at(-1)
  if (random.chance(0.05)) return { type: 'confirm' }
  if (last && random.chance(0.05)) return { type: 'spaceDropped', uuid }
  if (last && !touched && random.chance(0.15)) {
    const to = random.pick([...log, undefined])
    return {
      type: 'truncate',
      uuid,
      salvage: 's',
      to: { epoch: to?.epoch ?? 0, sequence: to?.last ?? 0 },
    }
  }
  const previousEpoch = last?.epoch ?? 0
  const epoch = Math.max(1, previousEpoch + (random.chance(0.3) ? 1 : 0))
  return rec(uuid, (last?.last ?? 0) + 1, {
    epoch,
    previousEpoch,
    count: 1 + random.integer(3),
    text: `${random.integer(1e6)}-`,
  })
}
