/** The writes of clients: to few things, so that they meet; and no two of them alike. */
import type { Operation } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { SeededRandom } from '../fakes/seededRandom.js'

export const ids = ['id-0', 'id-1', 'id-2', 'id-3', 'id-4', 'id-5', 'id-6'] as const

/** A prime above all that clients of one run write: no two of their numbers fall together. */
const prime = 999_983
const perClient = 100_003

/** A value that no other write of the run has, anywhere between 0 and 1. */
function unique(client: number, number: number): number {
  return ((client * perClient + number) * 7919 % prime) / prime
}

export function drawOperation(random: SeededRandom, client: number, number: number): Operation {
  const kind = random.next()
  const id = random.pick(ids)
  if (kind < 0.1) {
    const [source, target] = random.pick(
      [[ids[0], ids[1]], [ids[1], ids[0]], [id, ids[2]]] as const,
    )
    return {
      type: 'StoreEdge',
      edge: { source, target, kind: 'causal', weight: unique(client, number) },
    }
  }
  if (kind < 0.3) {
    return { type: 'UpdateActivation', nodeId: id, activation: unique(client, number) }
  }
  const confidence = random.pick([null, 0.2, 0.5, 0.5, 0.8])
  return {
    type: 'StoreNode',
    node: {
      id,
      content: `c${client + 1}-${number}`,
      ...(confidence !== null && { confidence }),
      ...(random.chance(0.7) && { activation: 0.5 }),
    },
  }
}

/** By which the write is known in logs and salvages; null: nothing that a client wrote. */
export function tokenOf({ operation }: Pick<LogEntry, 'operation'>): string | null {
  switch (operation.type) {
    case 'StoreNode':
      return operation.node.content ?? null
    case 'StoreEdge':
      return `weight ${operation.edge.weight}`
    case 'UpdateActivation':
      return `activation ${operation.activation}`
    default:
      return null
  }
}

/** The things it changes: two writes that share a name must not overtake each other. */
export function touchedBy(operation: Operation): string {
  switch (operation.type) {
    case 'StoreNode':
      return operation.node.id
    case 'StoreEdge':
      return `${operation.edge.source} ${operation.edge.target}`
    case 'UpdateActivation':
      return operation.nodeId
  }
}
