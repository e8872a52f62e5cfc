/**
 * Random situations of a simulated cluster: rehearses that a node fails, lets it fail, and compares.
 */
import * as assert from 'uvu/assert'
import type { Rehearsed } from '../../machines/rehearsal/rehearse.js'
import type { ArbiterView, Failure } from '../../machines/rehearsal/situation.js'
import { Report } from '../../runtime/node/report.js'
import { rehearsalOf } from '../../runtime/status/rehearsal.js'
import type { NodeStatusReport } from '../../runtime/status/status.js'
import { SeededRandom } from '../fakes/seededRandom.js'
import { filledUp } from './fullDisk.js'
import { SimCluster } from './simCluster.js'
import type { SimNode } from './simNode.js'

/** A failover that does not happen within this time is none. */
const patienceMs = 12_000
/** Times are compared from here on: below it, one message more is a multiple. */
const floorMs = 20

/** What was wrong with the cluster when the node failed, in words. */
export interface Compared {
  readonly troubles: readonly string[]
  readonly failure: string
  readonly told: Rehearsed
}

interface Place {
  readonly cluster: SimCluster
  readonly random: SeededRandom
  /** Nodes that do not reach the arbiter. */
  readonly cut: Set<string>
  /** Members to which no frames of the log come. */
  readonly behind: Set<string>
  /** Nodes that do not hear each other. */
  readonly apart: Set<string>
}

type Trouble = (place: Place, node: SimNode) => Promise<string> | string

const inSync = ({ cluster }: Place): readonly string[] => cluster.record()!.inSync

/** Long before the failure: the cluster has settled since. */
const early: Readonly<Record<string, Trouble>> = {
  async killed(place, node) {
    node.kill()
    await place.cluster.until('it is out', () => !inSync(place).includes(node.id))
    return `${node.id} was killed`
  },
  async drained({ cluster }, node) {
    await cluster.command(node.id, { type: 'drain', by: 'ann' })
    return `${node.id} is drained`
  },
  async paused({ cluster }, node) {
    await cluster.command(node.id, { type: 'pause', space: 'teams', by: 'ann' })
    return 'the space is paused'
  },
  async elsewhere(place, node) {
    const { broker } = place.cluster
    const { serverId } = broker
    Object.assign(broker, { serverId: 'B' })
    broker.kill(node.life!.connection!, 'it moves')
    await place.cluster.run(1000)
    Object.assign(broker, { serverId })
    await place.cluster.until('it is back', () => inSync(place).includes(node.id))
    return `${node.id} is on another NATS server`
  },
  async full(place, node) {
    await filledUp(place.cluster, node)
    return `the disk of ${node.id} is full`
  },
  async arbiterAway({ cluster, cut }) {
    for (const { id } of cluster.nodes.values()) cut.add(id)
    await cluster.run(2000)
    return 'the arbiter is away'
  },
  async arbiterCut({ cluster, cut }, node) {
    cut.add(node.id)
    await cluster.run(2000)
    return `${node.id} does not reach the arbiter`
  },
}

/** Right before it. */
const late: Readonly<Record<string, Trouble>> = {
  async behind({ cluster, behind, random }, node) {
    behind.add(node.id)
    await cluster.writes(1 + random.integer(5))
    await cluster.run(20)
    return `${node.id} is behind`
  },
  async apart({ cluster, apart }) {
    const [a, b] = [...cluster.nodes.values()].filter((one) => one !== cluster.primary())
    for (const one of [a!, b!]) apart.add(one.id)
    await cluster.run(500)
    return `${a!.id} and ${b!.id} do not hear each other`
  },
  justKilled(_, node) {
    node.kill()
    return `${node.id} was just killed`
  },
  justFrozen(_, node) {
    node.freeze()
    return `${node.id} has just frozen`
  },
}

async function placeOf(seed: number): Promise<Place> {
  const random = new SeededRandom(seed)
  const [cut, behind, apart] = [new Set<string>(), new Set<string>(), new Set<string>()]
  const names = ['n1', 'n2', 'n3', 'n4', 'n5'].slice(0, 3 + random.integer(3))
  const cluster = await SimCluster.start({
    seed,
    segmentBytes: 8192,
    nodes: names,
    arbiterDelayMs: (node) => (cut.has(node) ? null : 0.5),
    transit: (from, to, subject) => {
      const isLost = (apart.has(from) && apart.has(to) && from !== to)
        || (behind.has(to) && subject.startsWith('engram.v1.wal.'))
      return isLost ? [] : [0.2]
    },
  })
  const replicas = Math.min(names.length - 1, 2 + random.integer(2))
  await cluster.createSpace({ replicas, minInSync: 1 + random.integer(2) })
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === replicas + 1)
  await cluster.writes(5, 'committed')
  await cluster.run(1000 + random.integer(200))
  return { cluster, random, cut, behind, apart }
}

