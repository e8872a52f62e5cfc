/** One measurement: a load on a system, with what its processes use of the processor meanwhile. */
import { setTimeout as delay } from 'node:timers/promises'
import { accountBetween, serversCpu, takeSnapshot, withBatches } from './account.js'
import type { Account, Counts, Role, Snapshot } from './account.js'
import { measure } from './load.js'
import type { LoadResult } from './load.js'
import type { ThreadKind } from './proc.js'
import type { LoadSpec, Target } from './target.js'

/** One way to load a system. */
export const loads = {
  paced: { rate: 200 },
  one: { inFlight: 1 },
  open: { rate: 5000 },
  closed: { inFlight: 256 },
  committed: { inFlight: 256, ack: 'committed' },
  keyed: { inFlight: 256, header: 'Nats-Msg-Id' },
  apart: { inFlight: 256, connections: 256 },
} as const satisfies Record<string, Partial<LoadSpec>>
export type LoadName = keyof typeof loads
export const loadNames = Object.keys(loads) as LoadName[]

export interface Measured extends LoadResult {
  readonly account: Account
}

export interface Timing {
  readonly seconds: number
  readonly warmupSeconds: number
}

/** Without much code that V8 has to compile. */
export const smallWarmSeconds = 3

/** Half of it with many writes in flight, half with one: they do not run the same code. */
export async function warmUp({ endpoint }: Target, seconds: number): Promise<void> {
  for (const load of ['closed', 'one'] as const) {
    await measure({ ...endpoint, ...loads[load], seconds: seconds / 2, warmupSeconds: 0 })
  }
}

const restMs = 1500

/**
 * Only Engram has levels of answers, and keys of this kind. Clients of Redis often have a
 * connection each, and that costs; over NATS one connection to a server is the rule.
 */
const knownTo: Readonly<Partial<Record<LoadName, string>>> = {
  committed: 'engram',
  keyed: 'engram',
  apart: 'redis',
}

export function knows(system: string, load: LoadName): boolean {
  return (knownTo[load] ?? system) === system
}

export async function measureLoad(
  target: Target,
  load: LoadName,
  timing: Timing,
): Promise<Measured> {
  const pids = await target.pids()
  let before: Snapshot | undefined
  let after: Snapshot | undefined
  let counted: Counts | null = null
  let loadPid = -1
  const result = await measure({ ...target.endpoint, ...loads[load], ...timing }, {
    begun: async (pid) => {
      loadPid = pid
      counted = await target.batches?.() ?? null
      before = takeSnapshot({ ...pids, load: [pid] })
    },
    over: async () => {
      after = takeSnapshot({ ...pids, load: [loadPid] })
    },
  })
  if (!before || !after) throw new Error('the load has ended without a measurement')
  const account = accountBetween(before, after)
  return {
    ...result,
    account: withBatches(account, counted, await target.batches?.() ?? null, timing.seconds),
  }
}

/** Measures all these systems at the same time, while none of them has a load. */
export async function measureIdle(
  targets: readonly Target[],
  seconds: number,
): Promise<Map<string, Account>> {
  const pids = await Promise.all(targets.map((target) => target.pids()))
  // Work that the last load left is done first.
  await delay(restMs)
  const before = pids.map(takeSnapshot)
  await delay(seconds * 1000)
  return new Map(
    targets.map(({ name },
      n) => [name,
      accountBetween(before[n] ?? { atMs: NaN, threads: {} }, takeSnapshot(pids[n] ?? {}))]
    ),
  )
}

/** A line of progress. */
export function resultInWords(result: Measured): string {
  const { p50Ms, p99Ms, perSecond, errors } = result
  return `p50 ${p50Ms} ms, p99 ${p99Ms} ms, ${perSecond}/s, `
    + `${cpuPerWrite(result).toFixed(1)} µs of CPU per write`
    + (Object.keys(errors).length > 0 ? ` ${JSON.stringify(errors)}` : '')
}

export function inWords(account: Account): string {
  return `${(serversCpu(account) / 10).toFixed(1)} % of a core`
}

/** µs of CPU per write: of a role, or of all servers. */
export function cpuPerWrite({ account, perSecond }: Measured, role?: Role): number {
  const msPerSecond = role ? account[role]?.cpuMsPerSecond ?? NaN : serversCpu(account)
  return msPerSecond * 1000 / perSecond
}

/** Wakes per write, in each process of a role. */
export function wakesPerWrite(
  { account, perSecond }: Measured,
  role: Role,
  kind: ThreadKind,
): number {
  const usage = account[role]
  return usage ? usage.wakesPerSecond[kind] / usage.processes / perSecond : NaN
}

/** Wakes of a node's pool per batch that it flushed; NaN where batches are not counted. */
export function poolWakesPerBatch({ account }: Measured, role: Role): number {
  const usage = account[role]
  return usage ? usage.wakesPerSecond.pool / (usage.batchesPerSecond ?? NaN) : NaN
}
