import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Lease } from '../../../actors/membership/lease.js'
import { forwardedHeader } from '../../../actors/messaging/headers.js'
import { HeldWrites } from '../../../actors/primary/heldWrites.js'
import type { HeldWrite } from '../../../actors/primary/heldWrites.js'
import { Budget } from '../../../actors/structures/budget.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { message } from '../../support/actorKit.js'

const test = suite('lease and held writes')

function kit(grants: Record<string, number>) {
  const clock = new VirtualClock()
  const startMs = clock.wallMs()
  const lapses: string[] = []
  const until = new Map<string, { atMs: number; stretch: number }>()
  // Both clocks begin at the same time here, and a grant ends by the one that is ahead.
  const leftMs = (node: string) =>
    (until.get(node)?.atMs ?? -1)
    - Math.max(clock.monotonicMs(), clock.wallMs() - startMs)
  let stretches = 0
  const grant = (node: string, atMs: number): void => {
    const stretch = leftMs(node) > 0 ? until.get(node)!.stretch : (stretches += 1)
    until.set(node, { atMs, stretch })
  }
  for (const [node, atMs] of Object.entries(grants)) grant(node, atMs)
  const held = {
    grantLeftMs: leftMs,
    grantStretch: (node: string) => until.get(node)?.stretch ?? 0,
  }
  const lease = new Lease('n1', clock, held, (reason) => lapses.push(reason))
  return { clock, lapses, grant, lease }
}

test('a lease is the shortest grant, and none when one is missing', () => {
  const { lease, clock } = kit({ n2: 2000, n3: 500 })
  assert.not.ok(lease.begin(['n1', 'n2', 'n4']))
  assert.not.ok(lease.valid())
  assert.ok(lease.begin(['n1', 'n2', 'n3']))
  assert.is(lease.leftMs(), 500)
  clock.advance(499)
  assert.ok(lease.valid())
  clock.advance(1)
  assert.not.ok(lease.valid())
})

test('a lapse is final, and reported once', () => {
  const { lease, clock, grant, lapses } = kit({ n2: 1000 })
  lease.begin(['n1', 'n2'])
  clock.advance(1000)
  grant('n2', 9000)
  assert.not.ok(lease.valid())
  lease.lapse('again')
  assert.is(lapses.length, 1)
  assert.is(lease.leftMs(), 0)
})

test('a lapse that nobody looked at is found, also when another member is needed since', () => {
  const { lease, clock, grant, lapses } = kit({ n2: 1000, n3: 9000 })
  lease.begin(['n1', 'n2'])
  clock.advance(1500)
  grant('n2', 9000)
  clock.advance(100)
  lease.need(['n1', 'n3'])
  assert.is(lapses.length, 1)
  assert.not.ok(lease.valid())
})

test('renewed in time it goes on; a suspended machine finds it lapsed', () => {
  const { lease, clock, grant } = kit({ n2: 1000 })
  lease.begin(['n1', 'n2'])
  clock.advance(900)
  grant('n2', 2000)
  clock.advance(900)
  assert.ok(lease.valid())
  clock.suspend(1000)
  assert.not.ok(lease.valid(), 'the wall clock counts too')
})

test('a wall clock that goes back gives no time', () => {
  const { lease, clock } = kit({ n2: 1000 })
  lease.begin(['n1', 'n2'])
  clock.jumpWall(-60_000)
  clock.advance(1000)
  assert.not.ok(lease.valid())
})

test('a new in-sync member is needed at once; without its grant the lease is over', () => {
  const { lease, grant, lapses, clock } = kit({ n2: 1000 })
  lease.begin(['n1', 'n2'])
  grant('n3', 300)
  lease.need(['n1', 'n2', 'n3'])
  assert.is(lease.leftMs(), 300)
  lease.need(['n1', 'n2'])
  assert.is(lease.leftMs(), 1000)
  lease.need(['n1', 'n2', 'n4'])
  // Too late: it was needed before.
  grant('n4', 5000)
  clock.advance(1)
  assert.not.ok(lease.valid())
  assert.is(lapses.length, 1)
})

test('alone in the set, the lease does not run out', () => {
  const { lease, clock } = kit({})
  assert.ok(lease.begin(['n1']))
  clock.advance(1e9)
  assert.ok(lease.valid())
})

/** Takes all out. */
function taken(held: HeldWrites): HeldWrite[] {
  const writes: HeldWrite[] = []
  for (let write = held.shift(); write; write = held.shift()) writes.push(write)
  return writes
}

