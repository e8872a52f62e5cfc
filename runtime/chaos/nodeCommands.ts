/** Orders on single nodes of `engram up`, by hand: unlike faults they do not end by themselves. */
import { z } from 'zod'
import type { Cluster } from '../cluster/cluster.js'
import type { NodeDeath, NodeProcessState } from '../cluster/nodeProcess.js'
import { FaultRefusedError } from './errors.js'
import { faultMsMax } from './faultCommands.js'

const node = z.string().min(1).max(64)

export const nodeCommandSchema = z.discriminatedUnion('type', [
  /** Answered once the process is started. */
  z.strictObject({ type: z.literal('start'), node }),
  /** SIGTERM: it hands over. Answered when it has ended. */
  z.strictObject({ type: z.literal('stop'), node }),
  /** SIGKILL. Answered when it has ended. */
  z.strictObject({ type: z.literal('kill'), node }),
  /** SIGSTOP. Answered when it goes on. */
  z.strictObject({
    type: z.literal('pause'), node, forMs: z.number().int().min(0).max(faultMsMax),
  }),
])
export type NodeCommand = z.infer<typeof nodeCommandSchema>

/** A node stays in the list, whatever becomes of its process. */
export interface NodeEntry {
  readonly id: string
  readonly state: NodeProcessState
  /** null while it is stopped. */
  readonly pid: number | null
  readonly http: string | null
  /** How its last process ended; null while one runs. */
  readonly death: NodeDeath | null
}

export function nodeEntries(cluster: Cluster): NodeEntry[] {
  return cluster.nodes.map(({ id, state, pid, http, death }) => ({ id, state, pid, http, death }))
}

/** @throws FaultRefusedError */
export async function performNodeCommand(cluster: Cluster, order: NodeCommand): Promise<void> {
  const found = cluster.nodes.find((one) => one.id === order.node)
  if (!found) throw new FaultRefusedError(`there is no node ${order.node} here`)
  if (order.type === 'start') {
    if (found.pid !== null) {
      throw new FaultRefusedError(`${order.node} runs already (pid ${found.pid})`)
    }
    return cluster.startNode(found)
  }
  if (found.pid === null) throw new FaultRefusedError(`${order.node} is down already`)
  switch (order.type) {
    case 'stop': return await cluster.stopNode(found)
    case 'kill': return await cluster.killNode(found)
    case 'pause': return await found.pause(order.forMs)
  }
}
