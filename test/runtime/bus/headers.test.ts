/** Headers that are read where they lie are those that the nats package would decode. */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { headers } from 'nats'
import type { Msg, MsgHdrs } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { blockOf, PlainHeaders } from '../../../runtime/bus/headers.js'
import { NatsBusMessage } from '../../../runtime/bus/message.js'

const { MsgImpl } = createRequire(import.meta.url)('nats/lib/nats-base-client/msg.js') as {
  MsgImpl: new(parts: object, data: Uint8Array, publisher: null) => Msg
}

/** `encode` is no part of the package's public types. */
const newHeaders = (): MsgHdrs & { encode(): Uint8Array } =>
  headers() as MsgHdrs & { encode(): Uint8Array }

const payload = Buffer.from('{"type":"StoreNode"}\r\nK: payload\r\n\r\n')

function message(block: Uint8Array | null, asBuffer = true): Msg {
  const whole = Buffer.concat([Buffer.from('before'), block ?? Buffer.alloc(0), payload])
    .subarray(6)
  const bytes = asBuffer
    ? whole
    : new Uint8Array(whole.buffer, whole.byteOffset, whole.length)
  const hdr = block === null ? -1 : block.length
  return new MsgImpl({ subject: Buffer.from('s'), reply: undefined, hdr, size: 1 }, bytes, null)
}

/** As by the package alone. */
function expected(block: Uint8Array | null, name: string): string | undefined {
  try {
    const decoded = message(block).headers
    if (!decoded) return undefined
    if (decoded.has(name)) return decoded.get(name)
    return name === 'Status' && decoded.code !== 0 ? String(decoded.code) : undefined
  } catch {
    return ''
  }
}

const names = [
  'Nats-Msg-Id',
  'nats-msg-id',
  'Content-Type',
  'Engram-Ack',
  'Engram-Epoch',
  'Engram-Origin',
  'Engram-Forwarded',
  'Status',
  'K',
  '',
  'K:',
  ' K',
  'hasOwnProperty',
]

function same(block: Uint8Array | null): void {
  for (const asBuffer of [true, false]) {
    const read = new NatsBusMessage(message(block, asBuffer))
    for (const name of names) {
      assert.is(read.header(name), expected(block, name),
        `${JSON.stringify(name)} of ${
          JSON.stringify(block && Buffer.from(block).toString('latin1'))
        }`)
    }
  }
}

const test = suite('bus headers')

test('the block is where it is looked for in this version of the package', () => {
  const set = newHeaders()
  set.set('K', 'v')
  const block = set.encode()
  assert.equal(blockOf(message(block)), Buffer.from(block))
  assert.equal(blockOf(message(block, false)), Buffer.from(block))
  assert.equal(blockOf(message(null)), Buffer.alloc(0))
  assert.is(blockOf({ headers: set } as unknown as Msg), undefined)
  assert.is(PlainHeaders.read(Buffer.from(block))?.get('K'), 'v')
})

test('headers of this program and its clients are plain', () => {
  const set = newHeaders()
  for (const name of names.slice(0, 8)) set.append(name, `${name}: of it`)
  set.append('K', 'first')
  set.append('K', 'second')
  set.append('k', 'another')
  const block = Buffer.from(set.encode())
  const read = PlainHeaders.read(block)
  assert.is(read?.get('K'), 'first')
  assert.is(read?.get('k'), 'another')
  assert.is(read?.get('Content-Type'), 'Content-Type: of it')
  assert.is(read?.get('Nats-Msg-I'), undefined)
  same(block)
})

