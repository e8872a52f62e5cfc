/**
 * One member's disk is emptied: how fast it is installed, and what the live writes see of it, which
 * go on at a fixed rate.
 */
import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { BulkWriter, GiB, MiB } from './diskKit.js'
import type { Finding, Progress } from './diskKit.js'
import { startEngram } from './engram.js'
import type { EngramCluster, MemberView } from './engram.js'
import { gone } from './faults.js'
import { measure } from './load.js'
import type { LoadResult } from './load.js'
import { median } from './table.js'

const contentBytes = 1000
const rateGoal = 5000
const rateMin = 300
/** The rate that this machine can: so much of it is answered, and in this time. */
const answeredShare = 0.98
const usableP99Ms = 200
const sliceSeconds = 4
const slicesBefore = 6
const loadIds = 20_000
const pollMs = 50
const breakMs = 1000
const limitMs = 1_200_000
const checkpointRatio = 1

export async function measureInstall(gib: number, progress: Progress): Promise<Finding[]> {
  // A newest checkpoint that has nearly all: they come to be at each doubling.
  const checkpointBytes = Math.max(16 * MiB, Math.floor(gib * GiB / 16))
  const cluster = await startEngram('disks', {
    config: { checkpointBytes, checkpointRatio, retainBytes: 128 * MiB },
  })
  await fill(cluster, gib, progress)
  const rate = await usableRate(cluster, progress)
  const before: LoadResult[] = []
  while (before.length < slicesBefore) before.push(await slice(cluster, rate))
  progress(`install: p99 before ${p99s(before)}`)
  const { primary } = await cluster.awaitInSync()
  const victim = ['n1', 'n2', 'n3'].find((id) => id !== primary)!
  const pid = cluster.pidOf(victim)
  cluster.kill(victim)
  await gone(pid)
  rmSync(cluster.dataOf(victim), { recursive: true })
  const begun = performance.now()
  await cluster.restart(victim)
  const watched = watch(cluster, victim)
  const meanwhile: LoadResult[] = []
  while (!watched.isOver) {
    meanwhile.push(await slice(cluster, rate))
  }
  const { ms, bytes } = await watched.done
  progress(`install: ${Math.round(bytes / MiB)} MiB in ${Math.round(ms)} ms; p99 meanwhile `
    + p99s(meanwhile))
  await cluster.awaitInSync(undefined, limitMs)
  const inSyncMs = performance.now() - begun
  await cluster.stop()
  return findings({ ms, bytes, inSyncMs, rate, before, meanwhile })
}

/** Bulk writes until the newest checkpoint of each member has most of what was asked for. */
async function fill(cluster: EngramCluster, gib: number, progress: Progress): Promise<void> {
  const ids = Math.ceil(gib * GiB / (contentBytes + 60))
  const writer = await BulkWriter.open(cluster, { contentBytes, ids })
  const chunk = Math.min(50_000, Math.ceil(ids / 8))
  const isReady = ({ checkpoint, firstSequence }: MemberView): boolean =>
    (checkpoint?.bytes ?? 0) >= gib * GiB * 0.9 && (firstSequence ?? 0) > 1
  for (;;) {
    const members = await cluster.members()
    if (members.length === 3 && members.every(isReady)) break
    if (writer.written > 12 * ids) throw new Error('checkpoints of that size do not come to be')
    // Checkpoints are slower than bulk writes.
    if (writer.written > ids) await delay(breakMs)
    await writer.write(chunk)
    progress(`install: ${Math.round(writer.written * contentBytes / MiB)} MiB written, checkpoints `
      + members.map(({ checkpoint }) => Math.round((checkpoint?.bytes ?? 0) / MiB)).join(', '))
  }
  await writer.close()
  await cluster.awaitInSync(undefined, limitMs)
}

/** The goal's rate, halved until this machine can. */
async function usableRate(cluster: EngramCluster, progress: Progress): Promise<number> {
  await slice(cluster, rateGoal)
  for (let rate = rateGoal; rate > rateMin; rate /= 2) {
    const { perSecond, p99Ms } = await slice(cluster, rate)
    if (perSecond >= answeredShare * rate && p99Ms <= usableP99Ms) return rate
    progress(`install: ${rate}/s are too many: ${perSecond}/s answered, p99 ${p99Ms} ms`)
  }
  throw new Error(`this machine is too busy for ${rateMin} writes/s`)
}

function slice(cluster: EngramCluster, rate: number): Promise<LoadResult> {
  return measure({ ...cluster.target.endpoint, rate, seconds: sliceSeconds, warmupSeconds: 0.5,
    ids: loadIds })
}

interface Watched {
  isOver: boolean
  /** From the first phase of the install until it follows the log; size of the checkpoint. */
  readonly done: Promise<{ readonly ms: number; readonly bytes: number }>
}

function watch(cluster: EngramCluster, victim: string): Watched {
  const watched: Watched = { isOver: false, done: run().finally(() => (watched.isOver = true)) }
  return watched

  async function run(): Promise<{ ms: number; bytes: number }> {
    const deadline = performance.now() + limitMs
    let from = NaN
    let bytes = 0
    for (;;) {
      const member = (await cluster.members()).find(({ node }) => node === victim)
      const now = performance.now()
      if (member?.install) {
        if (Number.isNaN(from)) from = now
        bytes = Math.max(bytes, member.install.totalBytes)
      } else if (bytes > 0 && member && member.appliedSequence > 0) return { ms: now - from, bytes }
      if (now > deadline) throw new Error(`${victim} is not installed in time: ${member?.reason}`)
      await delay(pollMs)
    }
  }
}

interface Measures {
  readonly ms: number
  readonly bytes: number
  readonly inSyncMs: number
  readonly rate: number
  readonly before: readonly LoadResult[]
  readonly meanwhile: readonly LoadResult[]
}

function findings({ ms, bytes, inSyncMs, rate, before, meanwhile }: Measures): Finding[] {
  const p99 = (results: readonly LoadResult[]): number => median(results.map((one) => one.p99Ms))
  const most = (results: readonly LoadResult[]): number =>
    Math.max(...results.map((one) => one.p99Ms))
  const failed = meanwhile.flatMap(({ errors }) => Object.values(errors))
    .reduce((sum, count) => sum + count, 0)
  return [
    { what: 'checkpoint that was sent', value: bytes / MiB, unit: 'MiB' },
    { what: 'install, from its first step until the state is in place', unit: 'MiB/s',
      value: bytes / MiB / ms * 1000, goal: { least: 4 } },
    { what: 'from exec with an empty disk until it is in sync', value: inSyncMs / 1000, unit: 's' },
    { what: 'live writes', value: rate, unit: '/s' },
    { what: `p99 before, median of ${before.length} slices`, value: p99(before), unit: 'ms' },
    { what: 'p99 before, worst slice', value: most(before), unit: 'ms' },
    { what: `p99 meanwhile, median of ${meanwhile.length} slices`, value: p99(meanwhile),
      unit: 'ms' },
    { what: 'p99 meanwhile, worst slice', value: most(meanwhile), unit: 'ms' },
    { what: 'p99 meanwhile against before', value: p99(meanwhile) / p99(before), unit: '×',
      goal: { most: 2 } },
    { what: 'writes meanwhile that were refused, or not answered', value: failed, unit: '' },
  ]
}

function p99s(results: readonly LoadResult[]): string {
  return results.map(({ p99Ms }) => `${p99Ms.toFixed(1)} ms`).join(', ')
}
