/** Performs fault orders on the cluster of this process. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Cluster } from '../cluster/cluster.js'
import type { Link } from '../cluster/faultProxy.js'
import type { NodeProcess } from '../cluster/nodeProcess.js'
import { fill, fillRefusal, removeBallast } from './ballast.js'
import { FaultRefusedError } from './errors.js'
import type { FaultCommand, FaultMeans } from './faultCommands.js'

/** What can be ordered from this cluster now. */
export function meansOf(cluster: Cluster): FaultMeans {
  return {
    nodes: cluster.nodes.map((node) => ({
      id: node.id, pid: node.pid, hasLink: cluster.links.has(node.id),
      fillRefusal: refusalToFill(cluster, node),
    })),
    ownsBroker: cluster.broker.pid !== null,
    deaths: cluster.deaths,
  }
}

/** The broker's files lie in the cluster's directory: its file system must stay usable, too. */
function refusalToFill(cluster: Cluster, node: NodeProcess): string | null {
  const others = cluster.nodes.filter((other) => other !== node)
    .map((other) => other.options.data)
  return fillRefusal(node.options.data, [cluster.options.data, ...others])
}

/**
 * Resolves when the fault is over, ms in all.
 * @throws FaultRefusedError
 */
export async function performFault(cluster: Cluster, order: FaultCommand): Promise<number> {
  const begun = performance.now()
  await perform(cluster, order)
  return Math.round(performance.now() - begun)
}

async function perform(cluster: Cluster, order: FaultCommand): Promise<void> {
  switch (order.type) {
    case 'kill':
      return await cluster.bounceNode(running(cluster, order.node), order.forMs)
    case 'pause':
      return await running(cluster, order.node).pause(order.forMs)
    case 'cut':
    case 'stall':
      return await breakLink(linkOf(cluster, order.node), order.type, order.forMs)
    case 'fill':
      return await fillDisk(cluster, running(cluster, order.node), order.forMs)
    case 'broker': {
      if (cluster.broker.pid === null) {
        throw new FaultRefusedError('the NATS server is not one of engram up')
      }
      return await cluster.broker.bounce(order.forMs)
    }
  }
}

function running(cluster: Cluster, id: string): NodeProcess {
  const node = cluster.nodes.find((one) => one.id === id)
  if (!node) throw new FaultRefusedError(`there is no node ${id} here`)
  if (node.pid === null) throw new FaultRefusedError(`the node ${id} is down`)
  return node
}

function linkOf(cluster: Cluster, id: string): Link {
  const link = cluster.links.get(id)
  if (link) return link
  throw new FaultRefusedError(`no link leads to ${id}: start the cluster with engram up --chaos`)
}

async function breakLink(link: Link, how: 'cut' | 'stall', forMs: number): Promise<void> {
  if (how === 'cut') link.cut()
  else link.stall()
  await pause(forMs)
  link.heal()
}

async function fillDisk(cluster: Cluster, node: NodeProcess, forMs: number): Promise<void> {
  const refusal = refusalToFill(cluster, node)
  if (refusal !== null) throw new FaultRefusedError(refusal)
  const { data } = node.options
  try {
    fill(data)
    await pause(forMs)
  } finally {
    removeBallast(data)
  }
}
