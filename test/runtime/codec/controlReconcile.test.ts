/** Offers, slices and their answers: larger than other messages, and with operations in them. */
import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Decoded } from '../../../actors/ports/controlCodec.js'
import type { Operation } from '../../../machines/graph/graph.js'
import type { SalvagedWrite, SalvageOffer,
  SalvageSlice } from '../../../machines/protocol/messages.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { encodeOperation } from '../../../runtime/codec/operation.js'
import { isSliceAhead, structureFault } from '../../../runtime/codec/structure.js'
import { operationReason } from '../../../runtime/codec/validateOperation.js'

const codec = controlCodec()

const offer: SalvageOffer = {
  kind: 'offer',
  space: 'demo',
  uuid: 'u-1',
  node: 'n1',
  disk: 'd1',
  epoch: 4,
  number: 2,
  salvages: [{
    name: 'demo.7d3f0a3e.3-40.3-50.salvage',
    node: 'n1',
    common: { epoch: 3, sequence: 40 },
    spans: [{ epoch: 3, last: 50, writes: 10 }],
  }],
  isComplete: false,
}

function nested(levels: number): object {
  return levels === 1 ? { end: [1] } : { a: nested(levels - 1) }
}

const operations: Operation[] = [
  {
    type: 'StoreNode',
    node: {
      id: 'n1',
      content: 'grüße',
      activation: 0.5,
      confidence: 1,
      embedding: [0.1, 2, -3e9],
      metadata: nested(7) as never,
    },
  },
  { type: 'UpdateActivation', nodeId: 'n1', activation: 0.8 },
  { type: 'StoreEdge', edge: { source: 'a', target: 'b', kind: 'k', weight: 0.7 } },
]

function write(operation: Operation, sequence = 41): SalvagedWrite {
  return {
    origin: { epoch: 3, sequence, node: 'n1' },
    timestamp: 1_700_000_000_000,
    writeId: 'key',
    operation,
  }
}

const slice: SalvageSlice = {
  kind: 'slice',
  space: 'demo',
  uuid: 'u-1',
  node: 'n1',
  epoch: 4,
  number: 3,
  salvage: 'demo.7d3f0a3e.3-40.3-50.salvage',
  writes: operations.map((one) => write(one)),
  isLast: true,
}

const answer = {
  kind: 'taken',
  number: 3,
  node: 'n2',
  epoch: 4,
  sequence: 77,
  retryAfterMs: 0.5,
  isAutomatic: true,
  reason: '',
} as const

function refused(result: Decoded<object>, pattern: RegExp): void {
  assert.not.ok(result.ok, `taken, where ${pattern} was due`)
  if (!result.ok) assert.match(result.reason, pattern)
}
const sent = (message: object): Decoded<object> => codec.ackMessage(codec.encode(message))
const offered = (change: object): Decoded<object> =>
  sent({ ...offer, salvages: [{ ...offer.salvages[0], ...change }] })
const sliced = (change: object): Decoded<object> =>
  sent({ ...slice, writes: [slice.writes[0], { ...slice.writes[1], ...change }] })

const x = suite('control codec: reconciliation')

x('an encoded message is decoded to the same', () => {
  assert.equal(sent(offer), { ok: true, value: offer })
  assert.equal(sent(slice), { ok: true, value: slice })
  const empty = { ...slice, writes: [] }
  assert.equal(sent({ ...empty, future: 1 }), { ok: true, value: empty })
  const { kind, ...rest } = slice
  assert.equal(sent({ ...rest, kind }), { ok: true, value: slice }, 'kind comes last')
  assert.equal(codec.ackMessage(encode({ ...rest, isLast: true, kind })).ok, false,
    'what is nested so deep is a slice only where its kind comes first')
  for (const one of ['taken', 'busy', 'refused']) {
    const value = { ...answer, kind: one }
    assert.equal(codec.reconcileAnswer(codec.encode(value)), { ok: true, value })
  }
  refused(codec.reconcileAnswer(codec.encode({ ...answer, kind: 'joined' })), /^kind/)
  refused(codec.reconcileAnswer(codec.encode({ ...answer, retryAfterMs: -1 })), /^retryAfterMs/)
})

x('an offer without a word on completeness is complete', () => {
  const { isComplete: _, ...rest } = offer
  assert.equal(sent(rest), { ok: true, value: { ...offer, isComplete: true } })
  refused(sent({ ...offer, isComplete: 'no' }), /^isComplete/)
})

x('a salvage says where it begins only if entries before that are missing', () => {
  const [first] = offer.salvages
  const misses = { ...first, begins: 44, checkpoint: { epoch: 3, sequence: 48 } }
  assert.equal(sent({ ...offer, salvages: [misses] }), { ok: true,
    value: { ...offer, salvages: [misses] } })
  const { checkpoint: _, ...alone } = misses
  assert.equal(sent({ ...offer, salvages: [alone] }), { ok: true,
    value: { ...offer, salvages: [alone] } })
  for (const begins of [0, -1, 1.5, '4', null]) refused(offered({ begins }), /begins/)
  refused(offered({ checkpoint: { epoch: 3 } }), /^salvages.0.checkpoint/)
})

