/**
 * A chaos run: load and faults for a time, then the audit. The load goes on for a second after the
 * last fault, which shows that writes are acknowledged again.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { EngramClient } from '../client/client.js'
import { ReadError } from '../client/errors.js'
import type { ClusterSpace } from '../status/status.js'
import { placesOf, questionable } from './recordAudit.js'
import { audit } from './audit.js'
import type { Audit, Evidence, MemberEnd } from './audit.js'
import type { Control } from './control.js'
import { ChaosRefusedError } from './errors.js'
import { membersInTheEnd, readFates, readLog, readReports, readSalvages } from './evidence.js'
import { Injector } from './injector.js'
import type { FaultDone, SkippedFault } from './injector.js'
import { Load } from './load.js'
import { nobodyInSync, outageOf } from './outage.js'
import type { Excuse, Outage } from './outage.js'
import type { FaultKind } from './plan.js'
import type { LoggedRecord, SalvagedRecord } from './records.js'
import { epochsOf } from './epochs.js'
import type { Promotion } from './epochs.js'
import { Watch } from './watch.js'

export interface ChaosOptions {
  /** May ask for the status, send commands, and read. */
  readonly operator: EngramClient
  /** May write. */
  readonly writer: EngramClient
  /** Control of the `engram up` that owns the cluster. null if none is known. */
  readonly control: Control | null
  readonly space: string
  readonly forMs: number
  readonly kinds: readonly FaultKind[]
  /** Writes per second. */
  readonly rate: number
  readonly seed: number
  /** Takes each event, a line each. */
  readonly log: (line: string) => void
  /** Called every second. */
  readonly progress: (progress: Progress) => void
  /** Ends the faults early. The audit is made all the same. */
  readonly signal: AbortSignal
}

export interface Progress {
  readonly elapsedMs: number
  readonly written: number
  readonly acknowledged: number
  readonly faults: number
  readonly primary: string | null
  readonly inSync: readonly string[]
}

export interface Unavailability extends Outage {
  /** Limit of invariant I10. */
  readonly limitMs: number
  /** Periods that do not count. */
  readonly excuses: readonly Excuse[]
}

export interface ChaosReport extends Audit {
  readonly ok: boolean
  readonly space: string
  readonly seed: number
  readonly ms: number
  readonly faults: readonly FaultDone[]
  readonly skipped: readonly SkippedFault[]
  readonly promotions: readonly Promotion[]
  readonly unavailability: Unavailability
  readonly members: readonly MemberEnd[]
}

/** Limit of invariant I10 (a space takes writes again). */
export const unavailableMaxMs = 5000
const afterwardsMs = 1000
/** Records at their first place whose fate is asked for, at most. */
const presentAskedMax = 1000
const progressMs = 1000
/** Constants of Park and Miller's generator: a prime modulus and a primitive root of it. */
const [modulus, multiplier] = [2_147_483_647, 48_271]

/** @throws ChaosRefusedError, ReadError, AdminError */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { operator, space, signal } = options
  const found = await spaceNow(operator, space)
  const beganAt = performance.now()
  const nowMs = (): number => Math.round(performance.now() - beganAt)
  const watch = new Watch(operator, space, nowMs)
  const injector = new Injector({
    client: operator,
    control: options.control,
    watch,
    space,
    kinds: options.kinds,
    nowMs,
    random: seeded(options.seed),
    log: options.log,
  })
  const run = `chaos-${Date.now().toString(36)}`
  const load = new Load(options.writer, {
    space,
    run,
    rate: options.rate,
    random: seeded(options.seed + 1),
    nowMs,
  })
  const timer = setInterval(() =>
    options.progress({
      elapsedMs: nowMs(),
      written: load.records.length,
      acknowledged: load.answersMs.length,
      faults: injector.done.length,
      primary: watch.found?.primary ?? null,
      inSync: watch.found?.inSync ?? [],
    }), progressMs)
  try {
    const kinds = await injector.prepare(found)
    for (const { fault, why } of injector.skipped) options.log(`skipping ${fault}: ${why}`)
    if (kinds.length === 0) {
      throw new ChaosRefusedError('none of the faults can be injected into this cluster',
        'Start one with: engram up --chaos')
    }
    load.start()
    await injector.run(kinds, () => (signal.aborted ? 0 : options.forMs - nowMs()))
    await pause(Math.max(afterwardsMs, signal.aborted ? 0 : options.forMs - nowMs()))
    const loadEndMs = nowMs()
    await load.stop()
    return await report(options, { watch, injector, load, run, found, loadEndMs, nowMs })
  } finally {
    clearInterval(timer)
    await load.stop()
    await watch.close()
  }
}

