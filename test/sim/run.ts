/**
 * One run of the simulator: `runSeed(seed)` draws a plan, `runPlan` carries it out. A run has
 * three parts: clients at work while faults come and go; peace, in which writes must be accepted
 * again; calm, in which the members become level and the audit is made.
 */
import { subjects } from '../../machines/protocol/subjects.js'
import { Audit, membersOf } from './checkers/audit.js'
import { checkReads } from './checkers/reads.js'
import { salvageNames } from './checkers/salvages.js'
import { SimViolation } from './checkers/violation.js'
import { ClientConnection } from './clientConnection.js'
import { heal, scheduleFaults } from './faults.js'
import { ForkOperator } from './forkOperator.js'
import { addAgain } from './memberOrders.js'
import { repair, replaceStranded } from './operator.js'
import { planOf, space } from './plan.js'
import type { FaultKind, Plan } from './plan.js'
import { Transcript } from './transcript.js'
import { Workload } from './workload.js'
import { World } from './world.js'

/** I10: after the faults are over, a write is accepted within this time. */
const liveMs = 5000
/** Requests that were under way have an end by then; then members become level. */
const settleMs = 60_000
/** A node that is not level after this long may need an operator. */
const repairMs = 10_000

/** Liveness of forks: their nodes run, and nothing else happens; then all are reconciled in this time. */
const reconciledMs = 15_000
/** In a space that reconciles by hand, salvages are reported at least. */
const reportedMs = 6000

/** Timers of a node at rest: heartbeat, polls, probes, delays of XState; with room. */
const timersMax = 100

export interface RunOptions {
  readonly only?: readonly FaultKind[]
  readonly trace?: boolean
  /** Makes the frames of a page. */
  readonly record?: boolean
}

export interface RunResult {
  readonly seed: number
  readonly plan: Plan
  /** null: every invariant held. */
  readonly violation: { invariant: string; details: string; atMs: number } | null
  /** Why the run was ended early without a finding; null: it went to its end. */
  readonly excuse: string | null
  /** Over every message, change of the record and end of a process, in order. */
  readonly hash: string
  readonly stats: {
    readonly simulatedMs: number
    readonly realMs: number
    readonly messages: number
    readonly writes: number
    readonly acknowledged: number
    readonly reads: number
    readonly epochs: number
    /** Events of the run: telemetry of all nodes, forks, ends of processes. */
    readonly coverage: Readonly<Record<string, number>>
  }
  readonly transcript: Transcript | null
  readonly recording: readonly string[] | null
}

/** Draws the plan of the seed and runs it. Rejects only when the simulator itself is broken. */
export async function runSeed(seed: number, options: RunOptions = {}): Promise<RunResult> {
  return await runPlan(planOf(seed, options.only), options)
}

export async function runPlan(plan: Plan, options: RunOptions = {}): Promise<RunResult> {
  const transcript = options.trace ? new Transcript() : null
  const begunMs = performance.now()
  const world = await World.open(plan, transcript, options.record)
  let violation: SimViolation | null = null
  const unhandled = (error: unknown): void =>
    world.violate('defect',
      `a promise nobody handles: ${error instanceof Error ? error.stack : String(error)}`)
  process.on('unhandledRejection', unhandled)
  try {
    await carryOut(world)
  } catch (error) {
    violation = error instanceof SimViolation
      ? error
      : new SimViolation('defect', (error as Error).stack ?? String(error), world.now)
  } finally {
    process.off('unhandledRejection', unhandled)
  }
  if (violation) world.note(`violation: ${violation.message}`)
  world.recording?.finish()
  const acknowledged = [...world.history.acknowledged()].length
  return {
    seed: plan.seed,
    plan,
    transcript,
    recording: world.recording?.lines ?? null,
    violation: violation && {
      invariant: violation.invariant,
      details: violation.details,
      atMs: violation.atMs,
    },
    excuse: world.checks.record.excuse,
    hash: world.hash.toString(),
    stats: {
      simulatedMs: world.now,
      realMs: performance.now() - begunMs,
      messages: world.hash.events,
      writes: world.history.writes.length,
      acknowledged,
      reads: world.history.reads.length,
      epochs: world.checks.record.current?.epoch ?? 0,
      coverage: coverageOf(world),
    },
  }
}

function coverageOf(world: World): Record<string, number> {
  const coverage: Record<string, number> = { ...world.checks.coverage }
  const add = (name: string, by: number): void => {
    coverage[name] = (coverage[name] ?? 0) + by
  }
  for (const node of world.nodes) {
    for (const [name, by] of node.counts) add(name, by)
    add('lives', node.lives)
    const member = node.life?.actor.spaces.get(space)?.member
    add('histories summed up', member && member.log.root.sequence > 0 ? 1 : 0)
  }
  return coverage
}