const replicasOf = ({ cluster }: Place): SimNode[] =>
  cluster.members().filter((node) => node !== cluster.primary() && !node.life!.clock.isFrozen)

async function troubled(place: Place, kinds: Readonly<Record<string, Trouble>>): Promise<string[]> {
  const { random } = place
  const texts: string[] = []
  for (let left = random.integer(3); left > 0; left -= 1) {
    const replicas = replicasOf(place)
    if (replicas.length === 0) break
    const kind = random.pick(Object.keys(kinds))
    const needsArbiter = ['killed', 'paused', 'elsewhere'].includes(kind)
    if (needsArbiter && place.cut.size > 0) continue
    texts.push(await kinds[kind]!(place, random.pick(replicas)))
  }
  return texts
}

/** All reports, as of one instant. */
function reportsOf({ cluster }: Place): NodeStatusReport[] {
  return cluster.running.flatMap((node) => {
    const { life } = node
    if (!life || life.clock.isFrozen || (life.connection?.isClosed ?? true)) return []
    const report = new Report({
      actor: () => life.actor,
      id: node.id,
      data: '/data',
      version: '0',
      startedAtMs: 0,
      http: () => null,
      nowMs: () => life.clock.monotonicMs(),
    })
    const spaces = [...life.actor.spaces.values()].map((space) => report.member(space))
    return [{ ...report.head(), spaces }]
  })
}

/** As the client does it (runtime/client/rehearse.ts). */
async function arbitersOf({ cluster }: Place): Promise<Map<string, ArbiterView>> {
  const views = new Map<string, ArbiterView>()
  for (const { id } of cluster.members()) {
    const answer = await cluster.command(id, { type: 'listSpaces', after: '\u{10ffff}', limit: 1 })
    if (answer['ok'] === true) views.set(id, { kind: 'reachable' })
    else views.set(id, { kind: 'unreachable', reason: String(answer['message']) })
  }
  return views
}

const absentOf = ({ cluster }: Place): ReadonlySet<string> =>
  new Set([...cluster.nodes.values()].filter(({ life }) => !life).map(({ id }) => id))

/** Throws where the rehearsal and what happens then differ. */
export async function compared(seed: number): Promise<Compared> {
  const place = await placeOf(seed)
  const { cluster, random } = place
  const troubles = await troubled(place, early)
  const arbiters = await arbitersOf(place)
  troubles.push(...await troubled(place, late))
  const primary = cluster.primary()!
  const others = replicasOf(place)
  const lost = random.chance(0.7) || others.length === 0 ? primary : random.pick(others)
  const failure: Failure = random.pick(['gone', 'hangs'])
  const of = lost === primary ? { space: 'teams' } : { node: lost.id }
  const { rehearsals: [rehearsal], unknown } = rehearsalOf(reportsOf(place), { arbiters,
    absent: absentOf(place) }, of, {
    messageMs: 0.2,
    arbiterMs: 1,
    flushMs: cluster.fsyncMs,
  })
  assert.equal(unknown, [])
  const told = rehearsal![failure]
  const text = `seed ${seed}: ${troubles.join(', ') || 'all is well'}; ${lost.id} `
    + `(${lost === primary ? 'primary' : 'replica'}) ${failure}: ${JSON.stringify(told)}`
  const end = primary.space().member.log.end.sequence
  if (failure === 'gone') lost.kill()
  else lost.freeze()
  if (lost === primary) await primaryLost(place, lost, end, told, text)
  else await replicaLost(place, primary, lost, told, text)
  return { troubles, failure: `${lost === primary ? 'primary' : 'replica'} ${failure}`, told }
}

/** Lets time pass in steps of 1 ms. Returns how long it took; null: it did not happen. */
async function tookMs(cluster: SimCluster, isSo: () => boolean): Promise<number | null> {
  for (let ms = 0; ms < patienceMs; ms += 1) {
    if (isSo()) return ms
    await cluster.run(1)
  }
  return null
}