async function spaceNow(client: EngramClient, space: string): Promise<ClusterSpace> {
  const status = await client.status()
  if (status.nodes.length === 0) {
    throw new ChaosRefusedError('no Engram node answers on this NATS server',
      'Start a cluster with: engram up --chaos')
  }
  const found = status.spaces.find(({ id }) => id === space)
  if (found) return found
  const names = status.spaces.map(({ id }) => id).join(', ') || 'none'
  throw new ChaosRefusedError(`there is no space ${space}; existing spaces: ${names}`,
    `Create it with: engram space create ${space}`)
}

interface Ended {
  readonly watch: Watch
  readonly injector: Injector
  readonly load: Load
  readonly run: string
  readonly found: ClusterSpace
  readonly loadEndMs: number
  readonly nowMs: () => number
}

async function report(options: ChaosOptions, ended: Ended): Promise<ChaosReport> {
  const { operator, space } = options
  const { watch, injector, load, run, found } = ended
  options.log('waiting until all members are at one sequence and all forks are reconciled')
  const { members, hasConverged, returned } = await membersInTheEnd(watch)
  options.log('reading the log and the salvages')
  const from = found.commitSequence + 1
  const { log, fault } = await readLog(operator, space, from, run)
  const nodes = (watch.status?.nodes ?? []).filter(({ id }) =>
    members.some(({ node }) => node === id)
  )
  const { salvaged, unreadable } = await readSalvages(nodes, found.uuid, run)
  options.log('asking the cluster for fates and fork reports')
  const stated = await clusterReports(options, ended, log, salvaged)
  const result = audit({
    records: load.records,
    log,
    salvaged,
    unreadable,
    filled: injector.filled,
    members,
    hasConverged,
    returned,
    reports: stated.reports,
    fates: stated.fates,
  })
  const excuses = [
    ...injector.excuses,
    ...watch.stalls,
    ...nobodyInSync(watch.inSync, injector.down, ended.loadEndMs),
  ]
  const outage = outageOf(
    load.answersMs,
    { fromMs: 0, toMs: ended.loadEndMs },
    excuses,
  )
  const broken = [
    ...result.broken,
    ...(fault === null ? [] : [fault]),
    ...stated.faults,
    ...injector.broken,
    ...outageFault(outage),
    ...await deathFaults(options.control, ended),
  ]
  return {
    ...result,
    broken,
    ok: broken.length === 0,
    space,
    seed: options.seed,
    ms: Math.round(ended.loadEndMs),
    faults: injector.done,
    skipped: injector.skipped,
    promotions: epochsOf([...watch.epochs.values()], load.records, injector.done, found.epoch),
    unavailability: { ...outage, limitMs: unavailableMaxMs, excuses },
    members,
  }
}

/** The cluster's own fork reports, and its fates of the records. */
async function clusterReports(
  { operator, space }: ChaosOptions,
  { load, found }: Ended,
  log: readonly LoggedRecord[],
  salvaged: readonly SalvagedRecord[],
): Promise<Pick<Evidence, 'reports' | 'fates'> & { readonly faults: readonly string[] }> {
  const keys = questionable(placesOf(load.records, log, salvaged), presentAskedMax)
  try {
    const reports = await readReports(operator, space, found.commitSequence + 1)
    return { reports, fates: await readFates(operator, space, load.records, keys), faults: [] }
  } catch (error) {
    if (!(error instanceof ReadError)) throw error
    const faults = [`the cluster does not return its fork reports: ${error.message}`]
    return { reports: [], fates: new Map(), faults }
  }
}

function outageFault({ worstMs, atMs }: Outage): string[] {
  if (worstMs <= unavailableMaxMs) return []
  return [`no positive answer for ${Math.round(worstMs)} ms from ${Math.round(atMs ?? 0)} ms on, `
    + `while an in-sync member and the broker were up (I10 allows ${unavailableMaxMs} ms)`]
}

/** Deaths of nodes that no fault caused. */
async function deathFaults(control: Control | null, { nowMs }: Ended): Promise<string[]> {
  if (!control) return []
  const beganAt = Date.now() - nowMs()
  const means = await control.means().catch((error: unknown) => (error as Error).message)
  if (typeof means === 'string') return [`it is not known whether nodes have died: ${means}`]
  return means.deaths.filter(({ atMs }) => atMs >= beganAt).map(({ node, pid, how }) =>
    `${node} (pid ${pid}) ended by itself: ${how}; see its log`
  )
}

/** The minimal standard generator (Park and Miller 1988), enough to repeat a choice of faults. */
export function seeded(seed: number): () => number {
  let state = (Math.abs(Math.trunc(seed)) % (modulus - 1)) + 1
  return () => {
    state = (state * multiplier) % modulus
    return (state - 1) / (modulus - 1)
  }
}
