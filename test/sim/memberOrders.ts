/** Operators who order changes of the members: amid all faults, and of everybody at the end. */
import type { Assignment } from '../../machines/protocol/messages.js'
import { command } from './operator.js'
import type { Role } from './memberPlan.js'
import { space } from './plan.js'
import type { Fault } from './plan.js'
import type { World } from './world.js'

/** A node that is added again in peace is a member within this time. */
const addedMs = 30_000
/** Until then an order is given again: the primary of the moment may not have seen it. */
const againMs = 2000

/** The node that has this role in the record now, or one that is as good. */
export function nodeOf(world: World, role: Role): string {
  const record = world.checks.record.last
  const { nodes } = world.plan
  const members = record?.members.map(({ node }) => node) ?? []
  const primary = record?.primary?.node ?? nodes[0]!
  const random = world.random.fork(`${role} at ${world.now}`)
  const pick = (wanted: readonly string[]): string =>
    random.pick(wanted.length > 0 ? wanted : nodes)
  const replica = () => pick(members.filter((node) => node !== primary))
  const spare = () => pick(nodes.filter((node) => !members.includes(node)))
  switch (role) {
    case 'primary':
      return primary
    case 'learner':
      return record?.change?.add ?? spare()
    case 'leaving':
      return record?.change?.remove ?? replica()
    case 'replica':
      return replica()
    case 'spare':
      return spare()
  }
}

/** Sends the order of the plan, which may make no sense at this moment. */
export function orderMembers(world: World, { node, other, amount, mode }: Fault): void {
  const force = amount > 0 && { force: true }
  const orders: Readonly<Record<string, object>> = {
    add: { add: nodeOf(world, 'spare'), ...force },
    replace: { add: nodeOf(world, 'spare'), remove: other, ...force },
    remove: { remove: other, ...force },
    cancel: { cancel: true },
  }
  order(world, node, orders[mode] ?? {})
}

function order(world: World, node: string, what: object): void {
  world.checks.record.members.ordered(what)
  command(world, world.cluster.node(node), { type: 'changeMembers', space, by: 'ann', ...what })
}

const isSettled = (record: Assignment | null): boolean =>
  record !== null && record.change === undefined

/**
 * All nodes that ever held the space are members again: what only a node has that was taken out is
 * salvaged then, and reconciled.
 */
export async function addAgain(world: World): Promise<void> {
  const { record } = world.checks
  const limitMs = world.now + addedMs * world.nodes.length
  while (!record.excuse) {
    const [node] = record.members.away(record.current)
    if (node === undefined && isSettled(record.current)) return
    if (world.now > limitMs) {
      world.violate('I16', `${node ?? 'a change'} is not settled in peace: `
        + `${JSON.stringify(record.current)}\n${world.cluster.describe(space)}`)
      throw world.violation!
    }
    const primary = world.cluster.primary(space)?.id
    if (node !== undefined && primary && isSettled(record.current)) {
      order(world, primary, { add: node })
    }
    const isDone = () =>
      isSettled(record.current)
      && (node === undefined || !record.members.away(record.current).includes(node))
    await world.until(isDone, againMs, 50)
  }
}
