/** The checks without a schema take nothing that the schema refuses or would change. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isPlainAck, isPlainHeartbeat } from '../../../runtime/codec/plainShapes.js'
import { ackMessages, bounds, heartbeat } from '../../../runtime/codec/schemas.js'

const test = suite('plain shapes')

const validHeartbeat = {
  node: 'n1',
  disk: 'd1',
  number: 17,
  incarnation: 4,
  connection: 2,
  server: 'NSERVER',
  loopDelayMs: 3,
  leaving: false,
  http: '127.0.0.1:8080',
  registered: true,
  wallMs: 1_764_489_600_000,
  checkpoints: 1,
  heard: { n2: [1, 1, 900], n3: [2, 7, 12] },
}
const validAck = {
  kind: 'ack',
  space: 'demo',
  node: 'n2',
  epoch: 3,
  session: 1,
  durableSequence: 42,
  appliedSequence: 40,
  digest: '',
}

const shapes = [
  { name: 'heartbeat', valid: validHeartbeat, isPlain: isPlainHeartbeat, schema: heartbeat },
  { name: 'ack', valid: validAck, isPlain: isPlainAck, schema: ackMessages.ack },
]

const oddValues = [undefined, null, true, 0, -1, -0, 1.5, NaN, Infinity, 2 ** 53, '', 'n1', 'a.b',
  'x'.repeat(65), 'x'.repeat(129), 'x'.repeat(257), [], {}, [1, 2, 3], { n2: [1, 2] }, {
  n2: [1, 2, 3],
}, { n2: [1, 2, -3] }, { n2: [1, 2, 3, 4] }, { 'a.b': [1, 2, 3] }, { n2: { length: 3 } }, 'nack',
  'ack']

test('what nodes send is taken', () => {
  for (const { name, valid, isPlain } of shapes) assert.ok(isPlain(valid), name)
  assert.ok(isPlainHeartbeat({ ...validHeartbeat, http: null, heard: {} }))
})

test('every field, changed in every way: taken only if the schema takes it, unchanged', () => {
  for (const { name, valid, isPlain, schema } of shapes) {
    let taken = 0
    for (const field of [...Object.keys(valid), 'unknown']) {
      for (const odd of oddValues) {
        const changed = { ...valid, [field]: odd }
        if (!isPlain(changed)) continue
        taken += 1
        assert.equal(schema.safeParse(changed).data, changed, `${name}.${field}: ${String(odd)}`)
      }
      const { [field as keyof typeof valid]: _, ...without } = valid as Record<string, unknown>
      if (field !== 'unknown') assert.not.ok(isPlain(without), `${name} without ${field}`)
    }
    assert.ok(taken > 10, `${name}: ${taken} were taken`)
  }
})

test('any value: the same', () => {
  for (const { valid, isPlain, schema } of shapes) {
    const value = fc.oneof(fc.anything(), fc.constantFrom(...oddValues))
    const changes = fc.dictionary(fc.constantFrom(...Object.keys(valid)), value, { maxKeys: 3 })
    fc.assert(fc.property(changes, (change) => {
      const changed = { ...valid, ...change }
      if (isPlain(changed)) assert.equal(schema.safeParse(changed).data, changed)
    }), { numRuns: 2000 })
    for (const other of oddValues) assert.not.ok(isPlain(other))
  }
})

test('too many peers are left to the schema', () => {
  const peers = Array.from({ length: bounds.peers + 1 }, (_, n) => [`n${n}`, [1, 1, 1]])
  assert.not.ok(isPlainHeartbeat({ ...validHeartbeat, heard: Object.fromEntries(peers) }))
  assert.ok(isPlainHeartbeat({ ...validHeartbeat, heard: Object.fromEntries(peers.slice(1)) }))
})

test.run()
