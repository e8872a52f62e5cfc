/**
 * `npm run soak [-- --gib 20 | --short] [--json]`: years in minutes. A cluster with small segments
 * and checkpoints takes so many GiB of writes to a state that stays small, while nodes are killed,
 * lose their power, their disks, and are away for longer than the journal reaches back. Fails
 * unless disk, memory and start-up time level off (in a short run: unless the journal is cut), and
 * all that was committed is there on all members.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { EngramCluster, askCli, startEngram } from './engram.js'
import { bytesBelow, distrustStore, gone, rssOf } from './faults.js'
import { runProgram } from './processes.js'
import { SoakWriter } from './soakWriter.js'
import { median } from './table.js'

const MiB = 2 ** 20
const space = 'soak'
const config = {
  segmentBytes: 1 * MiB,
  checkpointBytes: 1 * MiB,
  retainBytes: 4 * MiB,
}
const faults = ['kill', 'powerCut', 'stop', 'away', 'emptyDisk'] as const
type Fault = typeof faults[number]

/** Of one node, once it is in sync again. */
interface Sample {
  readonly writtenMiB: number
  readonly fault: Fault
  readonly node: string
  /** From the start of its process until it says that it is ready. */
  readonly startMs: number
  readonly inSyncMs: number
  readonly diskMiB: number
  readonly journalMiB: number
  readonly storeMiB: number
  readonly rssMiB: number
}

/** Of a run of the usual length; a multiple of the faults for each third. */
const rounds = 60
/** At least, so that a member that was away falls behind what is retained. */
const roundBytesMin = 12 * config.retainBytes

/** Then disks have what they keep, and not what comes of the rate of the writes. */
const restMs = 4000
/** Growth of the last third against the second one that counts as none: so much noise there is. */
const growthMax = { diskMiB: 1.2, rssMiB: 1.15, startMs: 1.5 }
/** Of small numbers. */
const noise = { diskMiB: 10, rssMiB: 20, startMs: 1000 }

class Soak {
  readonly samples: Sample[] = []

  constructor(
    private readonly cluster: EngramCluster,
    private readonly writer: SoakWriter,
    /** To be written in each round, or more. */
    private readonly roundBytes: number,
  ) {}

  /** One fault to one node, until all are in sync again. */
  async round(fault: Fault, number: number): Promise<void> {
    const { cluster, writer } = this
    const { primary } = await cluster.awaitInSync()
    // The primary every other time.
    const others = ['n1', 'n2', 'n3'].filter((id) => id !== primary)
    const node = number % 2 === 0 ? primary : others[number % others.length]!
    const data = cluster.dataOf(node)
    const pid = cluster.pidOf(node)
    if (fault === 'stop') process.kill(pid, 'SIGTERM')
    else cluster.kill(node)
    await gone(pid)
    if (fault === 'powerCut') distrustStore(data)
    if (fault === 'emptyDisk') rmSync(data, { recursive: true })
    if (fault === 'away') await writer.until(writer.bytes + roundBytesMin)
    const begun = performance.now()
    await cluster.restart(node)
    const startMs = performance.now() - begun
    await cluster.awaitInSync(space, 120_000)
    const inSyncMs = performance.now() - begun
    await writer.until(writer.bytes + this.roundBytes)
    // What is written while checkpoints are taken goes with the next ones.
    await writer.rest(restMs)
    this.samples.push({
      writtenMiB: Math.round(writer.bytes / MiB),
      fault,
      node,
      startMs: Math.round(startMs),
      inSyncMs: Math.round(inSyncMs),
      diskMiB: Math.round(bytesBelow(data) / MiB),
      journalMiB: Math.round(bytesBelow(join(data, 'journal')) / MiB),
      storeMiB: Math.round(bytesBelow(join(data, 'store')) / MiB),
      rssMiB: Math.round(rssOf(cluster.pidOf(node))),
    })
  }

  /** What has grown from the second third to the last one; of a short run, a journal not cut. */
  grown(): string[] {
    const { samples } = this
    if (samples.length < 3 * faults.length) {
      const { writtenMiB, journalMiB, node } = samples.at(-1)!
      return journalMiB < writtenMiB / 2
        ? []
        : [`the journal of ${node} has ${journalMiB} MiB, where ${writtenMiB} were written`]
    }
    const size = samples.length / 3
    const [second, last] = [samples.slice(size, 2 * size), samples.slice(2 * size)]
    return (['diskMiB', 'rssMiB', 'startMs'] as const).flatMap((what) => {
      const [before, after] = [second, last].map((some) => median(some.map((one) => one[what])))
      const isLevel = after! <= before! * growthMax[what] + noise[what]
      return isLevel ? [] : [`${what} grew from ${before} to ${after}`]
    })
  }
}

/** Members at the same sequence whose stores differ, or journals that are not whole. */
async function faultsAtRest(cluster: EngramCluster): Promise<string[]> {
  const found: string[] = []
  await cluster.awaitInSync()
  const level = async (): Promise<boolean> => {
    const members = await cluster.members()
    return new Set(members.map((member) => member.appliedSequence)).size === 1
  }
  for (let tries = 0; tries < 200 && !await level(); tries++) await delay(50)
  const members = await cluster.members()
  const digests = new Set(members.map(({ digest }) => digest))
  if (digests.size !== 1) found.push(`digests differ: ${[...digests].join(', ')}`)
  for (const { node } of members) {
    const data = cluster.dataOf(node)
    const report = await askCli(['journal', 'verify', join(data, 'journal')]) as { ok: boolean }
    if (!report.ok) found.push(`${node}: ${JSON.stringify(report)}`)
  }
  return found
}

function show({ writtenMiB, fault, node, ...numbers }: Sample): string {
  const { startMs, inSyncMs, diskMiB, journalMiB, storeMiB, rssMiB } = numbers
  return `${String(writtenMiB).padStart(6)} MiB  ${fault.padEnd(9)} ${node}  start ${startMs} ms, `
    + `in sync ${inSyncMs} ms  disk ${diskMiB} MiB (journal ${journalMiB}, store ${storeMiB})  `
    + `memory ${rssMiB} MiB`
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: {
    gib: { type: 'string', default: '20' },
    short: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  } })
  const goal = values.short ? 1 : Number(values.gib) * 2 ** 30
  if (!(goal > 0)) throw new Error('--gib must be a number above 0')
  const cluster = await startEngram(space, { config })
  await cluster.reports()
  const writer = await SoakWriter.start(cluster.url, space)
  const soak = new Soak(cluster, writer, Math.max(roundBytesMin, goal / rounds))
  await writer.until(4 * config.retainBytes)
  // Each third has each fault as often.
  const multiple = values.short ? faults.length : 3 * faults.length
  for (let round = 0; round === 0 || writer.bytes < goal || round % multiple > 0; round++) {
    await soak.round(faults[round % faults.length]!, round)
    if (!values.json) console.log(show(soak.samples.at(-1)!))
  }
  await writer.stop()
  const found = [...soak.grown(), ...await faultsAtRest(cluster), ...await writer.missing()]
  if (values.json) console.log(JSON.stringify({ samples: soak.samples, found }))
  else for (const text of found) console.error(text)
  await writer.close()
  await cluster.stop()
  if (!values.json) console.log(found.length === 0 ? 'all is level' : 'not ok')
  return found.length === 0 ? 0 : 1
}

runProgram(main)