x('every field is checked', () => {
  for (const message of [offer, { ...slice, writes: [] }]) {
    for (const field of Object.keys(message)) {
      const { [field]: _, ...rest } = message as unknown as Record<string, unknown>
      if (field === 'isComplete') continue
      refused(sent(rest), new RegExp(`^${field}`))
    }
  }
  for (const name of ['', '../x', 'a/b', 'é', 'x'.repeat(249), 7, null]) {
    refused(offered({ name }), /^salvages.0.name/)
    refused(sent({ ...slice, salvage: name }), /^salvage/)
  }
  refused(offered({ common: { epoch: -1, sequence: 0 } }), /^salvages.0.common/)
  const span = { epoch: 3, last: 50, writes: 10 }
  refused(offered({ spans: [span, span] }), /^salvages.0.spans: must grow/)
  refused(offered({ spans: [{ ...span, writes: 0.5 }] }), /^salvages.0.spans/)
  const { origin } = slice.writes[0]!
  for (const change of [{ epoch: 0 }, { sequence: 0 }, { node: 'a b' }, { sequence: 2 ** 53 }]) {
    refused(sliced({ origin: { ...origin, ...change } }), /^writes.1.origin/)
  }
  assert.ok(sliced({ origin: { ...origin, node: '' } }).ok, 'who logged it may be unknown')
  assert.ok(sliced({ writeId: null }).ok)
  for (const writeId of ['', 'é', 'a\nb', 'x'.repeat(257), 7]) {
    refused(sliced({ writeId }), /^writes.1.writeId/)
  }
})

x('an operation that validation would refuse is refused', () => {
  const wrong: [unknown, RegExp][] = [
    [{ type: 'EpochStart' }, /type must be/],
    [null, /must be an object/],
    [{ type: 'ForkNote', note: 'taken' }, /type must be/],
    [{ type: 'UpdateActivation', nodeId: 'n', activation: 2 }, /activation must be/],
    [{ type: 'UpdateActivation', nodeId: 'n', activation: 1, more: 1 }, /more is not a known/],
    [{ type: 'StoreNode', node: { id: 'n', embedding: Array(4097).fill(1) } }, /embedding must/],
    [{ type: 'StoreNode', node: { id: 'n', content: 'x'.repeat(65537) } }, /content must/],
    [{ type: 'StoreNode', node: { id: 'n', metadata: nested(8) } }, /nested deeper than 8/],
    [{ type: 'StoreNode', node: { id: 'n', metadata: { a: 'x'.repeat(16384) } } }, /16384 bytes/],
  ]
  for (const [operation, reason] of wrong) {
    const result = sliced({ operation })
    refused(result, /^writes.1.operation: /)
    refused(result, reason)
  }
})

x('a whole request of the largest kind fits', () => {
  // A request may have 400 KiB of operations, 1,000 at most.
  const node = { type: 'StoreNode', node: { id: 'n', content: 'x'.repeat(370) } } as const
  assert.is(encodeOperation(node).length, 409)
  const writes = Array.from({ length: 1000 }, () => ({
    ...write(node),
    timestamp: 2 ** 50,
    writeId: 'k'.repeat(256),
    origin: { epoch: 2 ** 40, sequence: 2 ** 50, node: 'n'.repeat(64) },
  }))
  const bytes = codec.encode({ ...slice, writes })
  assert.ok(bytes.length > 700 * 1024)
  const result = codec.ackMessage(bytes)
  assert.ok(result.ok, result.ok ? '' : result.reason)
  assert.equal(result.ok && result.value, { ...slice, writes })
})

x('one operation may have all that validation accepts', () => {
  const metadata = {
    keys: Object.fromEntries(Array.from({ length: 1100 }, (_, i) => [`k${i}`, 0])),
    list: Array(1000).fill(-1),
  }
  const node = {
    id: 'n',
    content: 'x'.repeat(65536),
    embedding: Array(4096).fill(-0.1),
    metadata,
  }
  const full = { ...slice, writes: [write({ type: 'StoreNode', node })] }
  assert.equal(sent(full), { ok: true, value: full })
  const flat = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [i.toString(36), 0]))
  assert.ok(sent({ ...slice, writes: [
    write({ type: 'StoreNode', node: { id: 'n', metadata: flat } }),
  ] }).ok)
})

x('sizes are bounded', () => {
  const many = Array.from({ length: 1025 }, () => write(operations[1]!))
  assert.ok(sent({ ...slice, writes: many.slice(1) }).ok)
  refused(sent({ ...slice, writes: many }), /^writes: /)
  refused(sent({ ...offer, salvages: Array(257).fill(offer.salvages[0]) }), /^salvages: /)
  assert.ok(sent({ ...offer, salvages: Array(256).fill(offer.salvages[0]) }).ok)
  const spans = Array.from({ length: 8193 }, (_, i) => ({ epoch: i, last: i, writes: 0 }))
  refused(offered({ spans }), /array/i)
  assert.ok(offered({ spans: spans.slice(1) }).ok)
  const long = (bytes: number): object => ({ ...slice, more: 'x'.repeat(bytes) })
  assert.ok(sent(long(800 * 1024)).ok)
  assert.throws(() => codec.encode(long(896 * 1024)), RangeError)
  refused(codec.ackMessage(encode(long(896 * 1024))), /more than 917504/)
  const more = 'x'.repeat(256 * 1024)
  for (const message of [{ ...offer, more }, { more }]) {
    assert.throws(() => codec.encode(message), RangeError)
    refused(codec.ackMessage(encode(message)), /more than 262144/)
  }
})

