/** A member of a simulated cluster whose oldest segment only a checkpoint lets go. */
import * as assert from 'uvu/assert'
import { subjects } from '../../machines/protocol/subjects.js'
import { keptBy } from './checkpointContent.js'
import { SimCluster } from './simCluster.js'
import type { SimNode } from './simNode.js'

export const journalOf = (node: SimNode) => node.actor.context!.ports.journal

export const isFull = (node: SimNode): boolean => node.actor.context!.commits.isFull

/** Of all files, as they count for the capacity of a disk. */
export async function usedBytes({ disk }: SimNode): Promise<number> {
  const { capacity } = disk
  disk.capacity = 2 ** 50
  const used = 2 ** 50 - await disk.freeBytes()
  disk.capacity = capacity
  return used
}

/** Leaves so many bytes free. */
export async function leaveFree(node: SimNode, bytes: number): Promise<void> {
  node.disk.capacity = await usedBytes(node) + bytes
}

/** Writes to the same few nodes of the graph: the state is as large as these are. */
export async function sameWrites(
  cluster: SimCluster,
  rounds: number,
  { size = 100, pauseMs = 300 } = {},
): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    for (let n = 0; n < 10; n += 1) {
      const node = { id: `same${n}`, content: 'x'.repeat(size) + String(round % 10) }
      const answer = await cluster.wait(
        cluster.client.request(subjects.write('teams'),
          Buffer.from(JSON.stringify({ type: 'StoreNode', node })), { timeoutMs: 8000,
          headers: { 'Engram-Ack': 'durable' } }),
      )
      assert.match(Buffer.from(answer.data).toString(), /"ok":true/)
    }
    await cluster.run(pauseMs)
  }
}

/**
 * Two checkpoints count, of which the older one is larger. `retainBytes` 0: the oldest segment
 * should go, and has later entries.
 */
export async function pinned(retainBytes = 0): Promise<{ cluster: SimCluster; node: SimNode }> {
  const settings = { checkpointBytes: 4096, retainBytes }
  const cluster = await SimCluster.serving({ segmentBytes: 8192, settings, writes: 3 })
  const node = cluster.running.find((one) => one !== cluster.primary())!
  await sameWrites(cluster, 10, { size: 200 })
  await cluster.run(3000)
  const newest = keptBy(node)[1]!
  while (keptBy(node)[0] !== newest) await sameWrites(cluster, 1)
  await cluster.run(1500)
  assert.is(keptBy(node)[0], newest)
  return { cluster, node }
}

/** Writes until the journal of the node takes nothing more; not a byte is free then. */
export async function filledUp(cluster: SimCluster, node: SimNode): Promise<void> {
  await leaveFree(node, 1000)
  for (let round = 0; !isFull(node); round += 1) {
    if (round > 50) throw new Error('the disk does not fill')
    await sameWrites(cluster, 1, { pauseMs: 0 })
  }
  await leaveFree(node, 0)
}
