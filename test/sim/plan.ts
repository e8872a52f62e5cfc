/**
 * The plan of a run, as data, drawn from its seed before it begins: so a run can
 * be printed, cut down to what still fails, and run again.
 */
import type { MaxLoss } from '../../machines/protocol/messages.js'
import type { AutoBalanceMode } from '../../machines/protocol/rebalance.js'
import { SeededRandom } from '../fakes/seededRandom.js'
import { faultKinds, swarmKinds } from './fault.js'
import type { Fault, FaultKind, SwarmKind } from './fault.js'
import { drawMembers } from './memberPlan.js'

/** The space of every run. */
export const space = 'teams'

export { faultKinds }
export type { Fault, FaultKind }

export interface ClientPlan {
  /** Mean pause between two requests, ms. */
  readonly thinkMs: number
  /** Requests that may be under way at once. */
  readonly pipeline: number
  /**
   * plain: retries with its key what was not answered. repeats: sends old writes again, with their
   * keys only. protects: keeps acknowledged writes until they are safe, and sends again, with
   * their origin, those that a later epoch lacks.
   */
  readonly behaves: 'plain' | 'repeats' | 'protects'
}

export interface Plan {
  readonly seed: number
  readonly nodes: readonly string[]
  readonly replicas: number
  readonly minInSync: number
  readonly maxLoss: MaxLoss | null
  readonly whenUnderReplicated: 'accept' | 'wait' | 'refuse'
  readonly reconcile: 'automatic' | 'manual' | 'off'
  /** Mean pause between two commands of an operator about forks, ms; null: there are none. */
  readonly commandsEveryMs: number | null
  /** At the end, in a space that waits for it, a command has all salvages reconciled. */
  readonly reconcilesAtEnd: boolean
  /** From the start of the workload to the end of the faults, ms. */
  readonly faultsMs: number
  readonly clocks: Readonly<Record<string, { rate: number; wallOffsetMs: number }>>
  readonly latencyMs: number
  readonly fsyncMs: number
  readonly clients: readonly ClientPlan[]
  /** Requests that all clients together make at most. */
  readonly requestsMax: number
  /** Journal bytes after which a checkpoint is due; none: hardly ever. */
  readonly checkpointBytes?: number
  /** Size of a segment of the journal; none: there is one. */
  readonly segmentBytes?: number
  /** Closed segments that are kept; none: hardly any is given up. */
  readonly retainBytes?: number
  /** Epochs that a history keeps, of those that checkpoints cover; none: all of a run. */
  readonly coveredSpansMax?: number
  /** Nodes that were taken out keep their data for this long; none: longer than any run. */
  readonly removedKeepMs?: number
  /** A member that is gone for this long is replaced; none: for longer than any run. */
  readonly replaceAfterMs?: number
  /** What primaries move by themselves, and after what time; none: nothing. */
  readonly autoBalance?: AutoBalanceMode
  readonly balanceAfterMs?: number
  readonly faults: readonly Fault[]
}

/** Weight of a kind, next to the others that a run has. */
const weights: Readonly<Record<SwarmKind, number>> = {
  kill: 6,
  powerCut: 4,
  crashAt: 8,
  crashInRecovery: 3,
  drain: 2,
  rollingRestart: 1,
  pause: 4,
  suspend: 2,
  wallJump: 1,
  isolate: 4,
  cut: 3,
  partition: 3,
  strand: 8,
  delay: 2,
  drop: 3,
  duplicate: 2,
  brokerOutage: 2,
  cutConnection: 3,
  slowDisk: 2,
  fullDisk: 2,
  failSync: 2,
  loseDisk: 1,
  flipBit: 0.5,
  arbiterSlow: 2,
  arbiterDown: 2,
  arbiterAnswers: 4,
  arbiterWipe: 0.5,
  killActor: 3,
  handover: 4,
  forcePromotion: 0.5,
}

/** Ports, and single operations that come seldom: those of truncations, claims, openings. */
const crashPorts = [
  'disk',
  'disk',
  'bus',
  'arbiter',
  'store',
  'any',
  'disk:rename',
  'disk:syncDirectory',
  'disk:datasync',
  'disk:open',
  'arbiter:compareAndSet',
  'bus:flush',
] as const

/** Clock rates of two nodes differ by less than 10 %, as leases assume. */
const [rateMin, rateMax] = [0.955, 1.05] as const

