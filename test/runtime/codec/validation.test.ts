/** Every rule for values that clients send, in both encodings. */
import { decode, encode, ExtData } from '@msgpack/msgpack'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { originOf } from '../../../actors/messaging/answers.js'
import type { Encoding } from '../../../actors/ports/clientApi.js'
import { cursorOf } from '../../../machines/graph/edgePlace.js'
import { createClientCodec } from '../../../runtime/codec/clientCodec.js'
import { decodeOperation, encodeOperation } from '../../../runtime/codec/operation.js'

const codec = createClientCodec()

const encoders: Record<Encoding, (value: unknown) => Uint8Array> = {
  json: (value) => Buffer.from(JSON.stringify(value)),
  msgpack: (value) => encode(value),
}
const TYPE: Record<Encoding, string> = {
  json: 'application/json',
  msgpack: 'application/msgpack',
}

function reasonOf(data: Uint8Array, contentType?: string, key?: string): string {
  const validated = codec.write(data, contentType, key)
  return validated.ok ? 'accepted' : `${validated.code}: ${validated.message}`
}
function answerTo(encoding: Encoding, query: unknown): unknown {
  const validated = codec.query(encoders[encoding](query), TYPE[encoding])
  return validated.ok ? validated.value : validated.message
}
function nested(levels: number): object {
  return levels === 1 ? {} : { a: nested(levels - 1) }
}
const node = (fields: object): object => ({ type: 'StoreNode', node: { id: 'n', ...fields } })
const update = (nodeId: string): object => ({ type: 'UpdateActivation', nodeId, activation: 1 })
const edge = (fields: object): object => ({ type: 'StoreEdge',
  edge: { source: 's', target: 't', kind: 'k', ...fields } })

const NOT_VALID = /^INVALID_OPERATION: not valid/
const ID = 'must be a string of 1 to 256 bytes'
const CONTENT = 'node.content must be a string of at most 65536'
const UNIT = 'must be a finite number in [0, 1]'

