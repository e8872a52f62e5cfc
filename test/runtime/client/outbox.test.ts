/** The client over a failover that leaves writes behind: what is sent again, when, and in order. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { connect } from '../../../runtime/client/client.js'
import type { EngramClient } from '../../../runtime/client/client.js'
import type { ClientOptions } from '../../../runtime/client/options.js'
import { NotSafeError, WriteRefusedError } from '../../../runtime/client/errors.js'
import type { ResendRefused, Resent } from '../../../runtime/client/spaceOutbox.js'
import { startNatsServer } from '../../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../../runtime/cluster/natsServer.js'
import { Responder } from '../../support/responder.js'
import { waitFor } from '../../support/wait.js'

const test = suite('client protection')
const storeDir = mkdtempSync(join(tmpdir(), 'engram-protection-'))
let server: NatsServer
let nats: NatsConnection
let primary: Responder
const clients: EngramClient[] = []

const node = (id: string) => ({ type: 'StoreNode', node: { id } }) as const

async function open(options: Partial<ClientOptions> = {}): Promise<EngramClient> {
  const client = await connect({ servers: server.url, ...options })
  clients.push(client)
  return client
}

/** Writes of these keys, one after the other, each to a node of its own. */
async function write(client: EngramClient, ...keys: string[]): Promise<void> {
  for (const key of keys) await client.write('demo', node(key), { key })
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new assert.Assertion({ message: 'it did not fail' } as never)
}

test.before(async () => {
  server = await startNatsServer({ storeDir })
  nats = await natsConnect({ servers: server.url })
})
test.after(async () => {
  await nats.close()
  await server.stop()
  rmSync(storeDir, { recursive: true, force: true })
})
test.before.each(async () => {
  primary = new Responder(nats).start()
  primary.safe = 0
  await nats.flush()
})
test.after.each(async () => {
  primary.stop()
  for (const client of clients.splice(0)) await client.close()
})

test('an idle writer learns that what it wrote became safe', async () => {
  const it = await open()
  await write(it, 'a', 'b')
  const { writes, bytes, oldestMs } = it.unsafe('demo')
  assert.is(writes, 2)
  assert.ok(bytes > 80 && oldestMs > 0, `${bytes} bytes, ${oldestMs} ms`)
  const error = await failure(it.flush('demo', { timeoutMs: 80 })) as NotSafeError
  assert.instance(error, NotSafeError)
  assert.equal([error.code, error.writes, error.retryable], ['NOT_SAFE', 2, true])
  setTimeout(() => {
    primary.safe = 2
  }, 50)
  await it.flush()
  assert.equal(it.unsafe(), { writes: 0, bytes: 0, oldestMs: 0 })
})

test('flush waits for what is in flight, and not for what is written after it', async () => {
  const it = await open()
  primary.script = (_, count) => count === 1 ? 'drop' : null
  primary.safe = null
  const slow = it.write('demo', node('slow'))
  let isSafe = false
  const flushed = it.flush('demo').then(() => {
    isSafe = true
  })
  assert.not(isSafe)
  await slow
  await flushed
  primary.safe = 1
  await write(it, 'later')
  assert.is(it.unsafe('demo').writes, 1)
  await it.flush('elsewhere')
})

test('announced: the lost is sent again in order, with its origin, what survived is not', async () => {
  const resent: Resent[] = []
  const it = await open({ onResent: (one) => resent.push(one) })
  await write(it, 'a', 'b', 'c', 'd')
  primary.failOver(3, 2)
  const from = primary.received.length
  primary.announce(3)
  await waitFor('both to be taken again', () => resent.length === 2)
  assert.equal(
    primary.received.slice(from).map(({ key, fence, origin, ack }) => [key, fence, origin, ack]),
    [['c', '3', '1/3', 'durable'], ['d', '3', '1/4', 'durable']],
  )
  assert.equal(resent[0], {
    space: 'demo',
    key: 'c',
    from: { epoch: 1, sequence: 3 },
    to: { epoch: 3, sequence: 4 },
    duplicate: false,
    quarantined: 0,
  })
  assert.equal(primary.log, ['a', 'b', 'c', 'd'])
  assert.is(it.unsafe().writes, 4)
  primary.safe = 5
  await it.flush()
})

test('missed: a newer write is not taken before what was lost is sent again', async () => {
  const it = await open()
  await write(it, 'a', 'b', 'c')
  primary.failOver(2, 1)
  const later = ['x', 'y', 'z'].map((key) => it.write('demo', node(key), { key }))
  const [x] = await Promise.all(later)
  assert.is(x!.epoch, 2)
  assert.equal(primary.log.slice(0, 3), ['a', 'b', 'c'])
  assert.equal(primary.log.slice(3).toSorted(), ['x', 'y', 'z'])
})

test('missed, and nothing is written: the next look finds it', async () => {
  const resent: Resent[] = []
  const it = await open({ encoding: 'json', onResent: (one) => resent.push(one) })
  await write(it, 'a', 'b')
  primary.failOver(4, 0)
  await waitFor('both to be sent again', () => resent.length === 2)
  assert.equal(primary.log, ['a', 'b'])
})

test('two failovers: what was sent again is lost and sent again, in its old order', async () => {
  const resent: Resent[] = []
  const it = await open({ onResent: (one) => resent.push(one) })
  await write(it, 'a', 'b')
  primary.failOver(2, 1)
  primary.announce(2)
  await waitFor('b to be sent again', () => resent.length === 1)
  await write(it, 'c')
  primary.failOver(3, 0)
  primary.announce(3)
  await waitFor('all to be sent again', () => resent.length === 4)
  assert.equal(primary.log, ['a', 'b', 'c'])
  assert.equal(primary.received.slice(-3).map(({ origin }) => origin), ['1/1', '1/2', '2/4'])
})

