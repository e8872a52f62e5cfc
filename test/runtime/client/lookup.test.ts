/** Writes and reads of a space that nobody serves: is there none, or has it no primary now? */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as natsConnect } from 'nats'
import type { NatsConnection, Subscription } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { connect } from '../../../runtime/client/client.js'
import type { EngramClient } from '../../../runtime/client/client.js'
import { EngramError, ReadError, WriteOutcomeUnknownError,
  WriteRefusedError } from '../../../runtime/client/errors.js'
import { startNatsServer } from '../../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../../runtime/cluster/natsServer.js'
import { Responder } from '../../support/responder.js'

const test = suite('client: a space that nobody serves')
const storeDir = mkdtempSync(join(tmpdir(), 'engram-client-lookup-'))
let server: NatsServer
let nats: NatsConnection
let it: EngramClient
let nodes: Subscription | null = null
let lookups = 0

const node = { type: 'StoreNode', node: { id: 'a' } } as const
const get = { type: 'GetNode', nodeId: 'a' } as const
/** Far longer than a test waits. */
const patient = { deadlineMs: 60_000 }

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
  lookups = 0
  it = await connect({ servers: server.url })
})
test.after.each(async () => {
  nodes?.unsubscribe()
  nodes = null
  await it.close()
})

/** Nodes that say so of every space; null: that do not answer. */
async function nodesSay(said: object | null): Promise<void> {
  nodes = nats.subscribe(subjects.lookup('*'), {
    callback: (_, message) => {
      lookups += 1
      if (said) message.respond(Buffer.from(JSON.stringify(said)))
    },
  })
  await nats.flush()
}

const absent = { ok: false, code: 'UNKNOWN_SPACE', message: 'none', outcome: 'notTaken' }
const there = { ok: true, space: 'demo' }

async function failure(promise: Promise<unknown>): Promise<EngramError> {
  const error = await promise.then(() => null, (fault: unknown) => fault)
  if (error instanceof EngramError) return error
  throw error ?? new Error('it did not fail')
}

test('there is none: answered at once, for writes and reads alike', async () => {
  await nodesSay(absent)
  const [write, read, any] = await Promise.all([
    it.write('nowhere', node, patient),
    it.read('nowhere', get, patient),
    it.read('nowhere', get, { ...patient, from: 'any' }),
  ].map(failure))
  assert.instance(write, WriteRefusedError)
  assert.is((write as WriteRefusedError).outcome, 'notTaken')
  for (const error of [read, any]) assert.instance(error, ReadError)
  for (const error of [write, read, any]) {
    assert.equal([error?.code, error?.retryable], ['UNKNOWN_SPACE', false])
    assert.match(error?.message ?? '', 'there is no space nowhere')
  }
})

test('a space that is made after that is taken for what it is', async () => {
  await nodesSay(absent)
  assert.is((await failure(it.write('demo', node, patient))).code, 'UNKNOWN_SPACE')
  nodes?.unsubscribe()
  await nodesSay(there)
  const writing = it.write('demo', node, patient)
  await nats.flush()
  const primary = new Responder(nats).start()
  assert.is((await writing).sequence, 1)
  primary.stop()
})

test('many calls to none are a few questions', async () => {
  await nodesSay(absent)
  const errors = await Promise.all(
    Array.from({ length: 2000 }, () => failure(it.write('nowhere', node, patient))),
  )
  assert.ok(errors.every(({ code }) => code === 'UNKNOWN_SPACE'))
  assert.ok(lookups < 10, `${lookups} questions`)
})

test('it is there: they wait for its primary, and nobody is asked twice', async () => {
  await nodesSay(there)
  const late = await failure(it.write('demo', node, { deadlineMs: 700 }))
  assert.instance(late, WriteOutcomeUnknownError)
  assert.is(late.code, 'NO_RESPONDERS')
  assert.match(late.message, 'the space has no primary that serves now')
  const writing = it.write('demo', node, patient)
  const primary = new Responder(nats).start()
  assert.is((await writing).sequence, 1)
  assert.is(lookups, 1)
  primary.stop()
})

test('nobody answers the question: asked ever more rarely, and said so', async () => {
  await nodesSay(null)
  const error = await failure(it.read('demo', get, { deadlineMs: 1500 }))
  assert.is(error.code, 'NO_RESPONDERS')
  assert.match(error.message, 'the space has no primary now, or does not exist')
  assert.ok(lookups <= 2, `${lookups} questions`)
})

test('no node is there to ask: an outage is no unknown space', async () => {
  const error = await failure(it.write('demo', node, { deadlineMs: 300 }))
  assert.instance(error, WriteOutcomeUnknownError)
  assert.is(error.code, 'NO_RESPONDERS')
  assert.match(error.message, 'no node answers engram.v1.lookup.demo either')
})

test('a node that cannot ask the arbiter settles nothing', async () => {
  await nodesSay({ ok: false, code: 'INTERNAL', message: 'the arbiter cannot be asked' })
  assert.is((await failure(it.write('demo', node, { deadlineMs: 300 }))).code, 'NO_RESPONDERS')
})

test('a write that may have been taken before stays of unknown outcome', async () => {
  await nodesSay(absent)
  const primary = new Responder(nats).start()
  await nats.flush()
  primary.script = () => 'drop'
  const writing = failure(it.write('demo', node, { deadlineMs: 1600 }))
  while (primary.received.length === 0) await nats.flush()
  primary.stop()
  const error = await writing
  assert.instance(error, WriteOutcomeUnknownError)
  assert.ok(lookups > 0)
})

test.run()