/** [value, reason]; '' for what is taken. */
const table: readonly (readonly [unknown, string])[] = [
  [node({}), ''],
  [node({ content: '', activation: 0, confidence: 1, embedding: [], metadata: {} }), ''],
  [node({ id: 'é'.repeat(128) }), ''],
  [node({ id: 'é'.repeat(128) + 'x' }), `node.id ${ID}`],
  [node({ id: 'x'.repeat(256) }), ''],
  [node({ id: 'x'.repeat(257) }), `node.id ${ID}`],
  [node({ id: '' }), `node.id ${ID}`],
  [node({ id: 7 }), `node.id ${ID}`],
  [{ type: 'StoreNode', node: {} }, `node.id ${ID}`],
  [node({ id: null }), `node.id ${ID}`],
  [node({ content: 'é'.repeat(32 * 1024) }), ''],
  [node({ content: 'é'.repeat(32 * 1024) + 'x' }), CONTENT],
  [node({ content: null }), 'node.content must be a string'],
  [node({ activation: 1.0001 }), `node.activation ${UNIT}`],
  [node({ activation: -1e-9 }), `node.activation ${UNIT}`],
  [node({ activation: '0.5' }), `node.activation ${UNIT}`],
  [node({ activation: true }), `node.activation ${UNIT}`],
  [node({ confidence: 2 }), `node.confidence ${UNIT}`],
  [node({ embedding: Array(4096).fill(1) }), ''],
  [node({ embedding: Array(4097).fill(1) }), 'node.embedding must be an array of at most 4096'],
  [node({ embedding: { 0: 1 } }), 'node.embedding must be an array'],
  [node({ embedding: [1, '2'] }), 'node.embedding[1] must be a finite number'],
  [node({ embedding: [1, null] }), 'node.embedding[1] must be a finite number'],
  [node({ metadata: [] }), 'node.metadata must be an object'],
  [node({ metadata: null }), 'node.metadata must be an object'],
  [node({ metadata: 'x' }), 'node.metadata must be an object'],
  [node({ metadata: nested(8) }), ''],
  [node({ metadata: nested(9) }), 'node.metadata must not be nested deeper than 8'],
  [node({ metadata: { a: [[[[[[[[]]]]]]]] } }), 'node.metadata must not be nested deeper than 8'],
  [node({ metadata: { a: 'x'.repeat(16 * 1024 - 8) } }), ''],
  [node({ metadata: { a: 'x'.repeat(16 * 1024 - 7) } }), 'node.metadata must have at most 16384'],
  [node({ metadata: { a: 'é'.repeat(8 * 1024) } }), 'node.metadata must have at most 16384'],
  [node({ metadata: { a: '\n'.repeat(8 * 1024) } }), 'node.metadata must have at most 16384'],
  [node({ metadata: { a: [1, -1.5, true, false, null, 'x', { b: {} }], constructor: 1 } }), ''],
  [node({ extra: 1 }), 'node.extra is not a known field'],
  [node({ 'odd name': 1 }), 'node."odd name" is not a known field'],
  [node({ ['x'.repeat(500)]: 1 }), `node."${'x'.repeat(64)}…" is not a known field`],
  [{ ...node({}), extra: 1 }, 'extra is not a known field'],
  [{ type: 'StoreNode' }, 'node must be an object'],
  [{ type: 'StoreNode', node: [] }, 'node must be an object'],
  [edge({}), ''],
  [edge({ weight: 0 }), ''],
  [edge({ weight: 1.5 }), `edge.weight ${UNIT}`],
  [edge({ source: '' }), `edge.source ${ID}`],
  [edge({ target: 'x'.repeat(257) }), `edge.target ${ID}`],
  [edge({ kind: 1 }), `edge.kind ${ID}`],
  [{ type: 'StoreEdge', edge: { source: 'a', target: 'b' } }, `edge.kind ${ID}`],
  [edge({ id: 'e' }), 'edge.id is not a known field'],
  [{ type: 'StoreEdge' }, 'edge must be an object'],
  [{ type: 'UpdateActivation', nodeId: 'n', activation: 0.5 }, ''],
  [{ type: 'UpdateActivation', nodeId: 'n' }, `activation ${UNIT}`],
  [{ type: 'UpdateActivation', activation: 0.5 }, `nodeId ${ID}`],
  [{ type: 'UpdateActivation', nodeId: 'n', activation: 2 }, `activation ${UNIT}`],
  [{ type: 'UpdateActivation', nodeId: 'n', activation: 0, x: 0 }, 'x is not a known field'],
  [{ type: 'EpochStart', space: 's' }, 'type must be StoreNode, UpdateActivation or StoreEdge'],
  [{}, 'type must be'],
  [[], 'the operation must be an object'],
  [null, 'the operation must be an object'],
  ['text', 'the operation must be an object'],
  [{ operations: [node({}), edge({})] }, ''],
  [{ operations: Array(1000).fill(update('n')) }, ''],
  [{ operations: Array(1001).fill(node({})) }, 'operations must be an array of 1 to 1000'],
  [{ operations: [] }, 'operations must be an array of 1 to 1000'],
  [{ operations: {} }, 'operations must be an array of 1 to 1000'],
  [{ operations: [node({})], type: 'StoreNode' }, 'type is not a known field'],
  [{ operations: [node({}), node({ activation: 9 })] }, `operations[1].node.activation ${UNIT}`],
  [{ operations: [3] }, 'operations[0] must be an object'],
  [{ operations: [{ operations: [] }] }, 'operations[0].type must be'],
]

