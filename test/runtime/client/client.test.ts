import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { connect } from '../../../runtime/client/client.js'
import type { EngramClient } from '../../../runtime/client/client.js'
import { ConnectError, ReadError, WriteOutcomeUnknownError,
  WriteRefusedError } from '../../../runtime/client/errors.js'
import { startNatsServer } from '../../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../../runtime/cluster/natsServer.js'
import { Responder } from '../../support/responder.js'

const client = suite('client')
const storeDir = mkdtempSync(join(tmpdir(), 'engram-client-'))
let server: NatsServer
let nats: NatsConnection
let it: EngramClient
let primary: Responder

const node = (id: string) => ({ type: 'StoreNode', node: { id } }) as const

client.before(async () => {
  server = await startNatsServer({ storeDir })
  nats = await natsConnect({ servers: server.url })
})
client.after(async () => {
  await nats.close()
  await server.stop()
  rmSync(storeDir, { recursive: true, force: true })
})
client.before.each(async () => {
  primary = new Responder(nats).start()
  await nats.flush()
  it = await connect({ servers: server.url })
})
client.after.each(async () => {
  primary.stop()
  await it.close()
})

/** The error that the promise ends with. */
async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new assert.Assertion({ message: 'it did not fail' } as never)
}

client('writes with a key of its own each time', async () => {
  const first = await it.write('demo', node('a'))
  const second = await it.write('demo', [node('b'), node('c')], { ack: 'committed' })
  assert.is(first.sequence, 1)
  assert.equal([second.sequence, second.count], [3, 2])
  assert.is(primary.received[1]?.ack, 'committed')
  assert.is.not(primary.received[0]?.key, primary.received[1]?.key)
  assert.is(it.lastWritten('demo'), 3)
})

client('tries NOT_PRIMARY, LEASE_LAPSED and OVERLOADED again with the same key', async () => {
  const codes = ['NOT_PRIMARY', 'LEASE_LAPSED', 'OVERLOADED'] as const
  primary.script = (_, count) => {
    const code = codes[count - 1]
    if (!code) return null
    const outcome = code === 'OVERLOADED' ? 'notTaken' : 'unknown'
    return { ok: false, code, message: code, outcome, retryable: true }
  }
  await it.write('demo', node('a'))
  assert.is(primary.received.length, 4)
  assert.is(new Set(primary.received.map((write) => write.key)).size, 1)
})

client('waits through 503 until there is a primary', async () => {
  primary.stop()
  const writing = it.write('demo', node('a'), { deadlineMs: 5000 })
  await nats.flush()
  setTimeout(() => primary.start(), 150)
  assert.is((await writing).sequence, 1)
})

client('an answer that was lost is asked for again, and counts once', async () => {
  primary.script = (write, count) => {
    if (count > 1) return null
    primary.sequence = 1
    primary.taken.set(write.key, {
      ok: true,
      space: 'demo',
      epoch: 1,
      sequence: 1,
      count: 1,
      ack: 'durable',
      safeSequence: 1,
      node: 'n1',
      duplicate: false,
    })
    return 'drop'
  }
  const answer = await it.write('demo', node('a'), { key: 'k1' })
  assert.ok(answer.duplicate)
  assert.is(primary.sequence, 1)
})

client('a new epoch is announced: what waits is sent again at once', async () => {
  primary.script = (_, count) => count === 1 ? 'drop' : null
  const startedAt = performance.now()
  const writing = it.write('demo', node('a'), { deadlineMs: 8000 })
  await it.connection.flush()
  await nats.flush()
  primary.epoch = 2
  primary.announce(2)
  assert.is((await writing).epoch, 2)
  // The first timer of the client is at 500 ms.
  assert.ok(performance.now() - startedAt < 450)
})

client('an answer of a lower epoch than one it knows does not count', async () => {
  primary.epoch = 5
  await it.write('demo', node('a'))
  primary.script = (_, count) => count === 2 ? { ok: true, epoch: 4 } : null
  const answer = await it.write('demo', node('b'))
  assert.is(answer.epoch, 5)
  assert.is(primary.received.length, 3)
  assert.is(primary.received[1]?.key, primary.received[2]?.key)
})

client('past the deadline: unknown when an attempt may have been taken', async () => {
  primary.script = () => ({
    ok: false,
    code: 'ACK_TIMEOUT',
    message: 'not committed',
    outcome: 'unknown',
    retryable: true,
    sequence: 42,
  })
  const error = await failure(it.write('demo', node('a'), { key: 'k9', deadlineMs: 120 }))
  assert.instance(error, WriteOutcomeUnknownError)
  const { code, key, sequence, retryable, outcome } = error as WriteOutcomeUnknownError
  assert.equal({ code, key, sequence, retryable, outcome }, { code: 'ACK_TIMEOUT', key: 'k9',
    sequence: 42, retryable: true, outcome: 'unknown' })
})

client('past the deadline: refused when no attempt was taken', async () => {
  primary.script = () => ({
    ok: false,
    code: 'NOT_ENOUGH_IN_SYNC',
    message: '1 of 2',
    outcome: 'notTaken',
    retryable: true,
  })
  const error = await failure(it.write('demo', node('a'), { deadlineMs: 120 }))
  assert.instance(error, WriteRefusedError)
  assert.is((error as WriteRefusedError).code, 'NOT_ENOUGH_IN_SYNC')
  assert.ok(primary.received.length > 1)
})