test('held writes are released in their order, copied, with the headers that count', () => {
  const held = new HeldWrites(10_000, new Budget(1 << 30))
  const bytes = Buffer.from('one')
  held.hold(message(bytes, { 'Nats-Msg-Id': 'k', Other: 'x' }, 'r1'))
  held.hold(message(Buffer.from('two'), {}, 'r2'))
  bytes.fill(0)
  const released = taken(held)
  assert.equal(released.map((w) => Buffer.from(w.message.data).toString()), ['one', 'two'])
  assert.equal(released[0]!.headers, { 'Nats-Msg-Id': 'k' })
  assert.is(released[0]!.message.header('Nats-Msg-Id'), 'k')
  assert.is(released[0]!.message.header(forwardedHeader), undefined)
  assert.equal(taken(held), [])
})

test('a reply is held once; a write that came another way is dropped', () => {
  const held = new HeldWrites(10_000, new Budget(1 << 30))
  for (const reply of ['r1', 'r2', 'r1', 'r3', undefined, undefined]) {
    assert.ok(held.hold(message(Buffer.from('x'), {}, reply)))
  }
  held.drop(message(Buffer.from('x'), {}, 'r2'))
  held.drop(message(Buffer.from('x'), {}, 'unknown'))
  const replies = taken(held).map((w) => w.message.reply)
  assert.equal(replies, ['r1', 'r3', undefined, undefined])
})

test('without a reply, each copy that came another way drops one of the same bytes', () => {
  const held = new HeldWrites(10_000, new Budget(1 << 30))
  for (const [text, key] of [['x', ''], ['y', ''], ['x', ''], ['x', 'k']] as const) {
    held.hold(message(Buffer.from(text), { 'Nats-Msg-Id': key }))
  }
  held.drop(message(Buffer.from('x')))
  held.drop(message(Buffer.from('z')))
  const left = taken(held).map(({ message: { data, header } }) =>
    `${Buffer.from(data).toString()}${header('Nats-Msg-Id') ?? ''}`
  )
  assert.equal(left, ['y', 'x', 'xk'])
})

test('a dropped write makes room again', () => {
  const held = new HeldWrites(600, new Budget(1 << 30))
  for (let i = 0; i < 20; i += 1) {
    assert.ok(held.hold(message(Buffer.from('x'), {}, `r${i}`)), `write ${i}`)
    held.drop(message(Buffer.from('x'), {}, `r${i}`))
  }
  held.hold(message(Buffer.from('x'), {}, 'a'))
  held.hold(message(Buffer.from('x'), {}, 'b'))
  assert.not.ok(held.hold(message(Buffer.from('x'), {}, 'c')), 'bounded')
  assert.is(taken(held).length, 2)
})

test('all that is kept of a write counts, and the memory of the node bounds it', () => {
  const budget = new Budget(100_000)
  const held = new HeldWrites(10_000, budget)
  const long = 'x'.repeat(5000)
  assert.not.ok(held.hold(message(Buffer.from('x'), { 'Nats-Msg-Id': long }, 'r1')))
  assert.not.ok(held.hold(message(Buffer.from('x'), {}, long)))
  assert.not.ok(held.hold(message(Buffer.from(long))), 'its bytes are its key, too')
  assert.ok(held.hold(message(Buffer.from(long), {}, 'r2')))
  held.drop(message(Buffer.from(long), {}, 'r2'))
  assert.is(budget.usedBytes, 0)
  budget.account('reads').set(90_000)
  assert.not.ok(held.hold(message(Buffer.from('x'), {}, 'r3')))
})

/** Processor time of holding, dropping, holding and taking so many, ms. */
function cpuOf(count: number): number {
  const held = new HeldWrites(1 << 30, new Budget(1 << 30))
  const begun = process.cpuUsage()
  for (let i = 0; i < count; i += 1) held.hold(message(Buffer.from('x'), {}, `r${i}`))
  for (let i = 0; i < count; i += 1) held.drop(message(Buffer.from('x'), {}, `r${i}`))
  assert.equal(taken(held), [])
  for (let i = 0; i < count; i += 1) held.hold(message(Buffer.from('x'), {}, `r${i}`))
  for (let i = 0; i < count; i += 1) assert.is(held.shift()!.message.reply, `r${i}`)
  assert.is(held.shift(), undefined)
  const { user, system } = process.cpuUsage(begun)
  return (user + system) / 1000
}

test('dropping tens of thousands takes no quadratic time', () => {
  cpuOf(4_000)
  const [few, many] = [cpuOf(4_000), cpuOf(64_000)]
  // 16 times as many: 16 times the time, or 256 times if each looked at all the others.
  assert.ok(many < 80 * Math.max(few, 1), `${few} ms, then ${many} ms`)
})

test.run()