for (const encoding of ['json', 'msgpack'] as const) {
  const test = suite(`validation: ${encoding}`)

  test('the rules', () => {
    for (const [value, reason] of table) {
      const data = encoders[encoding](value)
      const got = reasonOf(data, TYPE[encoding])
      const shown = JSON.stringify(value).slice(0, 80)
      if (reason === '') assert.is(got, 'accepted', shown)
      else assert.ok(got.startsWith(`INVALID_OPERATION: ${reason}`), `${shown}: ${got}`)
    }
  })

  test('an accepted value decodes to what was checked', () => {
    for (const [value, reason] of table) {
      if (reason !== '') continue
      const validated = codec.write(encoders[encoding](value), TYPE[encoding], undefined)
      assert.ok(validated.ok)
      assert.is(validated.encoding, encoding)
      assert.equal(validated.value.encoded.map(decodeOperation), validated.value.operations)
      const { operations = [value] } = value as { operations?: unknown[] }
      assert.equal(validated.value.operations, operations)
    }
  })

  test('a single operation goes into the log as it came, in a copy', () => {
    const data = encoders[encoding](node({ content: 'x' }))
    const validated = codec.write(data, undefined, 'key')
    assert.ok(validated.ok)
    const [encoded] = validated.value.encoded
    assert.is(encoded![0], encoding === 'json' ? 1 : 0)
    assert.is(Buffer.compare(encoded!.subarray(1), data), 0)
    const before = Buffer.from(encoded!)
    data.fill(0)
    assert.is(Buffer.compare(encoded!, before), 0)
    assert.is(validated.value.key, 'key')
  })

  test('the encoding is given by Content-Type, else by the first byte', () => {
    const data = encoders[encoding](node({}))
    const charset = `${TYPE[encoding].toUpperCase()} ; charset=utf-8`
    const types = [TYPE[encoding], charset, undefined, 'text/plain', '', 'application/json2; x']
    for (const type of types) assert.is(reasonOf(data, type), 'accepted', String(type))
    const other = encoding === 'json' ? 'application/x-msgpack' : 'application/json; charset=utf-8'
    assert.match(reasonOf(data, other), /^INVALID_OPERATION: not valid (JSON|MessagePack)/)
  })

  test('too large, empty, cut off, and with bytes behind', () => {
    const data = encoders[encoding](node({ content: 'content' }))
    const operations = Array(5).fill(node({ content: 'x'.repeat(60_000) }))
    const large = encoders[encoding]({ operations })
    assert.match(reasonOf(large, TYPE[encoding]), /^PAYLOAD_TOO_LARGE: the request has 30\d+ bytes/)
    assert.is(reasonOf(new Uint8Array(), TYPE[encoding]), 'INVALID_OPERATION: the request is empty')
    for (let length = 1; length < data.length; length += 1) {
      assert.match(reasonOf(data.subarray(0, length), TYPE[encoding]), NOT_VALID)
    }
    assert.match(reasonOf(Buffer.concat([data, data]), TYPE[encoding]), NOT_VALID)
  })

  test('keys', () => {
    const data = encoders[encoding](node({}))
    for (const key of ['k', 'x'.repeat(256), 'a b', '~!']) {
      assert.is(reasonOf(data, undefined, key), 'accepted')
    }
    for (const key of ['', 'x'.repeat(257), 'a\nb', 'é', '\x7f']) {
      assert.match(reasonOf(data, undefined, key), /Nats-Msg-Id must have 1 to 256 printable/)
    }
    const validated = codec.write(data, undefined, undefined)
    assert.is(validated.ok && validated.value.key, null)
  })

  test('queries', () => {
    const ask = answerTo.bind(null, encoding)
    const both = { type: 'GetEdges', nodeId: 'n', direction: 'both' }
    assert.equal(ask({ type: 'GetNode', nodeId: 'n' }), { type: 'GetNode', nodeId: 'n' })
    assert.equal(ask({ type: 'GetEdges', nodeId: 'n' }), both)
    assert.equal(ask({ ...both, direction: 'in' }), { ...both, direction: 'in' })
    const listed = { type: 'ListNodes', after: '', limit: 100 }
    assert.equal(ask({ type: 'ListNodes' }), listed)
    const longest = { ...listed, after: 'x', limit: 1000 }
    assert.equal(ask(longest), longest)
    const entries = { type: 'GetEntries', from: 1, limit: 100 }
    assert.equal(ask({ type: 'GetEntries', from: 1 }), entries)
    assert.equal(ask({ type: 'GetHistory' }), { type: 'GetHistory' })
    assert.equal(ask({ type: 'GetForks' }), { type: 'GetForks' })
    const cursor = cursorOf({ side: 'in', other: 'm\0', kind: 'é' })
    for (const goingOn of [
      { ...both, after: cursor, limit: 7 },
      { type: 'GetHistory', after: 3 },
      { type: 'GetForks', after: 3, limit: 7 },
    ]) assert.equal(ask(goingOn), goingOn)
    assert.equal(ask({ type: 'GetEntries', after: 41 }), { ...entries, from: 42 })
    assert.equal(ask({ ...entries, after: 41 }), { ...entries, from: 42 })
    assert.equal(ask({ ...entries, from: 50, after: 41 }), { ...entries, from: 50 })
    const kept = { type: 'GetQuarantine', after: '', limit: 100 }
    assert.equal(ask({ type: 'GetQuarantine' }), kept)
    const later = { ...kept, after: '3-41', limit: 1000 }
    assert.equal(ask(later), later)
    const fates = [{ key: 'a b' }, { key: 'x'.repeat(256) }, { epoch: 3, sequence: 41 }]
    for (const one of fates) {
      assert.equal(ask({ type: 'GetFate', ...one }), { type: 'GetFate', ...one })
    }
    const either = 'GetFate takes either key, or epoch and sequence'
    const fate = { type: 'GetFate', epoch: 3, sequence: 41 }
    const bad: [unknown, string][] = [
      [{ type: 'GetForks', after: '' }, 'after must be an integer of at least 0'],
      [{ type: 'GetForks', after: 3, limit: 0 }, 'limit must'],
      [{ type: 'GetHistory', after: -1 }, 'after must be an integer of at least 0'],
      [{ ...entries, after: '41' }, 'after must be an integer'],
      [{ ...both, limit: 1001 }, 'limit must be'],
      ...['', 'x', cursor.slice(2), 7, null].map((after) =>
        [{ ...both, after }, 'after must be that of an answer'] as [unknown, string]
      ),
      [{ ...kept, limit: 0 }, 'limit must'],
      [{ ...kept, limit: 1001 }, 'limit must'],
      [{ ...kept, from: 1 }, 'from is not a known field'],
      ...['3', '3-', '-3', '03-1', '3-0', '3-1-2', `1-${2 ** 53}`, 7, null].map((after) =>
        [{ ...kept, after }, 'after must be the id of an item'] as [unknown, string]
      ),
      [{ type: 'GetFate' }, either],
      [{ ...fate, key: 'k' }, either],
      [{ type: 'GetFate', key: 'k', epoch: 3 }, either],
      [{ type: 'GetFate', epoch: 3 }, 'sequence must be an integer'],
      [{ type: 'GetFate', sequence: 3 }, 'epoch must be an integer'],
      [{ ...fate, epoch: 0 }, 'epoch must'],
      [{ ...fate, sequence: 1.5 }, 'sequence must'],
      [{ ...fate, sequence: '41' }, 'sequence must'],
      [{ ...fate, node: 'n1' }, 'node is not'],
      ...['', 'é', 'x'.repeat(257), null, 7].map((key) =>
        [{ type: 'GetFate', key }, 'key must have 1 to 256'] as [unknown, string]
      ),
      [{ type: 'GetNode' }, `nodeId ${ID}`],
      [{ type: 'GetNode', nodeId: 'n', x: 1 }, 'x is not'],
      [{ ...both, direction: 'up' }, 'direction must be'],
      [{ ...listed, limit: 0 }, 'limit must'],
      [{ ...listed, limit: 1001 }, 'limit must'],
      [{ ...listed, limit: 1.5 }, 'limit must'],
      [{ ...listed, limit: '5' }, 'limit must'],
      [{ ...listed, after: 7 }, `after ${ID}`],
      [{ type: 'GetHistory', from: 1 }, 'from is not a known field'],
      [{ type: 'GetEntries' }, 'from must be'],
      [{ ...entries, from: 0 }, 'from must be'],
      [{ ...entries, from: 2 ** 53 }, ''],
      [{ type: 'StoreNode' }, 'type must be GetNode'],
      [[], 'the query must be an object'],
      [{ ...entries, limit: null }, 'limit must'],
    ]
    for (const [value, reason] of bad) {
      const got = ask(value)
      assert.ok(typeof got === 'string' && got.startsWith(reason), `${String(got)}, not ${reason}`)
    }
  })

  test.run()
}