test('a node that knows no GetHistory: all that is in doubt goes again', async () => {
  const resent: Resent[] = []
  const it = await open({ onResent: (one) => resent.push(one) })
  await write(it, 'a', 'b')
  primary.onRead = () => ({
    ok: false,
    code: 'INVALID_OPERATION',
    message: 'type must be',
    outcome: 'notTaken',
    retryable: false,
  })
  primary.failOver(2, 1)
  await write(it, 'c')
  assert.equal(resent.map(({ key, duplicate }) => [key, duplicate]), [['a', true], ['b', false]])
  assert.equal(primary.log, ['a', 'b', 'c'])
  assert.is(it.unsafe().writes, 3)
})

test('past the bound writes ask for committed; refused, they fail, and nothing is dropped', async () => {
  const it = await open({ unsafeBytesMax: 1300 })
  await write(it, 'a', 'b', 'c')
  assert.equal(primary.received.map(({ ack }) => ack), ['', '', 'committed'])
  assert.is(it.unsafe().writes, 2, 'what is committed is not kept')
  primary.script = () => ({
    ok: false,
    code: 'NOT_ENOUGH_IN_SYNC',
    message: '1 in sync, the space asks for 2',
    outcome: 'notTaken',
    retryable: true,
  })
  const error = await failure(it.write('demo', node('d'), { deadlineMs: 100 }))
  assert.instance(error, WriteRefusedError)
  assert.match(error.message, 'unsafeBytesMax')
  assert.match(error.message, '1 in sync')
  assert.is(it.unsafe().writes, 2)
  primary.script = () => null
  primary.safe = primary.sequence
  await it.flush()
  await write(it, 'e')
  assert.is(primary.received.at(-1)?.ack, '', 'there is room again')
})

test('writes in flight count for the bound', async () => {
  const it = await open({ unsafeBytesMax: 1300 })
  await Promise.all(['a', 'b', 'c', 'd'].map((key) => write(it, key)))
  const levels = primary.received.map(({ ack }) => ack)
  assert.equal(levels, ['', '', 'committed', 'committed'])
})

test('while the lost is sent again newer writes wait; past their deadline they are refused', async () => {
  const it = await open()
  await write(it, 'a')
  primary.script = (sent) =>
    sent.key === 'a'
      ? { ok: false, code: 'OVERLOADED', message: 'busy', outcome: 'notTaken', retryable: true }
      : null
  primary.failOver(2, 0)
  primary.announce(2)
  await waitFor('a to be sent again', () => primary.received.length > 1)
  const error = await failure(it.write('demo', node('b'), { key: 'b', deadlineMs: 100 }))
  assert.instance(error, WriteRefusedError)
  assert.match(error.message, 'left behind')
  primary.script = () => null
  await write(it, 'c')
  assert.equal(primary.log, ['a', 'c'])
})

test('refused for good when it is sent again: reported, kept as unsafe, and in nobody\'s way', async () => {
  const refused: ResendRefused[] = []
  const it = await open({ onResendRefused: (one) => refused.push(one) })
  await write(it, 'a', 'b')
  primary.script = (sent) =>
    sent.key === 'a'
      ? { ok: false, code: 'INVALID_OPERATION', message: 'no', outcome: 'notTaken',
        retryable: false }
      : null
  primary.failOver(2, 0)
  primary.announce(2)
  await write(it, 'c')
  assert.equal(refused.map(({ key, from, error }) => [key, from, error.code]), [['a', { epoch: 1,
    sequence: 1 }, 'INVALID_OPERATION']])
  primary.safe = primary.sequence
  const error = await failure(it.flush('demo', { timeoutMs: 100 })) as NotSafeError
  assert.is(error.writes, 1)
})

test('close returns what is unsafe, or waits for it', async () => {
  const it = await open()
  await write(it, 'a')
  const flushing = failure(it.flush())
  assert.is((await it.close()).writes, 1)
  assert.is((await flushing as NotSafeError).code, 'CLOSED')
  const other = await open()
  await write(other, 'b')
  setTimeout(() => {
    primary.safe = 2
  }, 40)
  assert.is((await other.close({ flushMs: 3000 })).writes, 0)
})

test('protect: false keeps nothing, asks for nothing, and says so', async () => {
  const it = await open({ protect: false, unsafeBytesMax: 1 })
  await write(it, 'a', 'b')
  primary.failOver(2, 1)
  primary.announce(2)
  await write(it, 'c')
  assert.equal(primary.log, ['a', 'c'])
  assert.ok(primary.received.every(({ ack, fence, origin }) => ack + fence + origin === ''))
  assert.is(it.unsafe().writes, 0)
  assert.is((await failure(it.flush()) as NotSafeError).code, 'UNPROTECTED')
})

test('another space of the name: what was kept goes into it', async () => {
  const it = await open()
  primary.epoch = 7
  await write(it, 'a')
  primary.announce(7, 'u1')
  await nats.flush()
  await it.connection.flush()
  primary.failOver(1, 0)
  primary.history = []
  primary.announce(1, 'u2')
  await write(it, 'b')
  assert.equal(primary.log, ['a', 'b'])
})

test.run()
