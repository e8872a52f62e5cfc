/**
 * The primary dies together with its disk: what the client keeps is sent again, so that nothing
 * acknowledged is lost. `RESEND_ROUNDS=50 node dist/test/integration/resending.long.test.js` for more.
 */
import * as assert from 'uvu/assert'
import type { LogEntry } from '../../machines/log/entries.js'
import { connect } from '../../runtime/client/client.js'
import type { EngramClient } from '../../runtime/client/client.js'
import type { ClientOptions } from '../../runtime/client/options.js'
import { NotSafeError, WriteRefusedError } from '../../runtime/client/errors.js'
import type { Resent } from '../../runtime/client/spaceOutbox.js'
import { cli } from '../support/cli.js'
import { positive } from '../support/client.js'
import { space } from '../support/cluster.js'
import type { Cluster } from '../support/cluster.js'
import { note, scenario, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const rounds = Number(process.env['RESEND_ROUNDS'] ?? 5)
const resending = suite('integration: resending', 180 + rounds * 15)

/** Half a grant: from then on the primary strikes silent members off the in-sync set. */
const inSyncSilenceMs = 1000

/** A load of `durable` writes: some workers, each on a node of its own, over and over. */
class Writer {
  readonly resent: Resent[] = []
  /** By worker, in the order in which they were acknowledged. */
  readonly acknowledged: string[][] = []
  #isStopping = false
  #workers: Promise<void>[] = []
  #written = 0

  private constructor(readonly client: EngramClient, readonly name: string) {}

  static async start(
    stage: Stage,
    cluster: Cluster,
    name: string,
    options: Partial<ClientOptions> = {},
  ): Promise<Writer> {
    const client: EngramClient = await connect({
      servers: cluster.broker.url,
      deadlineMs: 60_000,
      ...options,
      onResent: (resent) => writer.resent.push(resent),
    })
    const writer = new Writer(client, name)
    stage.onEnd(async () => {
      await client.close()
    })
    return writer
  }

  get count(): number {
    return this.acknowledged.reduce((sum, keys) => sum + keys.length, 0)
  }

  load(workers: number): void {
    this.#isStopping = false
    this.#workers = Array.from({ length: workers }, (_, worker) => this.#work(worker))
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all(this.#workers)
  }

  async taken(more: number): Promise<void> {
    const goal = this.count + more
    await waitFor(`${more} more writes of ${this.name}`, () =>
      this.count >= goal
      || Promise.reject(new Error(`${this.count} so far`)), { seconds: 30 })
  }

  async #work(worker: number): Promise<void> {
    const keys = this.acknowledged[worker] ??= []
    while (!this.#isStopping) {
      const key = `${this.name}.${worker}.${this.#written++}`
      const node = { id: `${this.name}-${worker}`, content: key }
      await this.client.write(space, { type: 'StoreNode', node }, { key, ack: 'durable' })
      keys.push(key)
    }
  }
}

async function logOf(cluster: Cluster): Promise<LogEntry[]> {
  const log: LogEntry[] = []
  for (;;) {
    const page = positive(await cluster.client.read(
      { type: 'GetEntries', from: log.length + 1, limit: 1000 },
    ), 'the log')
    const entries = page.value as LogEntry[]
    if (entries.length === 0) return log
    log.push(...entries)
  }
}

/** The primary writes alone, so that what it acknowledges is lost with its disk for certain. */
async function killAlone(cluster: Cluster, primary: string, writers: Writer[]): Promise<void> {
  const replicas = cluster.others(primary)
  const startedAt = performance.now()
  for (const replica of replicas) replica.pause()
  await Promise.all(writers.map((writer) => writer.taken(100)))
  await cluster.node(primary).kill()
  const tookMs = performance.now() - startedAt
  assert.ok(tookMs < inSyncSilenceMs,
    `this machine is too slow to let the primary write alone: ${tookMs.toFixed(0)} ms`)
  cluster.node(primary).wipe()
  // Killed while stopped: what the broker had sent them is gone with their sockets.
  await Promise.all(replicas.map((replica) => replica.kill()))
  await Promise.all(replicas.map((replica) => replica.start()))
}

async function killUnderLoad(cluster: Cluster, primary: string): Promise<void> {
  await cluster.node(primary).kill()
  cluster.node(primary).wipe()
}

interface Loss {
  readonly acknowledged: number
  readonly lost: readonly string[]
}

function removalReason(writer: Writer, log: readonly LogEntry[]): Loss {
  const logged = new Set(log.map(({ writeId }) => writeId))
  return {
    acknowledged: writer.count,
    lost: writer.acknowledged.flat().filter((key) => !logged.has(key)),
  }
}

/** Each worker awaited one write before the next: so they are in the log in this order. */
function assertOrder(writer: Writer, log: readonly LogEntry[]): void {
  const place = new Map(log.map(({ writeId, sequence }) => [writeId, sequence]))
  for (const keys of writer.acknowledged) {
    let before = 0
    for (const key of keys) {
      const here = place.get(key)!
      assert.ok(before < here, `${key} at ${here}, after one that was acknowledged at ${before}`)
      before = here
    }
  }
}

function assertOnce(log: readonly LogEntry[]): void {
  const keys = log.map(({ writeId }) => writeId).filter((key) => key !== null)
  assert.is(new Set(keys).size, keys.length, 'no key is in the log twice (I7)')
}

async function round(
  cluster: Cluster,
  how: 'alone' | 'under load',
  writers: Writer[],
): Promise<void> {
  const primary = await cluster.primary()
  await cluster.inSync(3)
  for (const writer of writers) writer.load(32)
  await Promise.all(writers.map((writer) => writer.taken(1000)))
  if (how === 'alone') await killAlone(cluster, primary.node, writers)
  else await killUnderLoad(cluster, primary.node)
  await cluster.primary({ above: primary.epoch })
  await Promise.all(writers.map((writer) => writer.taken(100)))
  await Promise.all(writers.map((writer) => writer.stop()))
  await cluster.node(primary.node).start()
}

scenario(resending, `the primary and its disk, ${rounds} times: nothing is lost`, async (stage) => {
  const cluster = await stage.cluster()
  const kept = await Writer.start(stage, cluster, 'kept')
  const bare = await Writer.start(stage, cluster, 'bare', { protect: false })
  let resent = 0
  let lostBare = 0
  for (let n = 0; n < rounds; n += 1) {
    const how = n % 2 === 0 ? 'alone' : 'under load'
    await round(cluster, how, [kept, bare])
    await kept.client.flush(space, { timeoutMs: 20_000 })
    assert.equal(kept.client.unsafe(), { writes: 0, bytes: 0, oldestMs: 0 })
    const log = await logOf(cluster)
    assertOnce(log)
    const mine = removalReason(kept, log)
    assert.equal(mine.lost, [], `acknowledged and lost, primary killed ${how}`)
    assertOrder(kept, log)
    const anew = kept.resent.filter(({ duplicate }) => !duplicate).length
    const theirs = removalReason(bare, log).lost.length
    note(`${n + 1} (${how}): ${mine.acknowledged} acknowledged, ${anew - resent} sent again, `
      + `0 lost; unprotected: ${theirs - lostBare} lost`)
    if (how === 'alone') {
      assert.ok(anew > resent && theirs > lostBare, 'there was something to lose')
    }
    resent = anew
    lostBare = theirs
    for (const { key, from, to } of kept.resent) {
      assert.ok(to.epoch > from.epoch, `${key} from ${from.epoch} to ${to.epoch}`)
    }
  }
  const duplicates = kept.resent.length - resent
  note(`${rounds} rounds: ${kept.count} protected, 0 lost, ${resent} sent again, ${duplicates} of `
    + `them duplicates; ${bare.count} unprotected, ${lostBare} lost`)
}, 60 + rounds * 15)

scenario(resending, 'a handover leaves nothing behind: nothing is sent again', async (stage) => {
  const cluster = await stage.cluster()
  const writer = await Writer.start(stage, cluster, 'handed')
  writer.load(32)
  for (let n = 0; n < 3; n += 1) {
    await writer.taken(300)
    const { node, epoch } = await cluster.primary()
    const [target] = cluster.others(node)
    await cli(['promote', space, '--to', target!.id, '--nats', cluster.broker.url, '--json'])
    await cluster.primary({ above: epoch, by: target!.id })
  }
  await writer.taken(300)
  await writer.stop()
  await writer.client.flush(space)
  const log = await logOf(cluster)
  assert.equal(removalReason(writer, log).lost, [])
  assert.equal(writer.resent, [])
  assertOnce(log)
  assertOrder(writer, log)
})

scenario(resending, 'too few in sync: past the bound writes are refused, nothing is lost',
  async (stage) => {
    const cluster = await stage.cluster()
    const { node } = await cluster.primary()
    const replicas = cluster.others(node)
    await Promise.all(replicas.map((replica) => replica.kill()))
    await cluster.inSync([node])
    const unsafeBytesMax = 100 * 1024
    const { client } = await Writer.start(stage, cluster, 'alone', {
      unsafeBytesMax,
      deadlineMs: 1000,
    })
    const refusals: unknown[] = []
    let count = 0
    for (; refusals.length === 0 && count < 1000; count += 1) {
      const key = `alone.${count}`
      await client.write(space, { type: 'StoreNode', node: { id: key } }, { key })
        .catch((error: unknown) => refusals.push(error))
    }
    const [refusal] = refusals
    assert.instance(refusal, WriteRefusedError)
    assert.is((refusal as WriteRefusedError).code, 'NOT_ENOUGH_IN_SYNC')
    assert.match((refusal as WriteRefusedError).message, 'unsafeBytesMax')
    const { writes, bytes } = client.unsafe()
    assert.is(writes, count - 1)
    assert.ok(bytes <= unsafeBytesMax && bytes > unsafeBytesMax * 0.9, `${bytes} bytes`)
    assert.instance(await client.flush(space, { timeoutMs: 200 }).catch((error: unknown) => error),
      NotSafeError)
    await Promise.all(replicas.map((replica) => replica.start()))
    await client.flush(space, { timeoutMs: 20_000 })
    assert.is(client.unsafe().writes, 0)
  })

resending.run()