test('odd blocks read as the package reads them', () => {
  same(null)
  for (const text of [
    '',
    'NATS/1.0',
    'NATS/1.0\r\n',
    'NATS/1.0\r\n\r\n',
    'NATS/1.0 503\r\n\r\n',
    'NATS/1.0 404 No Messages\r\nK: v\r\n\r\n',
    'nats/1.0\r\nK: v\r\n\r\n',
    'NATS/1.0\r\nK: v',
    'NATS/1.0\r\nK: v\r\n',
    'NATS/1.0\r\nK: v\r\n\r\nK: w\r\n\r\n',
    'NATS/1.0\r\nK:v\r\n\r\n',
    'NATS/1.0\r\nK:\r\n\r\n',
    'NATS/1.0\r\nK:   \r\n\r\n',
    'NATS/1.0\r\n: v\r\n\r\n',
    'NATS/1.0\r\nK: a\r\n folded\r\n\r\n',
    'NATS/1.0\r\nK: a\r\n fol:ded\r\n\r\n',
    'NATS/1.0\r\nK : v\r\n\r\n',
    'NATS/1.0\r\n K: v\r\n\r\n',
    'NATS/1.0\r\nK: a\nb\r\n\r\n',
    'NATS/1.0\r\nK: a\rb\r\n\r\n',
    'NATS/1.0\nK: v\n\n',
    'NATS/1.0\r\nK: \tv\t\r\n\r\n',
    'NATS/1.0\r\nno colon\r\nK: v\r\n\r\n',
    'NATS/1.0\r\nK: v\r\nK: w\r\n\r\n',
    'NATS/1.0\r\nK: \u00a0v\u00a0\r\n\r\n',
    'NATS/1.0\r\n\u00e9: v\r\nK: v\r\n\r\n',
    '\ufeffNATS/1.0\r\nK: v\r\n\r\n',
    'NATS/1.0\r\nStatus: 7\r\n\r\n',
    'NATS/1.0\r\nK: v\r\n\r',
  ]) {
    same(Buffer.from(text, 'utf8'))
    same(Buffer.from(text, 'latin1'))
  }
})

test('names as they are written; a malformed block has none', () => {
  const named = (block: string): readonly string[] | null =>
    new NatsBusMessage(message(Buffer.from(block, 'utf8'))).headerNames()
  assert.equal(new NatsBusMessage(message(null)).headerNames(), [])
  assert.equal(named('NATS/1.0\r\n\r\n'), [])
  assert.equal(named('NATS/1.0\r\nK: v\r\nnats-msg-id: 1\r\nK:\r\n\r\n'), ['K', 'nats-msg-id', 'K'])
  assert.equal(named('NATS/1.0\r\nK: \u00e9\r\nEngram-Ack: v\r\n\r\n'), ['K', 'Engram-Ack'])
  assert.equal(named('NATS/1.0 503\r\nK: v\r\n\r\n'), ['K'])
  for (const block of [
    'NATS/1.0',
    'NATS/1.0\r\n',
    'NATS/1.0\r\nK: v\r\n',
    'nats/1.0\r\nK: v\r\n\r\n',
    'NATS/1.0\nK: v\n\n',
    'NATS/1.0\r\nK: a\nNats-Msg-Id: k\r\n\r\n',
    'NATS/1.0\r\nK: a\rNats-Msg-Id: k\r\n\r\n',
    'NATS/1.0\r\nK: a\r\n folded\r\n\r\n',
    'NATS/1.0\r\nno colon\r\n\r\n',
    'NATS/1.0\r\n: v\r\n\r\n',
    'NATS/1.0\r\nK : v\r\n\r\n',
    'NATS/1.0\r\nK: v\r\n\r\nK: w\r\n\r\n',
    'NATS/1.0\r\nK: a\0b\r\n\r\n',
  ]) assert.is(named(block), null, JSON.stringify(block))
})

const pieceArbitrary = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...names, 'NATS/1.0', '503', '\r\n', ': ', 'v') },
  { weight: 2, arbitrary: fc.constantFrom('\r', '\n', ' ', ':', '\t', '\0', '\u007f', '\u00ff') },
  { weight: 1, arbitrary: fc.string({ maxLength: 4 }) },
)
const fieldArbitrary = fc.tuple(fc.constantFrom(...names), fc.constantFrom(':', ': ', ' : '),
  fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('durable', ' 1/2 ', '')))
  .map((parts) => `${parts.join('')}\r\n`)

test('property: fields in any order, repeated, cut and torn', () => {
  fc.assert(
    fc.property(fc.array(fieldArbitrary, { maxLength: 6 }), fc.nat(400), fc.nat(255),
      fc.constantFrom('none', 'cut', 'set', 'insert'), (fields, at, byte, change) => {
      const block = Buffer.from(`NATS/1.0\r\n${fields.join('')}\r\n`)
      const place = at % block.length
      if (change === 'cut') return same(block.subarray(0, place))
      if (change === 'set') block[place] = byte
      if (change !== 'insert') return same(block)
      same(Buffer.concat([block.subarray(0, place), Buffer.of(byte), block.subarray(place)]))
    }),
    { numRuns: 3000 },
  )
})

test('property: hostile bytes', () => {
  fc.assert(
    fc.property(fc.array(pieceArbitrary, { maxLength: 14 }), fc.boolean(),
      (pieces, begins) => same(Buffer.from(`${begins ? 'NATS/1.0\r\n' : ''}${pieces.join('')}`))),
    { numRuns: 3000 },
  )
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => same(bytes)), { numRuns: 500 })
})

test.run()