client('an invalid write is refused at once', async () => {
  primary.script = () => ({
    ok: false,
    code: 'INVALID_OPERATION',
    message: 'node.id is missing',
    outcome: 'notTaken',
    retryable: false,
  })
  const error = await failure(it.write('demo', node('')))
  assert.instance(error, WriteRefusedError)
  assert.is(primary.received.length, 1)
  assert.instance(await failure(it.write('de.mo', node('a'))), WriteRefusedError)
  assert.instance(await failure(it.write('demo', node('a'), { key: 'a b' })), WriteRefusedError)
})

client('a space without a primary ends as NO_RESPONDERS', async () => {
  const error = await failure(it.write('nowhere', node('a'), { deadlineMs: 100 }))
  assert.instance(error, WriteOutcomeUnknownError)
  assert.is((error as WriteOutcomeUnknownError).code, 'NO_RESPONDERS')
})

client('a signal ends a write: unknown once it was sent, refused before', async () => {
  primary.script = () => 'drop'
  const abort = new AbortController()
  const writing = failure(it.write('demo', node('a'), { signal: abort.signal }))
  abort.abort(new Error('enough'))
  const error = await writing
  assert.instance(error, WriteOutcomeUnknownError)
  assert.is((error.cause as Error).message, 'enough')
  const early = await failure(it.write('demo', node('a'), { signal: abort.signal }))
  assert.instance(early, WriteRefusedError)
})

client('reads say how fresh they have to be', async () => {
  // An earlier, aborted call's request may still arrive, and take a sequence of its own.
  const { sequence } = await it.write('demo', node('a'))
  const answer = await it.read('demo', { type: 'GetNode', nodeId: 'a' }, {
    from: 'any',
    readYourWrites: true,
    maxStalenessMs: 250,
  })
  assert.is(answer.value?.id, 'a')
  assert.equal(primary.reads[0]?.headers, { 'Engram-Min-Sequence': String(sequence),
    'Engram-Max-Staleness-Ms': '250' })
  assert.is(primary.reads[0]?.subject, 'engram.v1.read.demo.any')
  await it.read('demo', { type: 'GetNode', nodeId: 'a' }, { committed: true })
  assert.equal(primary.reads[1]?.headers, { 'Engram-Read': 'committed' })
})

client('a read that is refused for good is not tried again', async () => {
  primary.onRead = () => ({
    ok: false,
    code: 'INVALID_OPERATION',
    message: 'nodeId',
    outcome: 'notTaken',
    retryable: false,
  })
  const error = await failure(it.read('demo', { type: 'GetNode', nodeId: '' }))
  assert.instance(error, ReadError)
  assert.is(primary.reads.length, 1)
})

client('many in flight each get their own answer, in order', async () => {
  const answers = await Promise.all(
    Array.from({ length: 20_000 }, (_, i) => it.write('demo', node(`m${i}`))),
  )
  assert.ok(answers.every((answer, i) => answer.sequence === i + 1))
  assert.is(primary.sequence, 20_000)
})

client('one more than inFlightMax is refused', async () => {
  const small = await connect({ servers: server.url, inFlightMax: 2 })
  primary.script = () => 'drop'
  const waiting = [1, 2].map(() => failure(small.write('demo', node('a'))))
  const error = await failure(small.write('demo', node('a')))
  assert.instance(error, WriteRefusedError)
  assert.is((error as WriteRefusedError).code, 'OVERLOADED')
  await small.close()
  for (const end of await Promise.all(waiting)) assert.instance(end, WriteOutcomeUnknownError)
})

client('goes on after the broker was gone', async () => {
  const own = await startNatsServer({ storeDir: join(storeDir, 'second') })
  const away = await connect({ servers: own.url })
  const writing = away.write('demo', node('a'), { deadlineMs: 9000 })
  await own.stop()
  const again = await startNatsServer({ storeDir: join(storeDir, 'second'), port: own.port })
  const connection = await natsConnect({ servers: again.url })
  const late = new Responder(connection).start()
  assert.is((await writing).sequence, 1)
  late.stop()
  await away.close()
  await connection.close()
  await again.stop()
})

client('no server: an error that names the address, not the password', async () => {
  const error = await failure(connect({ servers: 'nats://127.0.0.1:1', user: 'u', password: 'pw' }))
  assert.instance(error, ConnectError)
  assert.match(error.message, '127.0.0.1:1')
  assert.not.match(error.message, 'pw')
})

client('status is gathered from all nodes, and the silent ones are listed', async () => {
  const status = await it.status()
  assert.equal(status.nodes.map(({ id, state }) => `${id} ${state}`), ['n1 running', 'n2 dead'])
  const [space] = status.spaces
  assert.is(space?.primary, 'n1')
  assert.equal(
    space?.members.map((
      { node, role, epoch, durableSequence, lagBytes, lagMs },
    ) => [node, role, epoch !== null, durableSequence !== null, lagBytes, lagMs]),
    [['n1', 'primary', true, true, 0, 0], ['n2', 'unknown', false, false, null, null]],
  )
})

client.run()
