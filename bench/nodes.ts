/**
 * Many nodes in one cluster, idle: the processor time of each, by the number of nodes, since each
 * hears all others. `node dist/bench/nodes.js [counts, default 3,10,20]`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { EngramCluster } from './engram.js'
import { cpuMsOf } from './proc.js'
import { runProgram } from './processes.js'

const settleMs = 15_000
const idleMs = 20_000

export interface NodesResult {
  readonly nodes: number
  /** Per cent of one core, per node. */
  readonly meanPercent: number
  readonly mostPercent: number
}

export async function measureNodes(nodes: number): Promise<NodesResult> {
  const cluster = await EngramCluster.start({ space: 'bench', nodes, replicas: 2 })
  const pids = (await cluster.reports()).map(({ node }) => node.pid)
  await delay(settleMs)
  const before = pids.map(cpuMsOf)
  await delay(idleMs)
  const percent = pids.map((pid, at) => (cpuMsOf(pid) - before[at]!) / idleMs * 100)
  await cluster.stop()
  const rounded = (value: number): number => Number(value.toFixed(2))
  return {
    nodes,
    meanPercent: rounded(percent.reduce((sum, one) => sum + one, 0) / nodes),
    mostPercent: rounded(Math.max(...percent)),
  }
}

runProgram(async () => {
  const counts = (process.argv[2] ?? '3,10,20').split(',').map(Number)
  for (const count of counts) console.log(JSON.stringify(await measureNodes(count)))
  return 0
})
