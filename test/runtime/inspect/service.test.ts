import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { BusConnection } from '../../../actors/ports/bus.js'
import { NodeRecorder } from '../../../runtime/inspect/recorder.js'
import type { Envelope, StartAnswer } from '../../../runtime/inspect/schema.js'
import { InspectionService } from '../../../runtime/inspect/service.js'
import { Traffic } from '../../../runtime/inspect/traffic.js'
import { MemoryBroker } from '../../fakes/memoryBus.js'
import { kit } from '../../support/hostKit.js'
import { lamp, only, read, servingOver } from '../../support/inspectKit.js'

const test = suite('inspection service')

async function serviceKit() {
  const it = kit()
  const broker = new MemoryBroker({ clock: it.clock })
  const own = await broker.bus().connect()
  const viewer = await broker.bus().connect()
  const service = new InspectionService({
    node: 'n1',
    incarnation: () => 1,
    clock: it.clock,
    logger: it.logger,
    host: it.host,
    traffic: new Traffic(),
    serving: () => servingOver(it.clock, own, { eager: true }),
    events: new NodeRecorder({ node: 'n1', clock: it.clock }),
  })
  service.attach(own)
  const seen: Record<'plain' | 'full', Envelope[]> = { plain: [], full: [] }
  viewer.subscribe('engram.v1.inspect.*', (m) => seen.plain.push(read(m.data)))
  viewer.subscribe('engram.v1.inspect.*.payloads', (m) => seen.full.push(read(m.data)))
  const actor = it.host.spawn({ id: 'a', logic: lamp, input: () => undefined })
  return { ...it, broker, own, viewer, service, seen, actor }
}

async function ask(
  viewer: BusConnection,
  change: object = {},
  to = 'n1',
): Promise<StartAnswer> {
  const request = { version: 1, inspector: 'i1', leaseMs: 3_000, ...change }
  const message = await viewer.request(`engram.v1.inspect.${to}.start`,
    Buffer.from(JSON.stringify(request)), { timeoutMs: 1_000 })
  return JSON.parse(Buffer.from(message.data).toString()) as StartAnswer
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

test('a lease starts the stream with the present; without renewal it ends', async () => {
  const { viewer, service, seen, clock, actor } = await serviceKit()
  assert.is(service.feed.isOn, false)
  const answer = await ask(viewer)
  assert.equal(answer, {
    ok: true,
    version: 1,
    node: 'n1',
    incarnation: 1,
    leaseMs: 3_000,
    subject: 'engram.v1.inspect.n1',
  })
  await settled()
  assert.equal(seen.plain.map(({ present }) => present?.part), [1])
  assert.is(only(seen.plain[0]?.events ?? [], 'actor')[0]?.state, 'off')
  actor.send({ type: 'pressed' })
  clock.advance(100)
  await settled()
  assert.is(only(seen.plain[1]?.events ?? [], 'transition')[0]?.state, 'on')
  clock.advance(2_000)
  await ask(viewer)
  clock.advance(2_000)
  assert.is(service.feed.isOn, true, 'renewed')
  clock.advance(2_000)
  assert.is(service.feed.isOn, false)
  assert.is(clock.nextDueMs(), null, 'nothing is left running')
  const { length } = seen.plain
  actor.send({ type: 'pressed' })
  clock.advance(1_000)
  await settled()
  assert.is(seen.plain.length, length)
})

test('each inspector has its own lease; 0 gives it back; all nodes are asked at once', async () => {
  const { viewer, service, clock } = await serviceKit()
  await ask(viewer, { inspector: 'i1' }, '_all')
  await ask(viewer, { inspector: 'i2', leaseMs: 20_000 })
  await ask(viewer, { inspector: 'i1', leaseMs: 0 })
  clock.advance(10_000)
  assert.is(service.feed.isOn, true)
  await ask(viewer, { inspector: 'i2', leaseMs: 0 })
  assert.is(service.feed.isOn, false)
})

test('payloads go to those who asked for them, on a subject of their own', async () => {
  const { viewer, seen, clock, actor } = await serviceKit()
  const answer = await ask(viewer, { payloads: true })
  assert.is(answer.ok && answer.subject, 'engram.v1.inspect.n1.payloads')
  actor.send({ type: 'pressed' })
  clock.advance(100)
  await settled()
  assert.is(seen.plain.length, 0)
  assert.match(JSON.stringify(seen.full), /the content of a memory/)
})

test('the present is sent again when asked for, and not more often than each second', async () => {
  const { viewer, seen, clock } = await serviceKit()
  const presents = () => seen.plain.filter(({ present }) => present !== null).length
  await ask(viewer)
  for (let i = 0; i < 20; i += 1) await ask(viewer, { inspector: `i${i}`, present: true })
  await settled()
  assert.is(presents(), 1)
  clock.advance(1_500)
  await settled()
  assert.is(presents(), 2, 'one for all who asked meanwhile')
  await ask(viewer)
  clock.advance(1_500)
  await settled()
  assert.is(presents(), 2, 'a renewal asks for none')
})

test('refusals name the reason: malformed, a later version, too many inspectors', async () => {
  const { viewer } = await serviceKit()
  const codes = async (change: object) => {
    const answer = await ask(viewer, change)
    return answer.ok ? 'ok' : answer.code
  }
  assert.is(await codes({ inspector: '' }), 'MALFORMED')
  assert.is(await codes({ leaseMs: 1e9 }), 'MALFORMED')
  assert.is(await codes({ version: 2 }), 'VERSION')
  for (let i = 0; i < 32; i += 1) assert.is(await codes({ inspector: `i${i}` }), 'ok')
  assert.is(await codes({ inspector: 'one more' }), 'TOO_MANY')
  assert.is(await codes({ inspector: 'i5' }), 'ok', 'a renewal')
})

test('a connection that goes ends the leases; on the next one inspectors come again', async () => {
  const { viewer, service, broker } = await serviceKit()
  await ask(viewer)
  service.attach(null)
  assert.is(service.feed.isOn, false)
  service.attach(await broker.bus().connect())
  assert.is(service.feed.isOn, false)
  await ask(viewer)
  assert.is(service.feed.isOn, true)
})

test('a publish that fails harms nobody', async () => {
  const { viewer, own, service, clock, actor, logger } = await serviceKit()
  await ask(viewer)
  await own.close()
  actor.send({ type: 'pressed' })
  clock.advance(200)
  assert.is(service.feed.isOn, true)
  assert.is(logger.lines.filter(({ level }) => level === 'error').length, 0)
})

test.run()
