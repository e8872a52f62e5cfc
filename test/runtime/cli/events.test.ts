/** engram inspect and engram events: usage, and what they say when nobody is there. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as natsConnect } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PromotionReport, RecordedEvent } from '../../../machines/protocol/events.js'
import { startNatsServer } from '../../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../../runtime/cluster/natsServer.js'
import type { EventLine } from '../../../runtime/inspect/eventLine.js'
import { eventsOfAll } from '../../../runtime/inspect/eventService.js'
import { Inspector } from '../../../runtime/inspect/inspector.js'
import { runHere } from '../../support/cli.js'
import { Responder } from '../../support/responder.js'
import { waitFor } from '../../support/wait.js'

const test = suite('inspect and events on the command line')
const cwd = mkdtempSync(join(tmpdir(), 'engram-inspect-'))
let server: NatsServer

test.before(async () => {
  server = await startNatsServer({ storeDir: join(cwd, 'nats') })
})
test.after(async () => {
  await server.stop()
  rmSync(cwd, { recursive: true, force: true })
})

async function engram(...args: string[]) {
  return await runHere(args, { cwd, env: { ENGRAM_NATS_URL: server.url } })
}

test('wrong usage exits 2, and says what is right', async () => {
  const wrong: [args: string[], says: RegExp][] = [
    [['inspect', '--node', 'a.b'], /--node: a name must be/],
    [['inspect', '--port', '99999'], /from 0 to 65535/],
    [['inspect', '--inspector', 'javascript:1'], /is not an http or https URL/],
    [['events', 'a b'], /invalid space name: a name must be/],
  ]
  for (const [args, says] of wrong) {
    const { code, out, err } = await engram(...args)
    assert.is(code, 2, args.join(' '))
    assert.is(out, '')
    assert.match(err, says)
  }
})

test('a port in use is reported, with what to do', async () => {
  const busy = createServer()
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve))
  const { port } = busy.address() as AddressInfo
  const { code, err } = await engram('inspect', '--port', String(port))
  assert.is(code, 1)
  assert.match(err, new RegExp(`${port} is in use`))
  assert.match(err, /--port 0/)
  busy.close()
})

test('an inspector says so once when no node answers, and goes on asking', async () => {
  const nats = await natsConnect({ servers: server.url })
  const faults: string[] = []
  const inspector = new Inspector({
    connection: nats,
    inboxPrefix: '_INBOX',
    leaseMs: 60,
    node: 'n7',
    onEnvelope: () => {},
    onFault: (message) => faults.push(message),
  })
  let asked = 0
  await inspector.start()
  await waitFor('the fault', () => faults.length > 0)
  nats.subscribe('engram.v1.inspect.n7.start', { callback: () => {
    asked += 1
  } })
  await waitFor('further questions', () => asked > 2)
  assert.equal(faults, ['n7 does not answer yet; the request is repeated'])
  inspector.stop()
  await nats.close()
})

test('without a node, events says so; with one it shows the present state', async () => {
  const none = await engram('events')
  assert.is(none.code, 1)
  assert.match(none.err, /no Engram node answers/)
  const nats = await natsConnect({ servers: server.url })
  const responder = new Responder(nats).start()
  await nats.flush()
  const some = await engram('events', '--json')
  assert.is(some.code, 0)
  const lines = some.out.trim().split('\n').map((line) => JSON.parse(line) as EventLine)
  assert.ok(lines.every(({ kind, at }) => kind === 'situation' && !Number.isNaN(Date.parse(at))))
  assert.ok(lines.some(({ space }) => space === 'demo'))
  responder.stop()
  await nats.close()
})

const promotion = (epoch: number, over: Partial<PromotionReport> = {}): PromotionReport => ({
  atMs: Date.UTC(2026, 0, epoch, 12),
  space: 'demo',
  epoch,
  from: `n${epoch - 1}`,
  to: `n${epoch}`,
  vacancy: 'noResponders',
  reason: 'NATS says so',
  ms: 210,
  atRisk: 0,
  ...over,
})
const promoted = (node: string, id: number, report: PromotionReport): RecordedEvent => ({
  type: 'promoted',
  id,
  node,
  atMs: id,
  promotion: report,
  inSync: ['n1'],
})

async function withNodes<T>(
  events: Readonly<Record<string, readonly RecordedEvent[] | null>>,
  run: () => Promise<T>,
): Promise<T> {
  const nats = await natsConnect({ servers: server.url })
  const responders = Object.entries(events).map(([node, kept]) => {
    const responder = new Responder(nats, 'demo', node)
    responder.events = kept
    return responder.start()
  })
  await nats.flush()
  try {
    return await run()
  } finally {
    for (const responder of responders) responder.stop()
    await nats.close()
  }
}

const first = promotion(1, { from: null, vacancy: 'none' })
const [second, third] = [promotion(2, { atRisk: null }), promotion(3, { ms: 2_260, atRisk: 1_234 })]
/** n3 was away at first; each has some that the others have too. n4 keeps nothing. */
const kept = {
  n1: [promoted('n1', 1, first), promoted('n1', 5, second), promoted('n1', 9, third)],
  n2: [promoted('n2', 2, first), promoted('n2', 3, second)],
  n3: [promoted('n3', 4, third)],
  n4: null,
}