/** The plan of a seed; `only`: no other kinds of faults. */
export function planOf(seed: number, only: readonly FaultKind[] = faultKinds): Plan {
  const random = new SeededRandom(seed).fork('plan')
  const count = random.pick([3, 3, 3, 3, 3, 2, 4, 5])
  const first = Array.from({ length: count }, (_, index) => `n${index + 1}`)
  const replicas = random.chance(0.8) ? Math.min(2, count - 1) : 1 + random.integer(count - 1)
  const faultsMs = 4000 + random.integer(12_000)
  const isCalm = random.chance(0.1)
  const kinds = swarm(random, swarmKinds.filter((kind) => only.includes(kind)))
  const members = drawMembers(new SeededRandom(seed).fork('changes'), first, faultsMs)
  const nodes = [...first, ...members.spares]
  const faults = [
    ...isCalm || kinds.length === 0 ? [] : drawFaults(random, kinds, first, faultsMs),
    ...members.faults.filter(({ kind }) => only.includes(kind)),
  ].toSorted((a, b) => a.atMs - b.atMs)
  return {
    seed,
    nodes,
    replicas,
    faultsMs,
    faults,
    ...drawBounds(seed),
    ...drawForks(seed),
    ...drawDisks(seed),
    ...drawBalance(seed),
    ...members.settings,
    minInSync: random.chance(0.8) ? Math.min(2, replicas + 1) : 1 + random.integer(replicas + 1),
    clocks: Object.fromEntries(first.map((node) => [node, random.chance(0.5)
      ? { rate: 1, wallOffsetMs: 0 }
      : {
        rate: rateMin + random.next() * (rateMax - rateMin),
        wallOffsetMs: Math.round((random.next() - 0.5) * 4000),
      }]
    )),
    latencyMs: random.pick([0.1, 0.3, 1]),
    fsyncMs: random.pick([0.3, 1, 5]),
    clients: drawClients(random, seed),
    requestsMax: 2000,
  }
}

function drawClients(random: SeededRandom, seed: number): ClientPlan[] {
  const ways = new SeededRandom(seed).fork('clients')
  return Array.from({ length: 1 + random.integer(3) }, () => ({
    thinkMs: random.pick([20, 50, 100, 300]),
    pipeline: random.pick([1, 1, 4]),
    behaves: ways.pick(['plain', 'repeats', 'protects'] as const),
  }))
}

/** By a random source of its own, too. */
function drawForks(seed: number): Pick<Plan, 'reconcile' | 'commandsEveryMs' | 'reconcilesAtEnd'> {
  const random = new SeededRandom(seed).fork('forks')
  return {
    reconcile: random.pick(['automatic', 'automatic', 'automatic', 'automatic', 'automatic',
      'manual', 'manual', 'off']),
    commandsEveryMs: random.pick([null, 300, 1000, 3000]),
    reconcilesAtEnd: random.chance(0.5),
  }
}

/** By a random source of its own, so that what else is drawn from a seed does not change. */
function drawBounds(seed: number): Pick<Plan, 'maxLoss' | 'whenUnderReplicated'> {
  const random = new SeededRandom(seed).fork('loss')
  const maxLoss = random.pick([
    null,
    null,
    null,
    { entries: 1 + random.integer(6) },
    { bytes: 300 + random.integer(2000) },
    { entries: 1 + random.integer(20), ms: random.pick([1, 5, 50]) },
  ])
  return { maxLoss, whenUnderReplicated: random.pick(['accept', 'accept', 'wait', 'refuse']) }
}

/** By a random source of its own, too. */
function drawDisks(seed: number): Pick<
  Plan,
  'checkpointBytes' | 'segmentBytes' | 'retainBytes' | 'coveredSpansMax'
> {
  const random = new SeededRandom(seed).fork('disks')
  if (random.chance(0.25)) return {}
  return {
    checkpointBytes: random.pick([4, 8, 16, 32]) * 1024,
    segmentBytes: random.pick([8, 16, 32, 64]) * 1024,
    retainBytes: random.pick([0, 16, 32, 64, 128]) * 1024,
    coveredSpansMax: random.pick([1, 2, 4, 256]),
  }
}

