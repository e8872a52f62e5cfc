/**
 * All members lose their stores at once, as in a power cut: how fast they are rebuilt, against how
 * fast the same entries were applied when they were written, with a heap of 256 MB. Both by the
 * clock and by the nodes' CPU, which depends less on what else the machine does.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { BulkWriter, firstAnswer, MemoryPeak, metricOf } from './diskKit.js'
import type { Finding, Progress } from './diskKit.js'
import { EngramCluster } from './engram.js'
import type { MemberView } from './engram.js'
import { distrustStore, gone } from './faults.js'
import { cpuMsOf } from './proc.js'

const heapMiB = 256
const contentBytes = 300
const pollMs = 200
const shownEveryMs = 5000
const heapEveryMs = 1000
const limitMs = 1_800_000
const chunkEntries = 50_000

export interface PowerCutOptions {
  readonly entries: number
  readonly members: number
}

export async function measurePowerCut(
  options: PowerCutOptions,
  progress: Progress,
): Promise<Finding[]> {
  const { entries, members } = options
  const cluster = await EngramCluster.start({ space: 'disks', nodes: members, replicas: members - 1,
    nodeFlags: [`--max-old-space-size=${heapMiB}`] })
  const memory = new MemoryPeak(() => nodePids(cluster))
  const live = await writeAll(cluster, options, progress)
  memory.stop()
  const checkpoints = (await cluster.members()).map(({ checkpoint }) => checkpoint?.sequence ?? 0)
  const cut = await powerCut(cluster, options, progress)
  const differing = await differences(cluster, options)
  await cluster.stop()
  if (differing !== null) throw new Error(`the stores are not what they were: ${differing}`)
  const livePerSecond = entries / live.ms * 1000
  const rebuiltPerSecond = entries / cut.ms * 1000
  const perEntry = ({ cpuMs }: Work): number => cpuMs * 1000 / entries / members
  return [
    { what: 'entries', value: entries, unit: '' },
    { what: 'members', value: members, unit: '' },
    { what: 'entries in the newest checkpoint, least of the members', unit: '',
      value: Math.min(...checkpoints) },
    { what: 'applied live, on each member', value: livePerSecond, unit: '/s' },
    { what: 'rebuilt, slowest member, its start included', value: rebuiltPerSecond, unit: '/s' },
    { what: 'rebuilding against live applying', value: rebuiltPerSecond / livePerSecond, unit: '×',
      goal: { least: 1 } },
    { what: 'CPU of a node per entry, live', value: perEntry(live), unit: 'µs' },
    { what: 'CPU of a node per entry, rebuilt', value: perEntry(cut), unit: 'µs' },
    { what: 'from exec to the first positive answer', value: cut.answerMs / 1000, unit: 's' },
    { what: 'from exec until all are in sync', value: cut.inSyncMs / 1000, unit: 's' },
    { what: 'memory but mapped files while written, most of a node', unit: 'MiB',
      value: memory.rssMiB },
    { what: 'memory but mapped files while rebuilt, most of a node', unit: 'MiB',
      value: cut.rssMiB },
    { what: 'heap in use while rebuilt, most of a node', value: cut.heapMiB, unit: 'MiB',
      goal: { most: heapMiB } },
  ]
}

/** Until all members have applied all. */
interface Work {
  readonly ms: number
  /** Of all nodes. */
  readonly cpuMs: number
}

function idsOf({ options: { nodes } }: EngramCluster): string[] {
  return Array.from({ length: nodes }, (_, n) => `n${n + 1}`)
}

function nodePids(cluster: EngramCluster): number[] {
  return idsOf(cluster).map((id) => cluster.pidOf(id))
}

function cpuOf(cluster: EngramCluster): number {
  return nodePids(cluster).reduce((sum, pid) => sum + cpuMsOf(pid), 0)
}

