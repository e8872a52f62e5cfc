/** A cluster with small spaces, whose checkpoints share files. */
import * as assert from 'uvu/assert'
import { contentOf, keptBy, replayed } from './checkpointContent.js'
import { SimCluster } from './simCluster.js'
import type { SimNode } from './simNode.js'

export const spaces = ['a', 'b', 'c']

export async function started(seed = 1): Promise<SimCluster> {
  const settings = { checkpointBytes: 4096, checkpointRatio: 0.01 }
  const cluster = await SimCluster.start({ seed, settings })
  for (const space of spaces) await cluster.createSpace({}, space)
  await inSync(cluster)
  return cluster
}

export async function inSync(cluster: SimCluster): Promise<void> {
  await cluster.run(5000)
  for (const space of spaces) {
    await cluster.until('all in sync', () => cluster.record(space)!.inSync.length === 3)
  }
}

export async function write(cluster: SimCluster, to: readonly string[], rounds = 1): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const sent = to.flatMap((space) =>
      Array.from({ length: 10 }, () => cluster.send({ 'Engram-Ack': 'committed' }, 1, space))
    )
    for (const answer of await cluster.wait(Promise.all(sent))) assert.ok(answer?.ok)
    await cluster.run(100)
  }
}

export const checkpointsOf = (node: SimNode) => node.actor.context!.ports.checkpoints
export const filesOf = (node: SimNode) => checkpointsOf(node).files().map(({ number }) => number)
export const newestOf = (node: SimNode, space: string) => keptBy(node, space).at(-1)?.file ?? 0

/** Writes until each space has two new checkpoints on each node, all in shared files. */
export async function shared(cluster: SimCluster): Promise<void> {
  const before = new Map(cluster.running.map((node) => [node, Math.max(0, ...filesOf(node))]))
  const isShared = (node: SimNode) =>
    spaces.every((space) => {
      const kept = keptBy(node, space).map(({ file }) => file)
      return kept.length === 2 && kept[0]! > (before.get(node) ?? 0)
        && kept[1] === newestOf(node, 'a')
    })
  for (let round = 0; round < 300; round += 1) {
    await write(cluster, spaces)
    if (cluster.running.every(isShared)) return
  }
  const kept = cluster.running.map((node) => spaces.map((space) => keptBy(node, space)))
  throw new Error(`not shared: ${JSON.stringify(kept)}`)
}

/** Each checkpoint that counts has what the log up to there does (I13). */
export async function check(cluster: SimCluster, of = spaces): Promise<void> {
  for (const space of of) {
    await cluster.check(space)
    const entries = await cluster.entries(cluster.primary(space)!.id, space)
    for (const node of cluster.running) {
      for (const kept of keptBy(node, space)) {
        const { sequence } = kept.position
        assert.equal(await contentOf(node, kept, space), await replayed(entries.slice(0, sequence)),
          `${space} on ${node.id} at ${sequence}`)
      }
    }
  }
}
