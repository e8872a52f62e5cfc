/** The operator's command to forget a node that is gone for good. */
import type { NodeId } from '../../machines/base/ids.js'
import { spacesText } from '../../machines/base/units.js'
import { isHolder } from '../../machines/protocol/members.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import type { RecordRead } from '../arbiter/assignmentStore.js'
import type { NodeContext } from '../member/context.js'
import { AdminRefusal } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import type { AdminNode } from './adminNode.js'
import { byOf } from './maintenance.js'

/** The parts of the node's admin service that this command needs. */
export interface ForgettingAdmin {
  readonly node: AdminNode
  /** Forwards the command to another node. */
  passOn(node: string, command: AdminCommand, timeoutMs?: number): Promise<Answer>
}

/** Records read at the arbiter at a time. */
const readAtOnce = 16
/** Another node does what takes no time. */
const passOnMs = 2000

/**
 * Has all nodes that live forget the node, so that it is not listed and does not count as missing.
 * Refused while it lives, and while a record names it as a member or learner. It is safe in any
 * case: no promise to it is left, and a node that comes back is heard again.
 */
export async function forgetNode(admin: ForgettingAdmin, command: AdminCommand): Promise<Answer> {
  const context = admin.node.context!
  const { peers, self, ports: { logger } } = context
  const { node: gone } = command
  const fault = nameFault(gone)
  if (fault !== null) throw new AdminRefusal('INVALID_OPERATION', `node: ${fault}`)
  const node = gone as NodeId
  const by = byOf(command)
  if (command['passedOn'] === true) return { ok: true, isKnown: forgetHere(context, node, by) }
  if (peers.isLiving(node)) throw alive(`${node} is alive`)
  await checkRecords(context, node)
  const others = peers.living().filter((peer) => peer !== self.node)
  const outcomes = await Promise.all(others.map(async (peer) => {
    try {
      const { isKnown } = await admin.passOn(peer, command, passOnMs)
      return { node: peer, isKnown: isKnown === true, reason: null }
    } catch (error) {
      if (error instanceof AdminRefusal && error.reason === 'alive') throw error
      return { node: peer, isKnown: false, reason: (error as Error).message }
    }
  }))
  const isKnown = forgetHere(context, node, by)
  const forgottenBy = [...outcomes, { node: self.node, isKnown }].filter((one) => one.isKnown)
    .map((one) => one.node).toSorted()
  const missed = outcomes.filter(({ reason }) => reason !== null)
    .map(({ node: peer, reason }) => ({ node: peer, reason }))
  logger.warn({ by, node, forgottenBy, missed }, `${node} is forgotten`)
  const message = forgottenBy.length > 0
    ? `${node} is forgotten by ${forgottenBy.join(', ')}`
    : `no node knows ${node}`
  return { ok: true, forgottenBy, missed, message }
}

/** Returns whether the node was known here. */
function forgetHere({ peers, ports: { logger } }: NodeContext, node: NodeId, by: string): boolean {
  const isKnown = peers.isKnown(node)
  const fault = peers.forget(node)
  if (fault !== null) throw alive(fault)
  if (isKnown) logger.info({ by, node }, `${node} is forgotten here`)
  return isKnown
}

function alive(reason: string): AdminRefusal {
  return new AdminRefusal('INVALID_OPERATION', reason, true, 'alive')
}

/** Rejects with AdminRefusal if a record names the node, or cannot be read. */
async function checkRecords({ records }: NodeContext, node: NodeId): Promise<void> {
  const names = await records.spaces()
  const held: string[] = []
  for (let from = 0; from < names.length; from += readAtOnce) {
    const some = names.slice(from, from + readAtOnce)
    const reads = await Promise.all(some.map((name) => records.read(name)))
    for (const [index, read] of reads.entries()) {
      const name = some[index]!
      if (holds(name, read, node)) held.push(name)
    }
  }
  if (held.length === 0) return
  throw new AdminRefusal('INVALID_OPERATION',
    `${node} is a member of ${spacesText(held.toSorted())}`, false, 'holder')
}

function holds(space: string, read: RecordRead, node: NodeId): boolean {
  if (read.kind === 'unreadable' || read.kind === 'newer') {
    throw new AdminRefusal('INVALID_OPERATION', `the record of ${space} may name ${node}, and `
      + `cannot be read: ${read.reason}`)
  }
  if (read.kind === 'absent') return false
  const { assignment } = read.kind === 'present' ? read.record : read.remembered
  return assignment.state !== 'dropped' && isHolder(assignment, node)
}
