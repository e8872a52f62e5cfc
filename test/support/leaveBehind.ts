import * as assert from 'uvu/assert'
import type { Operation } from '../../machines/graph/graph.js'
import type { Cluster, NodeProcess } from './cluster.js'

/** Half a grant: from then on the primary strikes silent members off the in-sync set. */
const inSyncSilenceMs = 1000

/** Operations by their idempotency keys. */
export type Keyed = Readonly<Record<string, Operation>>

/**
 * Stops all replicas, and writes `durable` to the primary alone; then kills it. Returns the keys
 * that it answered. All of it is over before the replicas' silence costs them their places. They
 * are left stopped: who kills them now takes from them what the broker has sent them.
 */
export async function leaveBehind(
  cluster: Cluster,
  primary: NodeProcess,
  replicas: readonly NodeProcess[],
  writes: Keyed,
): Promise<string[]> {
  const startedAt = performance.now()
  for (const replica of replicas) replica.pause()
  const keys = Object.keys(writes)
  const replies = await Promise.all(
    keys.map((key) => cluster.client.write(writes[key]!, { key, ack: 'durable', timeoutMs: 700 })),
  )
  await primary.kill()
  const tookMs = performance.now() - startedAt
  assert.ok(tookMs < inSyncSilenceMs,
    `this machine is too slow to provoke a fork: ${tookMs.toFixed(0)} ms, run it again`)
  const answered = keys.filter((_, n) => replies[n]?.ok)
  assert.ok(answered.length > 0, `no durable write was answered: ${JSON.stringify(replies[0])}`)
  return answered
}
