import type { EpochHistory } from '../../machines/base/ids.js'
import { GrowingHistory } from '../../machines/log/growingHistory.js'
import { summedUp } from '../../machines/log/retention.js'
import type { Member } from '../member/member.js'

/**
 * Returns the history of the member's log up to `covered`, with the oldest epochs summed up that
 * neither retained entries nor forks need. `covered` is that of the older checkpoint.
 */
export function shortHistory(member: Member, covered: number): EpochHistory {
  const { context: { ports: { journal } }, log, store, uuid, known } = member
  const upTo = new GrowingHistory(log)
  upTo.truncate(covered)
  const open = store.reports().filter(({ outcome, salvages }) =>
    outcome === null || salvages.some(({ state }) => state === 'waiting')
  )
  const forkPoints = [
    ...open.map(({ forkPoint }) => forkPoint.sequence),
    ...(known.record?.assignment.ended ?? []).map(({ start }) => start.sequence),
  ]
  const base = journal.log(uuid)?.base.sequence ?? 0
  const { root, history } = summedUp(upTo, { covered, base, forkPoints })
  return { root, history }
}
