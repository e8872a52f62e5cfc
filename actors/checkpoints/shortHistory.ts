import type { EpochHistory } from '../../machines/base/ids.js'
import { GrowingHistory } from '../../machines/log/growingHistory.js'
import { summedUp } from '../../machines/log/retention.js'
import type { Member } from '../member/member.js'

/**
 * Returns the history of the member's log up to `covered`, with the oldest epochs summed up.
 * `covered` is that of the older checkpoint.
 */
export function shortHistory({ context, log }: Member, covered: number): EpochHistory {
  const upTo = new GrowingHistory(log)
  upTo.truncate(covered)
  const { root, history } = summedUp(upTo, covered, context.settings.coveredSpansMax)
  return { root, history }
}