test('history merges what the nodes have kept, page by page, in order of time', async () => {
  await withNodes(kept, async () => {
    const { code, out } = await engram('history', '--json')
    assert.is(code, 0)
    assert.equal(JSON.parse(out), { promotions: [first, second, third] })
    assert.equal(Object.keys((JSON.parse(out) as { promotions: object[] }).promotions[0] ?? {}), [
      'atMs',
      'space',
      'epoch',
      'from',
      'to',
      'vacancy',
      'reason',
      'ms',
      'atRisk',
    ])
    const lines = (await engram('history', 'demo')).out.trimEnd().split('\n')
    assert.equal(lines.map((line) => line.split(/ {2,}/)), [
      ['TIME', 'SPACE', 'EPOCH', 'FROM', 'TO', 'INTERRUPTED', 'AT RISK', 'REASON'],
      ['2026-01-01 12:00:00 UTC', 'demo', '1', '-', 'n1', '-', '0', 'NATS says so'],
      ['2026-01-02 12:00:00 UTC', 'demo', '2', 'n1', 'n2', '210 ms', '-', 'NATS says so'],
      ['2026-01-03 12:00:00 UTC', 'demo', '3', 'n2', 'n3', '2.3 s', '1,234', 'NATS says so'],
    ])
  })
})

test('a node that goes away between two pages: its first page stays', async () => {
  await withNodes({ n1: kept.n1, n2: [] }, async () => {
    const nats = await natsConnect({ servers: server.url })
    // The latest page, which says that there is more; nobody answers for the rest.
    nats.subscribe(eventsOfAll, {
      callback: (_, message) =>
        message.respond(JSON.stringify(
          { ok: true, node: 'n7', events: [promoted('n7', 70, promotion(7))], before: 70 },
        )),
    })
    await nats.flush()
    const { code, out } = await engram('history', '--json')
    await nats.close()
    assert.is(code, 0)
    assert.equal((JSON.parse(out) as { promotions: PromotionReport[] }).promotions
      .map(({ epoch }) => epoch), [1, 2, 3, 7])
  })
})

test('without a promotion history says so, and without a node that it is that', async () => {
  await withNodes({ n1: [] }, async () => {
    assert.equal(await engram('history'), { code: 0, out: 'no promotions are known\n', err: '' })
    assert.match((await engram('history', 'other')).out, 'no promotions of other are known')
  })
  const none = await engram('history', '--json')
  assert.equal([none.code, none.out], [1, ''])
  assert.match(none.err, /no Engram node answers/)
  assert.is((await engram('history', 'a b')).code, 2)
})

test('events begins with the last of what the nodes have kept', async () => {
  await withNodes(kept, async () => {
    const lines = async (...args: string[]): Promise<EventLine[]> =>
      (await engram('events', '--json', ...args)).out.trim().split('\n')
        .map((line) => JSON.parse(line) as EventLine)
    const past = (all: readonly EventLine[]) => all.filter(({ kind }) => kind !== 'situation')
    const all = await lines()
    assert.equal(past(all).map(({ epoch }) => epoch), [1, 2, 3])
    assert.ok(all.findIndex(({ kind }) => kind === 'situation') === 3, 'then the present state')
    assert.equal(past(await lines('--last', '2')).map(({ epoch }) => epoch), [2, 3])
    assert.equal(past(await lines('--last', '0')), [])
    const { out } = await engram('events', '--last', '1')
    assert.match(out, /^2026-01-03 12:00:00\.000 {2}n3 is the primary of demo, in epoch 3: /)
  })
})

test.run()
