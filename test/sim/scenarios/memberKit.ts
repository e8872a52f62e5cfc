/** Shared by the scenarios of members: n1, n2 and n3 hold the space, n1 is primary, n4 is spare. */
import * as assert from 'uvu/assert'
import type { Assignment } from '../../../machines/protocol/messages.js'
import type { Call } from './hinderedBucket.js'
import type { Begin } from './scenario.js'
import type { Stage, StageOptions } from './stage.js'

export interface Order {
  readonly add?: string
  readonly remove?: string
  readonly force?: true
  readonly cancel?: true
}

export async function fourNodes(begin: Begin, options: StageOptions = {}): Promise<Stage> {
  const stage = await begin({ nodes: ['n4', 'n1', 'n2', 'n3'], primary: 'n1', ...options })
  if (!options.replicas) assert.equal(stage.members.toSorted(), ['n1', 'n2', 'n3'])
  return stage
}

/** Sends an order, whatever comes of it. */
export async function sends(stage: Stage, at: string, what: Order) {
  stage.say(`an operator orders at ${at}: ${JSON.stringify(what)}`)
  stage.judge.members.ordered(what)
  return await stage.cluster.command(at, { type: 'changeMembers', space: stage.space, by: 'ann',
    ...what })
}

/** Sends an order that is taken. */
export async function orders(stage: Stage, what: Order, at = stage.primary): Promise<void> {
  const answer = await sends(stage, at, what)
  assert.is(answer['ok'], true, JSON.stringify(answer))
}

/** No change is under way, and these nodes are the members. */
export async function membersAre(stage: Stage, ...nodes: string[]): Promise<void> {
  await stage.until('no change is under way',
    () => stage.record.change === undefined && stage.cluster.primary() !== null, 20_000)
  assert.equal(stage.members.toSorted(), nodes.toSorted())
}

/** A compare-and-set by which the node becomes a member. */
export const takesIn = (node: string) => ({ next }: Call): boolean =>
  next !== null && isListed(next, node)

/** A compare-and-set by which the node is no member any more. */
export const takesOut = (node: string) => ({ next }: Call): boolean =>
  next !== null && !isListed(next, node)

export function isListed({ members }: Assignment, node: string): boolean {
  return members.some((member) => member.node === node)
}

/** Whether the node follows a primary. */
export function isFollowing(stage: Stage, node: string): boolean {
  const space = stage.cluster.node(node).life?.actor.spaces.get(stage.space)
  return space?.member.following.isFollowing === true
}
