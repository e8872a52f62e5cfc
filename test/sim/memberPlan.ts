/**
 * Orders to change the members, drawn by a random source of their own, each with what befalls the
 * nodes concerned: so the plans of other seeds, and the other faults of these, stay what they were.
 */
import type { SeededRandom } from '../fakes/seededRandom.js'
import type { Fault } from './fault.js'

/**
 * Nodes by what they are when a fault begins: the node in `change.add`, that in `change.remove`, a
 * member that is not primary, a node that is no member. Where there is none, another one is taken.
 */
export const roles = ['primary', 'learner', 'leaving', 'replica', 'spare'] as const

export type Role = (typeof roles)[number]

export interface MemberPlan {
  readonly spares: readonly string[]
  readonly faults: readonly Fault[]
  readonly settings: { readonly removedKeepMs?: number; readonly replaceAfterMs?: number }
}

/** Share of the seeds whose members change. */
const share = 0.3
/** With these there are nodes to add and to remove. */
const nodesWanted = [4, 4, 5] as const

export function drawMembers(
  random: SeededRandom,
  nodes: readonly string[],
  faultsMs: number,
): MemberPlan {
  if (!random.chance(share)) return { spares: [], faults: [], settings: {} }
  const wanted = Math.max(random.pick(nodesWanted), nodes.length)
  const all = Array.from({ length: wanted }, (_, index) => `n${index + 1}`)
  const meanGapMs = random.pick([500, 1000, 2500])
  const isCalm = random.chance(0.15)
  const faults: Fault[] = []
  for (let atMs = 200; atMs < faultsMs; atMs += 1 + random.next() * 2 * meanGapMs) {
    faults.push(drawOrder(random, all, atMs))
    if (random.chance(0.15)) faults.push(drawOrder(random, all, atMs))
    if (random.chance(0.15))
      faults.push(drawOrder(random, all, atMs + random.integer(60), 'cancel'))
    if (!isCalm && random.chance(0.6)) faults.push(drawBlow(random, all, atMs))
  }
  const removedKeepMs = random.pick([null, 0, 1000, 5000])
  const replaceAfterMs = random.pick([null, null, 1000])
  const settings = {
    ...(removedKeepMs !== null && { removedKeepMs }),
    ...(replaceAfterMs !== null && { replaceAfterMs }),
  }
  return { spares: all.slice(nodes.length), faults, settings }
}

function drawOrder(
  random: SeededRandom,
  nodes: readonly string[],
  atMs: number,
  only?: string,
): Fault {
  const mode = only
    ?? random.pick(['add', 'add', 'add', 'replace', 'replace', 'replace', 'replace', 'remove',
      'remove', 'cancel', 'cancel', 'nothing'])
  const amount = Number(random.chance(mode === 'remove' ? 0.8 : 0.3))
  return {
    kind: 'changeMembers',
    atMs: rounded(atMs),
    forMs: 0,
    node: random.chance(0.5) ? 'primary' : random.pick(nodes),
    // Most orders make sense.
    other: random.pick(['replica', 'primary', 'spare', random.pick(nodes)]),
    amount,
    mode,
  }
}

/** At the same moment, or while the change is under way. */
function drawBlow(random: SeededRandom, nodes: readonly string[], orderMs: number): Fault {
  const atMs = rounded(orderMs + random.pick([0, 2, 10, 30, 100, 300, 600]) * (0.5 + random.next()))
  const forMs = Math.round(random.pick([50, 400, 1500, 4000]) * (0.5 + random.next()))
  const node = random.pick(['primary', 'primary', 'learner', 'leaving', 'replica'])
  const other = random.pick(['learner', 'leaving', 'replica', random.pick(nodes)])
  return { atMs, forMs, node, other, ...particulars(random) }
}

function particulars(random: SeededRandom): Pick<Fault, 'kind' | 'amount' | 'mode'> {
  const moment = random.pick(['before', 'after'])
  const death = random.pick(['kill', 'powerCut'])
  return random.pick([
    { kind: 'kill', amount: 0, mode: '' },
    { kind: 'powerCut', amount: 0, mode: 'torn' },
    { kind: 'crashAt', amount: 1, mode: `arbiter:compareAndSet ${moment} ${death}` },
    { kind: 'crashAt', amount: 1, mode: `arbiter:compareAndSet ${moment} ${death}` },
    { kind: 'crashAt', amount: 1 + random.integer(30), mode: `disk ${moment} ${death}` },
    { kind: 'crashAt', amount: 1 + random.integer(8), mode: `store ${moment} ${death}` },
    { kind: 'arbiterAnswers', amount: 1, mode: random.pick(['applied', 'lost', 'late']) },
    { kind: 'arbiterAnswers', amount: 1, mode: random.pick(['applied', 'lost', 'late']) },
    { kind: 'arbiterSlow', amount: 100 + random.integer(900), mode: '' },
    { kind: 'arbiterDown', amount: 0, mode: '' },
    { kind: 'isolate', amount: 0, mode: random.pick(['both', 'in', 'out']) },
    { kind: 'cut', amount: 0, mode: '' },
    { kind: 'pause', amount: 0, mode: '' },
    { kind: 'handover', amount: 0, mode: '' },
    { kind: 'strand', amount: 20 + random.integer(400), mode: random.pick(['kill', 'torn']) },
    ...(random.chance(0.2) ? [{ kind: 'loseDisk', amount: 0, mode: '' } as const] : []),
    { kind: 'restoreDisk', amount: 0, mode: '' },
  ] as const)
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10
}
