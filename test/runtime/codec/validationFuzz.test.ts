/** For any bytes: no throw, bounded time and memory, and nothing invalid gets through. */
import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createClientCodec } from '../../../runtime/codec/clientCodec.js'
import { decodeOperation, encodeOperation } from '../../../runtime/codec/operation.js'
import { operationReason } from '../../../runtime/codec/validateOperation.js'

const codec = createClientCodec()
const TYPES = [undefined, 'application/json', 'application/msgpack']

/** Validates the bytes in every way; what is accepted must be valid when read back from the log. */
function validate(data: Uint8Array): number {
  let taken = 0
  for (const type of TYPES) {
    const written = codec.write(data, type, undefined)
    codec.query(data, type)
    if (!written.ok) {
      assert.ok(written.message.length < 400, 'a short message')
      continue
    }
    taken += 1
    const { operations, encoded } = written.value
    assert.is(operations.length, encoded.length)
    encoded.forEach((bytes, index) => {
      const operation = decodeOperation(bytes)
      assert.is(operationReason(operation, ''), null)
      assert.equal(operation, operations[index])
    })
  }
  return taken
}

/** Runs within `limitMs`: generous, it distinguishes minutes from milliseconds. */
function within(limitMs: number, run: () => void): void {
  const started = performance.now()
  run()
  const ms = performance.now() - started
  assert.ok(ms < limitMs, `${ms} ms`)
}

function mapOf(keyOf: (index: number) => string): Record<string, number> {
  return Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [keyOf(index), 0]))
}

const valid: readonly object[] = [
  {
    type: 'StoreNode',
    node: {
      id: 'n1',
      content: 'grüße',
      activation: 0.5,
      confidence: 1,
      embedding: [0.1, 2, -3e9],
      metadata: { a: [1, { b: 'c' }], d: null },
    },
  },
  { type: 'UpdateActivation', nodeId: 'n1', activation: 0.8 },
  { type: 'StoreEdge', edge: { source: 'a', target: 'b', kind: 'k', weight: 0.7 } },
  { operations: [{ type: 'UpdateActivation', nodeId: 'n1', activation: 0.8 }] },
]

const test = suite('validation: fuzz')

test('random bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (data) => {
    validate(data)
  }), { numRuns: 2000 })
})

test('random values', () => {
  const value = fc.anything({ withBigInt: false, withDate: true, withTypedArray: true })
  fc.assert(fc.property(value, (anything) => {
    let data: Uint8Array
    try {
      data = encode(anything, { ignoreUndefined: true })
    } catch {
      return
    }
    validate(data)
    validate(encode({ type: 'StoreNode', node: { id: 'n', metadata: { a: anything } } }))
  }), { numRuns: 1000 })
})

test('random plain values', () => {
  const settings = {
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withNullPrototype: true,
    withSparseArray: true,
  }
  fc.assert(fc.property(fc.anything(settings), (anything) => {
    const metadata = { a: anything }
    for (const value of [anything, { type: 'StoreNode', node: { id: 'n', metadata } }]) {
      const outcome = codec.operation(value)
      if (outcome.ok) {
        // The logged form is what was checked (it knows no -0, as JSON).
        const again = decodeOperation(encodeOperation(outcome.value))
        assert.is(operationReason(again, ''), null)
        assert.equal(JSON.stringify(again), JSON.stringify(outcome.value))
      } else assert.ok(outcome.reason.length < 400)
    }
  }), { numRuns: 2000 })
})

test('valid requests with bytes changed, cut, put in and doubled', () => {
  let taken = 0
  const bases = valid.flatMap((one) => [encode(one), Buffer.from(JSON.stringify(one))])
  const change = fc.record({
    at: fc.nat(400),
    byte: fc.nat(255),
    kind: fc.constantFrom('set', 'cut', 'insert', 'repeat'),
  })
  fc.assert(
    fc.property(fc.constantFrom(...bases), fc.array(change, { maxLength: 4 }), (base, changes) => {
      let data = Buffer.from(base)
      for (const { at, byte, kind } of changes) {
        const place = at % (data.length + 1)
        if (kind === 'set' && place < data.length) data[place] = byte
        if (kind === 'cut') data = data.subarray(0, place)
        if (kind === 'insert') {
          data = Buffer.concat([data.subarray(0, place), Buffer.of(byte), data.subarray(place)])
        }
        if (kind === 'repeat') data = Buffer.concat([data, data.subarray(place)])
      }
      taken += validate(data)
    }),
    { numRuns: 5000 },
  )
  assert.ok(taken > 100, 'some mutants are valid')
})

test('headers that announce what is not there', () => {
  const node = encode({ type: 'StoreNode', node: { id: 'n', metadata: { a: 0 } } }).subarray(0, -1)
  within(2000, () => {
    for (const head of [0xc6, 0xc9, 0xdb, 0xdd, 0xdf, 0xc5, 0xda, 0xdc, 0xde]) {
      for (const tail of [[255, 255, 255, 255], [127, 255, 255, 255], [0, 255, 255, 255]]) {
        const lie = Buffer.from([head, ...tail])
        assert.is(validate(lie), 0)
        assert.is(validate(Buffer.concat([node, lie])), 0)
        assert.is(validate(Buffer.concat([node, lie, Buffer.alloc(250_000, 0xc0)])), 0)
      }
    }
    // Arrays in arrays, each as long as the rest: allocated eagerly these are gigabytes.
    const bomb = Buffer.alloc(262_144)
    for (let at = 0; at + 5 <= bomb.length; at += 5) {
      bomb[at] = 0xdd
      bomb.writeUInt32BE(bomb.length - at - 5, at + 1)
    }
    assert.is(validate(bomb), 0)
  })
})