const test = suite('validation: oddities')

test('bytes that are neither JSON nor MessagePack are answered in JSON', () => {
  const { encoding, ...refused } = codec.query(Buffer.from('hello'), undefined)
  assert.is(encoding, 'json')
  assert.match((refused as { message: string }).message, 'not valid JSON')
  for (const odd of [
    '',
    'null',
    '42',
    'x',
    '\u00a0{}',
    '\x85',
    '\x81\xa1',
    '\xc1',
    '\xff\xfe{',
    '\xc0',
  ]) {
    const bytes = Buffer.from(odd, 'latin1')
    for (const validated of [codec.write(bytes, undefined, undefined),
      codec.query(bytes, undefined)])
    {
      assert.equal([validated.ok, validated.encoding], [false, 'json'], JSON.stringify(odd))
    }
    const said = codec.query(bytes, 'application/msgpack')
    assert.equal([said.ok, said.encoding], [false, 'msgpack'], 'unless it says what it is')
  }
  // MessagePack, and no request.
  for (const value of [{}, [], [1], { type: 'x' }]) {
    assert.is(codec.query(encode(value), undefined).encoding, 'msgpack')
  }
})

test('a query is small: what is larger is not even decoded', () => {
  const large = Buffer.from(JSON.stringify({ type: 'GetNode', nodeId: 'n' }).padEnd(16_385))
  const validated = codec.query(large, undefined)
  assert.is(!validated.ok && validated.code, 'PAYLOAD_TOO_LARGE')
  assert.ok(codec.query(large.subarray(0, 16_384), undefined).ok)
  const longest = { side: 'out', other: '\0'.repeat(256), kind: '\0'.repeat(256) } as const
  const query = { type: 'GetEdges', nodeId: '\0'.repeat(256), after: cursorOf(longest) }
  assert.ok(codec.query(Buffer.from(JSON.stringify(query)), undefined).ok)
})