/** I11: when all is calm, nothing has piled up. */
function bounded(world: World): void {
  const timers = world.cluster.clock.pending
  if (timers > timersMax * world.nodes.length) {
    world.violate('I11', `${timers} timers are set while nothing happens`)
  }
  for (const node of world.nodes) {
    for (const { id, waiting } of node.life?.host.report().actors ?? []) {
      if (waiting > 0) world.violate('I11', `${waiting} events wait for ${id} of ${node.id}`)
    }
  }
}

async function carryOut(world: World): Promise<void> {
  const workload = new Workload(world)
  const operator = new ForkOperator(world)
  workload.start()
  operator.start()
  scheduleFaults(world)
  await world.run(world.plan.faultsMs)
  heal(world)
  await repair(world)
  if (world.checks.record.excuse) return
  await accepted(world)
  workload.stop()
  operator.stop()
  const isOver = (): boolean => workload.isOver && operator.isOver
  await level(world, isOver)
  await addAgain(world)
  await level(world, isOver)
  await home(world, operator)
  await level(world, isOver)
  if (world.checks.record.excuse) return
  const audit = await world.outcome('reading the logs and salvages', Audit.read(world))
  await audit.check()
  bounded(world)
  checkReads(world, audit.log)
  if (world.violation) throw world.violation
}

/** Every salvage is reconciled, and every report closed, unless they wait for a command. */
async function home(world: World, operator: ForkOperator): Promise<void> {
  const { reconcile, reconcilesAtEnd } = world.plan
  if (world.checks.record.excuse) return
  if (reconcile === 'off' || (reconcile === 'manual' && !reconcilesAtEnd))
    return await world.run(reportedMs)
  const isHome = (): boolean =>
    membersOf(world).every((node) => salvageNames(node).length === 0)
    && world.cluster.primary(space)?.space(space).member.store.openReportCount === 0
  const limitMs = world.now + reconciledMs
  while (world.now < limitMs) {
    if (reconcile === 'manual') operator.orderHome()
    if (await world.until(isHome, 3000, 50)) return
  }
  const reports = world.cluster.primary(space)?.space(space).member.store.reports()
  world.violate('reconcile',
    `not all forks are reconciled, or their reports closed, after ${reconciledMs} ms: `
      + `${
        world.nodes.map((node) =>
          `${node.id}: ${salvageNames(node).join()}, ${
            node.life?.actor.spaces.get(space)?.uploads.state
          }`
        ).join('; ')
      }\n`
      + JSON.stringify(reports?.filter(({ outcome }) => outcome === null)))
  throw world.violation!
}

/** I10: a client that tries again and again is served in time. */
async function accepted(world: World): Promise<void> {
  const connection = new ClientConnection(world, 'prober')
  let isAccepted = false
  const body = Buffer.from('{"type":"StoreNode","node":{"id":"prober","content":"probe"}}')
  const probe = (): void => {
    if (isAccepted) return
    connection.current?.request(subjects.write(space), body, { timeoutMs: 1000 })
      .then((message) => {
        isAccepted ||= Buffer.from(message.data).includes('"ok":true')
      }).catch(() => undefined)
    world.after(50, probe)
  }
  probe()
  if (await world.until(() => isAccepted, liveMs) || world.checks.record.excuse) return
  world.violate('I10', `no write is accepted ${liveMs} ms after the faults were over:\n`
    + world.cluster.describe(space))
  throw world.violation!
}

/** I8: all members follow, and have the same; nothing is under way. */
async function level(world: World, isOver: () => boolean): Promise<void> {
  const isLevel = (): boolean => {
    const primary = world.cluster.primary(space)
    if (!primary || !isOver()) return false
    const { log } = primary.space(space).member
    const record = world.checks.record.current
    return record !== null && record.change === undefined
      && record.inSync.length === record.members.length
      && membersOf(world).length === record.members.length
      && membersOf(world).every((node) => {
        const member = node.life?.actor.spaces.get(space)?.member
        return member !== undefined && member.log.durable.sequence === log.end.sequence
          && member.store.applied.sequence === log.end.sequence
          && (node === primary || member.following.isFollowing)
      })
  }
  const limitMs = world.now + settleMs
  while (world.now < limitMs && !world.checks.record.excuse) {
    if (await world.until(isLevel, repairMs, 50)) return
    replaceStranded(world)
  }
  if (world.checks.record.excuse) return
  world.violate('I8', `the members are not level ${settleMs} ms after the faults were over `
    + `(requests under way: ${!isOver()}):\n${world.cluster.describe(space)}\n`
    + JSON.stringify(world.checks.record.current))
  throw world.violation!
}
