/** A member of a simulated cluster whose oldest segment only a checkpoint lets go. */
import * as assert from 'uvu/assert'
import { subjects } from '../../machines/protocol/subjects.js'
import { SimCluster } from './simCluster.js'
import type { SimOptions } from './simCluster.js'
import type { SimNode } from './simNode.js'

const segmentBytes = 8192
const settings = { checkpointBytes: 4096, retainBytes: 0 }

export const journalOf = (node: SimNode) => node.actor.context!.ports.journal

export const isFull = (node: SimNode): boolean => node.actor.context!.commits.isFull

/** Of all files, as they count for the capacity of a disk. */
export async function bytesOn({ disk }: SimNode): Promise<number> {
  const { capacity } = disk
  disk.capacity = 2 ** 50
  const used = 2 ** 50 - await disk.freeBytes()
  disk.capacity = capacity
  return used
}

/** Writes to the same few nodes, with time for checkpoints in between: the state stays small. */
export async function sameWrites(cluster: SimCluster, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    for (let n = 0; n < 10; n += 1) {
      const node = { id: `same${n}`, content: 'x'.repeat(100) + String(round % 10) }
      const answer = await cluster.wait(
        cluster.client.request(subjects.write('demo'),
          Buffer.from(JSON.stringify({ type: 'StoreNode', node })), { timeoutMs: 8000,
            headers: { 'Engram-Ack': 'durable' } }),
      )
      assert.match(Buffer.from(answer.data).toString(), /"ok":true/)
    }
    await cluster.run(300)
  }
}

/** Two checkpoints count, and nothing of the journal went yet. */
export async function pinned(
  options: SimOptions = {},
): Promise<{ cluster: SimCluster; node: SimNode }> {
  const cluster = await SimCluster.serving({ segmentBytes, settings, writes: 3, ...options })
  await sameWrites(cluster, 12)
  await cluster.run(3000)
  const node = cluster.running.find((one) => one !== cluster.primary())!
  return { cluster, node }
}

/** Writes until the journal of the node takes nothing more. */
export async function filledUp(cluster: SimCluster, node: SimNode): Promise<void> {
  node.disk.capacity = await bytesOn(node) + 1000
  for (let round = 0; !isFull(node); round += 1) {
    if (round > 50) throw new Error('the disk does not fill')
    await sameWrites(cluster, 1)
  }
}
