import { isDamage } from '../../../actors/member/member.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import { epochAt } from '../../../machines/log/positions.js'
import type { SimNode } from '../../support/simNode.js'
import { space } from '../plan.js'
import type { CheckedWorld } from './checkedWorld.js'
import { inFull } from './inFull.js'

/**
 * The log of the node from its first entry. Up to its base it has none: a checkpoint stands in for
 * them, whose content is checked apart. They are those that were numbered for these places; so are
 * all of a log that a flipped bit keeps from being read.
 */
export async function wholeLog(world: CheckedWorld, node: SimNode): Promise<LogEntry[]> {
  const { log } = node.space(space).member
  const kept = await world.cluster.entries(node.id, space).catch((error: unknown) => {
    if (!isDamage(error) || !world.checks.logs.disksFlipped.has(node.id)) throw error
    return null
  })
  const history = inFull(log, world.checks.logs.begins)
  const entries: LogEntry[] = []
  const upTo = kept === null ? log.written.sequence : log.base
  for (let sequence = 1; sequence <= upTo; sequence += 1) {
    const place = { epoch: epochAt(history, sequence), sequence }
    const entry = world.checks.entries.at(place)
    if (entry) entries.push(entry)
    else world.violate('I3', `${node.id} has an entry at (${place.epoch}, ${sequence}) that nobody `
        + 'numbered')
  }
  return [...entries, ...kept ?? []]
}