test('a list is what encoding the whole answer gives, and its size is known before', () => {
  // Validation refuses the key __proto__, and MessagePack's decoder does: no answer has it.
  const value = fc.jsonValue({ maxDepth: 2 }).filter((one) =>
    !JSON.stringify(one).includes('"__proto__"')
  )
  const values = fc.array(value, { maxLength: 40 })
  fc.assert(fc.property(values, fc.boolean(), (items, isDropped) => {
    const rest = { sequence: 7, epoch: 2, node: 'n1', role: 'primary', stalenessMs: 0 } as const
    const answer = { ok: true, value: items, ...rest, more: true, after: 'é' }
    for (const encoding of ['json', 'msgpack'] as const) {
      const list = codec.list(encoding)
      const empty = list.answer({ ok: true, ...rest, more: true, after: 'é' }).length
      for (const item of items) list.add(item)
      if (isDropped) {
        list.add('more of it')
        list.drop()
      }
      assert.is(list.count, items.length)
      const bytes = Buffer.from(list.answer({ ok: true, ...rest, more: true, after: 'é' }))
      const read = encoding === 'json' ? JSON.parse(bytes.toString()) : decode(bytes)
      assert.equal(read, JSON.parse(JSON.stringify(answer)))
      if (encoding === 'json') assert.is(bytes.toString(), JSON.stringify(answer))
      // An array's head grows by two bytes at most; JSON counts a comma that the last one lacks.
      assert.ok(Math.abs(bytes.length - empty - list.bytes) <= 2, `${bytes.length} ${list.bytes}`)
    }
  }))
})

test('JSON: byte order mark, white space, duplicate keys', () => {
  const text = ' \n{"type":"UpdateActivation","nodeId":"a","nodeId":"b",'
    + '"activation":5,"activation":-0}'
  const validated = codec.write(Buffer.from(`\ufeff${text}`), undefined, undefined)
  assert.ok(validated.ok)
  const [operation] = validated.value.operations
  assert.ok(operation?.type === 'UpdateActivation' && operation.nodeId === 'b')
  assert.equal(decodeOperation(validated.value.encoded[0]!), operation)
})

