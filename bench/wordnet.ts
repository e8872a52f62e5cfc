/**
 * `npm run demo:wordnet`: all of WordNet 3.1 through a three-node cluster whose primary is killed
 * in the middle. Exits 1 unless every member holds everything at the end.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Presets, SingleBar } from 'cli-progress'
import { askCli, EngramCluster } from './engram.js'
import type { MemberView } from './engram.js'
import { atPercentile, microseconds, newHistogram } from './load.js'
import { runProgram } from './processes.js'
import { showCount, showMs } from './table.js'
import { checkReads } from './wordnetChecks.js'
import { readWordNet, wordNetCounts, WordNetRequests } from './wordnetData.js'
import { WordNetWriter } from './wordnetWriter.js'

const space = 'wordnet'
const operationsPerRequest = 50
const inFlight = 64
const convergeMs = 60_000

interface Killed {
  readonly node: string
  readonly epoch: number
  readonly nextEpoch: number
  readonly failoverMs: number
}

function say(text: string): void {
  console.log(text)
}

/** SIGKILL to the primary, then its restart by hand, while the writing goes on. */
async function killPrimary(cluster: EngramCluster, writer: WordNetWriter): Promise<Killed> {
  const { node, epoch } = writer.latest
  const later = writer.answerLaterThan(epoch)
  const killedAt = cluster.kill(node)
  const { at, epoch: nextEpoch } = await later
  await cluster.restart(node)
  return { node, epoch, nextEpoch, failoverMs: at - killedAt }
}

async function write(cluster: EngramCluster, requests: WordNetRequests): Promise<Killed> {
  const latency = newHistogram()
  const bar = new SingleBar({
    format: 'writing {bar} {percentage}% | {value} of {total} operations | {eta_formatted} left',
    stream: process.stderr,
    hideCursor: true,
    noTTYOutput: true,
    notTTYSchedule: 2000,
  }, Presets.shades_classic)
  let answered = 0
  let killed: Promise<Killed> | null = null
  const writer = await WordNetWriter.connect({
    url: cluster.url,
    space,
    requests,
    inFlight,
    onAnswered: (latencyMs) => {
      latency.recordValue(microseconds(latencyMs))
      bar.update(requests.operationsIn(++answered))
      if (answered === requests.count >> 1) killed = killPrimary(cluster, writer)
    },
  })
  try {
    bar.start(requests.operations, 0)
    const from = performance.now()
    await writer.run()
    const seconds = (performance.now() - from) / 1000
    bar.stop()
    const result = await (killed as Promise<Killed> | null)
    if (!result) throw new Error('the primary was never killed')
    // A durable ack above the safe sequence can still end in a fork: waits until none is left.
    await writer.flush(convergeMs)
    reportWriting(requests, seconds, latency, writer, result)
    return result
  } finally {
    bar.stop()
    await writer.stop()
  }
}

function reportWriting(
  requests: WordNetRequests,
  seconds: number,
  latency: ReturnType<typeof newHistogram>,
  writer: WordNetWriter,
  killed: Killed,
): void {
  const { survived, forked } = writer.resent
  say(`Rate        ${showCount(requests.operations / seconds)} operations/s: `
    + `${showCount(requests.operations)} in ${seconds.toFixed(1)} s, the failover included, `
    + `${operationsPerRequest} a request, ${inFlight} requests in flight`)
  say(`Latency     p50 ${showMs(atPercentile(latency, 50))}, `
    + `p99 ${showMs(atPercentile(latency, 99))}, max ${showMs(latency.maxValue / 1000)} `
    + 'from a request to its durable ack, retries included')
  say(`Failover    ${killed.node} (epoch ${killed.epoch}) killed with SIGKILL; first ack of epoch `
    + `${killed.nextEpoch} after ${killed.failoverMs.toFixed(0)} ms`)
  say(`In doubt    ${survived + forked} requests acknowledged above the safe sequence, sent again: `
    + `${survived} had survived, ${forked} were only in the fork and were taken anew`)
}