async function writeAll(
  cluster: EngramCluster,
  { entries }: PowerCutOptions,
  progress: Progress,
): Promise<Work> {
  const writer = await BulkWriter.open(cluster, { contentBytes, ids: entries })
  const begun = performance.now()
  const cpuBefore = cpuOf(cluster)
  while (writer.written < entries) {
    await writer.write(Math.min(chunkEntries, entries - writer.written))
    const perSecond = writer.written / (performance.now() - begun) * 1000
    progress(`powerCut: ${writer.written} entries, ${Math.round(perSecond)}/s`)
  }
  await until(cluster, (members) => hasApplied(cluster, members, entries))
  await writer.close()
  return { ms: performance.now() - begun, cpuMs: cpuOf(cluster) - cpuBefore }
}

/** From exec on. */
interface PowerCut extends Work {
  readonly answerMs: number
  readonly inSyncMs: number
  readonly rssMiB: number
  readonly heapMiB: number
}

async function powerCut(
  cluster: EngramCluster,
  { entries }: PowerCutOptions,
  progress: Progress,
): Promise<PowerCut> {
  const pids = nodePids(cluster)
  const ids = idsOf(cluster)
  for (const id of ids) cluster.kill(id)
  await Promise.all(pids.map(gone))
  for (const id of ids) distrustStore(cluster.dataOf(id))
  const begun = performance.now()
  const sinceMs = (): number => performance.now() - begun
  const answered = firstAnswer(cluster, limitMs)
  await Promise.all(ids.map((id) => cluster.restart(id)))
  const started = nodePids(cluster)
  const memory = new MemoryPeak(() => started)
  const heap = new HeapPeak(cluster)
  let shownMs = 0
  await until(cluster, (members) => {
    if (sinceMs() > shownMs + shownEveryMs) {
      shownMs = sinceMs()
      progress(`powerCut: ${members.map(rebuildText).join(', ')}`)
    }
    return hasApplied(cluster, members, entries)
  })
  const ms = sinceMs()
  const cpuMs = cpuOf(cluster)
  const answerMs = await answered - begun
  await cluster.awaitInSync(undefined, limitMs)
  const inSyncMs = sinceMs()
  memory.stop()
  await heap.stop()
  for (const pid of started) process.kill(pid, 0)
  return { ms, cpuMs, answerMs, inSyncMs, rssMiB: memory.rssMiB, heapMiB: heap.mebibytes }
}

function hasApplied(cluster: EngramCluster, members: readonly MemberView[],
  entries: number): boolean
{
  return members.length === cluster.options.nodes
    && members.every(({ rebuilding, appliedSequence }) => !rebuilding && appliedSequence >= entries)
}

function rebuildText({ node, rebuilding }: MemberView): string {
  return rebuilding
    ? `${node} ${rebuilding.phase} ${rebuilding.done} of ${rebuilding.total}`
    : `${node} done`
}

async function until(
  cluster: EngramCluster,
  isSo: (members: readonly MemberView[]) => boolean,
): Promise<void> {
  const deadline = performance.now() + limitMs
  while (!isSo(await cluster.members())) {
    if (performance.now() > deadline) throw new Error('the members are not done in time')
    await delay(pollMs)
  }
}

/** Heap in use by the nodes' own metrics, looked at each second. */
class HeapPeak {
  mebibytes = NaN
  #isOver = false
  readonly #running: Promise<void>

  constructor(private readonly cluster: EngramCluster) {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#running
  }

  async #run(): Promise<void> {
    do {
      for (const { node } of await this.cluster.reports()) {
        const bytes = await metricOf(node.http, 'nodejs_heap_size_used_bytes')
        const now = bytes / 2 ** 20
        if (!(now <= this.mebibytes) && Number.isFinite(now)) this.mebibytes = now
      }
      await delay(heapEveryMs)
    } while (!this.#isOver)
  }
}

/** What is missing or differs between the members; null: nothing. */
async function differences(
  cluster: EngramCluster,
  { entries }: PowerCutOptions,
): Promise<string | null> {
  let members: readonly MemberView[] = []
  await until(cluster, (now) => {
    members = now
    return now.length === cluster.options.nodes
      && new Set(now.map((member) => member.appliedSequence)).size === 1
  })
  const seen = members.map(({ node, nodes, digest }) => `${node} ${nodes} nodes, ${digest}`)
  const isSame = new Set(members.map(({ digest }) => digest)).size === 1
  return isSame && members.every(({ nodes }) => nodes >= entries) ? null : seen.join('; ')
}
