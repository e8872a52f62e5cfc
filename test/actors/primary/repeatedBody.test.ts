/** A key that is used again for another write: reported where that can be known. */
import { encode } from '@msgpack/msgpack'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EntriesGoneError } from '../../../actors/ports/journal.js'
import { path, settle, uuid } from '../../support/actorKit.js'
import type { Path } from '../../support/actorKit.js'

const test = suite('repeated body')

const node = (content: string, id = 'n'): object => ({ type: 'StoreNode',
  node: { id, content, metadata: { a: 1, b: [1, { c: null }] } } })
const key = { 'Nats-Msg-Id': 'k' }

/** null: no answer yet. */
function answerOf(side: Path, reply: string): readonly unknown[] | null {
  const answer = side.answerTo(reply)
  return answer?.ok ? [answer.sequence, answer.duplicate, answer.mismatch ?? 'absent'] : null
}

/** Repeats with the same and with other bodies; returns the answer to each. */
async function repeats(side: Path): Promise<readonly unknown[]> {
  const same = {
    node: { metadata: { b: [1, { c: null }], a: 1 }, content: 'x', id: 'n' },
    type: 'StoreNode',
  }
  const replies = [
    side.send(node('x'), key),
    side.send(same, key),
    side.send(encode(same), key),
    side.send({ operations: [node('x')] }, key),
    side.send(node('y'), key),
    side.send({ operations: [node('x'), node('x')] }, key),
    side.send({ type: 'UpdateActivation', nodeId: 'n', activation: 0 }, key),
  ]
  await settle()
  await side.clock.advanceAsync(1)
  return replies.map((reply) => answerOf(side, reply)?.[2] ?? 'unanswered')
}

const expected = ['absent', 'absent', 'absent', 'absent', true, true, true]

test('while the first is in the open batch, in flight, or in the overlay', async () => {
  const side = path()
  side.journal.holdsSyncs = true
  const first = side.send(node('x'), key)
  const early = side.send(node('y'), key)
  await settle()
  const flying = side.send(node('y'), key)
  await side.journal.release()
  assert.equal(answerOf(side, first), [1, false, 'absent'])
  assert.equal([early, flying].map((reply) => answerOf(side, reply)), [[1, true, true], [1, true,
    true]])
  side.journal.holdsSyncs = false
  assert.is(side.overlay.count, 1)
  assert.equal(await repeats(side), expected)
})

test('once it is applied, by the log', async () => {
  const side = path()
  side.send({ operations: [node('a', 'a'), node('b', 'b')] })
  side.send(node('x'), key)
  await settle()
  const entries = side.overlay.entries(1, 10)
  await side.store.apply(entries)
  side.overlay.applied(3)
  assert.equal(await repeats(side), expected)
})

test('a log that no longer has it, or cannot be read, shows nothing', async () => {
  for (const failure of [[], new Error('cannot be read'), new EntriesGoneError(uuid, 1, 2)]) {
    const side = path()
    side.send(node('x'), key)
    await settle()
    await side.store.apply(side.overlay.entries(1, 10))
    side.overlay.applied(1)
    side.log.framesFrom = () =>
      failure instanceof Error ? Promise.reject(failure) : Promise.resolve(failure)
    const reply = side.send(node('y'), key)
    assert.is(answerOf(side, reply), null)
    await side.clock.advanceAsync(1)
    assert.equal(answerOf(side, reply), [1, true, 'absent'])
  }
})

test('a write that a rule may have changed is not compared', async () => {
  const side = path()
  side.send(node('x'), key)
  await settle()
  const [entry] = side.overlay.entries(1, 1)
  side.overlay.entries = () => [{ ...entry!, reconciliation: {
    origin: { epoch: 1, sequence: 1, node: 'n1' },
    timestamp: 1,
    via: 'client',
    outcome: 'merged',
    displaces: 'value',
    keepsActivation: false,
    by: null,
  } }]
  assert.equal(answerOf(side, side.send(node('y'), key)), [1, true, 'absent'])
})

test('while it is being compared the data path is not idle; its end answers', async () => {
  const side = path()
  side.send(node('x'), key)
  await settle()
  await side.store.apply(side.overlay.entries(1, 10))
  side.overlay.applied(1)
  assert.ok(side.ingest.isIdle)
  const reply = side.send(node('y'), key)
  assert.not.ok(side.ingest.isIdle)
  side.ingest.end('LEASE_LAPSED', 'over')
  await side.clock.advanceAsync(1)
  assert.is(side.codeTo(reply), 'NOT_PRIMARY')
})

test('repeats that wait to be compared take some memory, and not all that is sent', async () => {
  const side = path()
  side.send(node('x'), key)
  await settle()
  await side.store.apply(side.overlay.entries(1, 10))
  side.overlay.applied(1)
  const large = 'y'.repeat(60_000)
  const replies = Array.from({ length: 200 }, () => side.send(node(large), key))
  assert.ok(side.budget.uses().writes <= 4 * 1024 * 1024)
  assert.equal(answerOf(side, replies.at(-1)!), [1, true, 'absent'], 'nothing is said of it')
  await side.clock.advanceAsync(100)
  assert.equal(answerOf(side, replies[0]!), [1, true, true])
  assert.is(side.budget.uses().writes, 0)
  side.budget.account('held').set(side.budget.bytesMax)
  assert.equal(answerOf(side, side.send(node('z'), key)), [1, true, 'absent'])
})

test.run()