test('deep nesting', () => {
  within(2000, () => {
    for (const unit of ['[', '{"a":', '{"type":"StoreNode","node":']) {
      assert.is(validate(Buffer.from(unit.repeat(Math.floor(262_144 / unit.length)))), 0)
    }
    const levels = 100_000
    assert.is(validate(Buffer.from(`${'['.repeat(levels)}${']'.repeat(levels)}`)), 0)
    const inner = `${'['.repeat(levels)}${']'.repeat(levels)}`
    const node = `{"type":"StoreNode","node":{"id":"n","metadata":{"a":${inner}}}}`
    assert.is(validate(Buffer.from(node)), 0)
    assert.is(validate(Buffer.alloc(262_144, 0x91)), 0)
    assert.is(validate(Buffer.alloc(262_144, 0x81)), 0)
  })
})

test('maps with very many keys', () => {
  within(5000, () => {
    const keys = [
      (index: number) => `k${index}`,
      (index: number) => String(index),
      // Array indices far apart: the objects of V8 keep them in a hash table of their own.
      (index: number) => String(index * 65_536),
    ]
    for (const keyOf of keys) {
      const map = mapOf(keyOf)
      for (const value of [map, { type: 'StoreNode', node: { id: 'n', metadata: map } }]) {
        for (const data of [encode(value), Buffer.from(JSON.stringify(value))]) {
          assert.is(validate(data.subarray(0, 262_144)), 0)
        }
      }
    }
  })
})

/** A key of metadata whose value is `inner`, as JSON and as MessagePack, at some depth. */
const places: readonly ((inner: unknown) => object)[] = [
  (inner) => ({ type: 'StoreNode', node: { id: 'n', metadata: { a: inner } } }),
  (inner) => ({ type: 'StoreNode',
    node: { metadata: { x: 1e300, 'a b': [0, [inner]] }, id: 'n' } }),
  (inner) => ({
    operations: [
      { type: 'StoreNode', node: { id: '12345678901234567890', embedding: [1e20, 0.5] } },
      { type: 'StoreNode', node: { id: 'n', metadata: { big: 2 ** 70, deep: { er: inner } } } },
    ],
  }),
]
const paths = ['node.metadata.a', 'node.metadata["a b"][1][0]',
  'operations[1].node.metadata.deep.er']

test('integers that no number can hold are refused in both encodings, with their path', () => {
  const wide = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n })
  const near = fc.bigInt({ min: -16n, max: 16n }).map((by) => 2n ** 53n + by)
  fc.assert(fc.property(fc.oneof(wide, near, near.map((n) => -n)), fc.nat(2), (n, place) => {
    const isSafe = n <= 2n ** 53n - 1n && n >= -(2n ** 53n - 1n)
    const packed = encode(places[place]!(n), { useBigInt64: true })
    const mark = '"the integer"'
    const text = JSON.stringify(places[place]!('the integer')).replace(mark, String(n))
    for (const data of [packed, Buffer.from(text)]) {
      const validated = codec.write(data, undefined, undefined)
      assert.is(validated.ok, isSafe, `${n} ${JSON.stringify(validated)}`)
      const path = `${paths[place]} must not be an integer beyond`
      if (!validated.ok) assert.ok(validated.message.startsWith(path), validated.message)
    }
  }), { numRuns: 400 })
})

test('bytes that look like such an integer and are none are taken', () => {
  const fine = [
    '1e20',
    '1.5e300',
    '-9007199254740993.5',
    '"12345678901234567890"',
    '9007199254740991',
    '[0.1234567890123456789]',
    '{"12345678901234567890":1}',
    '"\\"metadata\\":12345678901234567890"',
    '[1e300,"{\\"metadata\\":{\\"a\\":12345678901234567890}}"]',
  ]
  for (const inner of fine) {
    const text = `{"type":"StoreNode","node":{"id":"n","metadata":{"float":1e300,"a":${inner}},`
      + '"embedding":[12345678901234567890]}}'
    const validated = codec.write(Buffer.from(text), 'application/json', undefined)
    assert.ok(validated.ok, `${inner} ${JSON.stringify(validated)}`)
  }
})

test('the look at each token of a large request is bounded', () => {
  const operations = Array.from({ length: 1000 },
    (_, n) => ({ type: 'StoreNode',
      node: { id: `n${n}`, metadata: { a: 1e300, b: '1'.repeat(16) } } }))
  const data = Buffer.from(JSON.stringify({ operations }))
  within(1000, () => assert.ok(codec.write(data, undefined, undefined).ok))
  const keys = 'k'.repeat(5000)
  const deep = `{"type":"StoreNode","node":{"id":"n","metadata":{"${keys}":{"${keys}":${
    2n ** 60n
  }}}}}`
  assert.is(validate(Buffer.from(deep)), 0)
})

test('the largest valid request', () => {
  const operations = Array.from({ length: 1000 },
    (_, index) => ({ type: 'StoreNode', node: { id: `n${index}`, content: 'x'.repeat(180) } }))
  within(1000, () => {
    assert.ok(validate(encode({ operations })) > 0)
    assert.ok(validate(Buffer.from(JSON.stringify({ operations }))) > 0)
  })
})

test.run()
