import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Member } from '../../../actors/member/member.js'
import { SelfHealing } from '../../../actors/primary/selfHealing.js'
import { Turns } from '../../../actors/structures/turns.js'
import type { MemberOrder } from '../../../machines/protocol/members.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('self-healing')

const replaceAfterMs = 10_000

/**
 * A primary n1 of n1, n2 and n3, with n4 and n5 spare. `refuses`: whether orders are refused;
 * `isStuck`: whether learners are.
 */
function healing() {
  const clock = new VirtualClock()
  const away = new Set<string>()
  const nodes = ['n1', 'n2', 'n3', 'n4', 'n5']
  const living = () => nodes.filter((node) => !away.has(node))
  const alerts: string[] = []
  const orders: { atMs: number; order: MemberOrder | null }[] = []
  const state = { refuses: true, isStuck: false }
  const logger = { warn: () => undefined }
  const ports = { clock, random: new SeededRandom(1), logger }
  const peers = {
    names: () => nodes,
    living,
    isLiving: (node: string) => !away.has(node),
    isEvacuating: () => false,
    unfitOf: () => null,
    zoneOf: () => '',
    heardLife: () => ({ incarnation: 1, connection: 1 }),
  }
  const members = ['n1', 'n2', 'n3'].map((node) => ({ node, disk: node }))
  const assignment = { space: 'demo', members, inSync: ['n1', 'n2'],
    change: undefined as MemberOrder | undefined }
  const member = {
    self: 'n1',
    space: 'demo',
    known: { record: { assignment }, arbiter: 'reachable', rejection: null },
    context: { ports, peers, replacing: new Turns(8), settings: { replaceAfterMs } },
    alert: (kind: string, { member: node }: { member: string }) => alerts.push(`${kind} ${node}`),
  } as unknown as Member
  const order = async (given: MemberOrder | null) => {
    orders.push({ atMs: clock.monotonicMs(), order: given })
    if (state.refuses) throw new Error('refused')
    assignment.change = given ?? undefined
  }
  const healed = new SelfHealing({ member, order, learner: { isStuckFor: () => state.isStuck } })
  const run = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      await clock.advanceAsync(100)
      healed.tick()
    }
  }
  return { run, away, alerts, orders, state }
}

test('operators are told once of a member that is gone, however often its order is refused', async () => {
  const { run, away, alerts, orders } = healing()
  away.add('n3')
  await run(replaceAfterMs + 500)
  assert.is(orders.length, 1)
  await run(600_000)
  assert.ok(orders.length > 5, `${orders.length} orders`)
  assert.equal(alerts, ['memberGone n3'])
  away.delete('n3')
  await run(1000)
  away.add('n3')
  await run(replaceAfterMs + 61_000)
  assert.equal(alerts, ['memberGone n3', 'memberGone n3'], 'it was back in between')
})

test('an order that is refused is given again after a pause that grows up to a minute', async () => {
  const { run, away, orders, state } = healing()
  away.add('n3')
  await run(600_000)
  const pauses = orders.slice(1).map(({ atMs }, index) => atMs - orders[index]!.atMs)
  assert.ok(pauses[0]! >= 500 && pauses[0]! <= 1200, String(pauses))
  assert.ok(pauses.length > 10 && pauses.slice(8).every((ms) => ms >= 30_000 && ms < 61_000),
    String(pauses))
  state.refuses = false
  const before = orders.length
  await run(61_000)
  assert.is(orders[before]?.order?.remove, 'n3')
})

test('spare nodes that got no further come last', async () => {
  const { run, away, orders, state } = healing()
  Object.assign(state, { refuses: false, isStuck: true })
  away.add('n3')
  await run(replaceAfterMs + 500)
  const [first, cancelled, second, ...more] = orders.map(({ order }) => order?.add ?? 'cancelled')
  assert.equal([first, second].toSorted(), ['n4', 'n5'])
  assert.equal([cancelled, more], ['cancelled', []], 'each is tried once')
  away.add(second!)
  await run(replaceAfterMs + 500)
  assert.equal(orders.slice(3).map(({ order }) => order?.add ?? 'cancelled'), ['cancelled', first])
})

test.run()