function near(toldMs: number, ms: number, text: string): void {
  const [a, b] = [Math.max(floorMs, toldMs), Math.max(floorMs, ms)]
  assert.ok(a <= 2 * b && b <= 2 * a, `told ${toldMs} ms, took ${ms} ms; ${text}`)
}

async function primaryLost(
  place: Place,
  lost: SimNode,
  end: number,
  told: Rehearsed,
  text: string,
): Promise<void> {
  const { cluster } = place
  const { winner, ms } = await successor(cluster, [lost])
  if (!winner || ms === null) {
    assert.is(told.outcome, 'blocked', `nobody took over; ${text}`)
    return blockedAlike(cluster, told, text)
  }
  const seen = `${winner.id} took over after ${ms} ms; ${text}`
  assert.is(told.outcome, 'promotion', seen)
  assert.ok([told.winner, ...told.orElse].includes(winner.id), seen)
  const won = winner.log.find(({ message }) => message.startsWith('takes over as primary'))
  assert.is(told.evidence, (won?.fields as { vacancy?: string } | undefined)?.vacancy, seen)
  near(told.afterMs!, ms, seen)
  assert.equal(told.inSync.toSorted(), cluster.record()!.inSync.toSorted(), seen)
  const { sequence } = winner.space().member.own.started!.start
  assert.is(told.missing, end - sequence, seen)
  const { acknowledged } = cluster
  const isLost = acknowledged.filter(({ answer }) => answer.sequence > sequence).length
  assert.ok(isLost <= told.atRisk.entries, `${isLost} acknowledged writes are missing; ${seen}`)
  await weakestAlike(place, lost, winner, told, seen)
}

/** The node that takes writes instead, and after what time. */
async function successor(cluster: SimCluster, former: readonly SimNode[]) {
  let winner: SimNode | undefined
  const ms = await tookMs(cluster, () => {
    winner = cluster.running.find((node) =>
      !former.includes(node) && node.life!.actor.spaces.get('teams')?.serves
    )
    return winner !== undefined
  })
  return { winner, ms }
}

/** Whether `committed` is taken then, and the next loss of a primary is borne, as was told. */
async function weakestAlike(
  { cluster, behind }: Place,
  lost: SimNode,
  winner: SimNode,
  { weakest: { code } }: Rehearsed,
  text: string,
): Promise<void> {
  behind.clear()
  await cluster.run(3000)
  const answer = await cluster.write('committed')
  const isRefused = answer?.ok === false && answer.code === 'NOT_ENOUGH_IN_SYNC'
  assert.is(isRefused, code === 'committedRefused', `${JSON.stringify(answer)}; ${text}`)
  if (code === 'committedRefused') return
  winner.kill()
  const next = await successor(cluster, [lost, winner])
  const isBorne = code !== 'lastCopy' && code !== 'noSuccessor'
  assert.is(next.winner !== undefined, isBorne, `then ${next.winner?.id ?? 'nobody'}; ${text}`)
}

/** Members say the reason that was told. */
function blockedAlike(cluster: SimCluster, told: Rehearsed, text: string): void {
  for (const { node, state, reason, position } of told.candidates) {
    const life = cluster.node(node).life
    if (position === null || !life) continue
    const { blockage } = life.actor.spaces.get('teams')!.member
    if (state === 'waitingForArbiter') assert.ok(blockage.reason, `${node}; ${text}`)
    else assert.is(blockage.reason, reason, `${node}; ${text}`)
  }
}

async function replicaLost(
  place: Place,
  primary: SimNode,
  lost: SimNode,
  told: Rehearsed,
  text: string,
): Promise<void> {
  const { cluster } = place
  const serves = () => primary.life?.actor.spaces.get('teams')?.serves === true
  const before = inSync(place)
  if (told.outcome === 'blocked') {
    const ms = await tookMs(cluster, () => !serves())
    assert.is.not(ms, null, `the primary went on; ${text}`)
    await cluster.run(patienceMs)
    const others = cluster.running.filter((node) => node.life!.actor.spaces.get('teams')?.serves)
    assert.equal(others.map(({ id }) => id), [], `somebody took over; ${text}`)
    return
  }
  assert.is(told.winner, primary.id, text)
  if (told.outcome === 'unaffected') {
    assert.not.ok(before.includes(lost.id), text)
  } else {
    const ms = await tookMs(cluster, () => !inSync(place).includes(lost.id))
    assert.is.not(ms, null, `it stayed in sync; ${text}`)
    near(told.afterMs!, ms!, text)
  }
  await cluster.run(3000)
  assert.ok(serves(), `the primary went; ${text}`)
}