test('JSON: lone surrogates, infinities, __proto__, bad UTF-8', () => {
  const json = (fields: string): string =>
    reasonOf(Buffer.from(`{"type":"StoreNode","node":{"id":"n",${fields}}}`))
  assert.match(json('"content":"\\ud800"'), /node.content must be well-formed/)
  assert.match(json('"metadata":{"a":["\\udc00"]}'), /node.metadata must be well-formed/)
  assert.match(json('"metadata":{"\\ud800":1}'), /node.metadata keys must be well-formed/)
  assert.match(json('"metadata":{"a":1e999}'), /node.metadata must have finite/)
  assert.match(json('"embedding":[1e999]'), /node.embedding\[0\]/)
  assert.match(json('"activation":1e999'), /node.activation/)
  assert.match(json('"metadata":{"__proto__":{"x":1}}'), /node.metadata must not have a key __pro/)
  assert.match(json('"metadata":{"a":{"__proto__":1}}'), /__proto__/)
  assert.match(json('"__proto__":{"content":"x"}'), /node.__proto__ is not a known field/)
  assert.match(reasonOf(Buffer.from('{"type":"StoreNode","__proto__":{}}')), /__proto__ is not/)
  assert.match(reasonOf(Buffer.from('{"id":"\xff"}', 'latin1')), /not UTF-8/)
  assert.match(json('"id":"\\udfff"'), /node.id must be well-formed/)
})

test('MessagePack: what JSON has not', () => {
  const message = (fields: object): string => reasonOf(encode(node(fields)))
  for (const value of [new Uint8Array([1]), new Date(0), new ExtData(7, new Uint8Array(3))]) {
    assert.match(message({ metadata: { a: [value] } }), /node.metadata must be plain JSON/)
    assert.match(message({ metadata: value }), /node.metadata must be an object/)
    assert.match(message({ content: value }), /node.content must be a string/)
    assert.match(message({ embedding: value }), /node.embedding must be an array/)
  }
  for (const value of [Number.NaN, Infinity, -Infinity]) {
    assert.match(message({ activation: value }), /node.activation/)
    assert.match(message({ embedding: [value] }), /node.embedding\[0\]/)
    assert.match(message({ metadata: { a: value } }), /node.metadata must have finite/)
  }
  const operation = (value: number[]): Uint8Array =>
    Buffer.concat([
      encode(node({ metadata: { a: 0 } })).subarray(0, -1),
      Buffer.from(value),
    ])
  assert.is(reasonOf(operation([0xcf, 0, 0x1f, 255, 255, 255, 255, 255, 255])), 'accepted')
  assert.is(reasonOf(operation([0xd3, 255, 255, 255, 255, 255, 255, 255, 255])), 'accepted')
  const wide = /^INVALID_OPERATION: node\.metadata\.a must not be an integer beyond 2\^53/
  assert.match(reasonOf(operation([0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0])), wide)
  assert.match(reasonOf(operation([0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0])), wide)
  assert.match(reasonOf(operation([0x81, 1, 1])), /a map key is not a string/)
  assert.match(reasonOf(operation([0xc1])), /no such type/)
  assert.match(reasonOf(operation([0xa2, 0xc3, 0x28])), /a string is not UTF-8/)
  assert.match(reasonOf(operation([0xa3, 0xed, 0xa0, 0x80])), /a string is not UTF-8/)
  assert.match(reasonOf(operation([0x81, 0xa1, 0xff, 1])), /a string is not UTF-8/)
  const empty = encode(node({ metadata: {} })).subarray(0, -1)
  const proto = Buffer.concat([Buffer.from([0x81]), encode('__proto__'), encode(1)])
  assert.match(reasonOf(Buffer.concat([empty, proto])), /__proto__/)
})

test('a batch that grows in the log beyond a frame is refused', () => {
  const wide = { operations: Array(16).fill(node({ embedding: Array(4000).fill(0.1) })) }
  const data = Buffer.from(JSON.stringify(wide))
  assert.ok(data.length < 262_144 + 1, String(data.length))
  assert.match(reasonOf(data), /^PAYLOAD_TOO_LARGE: the operations take 5\d+ bytes in the log/)
})