x('no other message gets the bounds of a slice', () => {
  const two = Buffer.from(encode({ kind: 'slice', kine: 'offer', more: 'x'.repeat(300_000) }))
  two[two.indexOf('kine') + 3] = 'd'.charCodeAt(0)
  refused(codec.ackMessage(two), /^kind: has two/)
  for (const read of [codec.joinAnswer, codec.reconcileAnswer, codec.heartbeat]) {
    refused(read(codec.encode({ kind: 'slice', more: 'x'.repeat(300_000) })), /more than 262144/)
  }
})

x('a slice is recognized by its first bytes', () => {
  const bytes = encode(slice)
  assert.ok(isSliceAhead(bytes))
  for (let i = 0; i < 12; i += 1) assert.not.ok(isSliceAhead(bytes.subarray(0, i)))
  const others = [offer, {}, [], 7, 'slice', { kine: 'slice' }, { kind: 7 }, { kind: ['slice'] }, {
    a: 1,
    kind: 'slice',
  }, { kind: 'x'.repeat(40) }]
  for (const other of others) assert.not.ok(isSliceAhead(encode(other)))
})

const decoders = [codec.ackMessage, codec.reconcileAnswer]

/** Accepted messages have the types they claim; operations pass the checks of client values. */
function sane(value: unknown): void {
  const { kind, writes = [] } = value as { kind: string; writes?: readonly SalvagedWrite[] }
  assert.ok(['offer', 'slice', 'ack', 'nack', 'join', 'taken', 'busy', 'refused'].includes(kind))
  for (const { operation } of writes) assert.is(operationReason(operation, ''), null)
}

function tried(bytes: Uint8Array): number {
  let accepted = 0
  for (const run of decoders) {
    const result = run(bytes)
    if (!result.ok) {
      assert.ok(result.reason.length > 0 && result.reason.length <= 301)
      continue
    }
    accepted += 1
    sane(result.value)
    assert.equal(run(codec.encode(result.value)), result)
  }
  return accepted
}

x('mutated messages never throw, and nothing invalid passes', () => {
  const seeds = [offer, slice, answer].map((message) => codec.encode(message))
  const change = fc.record({
    at: fc.nat(800),
    byte: fc.nat(255),
    kind: fc.constantFrom('set', 'set', 'cut', 'insert'),
  })
  let accepted = 0
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.array(change, { maxLength: 3 }), (seed, changes) => {
      let data = Buffer.from(seed)
      for (const { at, byte, kind } of changes) {
        const place = at % (data.length + 1)
        if (kind === 'set' && place < data.length) data[place] = byte
        if (kind === 'cut') data = data.subarray(0, place)
        if (kind === 'insert') {
          data = Buffer.concat([data.subarray(0, place), Buffer.of(byte), data.subarray(place)])
        }
      }
      accepted += tried(data)
    }),
    { numRuns: 4000 },
  )
  assert.ok(accepted > 100, `only ${accepted} of the mutations were accepted`)
})

x('random operations never throw', () => {
  const value = fc.anything({ withBigInt: false, withDate: true, withTypedArray: true })
  fc.assert(fc.property(value, (anything) => {
    const node = { id: 'n', metadata: anything }
    for (const operation of [anything, { type: 'StoreNode', node }]) {
      let bytes: Uint8Array
      try {
        bytes = encode({ ...slice, writes: [{ ...slice.writes[0], operation }] })
      } catch {
        return
      }
      tried(bytes)
    }
  }), { numRuns: 1000 })
})

x('lengths that are not there, and endless nesting, cost nothing', () => {
  const started = performance.now()
  const head = encode({ kind: 'slice', a: 1 }).subarray(0, -3)
  const bombs = [[0xdd, 0xff], [0xdf, 0xff], [0xdb, 0xff], [0xdc, 0x1f], [0x91], [0x81]]
    .map((unit) => Buffer.concat([head, Buffer.alloc(896 * 1024 - 64, Buffer.from(unit))]))
  for (const bomb of bombs) {
    refused(codec.ackMessage(bomb), /./)
    assert.is.not(structureFault(bomb, 16), null)
  }
  // Arrays in arrays, each as long as the rest: allocated eagerly these are gigabytes.
  const bomb = Buffer.alloc(800 * 1024)
  for (let at = 0; at + 5 <= bomb.length; at += 5) {
    bomb[at] = 0xdd
    bomb.writeUInt32BE(bomb.length - at - 5, at + 1)
  }
  refused(codec.ackMessage(Buffer.concat([head, Buffer.from([0xa1, 0x61]), bomb])), /nested|cut/)
  assert.ok(performance.now() - started < 3000)
})

x.run()
