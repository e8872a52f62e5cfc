import type { NodeId } from '../base/ids.js'
import { amountText } from '../base/units.js'
import type { Assignment } from '../protocol/messages.js'

/**
 * noPrimary: no write is taken. writesHeld: nothing is answered while so few are in sync.
 * committedRefused: `committed` is refused. lastCopy: one member alone is in sync. noSuccessor:
 * nobody can take over from the primary. noSpare: the next loss stops `committed`. twoCopies: the
 * next loss leaves one copy. oneZone: all copies are in one zone. none: the next loss is like this
 * one.
 */
export type WeakCode = 'noPrimary' | 'writesHeld' | 'committedRefused' | 'lastCopy' | 'noSuccessor'
  | 'noSpare' | 'twoCopies' | 'oneZone' | 'none'

export interface WeakPoint {
  readonly code: WeakCode
  readonly text: string
}

export const noPrimary: WeakPoint = {
  code: 'noPrimary',
  text: 'no write is taken until that is mended',
}

/**
 * The weakest point of a space with that primary and in-sync set. `obstacleOf`: why a member of the
 * set could not take over, or null.
 */
export function weakestPoint(
  { settings, members, primary }: Pick<Assignment, 'settings' | 'members' | 'primary'>,
  inSync: readonly NodeId[],
  zoneOf: (node: NodeId) => string,
  obstacleOf: (node: NodeId) => string | null,
): WeakPoint {
  const { minInSync, whenUnderReplicated = 'accept' } = settings
  const count = inSync.length
  const inSyncText = `${amountText(count, 'member')} in sync`
  if (whenUnderReplicated !== 'accept' && count < Math.min(2, members.length)) {
    const what = whenUnderReplicated === 'wait' ? 'answers to writes wait' : 'writes are refused'
    return { code: 'writesHeld', text: `${inSyncText}: ${what} until there are 2` }
  }
  if (count < minInSync) {
    return { code: 'committedRefused',
      text: `${inSyncText}, minInSync is ${minInSync}: \`committed\` writes are refused` }
  }
  if (count === 1) {
    return { code: 'lastCopy',
      text: `${inSync[0]} alone is in sync: new writes are on one disk, and its loss stops writes` }
  }
  const obstacles = inSync.filter((node) => node !== primary?.node).map(obstacleOf)
  if (!obstacles.includes(null)) {
    return { code: 'noSuccessor',
      text: `nobody could take over from ${primary?.node}: ${[...new Set(obstacles)].join('; ')}` }
  }
  if (count === minInSync) {
    return { code: 'noSpare',
      text: `${inSyncText}, minInSync is ${minInSync}: the next loss stops \`committed\` writes` }
  }
  if (count === 2) return { code: 'twoCopies', text: `${inSyncText}: the next loss leaves one` }
  const zones = new Set(inSync.map(zoneOf))
  const [zone = ''] = zones
  if (zones.size === 1 && zone !== '') {
    return { code: 'oneZone', text: `all ${inSyncText} are in zone ${zone}` }
  }
  return { code: 'none', text: `${inSyncText}: the next loss is like this one` }
}
