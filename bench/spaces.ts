/**
 * Many spaces on three nodes: memory of an idle one, the processor time that heartbeats cost, and
 * how long after a kill -9 of a node all of its spaces take writes again.
 * Alone: `node dist/bench/spaces.js [count]`.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { NatsConnection } from 'nats'
import { Operator } from '../runtime/client/operator.js'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { SharedInbox, writePayload } from './inbox.js'
import { cpuMsOf } from './proc.js'
import { runProgram } from './processes.js'

export interface SpacesResult {
  readonly count: number
  /** A node's resident memory, per space that it holds, KiB. */
  readonly kibPerSpace: number
  /** Per cent of one core, per node, with all spaces idle. */
  readonly idleCpuPercent: number
  /** Spaces whose primary was the killed node. */
  readonly failedOver: number
  /** From the kill until half of those, and all of them, have answered a write positively. */
  readonly halfMs: number
  readonly allMs: number
}

const creatorsAtOnce = 8
const settleMs = 10_000
const idleMs = 10_000
const giveUpMs = 60_000
/** A space that has not answered is asked again after this long. */
const askEveryMs = 50

/** Linux counts in kB, whatever the page size. */
function residentKib(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

async function create(cluster: EngramCluster, names: readonly string[]): Promise<void> {
  const operator = new Operator(cluster.connection, '_INBOX')
  const nodes = (await cluster.reports()).map(({ node }) => node.id)
  const waiting = names.map((space, i) => ({ space, node: nodes[i % nodes.length] }))
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      await operator.admin({
        type: 'createSpace',
        space: next.space,
        replicas: 2,
        ack: 'durable',
        minInSync: 2,
      }, { node: next.node, timeoutMs: 60_000 })
    }
  }
  await Promise.all(Array.from({ length: creatorsAtOnce }, work))
}

/** Writes to each space until it answers positively; by space, who answered and when. */
async function firstAnswers(
  connection: NatsConnection,
  names: readonly string[],
): Promise<Map<string, { node: string; at: number }>> {
  const found = new Map<string, { node: string; at: number }>()
  const inbox = new SharedInbox(connection, (id, body) => {
    const name = names[id % names.length]
    if (!body || name === undefined || found.has(name)) return
    const answer = JSON.parse(Buffer.from(body).toString()) as { ok?: boolean; node?: string }
    if (answer.ok === true) found.set(name, { node: answer.node ?? '', at: performance.now() })
  })
  const deadline = performance.now() + giveUpMs
  while (found.size < names.length) {
    if (performance.now() > deadline) {
      throw new Error(`${names.length - found.size} of ${names.length} spaces take no write`)
    }
    names.forEach((name, i) => {
      if (!found.has(name)) inbox.publish(`engram.v1.write.${name}`, writePayload(i), i)
    })
    await delay(askEveryMs)
  }
  return found
}

export async function measureSpaces(count: number): Promise<SpacesResult> {
  const cluster = await startEngram('bench')
  const pids = new Map((await cluster.reports()).map(({ node }) => [node.id, node.pid]))
  const before = mean([...pids.values()].map(residentKib))
  const names = Array.from({ length: count }, (_, i) => `s${i}`)
  await create(cluster, names)
  const holders = await firstAnswers(cluster.connection, names)
  await delay(settleMs)
  const busyBefore = mean([...pids.values()].map(cpuMsOf))
  await delay(idleMs)
  const busyMs = mean([...pids.values()].map(cpuMsOf)) - busyBefore
  const kibPerSpace = (mean([...pids.values()].map(residentKib)) - before) / count
  const of = (node: string) => names.filter((name) => holders.get(name)?.node === node)
  const victim = [...pids.keys()].toSorted((a, b) => of(b).length - of(a).length)[0] ?? ''
  const failedOver = of(victim)
  const at = cluster.kill(victim)
  const answers = await firstAnswers(cluster.connection, failedOver)
  const times = [...answers.values()].map((answer) => answer.at - at).toSorted((a, b) => a - b)
  await cluster.stop()
  return {
    count,
    kibPerSpace: Math.round(kibPerSpace),
    idleCpuPercent: Number((busyMs / idleMs * 100).toFixed(1)),
    failedOver: failedOver.length,
    halfMs: Math.round(times[times.length >> 1] ?? NaN),
    allMs: Math.round(times.at(-1) ?? NaN),
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runProgram(async () => {
    console.log(JSON.stringify(await measureSpaces(Number(process.argv[2] ?? 1000))))
    return 0
  })
}
