/** Asks the nodes what a rehearsal needs. Changes nothing. */
import type { NatsConnection } from 'nats'
import type { NodeId } from '../../machines/base/ids.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { ArbiterView } from '../../machines/rehearsal/situation.js'
import type { RehearsalOf, RehearsalReport } from '../status/rehearsal.js'
import type { NodeStatusReport } from '../status/status.js'
import { AdminError } from './errors.js'
import { lookUpSpace } from './lookup.js'
import type { Operator } from './operator.js'

/** Behind the names of all spaces: the list is empty, but the arbiter was asked for it. */
const afterAll = '\u{10ffff}'
/** Longer than a node waits for the arbiter. */
const arbiterMs = 5000
/** NATS answers at once. */
const silentMs = 500

/** @throws AdminError NO_NODES, UNKNOWN_SPACE, UNKNOWN_NODE, FORBIDDEN */
export async function rehearseAt(operator: Operator, of: RehearsalOf): Promise<RehearsalReport> {
  // Programs that rehearse nothing do not load the charts.
  const { rehearsalOf, spacesOf } = await import('../status/rehearsal.js')
  const reports = await operator.reports('space' in of ? of : {})
  if (reports.length === 0) {
    throw new AdminError('NO_NODES', 'no Engram node answers on this NATS server', true)
  }
  if ('node' in of && !isKnown(reports, of.node)) {
    throw new AdminError('UNKNOWN_NODE', `no node is called ${of.node}`, false)
  }
  const concerned = new Set(spacesOf(reports, of))
  const holders = reports.filter(({ spaces }) => spaces.some(({ space }) => concerned.has(space)))
  if ('space' in of && holders.length === 0
    && await lookUpSpace(operator.connection, of.space) === 'absent')
  {
    throw new AdminError('UNKNOWN_SPACE', `no node knows the space ${of.space}`, false)
  }
  const present = new Set(reports.map(({ node: { id } }) => id))
  const silent = new Set(
    holders.flatMap(({ spaces }) =>
      spaces.filter(({ space }) => concerned.has(space)).flatMap(({ members }) => members)
        .filter((id) => !present.has(id))
    ),
  )
  const [arbiters, absent] = await Promise.all([
    Promise.all(holders.map(({ node: { id } }) => arbiterAt(operator, id))),
    Promise.all([...silent].map((id) => absentOf(operator.connection, id))),
  ])
  return rehearsalOf(reports, {
    arbiters: new Map(arbiters.flat()),
    absent: new Set(absent.flat()),
  }, of)
}

function isKnown(reports: readonly NodeStatusReport[], id: NodeId): boolean {
  return reports.some(({ node, spaces }) =>
    node.id === id || id in node.peers || spaces.some(({ members }) => members.includes(id))
  )
}

/** The arbiter as the node sees it now; empty: the node does not say. */
async function arbiterAt(operator: Operator, node: NodeId): Promise<[NodeId, ArbiterView][]> {
  try {
    await operator.admin({ type: 'listSpaces', after: afterAll, limit: 1 }, { node,
      timeoutMs: arbiterMs })
    return [[node, { kind: 'reachable' }]]
  } catch (error) {
    const isAway = error instanceof AdminError && error.code === 'ARBITER_UNAVAILABLE'
    return isAway ? [[node, { kind: 'unreachable', reason: error.message }]] : []
  }
}

/** The node, if NATS says that it is not connected. */
async function absentOf(connection: NatsConnection, node: NodeId): Promise<NodeId[]> {
  const question = Buffer.from('{"type":"who"}')
  return await connection.request(subjects.status(node), question, { timeout: silentMs })
    .then(() => [], (error: { code?: string }) => (error.code === '503' ? [node] : []))
}
