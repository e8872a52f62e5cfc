/**
 * Memory of spaces that were busy once: each gets the same amount of writes, and the memory
 * of each node is looked at while it is written, and some time after.
 * Alone: `node dist/bench/memory.js [spaces] [MiB each]`.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { Operator } from '../runtime/client/operator.js'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { SharedInbox } from './inbox.js'
import { runProgram } from './processes.js'

export interface MemoryResult {
  readonly spaces: number
  readonly mibEach: number
  /** The highest of all nodes, MiB: resident in all, and without what is mapped from files. */
  readonly peakMib: number
  readonly afterMib: number
  readonly afterAnonymousMib: number
  /** Answered OVERLOADED, and sent again. */
  readonly refused: number
}

const restMs = 60_000
const contentBytes = 16 * 1024
const inFlightMax = 64
const MiB = 1024 * 1024

interface Resident {
  readonly all: number
  readonly anonymous: number
}

function resident(pid: number): Resident {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mib = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024
  return { all: mib('VmRSS'), anonymous: mib('RssAnon') }
}

/** Writes so much to a space, each write until it is taken; gives the number of refusals. */
async function fill(cluster: EngramCluster, space: string, bytes: number): Promise<number> {
  const writes = Math.ceil(bytes / contentBytes)
  let [next, done, refused] = [0, 0, 0]
  await new Promise<void>((resolve) => {
    const send = (id: number): void => {
      const node = { id: `m${id}`, content: `${id} `.repeat(contentBytes).slice(0, contentBytes) }
      const data = Buffer.from(JSON.stringify({ type: 'StoreNode', node }))
      inbox.publish(`engram.v1.write.${space}`, data, id)
    }
    const inbox = new SharedInbox(cluster.connection, (id, body) => {
      const answer = JSON.parse(Buffer.from(body ?? '{}').toString()) as { ok?: boolean;
        code?: string }
      if (answer.ok !== true) {
        if (answer.code === 'OVERLOADED') refused += 1
        setTimeout(() => send(id), 50)
        return
      }
      done += 1
      if (next < writes) send(next++)
      else if (done === writes) resolve()
    })
    while (next < Math.min(inFlightMax, writes)) send(next++)
  })
  return refused
}

export async function measureMemory(spaces: number, mibEach: number): Promise<MemoryResult> {
  const cluster = await startEngram('bench')
  const reports = await cluster.reports()
  const pids = reports.map(({ node }) => node.pid)
  const operator = new Operator(cluster.connection, '_INBOX')
  const largest = (): Resident => {
    const all = pids.map(resident)
    return {
      all: Math.max(...all.map((one) => one.all)),
      anonymous: Math.max(...all.map((one) => one.anonymous)),
    }
  }
  let [refused, peak] = [0, 0]
  const watch = setInterval(() => {
    peak = Math.max(peak, largest().all)
  }, 500)
  for (let index = 0; index < spaces; index += 1) {
    const space = `m${index}`
    await operator.admin({
      type: 'createSpace',
      space,
      replicas: 2,
      ack: 'durable',
      minInSync: 2,
    }, { node: reports[index % reports.length]!.node.id, timeoutMs: 60_000 })
    refused += await fill(cluster, space, mibEach * MiB)
  }
  await delay(restMs)
  clearInterval(watch)
  const after = largest()
  await cluster.stop()
  return {
    spaces,
    mibEach,
    peakMib: Math.round(peak),
    afterMib: Math.round(after.all),
    afterAnonymousMib: Math.round(after.anonymous),
    refused,
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runProgram(async () => {
    const [spaces = 200, mibEach = 16] = process.argv.slice(2).map(Number)
    console.log(JSON.stringify(await measureMemory(spaces, mibEach)))
    return 0
  })
}