/** By a random source of its own, too. */
function drawBalance(seed: number): Pick<Plan, 'autoBalance' | 'balanceAfterMs'> {
  const random = new SeededRandom(seed).fork('balance')
  if (random.chance(0.6)) return {}
  return {
    autoBalance: random.pick(['primaries', 'primaries', 'all']),
    balanceAfterMs: random.pick([300, 1000, 3000]),
  }
}

/** Half of the runs have all kinds, the others a random part of them (swarm testing). */
function swarm(random: SeededRandom, only: readonly SwarmKind[]): readonly SwarmKind[] {
  if (random.chance(0.4)) return only
  const share = 0.15 + random.next() * 0.5
  const chosen = only.filter(() => random.chance(share))
  return chosen.length > 0 || only.length === 0 ? chosen : [random.pick(only)]
}

function drawFaults(
  random: SeededRandom,
  kinds: readonly SwarmKind[],
  nodes: readonly string[],
  faultsMs: number,
): Fault[] {
  const meanGapMs = random.pick([150, 400, 1000, 2500])
  const faults: Fault[] = []
  for (let atMs = 300; atMs < faultsMs; atMs += 1 + random.next() * 2 * meanGapMs) {
    faults.push(drawFault(random, pickWeighted(random, kinds), nodes, Math.round(atMs * 10) / 10))
  }
  return faults
}

function pickWeighted(random: SeededRandom, kinds: readonly SwarmKind[]): SwarmKind {
  let rest = random.next() * kinds.reduce((sum, kind) => sum + weights[kind], 0)
  for (const kind of kinds) {
    rest -= weights[kind]
    if (rest < 0) return kind
  }
  return kinds[0]!
}

/** Many short ones, some that outlast a lease. */
function duration(random: SeededRandom): number {
  return Math.round(random.pick([20, 100, 400, 1500, 4000]) * (0.5 + random.next()))
}

function drawFault(
  random: SeededRandom,
  kind: FaultKind,
  nodes: readonly string[],
  atMs: number,
): Fault {
  // Only a primary leaves a fork.
  const node = random.chance(kind === 'strand' ? 0.85 : 0.4) ? 'primary' : random.pick(nodes)
  const other = random.pick(nodes.filter((each) => each !== node))
  const forMs = duration(random)
  const [amount, mode] = particulars(random, kind)
  return { kind, atMs, forMs, node, other, amount, mode }
}

function particulars(random: SeededRandom, kind: FaultKind): [amount: number, mode: string] {
  switch (kind) {
    case 'powerCut':
      return [0, random.pick(['torn', 'nothing'])]
    case 'crashAt':
      return [1 + random.integer(random.pick([2, 4, 30])), [
        random.pick(crashPorts),
        random.pick(['before', 'after']),
        random.pick(['kill', 'powerCut']),
      ].join(' ')]
    case 'crashInRecovery':
      return [1 + random.integer(25),
        `disk ${random.pick(['before', 'after'])} ${random.pick(['kill', 'powerCut'])}`]
    case 'isolate':
      return [0, random.pick(['both', 'both', 'in', 'out'])]
    case 'delay':
      return [1 + random.integer(150), random.pick(['all', 'node'])]
    case 'drop':
    case 'duplicate':
      return [0.02 + random.next() * 0.3, random.pick(['all', 'node'])]
    case 'strand':
      return [20 + random.integer(400), random.pick(['kill', 'torn', 'nothing'])]
    case 'wallJump':
      return [Math.round((random.next() - 0.5) * 10_000), '']
    case 'slowDisk':
      return [5 + random.integer(400), '']
    case 'arbiterSlow':
      return [10 + random.integer(900), '']
    case 'arbiterAnswers':
      return [1 + random.integer(3), random.pick(['applied', 'lost', 'late'])]
    case 'killActor':
      return [0,
        random.pick(['space.teams', 'space.teams.replica', 'space.teams.primary',
          'space.teams.promotion', 'space.teams'])]
    default:
      return [0, '']
  }
}

/** One line for people. */
export function showFault(fault: Fault): string {
  const { kind, atMs, forMs, node, other, amount, mode } = fault
  const particular = [amount ? amount.toFixed(amount < 1 ? 2 : 0) : '', mode]
    .filter((text) => text !== '').join(' ')
  return `at ${atMs.toFixed(1)} ms: ${kind} ${node}`
    + (['cut', 'handover', 'partition', 'changeMembers'].includes(kind) ? ` → ${other}` : '')
    + `, for ${forMs} ms${particular ? ` (${particular})` : ''}`
}
