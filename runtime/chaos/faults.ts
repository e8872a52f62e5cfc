/** Injects faults into the cluster of this process. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Cluster } from '../cluster/cluster.js'
import type { Link } from '../cluster/faultProxy.js'
import type { NodeProcess } from '../cluster/nodeProcess.js'
import { fill, fillRefusal, removeBallast } from './ballast.js'
import { FaultRefusedError } from './errors.js'
import type { FaultCommand, FaultMeans } from './faultCommands.js'

/** Faults that this cluster can inject now. */
export function meansOf(cluster: Cluster): FaultMeans {
  return {
    nodes: cluster.nodes.map((node) => ({
      id: node.id,
      pid: node.pid,
      hasLink: cluster.links.has(node.id),
      fillRefusal: refusalToFill(cluster, node),
    })),
    ownsBroker: cluster.broker.pid !== null,
    deaths: cluster.deaths,
  }
}

/** The broker's files are in the cluster's directory, whose file system must stay usable. */
function refusalToFill(cluster: Cluster, node: NodeProcess): string | null {
  const others = cluster.nodes.filter((other) => other !== node)
    .map((other) => other.options.data)
  return fillRefusal(node.options.data, [cluster.options.data, ...others])
}

/**
 * Resolves when the fault is over, with its duration in ms.
 * @throws FaultRefusedError
 */
export async function performFault(cluster: Cluster, command: FaultCommand): Promise<number> {
  const begun = performance.now()
  await perform(cluster, command)
  return Math.round(performance.now() - begun)
}

async function perform(cluster: Cluster, command: FaultCommand): Promise<void> {
  switch (command.type) {
    case 'kill':
      return await cluster.bounceNode(running(cluster, command.node), command.forMs)
    case 'pause':
      return await running(cluster, command.node).pause(command.forMs)
    case 'cut':
    case 'stall':
      return await breakLink(linkOf(cluster, command.node), command.type, command.forMs)
    case 'fill':
      return await fillDisk(cluster, running(cluster, command.node), command.forMs)
    case 'broker': {
      if (cluster.broker.pid === null) {
        throw new FaultRefusedError('the NATS server was not started by engram up')
      }
      return await cluster.broker.bounce(command.forMs)
    }
  }
}

function running(cluster: Cluster, id: string): NodeProcess {
  const node = cluster.nodes.find((one) => one.id === id)
  if (!node) throw new FaultRefusedError(`there is no node ${id} in this cluster`)
  if (node.pid === null) throw new FaultRefusedError(`the node ${id} is down`)
  return node
}

function linkOf(cluster: Cluster, id: string): Link {
  const link = cluster.links.get(id)
  if (link) return link
  throw new FaultRefusedError(
    `the connection of ${id} cannot be cut: start the cluster with engram up --chaos`,
  )
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
