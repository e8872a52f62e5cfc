/**
 * For comparison: a JetStream file stream with three replicas, three servers on this machine.
 * Its PubAck means written by a majority, without an fdatasync (nats-server syncs every two
 * minutes). The load goes straight to the server that leads the stream, its best case.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { RetentionPolicy, StorageType, DiscardPolicy } from 'nats'
import type { JetStreamManager } from 'nats'
import { startBrokerCluster } from './broker.js'
import { openConnection } from './inbox.js'
import type { Target } from './target.js'

const readyMs = 30_000
const stream = 'BENCH'
const subject = 'jetstream.write'
/** As much as the load may keep of the disk on each server. */
const bytesMax = 512 * 1024 * 1024

export async function startJetStream(): Promise<Target> {
  const brokers = await startBrokerCluster()
  const first = brokers[0]
  if (!first) throw new Error('no servers')
  const connection = await openConnection(first.url, 'bench jetstream setup')
  try {
    const leader = await addStream(await connection.jetstreamManager({ checkAPI: false }))
    const leading = brokers.find((broker) => broker.name === leader) ?? first
    const replicas = brokers.filter((broker) => broker !== leading).map(({ pid }) => pid)
    const stop = async (): Promise<void> => {
      await Promise.all(brokers.map((broker) => broker.stop()))
    }
    return {
      name: 'jetstream',
      endpoint: { url: leading.url, subject, okPrefix: '{"stream"' },
      pids: async () => ({ primary: [leading.pid], replicas }),
      stop,
    }
  } finally {
    await connection.close()
  }
}

/** The servers elect a leader of their own first, which takes seconds. Name of the leader. */
async function addStream(manager: JetStreamManager): Promise<string | undefined> {
  const deadline = performance.now() + readyMs
  for (;;) {
    try {
      await manager.streams.add({
        name: stream,
        subjects: [subject],
        storage: StorageType.File,
        num_replicas: 3,
        retention: RetentionPolicy.Limits,
        discard: DiscardPolicy.Old,
        max_bytes: bytesMax,
      })
      const info = await manager.streams.info(stream)
      const followers = info.cluster?.replicas ?? []
      if (info.cluster?.leader && followers.length === 2 && followers.every((r) => r.current)) {
        return info.cluster.leader
      }
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    if (performance.now() > deadline) throw new Error('the JetStream cluster did not get ready')
    await delay(200)
  }
}
