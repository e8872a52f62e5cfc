/**
 * The audit of writes that no disk keeps any more: an epoch was forced on a member without them.
 * It accepts such a loss only with a report that says so.
 */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ForkTracker } from '../../actors/forks/forkTracker.js'
import type { SalvageNote } from '../../machines/log/forkNotes.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { giveUpCovered } from '../support/giveUp.js'
import type { SimNode } from '../support/simNode.js'
import { takeCheckpoint } from '../support/takeCheckpoint.js'
import { Audit } from './checkers/audit.js'
import { Outcomes } from './checkers/outcomes.js'
import { space } from './plan.js'
import { World } from './world.js'

const test = suite('given up writes in the audit')

async function opened(): Promise<World> {
  return await World.open({
    seed: 1,
    nodes: ['n1', 'n2', 'n3'],
    replicas: 2,
    minInSync: 1,
    faultsMs: 1000,
    latencyMs: 0.3,
    fsyncMs: 1,
    clocks: {},
    clients: [],
    requestsMax: 0,
    faults: [],
    maxLoss: null,
    whenUnderReplicated: 'accept',
    reconcile: 'automatic',
    commandsEveryMs: null,
    reconcilesAtEnd: true,
    segmentBytes: 4096,
  })
}

async function within(world: World, what: string, isSo: () => boolean): Promise<void> {
  assert.ok(await world.until(isSo, 30_000), `${what}\n${world.cluster.describe(space)}`)
}

async function write(world: World, from: number, count: number): Promise<void> {
  for (let number = from; number < from + count; number += 1) {
    const operation = { type: 'StoreNode', node: { id: `g${number}`, content: `g-${number}` } }
    const { data } = await world.outcome('a write', world.cluster.client.request(
      subjects.write(space),
      Buffer.from(JSON.stringify(operation)),
      { timeoutMs: 4000, headers: { 'Engram-Ack': 'committed' } },
    ))
    assert.match(Buffer.from(data).toString(), /"ok":true/)
  }
}

const inSync = (world: World) => world.cluster.record(space)?.inSync ?? []

function isApplied(node: SimNode): boolean {
  const { store, log } = node.space(space).member
  return store.applied.sequence === log.end.sequence
}

async function stop(world: World, node: SimNode): Promise<void> {
  world.notBefore.set(node.id, Infinity)
  node.kill()
  await world.run(10)
}

async function start(world: World, node: SimNode): Promise<void> {
  world.notBefore.delete(node.id)
  world.startNode(node)
  await within(world, `${node.id} is up`, () => node.life?.actor.spaces.get(space) !== undefined)
}

/** n3 is forced; what n1 and n2 gave up of what they had committed without it, nobody keeps. */
async function audited(world: World): Promise<void> {
  const { cluster } = world
  const [n1, n2, n3] = world.nodes as [SimNode, SimNode, SimNode]
  await within(world, 'all are in sync', () => inSync(world).length === 3)
  await write(world, 0, 3)
  await stop(world, n3)
  await within(world, 'n3 is out', () => inSync(world).length === 2)
  await write(world, 10, 40)
  await within(world, 'it is applied', () => [n1, n2].every(isApplied))
  for (const node of [n1, n2]) {
    const base = await giveUpCovered(cluster, node, space)
    assert.ok(base > 10, `${base}`)
  }
  await write(world, 60, 4)
  for (const node of [n1, n2]) await stop(world, node)
  await start(world, n3)
  await world.run(4000)
  world.checks.record.forced()
  const answer = await cluster.command('n3', { type: 'promote', space, to: 'n3', force: true })
  assert.is(answer['ok'], true, JSON.stringify(answer))
  await within(world, 'n3 serves', () => cluster.primary(space) === n3 && isApplied(n3))
  await write(world, 70, 2)
  await within(world, 'it is applied', () => isApplied(n3))
  await takeCheckpoint(cluster, n3, space)
  for (const node of [n1, n2]) await start(world, node)
  await within(world, 'all are in sync', () => inSync(world).length === 3)
  const { store } = n3.space(space).member
  await within(world, 'reports are closed', () => store.openReportCount === 0)
  await within(world, 'salvages are gone',
    () => world.nodes.every((node) => node.space(space).member.salvages.count === 0))
  await within(world, 'all is applied', () =>
    world.nodes.every((node) =>
      isApplied(node)
      && node.space(space).member.log.end.sequence === n3.space(space).member.log.end.sequence
    ))
  const audit = await world.outcome('reading the logs', Audit.read(world))
  const { outcomes } = audit as unknown as { readonly outcomes: Outcomes }
  await outcomes.check()
}

test('a report that counts them is enough', async () => {
  const world = await opened()
  await audited(world)
  assert.is(world.violation, null, JSON.stringify(world.violation))
  const { coverage } = world.checks
  assert.ok(coverage['lost writes that were given up']! > 10, JSON.stringify(coverage))
})

test('without one they are silently gone', async () => {
  const { offered } = ForkTracker.prototype
  ForkTracker.prototype.offered = function whole(node, disk, salvages, isComplete) {
    const without = salvages.map((salvage): SalvageNote => {
      const { name, node: holder, common, spans } = salvage
      return { name, node: holder, common, spans }
    })
    return offered.call(this, node, disk, without, isComplete)
  }
  try {
    const world = await opened()
    await audited(world)
    assert.is(world.violation?.invariant, 'I6', JSON.stringify(world.violation))
    assert.match(world.violation!.details, /was given up, and is nowhere; the report .* reconciled/)
  } finally {
    ForkTracker.prototype.offered = offered
  }
})

test('a count that is too low is found, too', async () => {
  const { closings } = ForkTracker.prototype
  ForkTracker.prototype.closings = function* fewer(...args) {
    const notes = yield* closings.apply(this, args)
    return notes.map((note) =>
      note.note === 'closed' && note.lost > 0 ? { ...note, lost: 1 } : note
    )
  }
  try {
    const world = await opened()
    await audited(world)
    assert.is(world.violation?.invariant, 'I6', JSON.stringify(world.violation))
    assert.match(world.violation!.details, /counts 1 lost/)
  } finally {
    ForkTracker.prototype.closings = closings
  }
})

test.run()