test('plain values are checked as requests are, and copied', () => {
  const checked = (value: unknown): string => {
    const outcome = codec.operation(value)
    return outcome.ok ? '' : outcome.reason
  }
  for (const [value, reason] of table) {
    if (Object.hasOwn(Object(value) as object, 'operations')) continue
    const got = checked(value)
    assert.ok(reason === '' ? got === '' : got.includes(reason), `${got}, not ${reason}`)
  }
  const value = { type: 'StoreNode', node: { id: 'n', metadata: { a: [1] } } }
  const outcome = codec.operation(value)
  value.node.metadata.a.push(2)
  assert.equal(outcome, { ok: true, value: node({ metadata: { a: [1] } }) })
  const cycle: Record<string, unknown> = {}
  cycle['a'] = cycle
  let calls = 0
  const changing = { type: 'UpdateActivation', nodeId: 'n', get activation() {
    return calls++
  } }
  const throwing = { get type(): string {
    throw new Error(`a bug ${'x'.repeat(999)}`)
  } }
  const rude = { get type(): string {
    throw null
  } }
  assert.ok(checked(throwing).length < 400)
  const odd: [unknown, RegExp][] = [
    [undefined, /must be an object/],
    [null, /must be an object/],
    [[], /must be an object/],
    [() => 1, /not plain data/],
    [Symbol('s'), /not plain data/],
    [throwing, /not plain data: a bug/],
    [rude, /not plain data: null/],
    [{ operations: [update('n')] }, /type must be/],
    [new Map(), /must be an object/],
    [Promise.resolve(update('n')), /not plain data/],
    [new Proxy({}, {}), /not plain data/],
    [node({ content: undefined }), /content must be a string/],
    [node({ metadata: cycle }), /nested deeper/],
    [node({ metadata: { a: undefined } }), /plain JSON/],
    [node({ metadata: { a: 1n } }), /plain JSON/],
    [node({ metadata: { a: new Date(0) } }), /plain JSON/],
    [node({ embedding: new Float32Array(2) }), /embedding must be an array/],
    [node({ embedding: Array(3) }), /embedding\[0\]/],
  ]
  for (const [wrong, reason] of odd) assert.match(checked(wrong), reason)
  assert.equal(codec.operation(changing), { ok: true,
    value: { type: 'UpdateActivation', nodeId: 'n', activation: 0 } })
})

test('the origin of a write that is sent again', () => {
  assert.equal(originOf('3/41'), { epoch: 3, sequence: 41 })
  const most = Number.MAX_SAFE_INTEGER
  assert.equal(originOf(`${most}/${most}`), { epoch: most, sequence: most })
  const wrong = ['', '3', '3/', '/3', '0/1', '1/0', '-1/1', '01/1', '1/1 ', ' 1/1', '1/1/1',
    '1.5/1', '1e3/1', '0x1/1', '1-1', `1/${2 ** 53}`, `9999999999999999/1`, '٣/١', '1/1\n', 'NaN/1']
  for (const header of wrong) assert.is(originOf(header), null, header)
})

test('encodeOperation and decodeOperation are inverse', () => {
  const operation = { type: 'StoreNode', node: { id: 'a', metadata: { b: [1.5, null] } } } as const
  assert.equal(decodeOperation(encodeOperation(operation)), operation)
  assert.throws(() => decodeOperation(Uint8Array.of(9, 1)), /bug/)
})

test('answers', () => {
  const answer = {
    ok: true,
    space: 'demo',
    epoch: 3,
    sequence: 2 ** 40,
    count: 1,
    ack: 'durable',
    safeSequence: 40,
    node: 'n"1',
    duplicate: false,
  } as const
  const json = Buffer.from(codec.encodeWriteAnswer(answer, 'json')).toString()
  assert.is(json, JSON.stringify(answer))
  const again = { ...answer, duplicate: true, loggedEpoch: 2 } as const
  assert.is(Buffer.from(codec.encodeWriteAnswer(again, 'json')).toString(), JSON.stringify(again))
  const lost = { ...answer, quarantined: 2 } as const
  assert.is(Buffer.from(codec.encodeWriteAnswer(lost, 'json')).toString(), JSON.stringify(lost))
  assert.is(Buffer.compare(codec.encodeWriteAnswer(answer, 'msgpack'), encode(answer)), 0)
  const error = {
    ok: false,
    code: 'OVERLOADED',
    message: 'm',
    outcome: 'notTaken',
    retryable: true,
    sequence: undefined,
  } as const
  assert.is(Buffer.from(codec.encode(error, 'json')).toString(),
    '{"ok":false,"code":"OVERLOADED","message":"m","outcome":"notTaken","retryable":true}')
  assert.is(codec.encode(error, 'msgpack')[0], 0x85, 'five fields: undefined is left out')
})

test.run()