/** Every member in sync, at the same sequence, with everything. */
async function checkMembers(cluster: EngramCluster): Promise<string[]> {
  const deadline = performance.now() + convergeMs
  let faults = ['no member has answered']
  let members: MemberView[] = []
  while (faults.length > 0 && performance.now() < deadline) {
    members = await cluster.members()
    faults = memberFaults(members, cluster.options.nodes)
    if (faults.length > 0) await delay(100)
  }
  for (const member of members) {
    say(`Member      ${member.node} ${member.role}: ${showCount(member.nodes)} nodes, `
      + `${showCount(member.edges)} edges, applied ${member.appliedSequence}, `
      + `digest ${member.digest.slice(0, 16)}`)
  }
  return faults
}

function memberFaults(members: readonly MemberView[], count: number): string[] {
  const faults: string[] = []
  if (members.length !== count) faults.push(`${members.length} of ${count} members answer`)
  for (const { node, nodes, edges, appliedSequence, endSequence } of members) {
    if (nodes !== wordNetCounts.synsets) faults.push(`${node} has ${nodes} nodes`)
    if (edges !== wordNetCounts.edges) faults.push(`${node} has ${edges} edges`)
    if (appliedSequence !== endSequence) faults.push(`${node} has not applied all of its log`)
  }
  if (new Set(members.map((member) => member.digest)).size > 1) faults.push('digests differ')
  if (new Set(members.map((member) => member.appliedSequence)).size > 1) {
    faults.push('members are at different sequences')
  }
  return faults
}

/** Reports what only the killed node had, and where it is now. */
async function reportFork(cluster: EngramCluster, killed: Killed): Promise<void> {
  const member = (await cluster.members()).find(({ node }) => node === killed.node)
  if (!member || member.salvages === 0) {
    say(`Fork        none: all that ${killed.node} had written was on the new primary already`)
    return
  }
  const found = salvagesIn(await askCli(['salvage', 'list', cluster.dataOf(killed.node)]))
  const entries = found.reduce((sum, salvage) => sum + (salvage.entries ?? 0), 0)
  const bytes = found.reduce((sum, salvage) => sum + (salvage.bytes ?? 0), 0)
  say(`Fork        ${showCount(entries)} entries, ${showCount(bytes)} bytes of epoch `
    + `${killed.epoch} that no replica had; ${killed.node} cut them off when it came back and `
    + `keeps them in ${found.map((salvage) => salvage.name).join(', ')}`)
  say('            what they held was sent again with the same keys and is in the log')
}

interface SalvageListed {
  readonly name: string
  readonly entries?: number
  readonly bytes?: number
}

function salvagesIn(listed: unknown): SalvageListed[] {
  const list = Array.isArray(listed)
    ? listed
    : (listed as { salvages?: unknown } | null)?.salvages
  return Array.isArray(list) ? list as SalvageListed[] : []
}

runProgram(async () => {
  const data = readWordNet()
  const requests = new WordNetRequests(data, operationsPerRequest)
  say(`WordNet 3.1 ${showCount(data.nodes.length)} synsets, ${showCount(data.edges.length)} `
    + 'pointers, to a cluster of three nodes')
  const cluster = await EngramCluster.start({ space, nodes: 3, replicas: 2 })
  const killed = await write(cluster, requests)
  const faults = await checkMembers(cluster)
  await reportFork(cluster, killed)
  faults.push(...await checkReads(cluster, data))
  await cluster.stop()
  for (const fault of faults) console.error(`MISSING     ${fault}`)
  if (faults.length === 0) {
    say(`Complete    ${showCount(wordNetCounts.synsets)} nodes and `
      + `${showCount(wordNetCounts.edges)} edges on every member, equal digests`)
  }
  return faults.length === 0 ? 0 : 1
})
