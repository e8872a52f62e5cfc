/** Manual commands to single nodes of `engram up`. Unlike faults they do not end by themselves. */
import { z } from 'zod'
import type { Cluster } from '../cluster/cluster.js'
import type { NodeDeath, NodeProcessState } from '../cluster/nodeProcess.js'
import { FaultRefusedError } from './errors.js'
import { faultMsMax } from './faultCommands.js'

const node = z.string().min(1).max(64)

export const nodeCommandSchema = z.discriminatedUnion('type', [
  /** Answered once the process is started. */
  z.strictObject({ type: z.literal('start'), node }),
  /** SIGTERM, on which the node hands over. Answered when it has ended. */
  z.strictObject({ type: z.literal('stop'), node }),
  /** SIGKILL. Answered when it has ended. */
  z.strictObject({ type: z.literal('kill'), node }),
  /** SIGSTOP. Answered after SIGCONT. */
  z.strictObject({
    type: z.literal('pause'),
    node,
    forMs: z.number().int().min(0).max(faultMsMax),
  }),
])
export type NodeCommand = z.infer<typeof nodeCommandSchema>

/** A node is listed whether or not its process runs. */
export interface NodeEntry {
  readonly id: string
  readonly state: NodeProcessState
  /** null while it is stopped. */
  readonly pid: number | null
  readonly http: string | null
  /** End of its last process. null while one runs. */
  readonly death: NodeDeath | null
}

export function nodeEntries(cluster: Cluster): NodeEntry[] {
  return cluster.nodes.map(({ id, state, pid, http, death }) => ({ id, state, pid, http, death }))
}

/** @throws FaultRefusedError */
export async function performNodeCommand(cluster: Cluster, command: NodeCommand): Promise<void> {
  const found = cluster.nodes.find((one) => one.id === command.node)
  if (!found) throw new FaultRefusedError(`there is no node ${command.node} in this cluster`)
  if (command.type === 'start') {
    if (found.pid !== null) {
      throw new FaultRefusedError(`${command.node} already runs (pid ${found.pid})`)
    }
    return cluster.startNode(found)
  }
  if (found.pid === null) throw new FaultRefusedError(`${command.node} is already down`)
  switch (command.type) {
    case 'stop':
      return await cluster.stopNode(found)
    case 'kill':
      return await cluster.killNode(found)
    case 'pause':
      return await found.pause(command.forMs)
  }
}
