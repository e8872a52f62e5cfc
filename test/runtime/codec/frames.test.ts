import { crc32c } from '@node-rs/crc32'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { AcceptedRequest, Frame, FrameOrigin } from '../../../actors/ports/frames.js'
import type { Operation } from '../../../machines/graph/graph.js'
import type { ForkNote, ForkOpening, Reconciliation } from '../../../machines/log/forkNotes.js'
import { nodeOf } from '../../../machines/log/vectorClock.js'
import { createFrameCodec, writerOf } from '../../../runtime/codec/frames.js'
import { encodeOperation } from '../../../runtime/codec/operation.js'

const frames = suite('frames')
const codec = createFrameCodec()
const uuid = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b'

function activation(nodeId: string): Operation {
  return { type: 'UpdateActivation', nodeId, activation: 0.5 }
}

function request(key: string | null, ...operations: Operation[]): AcceptedRequest {
  return { operations, encoded: operations.map(encodeOperation), key }
}

function originAt(first: number, over: Partial<FrameOrigin> = {}): FrameOrigin {
  return {
    uuid,
    epoch: 3,
    first,
    previousEpoch: first === 1 ? 0 : 3,
    node: 'n1',
    clock: { n1: 7, n2: 4 },
    ...over,
  }
}

function sample(): Frame {
  const builder = codec.builder()
  builder.add(request('key-ä', activation('a'), activation('b')), 1000)
  builder.add(request(null, activation('c')), 1000)
  builder.add(request('', activation('d')), 1005)
  return builder.seal(originAt(42))
}

/** The frame with one change, and a checksum that fits it. */
function forged(change: (bytes: Buffer) => void, cut?: number): Buffer {
  const bytes = Buffer.from(sample().bytes.subarray(0, cut))
  change(bytes)
  bytes.writeUInt32LE(crc32c(bytes.subarray(8)), 4)
  return bytes
}

frames('gives back what was put in', () => {
  const frame = sample()
  const parsed = codec.parse(frame.bytes) as Frame
  assert.is(typeof parsed, 'object', String(parsed))
  assert.equal({ ...parsed, bytes: null }, { ...frame, bytes: null })
  assert.equal([parsed.first, parsed.last, parsed.epoch, parsed.previousEpoch], [42, 45, 3, 3])
  assert.equal(codec.entries(parsed), [
    { sequence: 42, writeId: 'key-ä', timestamp: 1000, clock: 8, id: 'a' },
    { sequence: 43, writeId: 'key-ä', timestamp: 1000, clock: 9, id: 'b' },
    { sequence: 44, writeId: null, timestamp: 1000, clock: 10, id: 'c' },
    { sequence: 45, writeId: '', timestamp: 1005, clock: 11, id: 'd' },
  ].map(({ sequence, writeId, timestamp, clock, id }) => ({
    sequence,
    epoch: 3,
    timestamp,
    vectorClock: { n1: clock, n2: 4 },
    writeId,
    operation: activation(id),
  })))
  assert.equal(codec.clockAfter(parsed), { n1: 11, n2: 4 })
})

frames('takes JSON operations as they came', () => {
  const json = '{ "type":"UpdateActivation","nodeId":"x","activation":1e-1}'
  const builder = codec.builder()
  builder.add({ operations: [], encoded: [Buffer.from(`\x01${json}`)], key: null }, 5)
  const frame = builder.seal(originAt(1))
  assert.ok(Buffer.from(frame.bytes).includes(json))
  assert.equal(codec.entries(frame)[0]!.operation, { type: 'UpdateActivation', nodeId: 'x',
    activation: 0.1 })
})

frames('writes an epoch start of one entry', () => {
  const epochStart = {
    type: 'EpochStart',
    space: 'demo',
    node: 'n1',
    incarnation: 2,
    connection: 1,
  } as const
  const frame = codec.epochStart(originAt(9, { previousEpoch: 2 }), epochStart, 77)
  const parsed = codec.parse(frame.bytes) as Frame
  assert.is(parsed.kind, 'epochStart')
  assert.equal(codec.entries(parsed)[0]!.operation, epochStart)
  assert.throws(() => codec.epochStart(originAt(9), epochStart, 77), /within its own epoch/)
})

const lost: Reconciliation = {
  origin: { epoch: 2, sequence: 41, node: 'n2' },
  timestamp: 900,
  via: 'salvage',
  outcome: 'quarantined',
  displaces: 'nothing',
  keepsActivation: false,
  by: { epoch: 3, sequence: 40 },
}
const note: ForkNote = { type: 'ForkNote', note: 'taken', name: 'demo.salvage', node: 'n2' }
const opening: ForkOpening = {
  epoch: 2,
  node: 'n2',
  disk: 'd2',
  start: { epoch: 1, sequence: 30 },
  forkPoint: { epoch: 2, sequence: 40 },
  lastKnown: 44,
  atMost: null,
}

/** A plain operation between two entries of forks. */
function withForks(): Frame {
  const builder = codec.builder()
  const encoded = [codec.encodeEntry(activation('a'), lost), encodeOperation(activation('b'))]
  builder.add({ operations: [], encoded, key: 'k' }, 1000)
  builder.add({ operations: [note], encoded: [codec.encodeEntry(note, null)], key: null }, 1001)
  return builder.seal(originAt(42))
}

frames('carries what became of a write, and notes', () => {
  const parsed = codec.parse(withForks().bytes) as Frame
  const at = { epoch: 3, timestamp: 1000, writeId: 'k' }
  assert.equal(codec.entries(parsed), [
    {
      ...at,
      sequence: 42,
      vectorClock: { n1: 8, n2: 4 },
      operation: activation('a'),
      reconciliation: lost,
    },
    { ...at, sequence: 43, vectorClock: { n1: 9, n2: 4 }, operation: activation('b') },
    {
      ...at,
      sequence: 44,
      vectorClock: { n1: 10, n2: 4 },
      operation: note,
      timestamp: 1001,
      writeId: null,
    },
  ])
  assert.equal(codec.clockAfter(parsed), { n1: 10, n2: 4 })
  assert.equal(Object.hasOwn(codec.entries(parsed)[2]!, 'reconciliation'), false)
})

frames('is of version 2 only where version 1 would not be understood', () => {
  assert.is(withForks().bytes[8], 2)
  assert.is(sample().bytes[8], 1)
  const plain = encodeOperation(activation('a'))
  assert.equal(codec.encodeEntry(activation('a'), null), plain, 'there is nothing to add')
  const epochStart = { type: 'EpochStart', space: 'demo', node: 'n1', incarnation: 2,
    connection: 1 }
  const start = (more: object) =>
    codec.epochStart(
      originAt(9, { previousEpoch: 2, node: 'n1@3' }),
      { ...epochStart, ...more } as never,
      77,
    )
  const forked = codec.parse(start({ forks: [opening] }).bytes) as Frame
  assert.equal([forked.bytes[8], forked.kind], [1, 'epochStart'],
    'a member that knows no reports can do without')
  assert.equal(codec.entries(forked)[0]!.operation, { ...epochStart, forks: [opening] })
  assert.is(start({}).bytes[8], 1)
  for (const forks of [[], undefined]) assert.equal(start({ forks }).bytes, start({}).bytes)
})

frames('keeps version 1 byte for byte', () => {
  const epochStart = {
    type: 'EpochStart',
    space: 'demo',
    node: 'n1',
    incarnation: 2,
    connection: 1,
  } as const
  const start = codec.epochStart(
    originAt(9, { previousEpoch: 2, clock: { n1: 7 } }),
    epochStart,
    77,
  )
  // Their checksums, which cover all but the magic.
  const [ofEntries, ofStart] = [sample(), start].map(({ bytes }) =>
    Buffer.from(bytes).toString('hex', 4, 8)
  )
  assert.equal([ofEntries, ofStart], ['4cfbee3c', '38cbf5d8'])
})

frames('refuses what a frame of its version cannot hold', () => {
  const older = Buffer.from(withForks().bytes)
  const change = (version: number, kind: number, reason: RegExp): void => {
    older[8] = version
    older[9] = kind
    older.writeUInt32LE(crc32c(older.subarray(8)), 4)
    refused(older, reason)
  }
  change(1, 1, /entry 0: encoding 2, of at most 1/)
  change(3, 1, /version 3.*up to 2.*upgrade/)
  const note2 = codec.builder()
  note2.add({ operations: [note], encoded: [codec.encodeEntry(note, null)], key: null }, 5)
  const start = Buffer.from(note2.seal(originAt(9, { previousEpoch: 2 })).bytes)
  start[9] = 2
  start.writeUInt32LE(crc32c(start.subarray(8)), 4)
  refused(start, /entry 0: encoding 2/)
})

frames('names who numbers a frame', () => {
  const builder = codec.builder()
  builder.add(request(null, activation('a')), 1)
  const frame = builder.seal(originAt(5, { node: 'n1@3', clock: { n1: 4, 'n1@3': 2 ** 40 } }))
  assert.equal([writerOf(frame), nodeOf(writerOf(frame))], ['n1@3', 'n1'])
  assert.equal(codec.entries(frame)[0]!.vectorClock, { n1: 4, 'n1@3': 2 ** 40 + 1 })
})

frames('knows its size before it is sealed', () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 40 }), (sizes) => {
    const builder = codec.builder()
    builder.add(request(null, activation('a')), 1)
    for (const size of sizes) builder.add(request('k', activation('x'.repeat(size))), 1)
    const promised = builder.bytes
    const actual = builder.seal(originAt(5)).bytes.length
    assert.ok(actual <= promised && promised - actual < 512, `${actual} of ${promised}`)
  }), { numRuns: 50 })
})

frames('carries a vector clock wider than its headroom', () => {
  const clock = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`node-${i}`, i]))
  const builder = codec.builder()
  builder.add(request('k', activation('a')), 1)
  const frame = codec.parse(builder.seal(originAt(5, { clock, node: 'node-7' })).bytes) as Frame
  assert.equal(codec.clockAfter(frame), { ...clock, 'node-7': 8 })
  assert.is(codec.entries(frame)[0]!.writeId, 'k')
})

frames('counts a writer called like a property of every object', () => {
  const builder = codec.builder()
  builder.add(request(null, activation('a')), 1)
  const frame = codec.parse(builder.seal(originAt(5, { node: 'valueOf', clock: {} })).bytes)
  assert.equal(codec.clockAfter(frame as Frame), { valueOf: 1 })
})

frames('takes nothing of a request that would pass the limit', () => {
  const builder = codec.builder()
  builder.add(request(null, activation('a')), 1)
  const before = builder.bytes
  const encoded = Array.from({ length: 9 }, () => Buffer.alloc(128 * 1024))
  assert.throws(() => builder.add({ operations: [], encoded, key: null }, 1), /bytes/)
  assert.throws(() => builder.add(request(null, activation('b')), 0), /goes back/)
  assert.equal([builder.count, builder.bytes], [1, before])
  assert.is(codec.entries(builder.seal(originAt(2))).length, 1)
})

function seal(over: Partial<FrameOrigin>): void {
  const builder = codec.builder()
  builder.add(request(null, activation('a')), 1)
  builder.seal(originAt(2, over))
}

frames('refuses what is no place in a log', () => {
  assert.throws(() => seal({ epoch: 0 }), /epoch/)
  assert.throws(() => seal({ first: 1.5 }), /first sequence/)
  assert.throws(() => seal({ first: Number.MAX_SAFE_INTEGER + 1 }), /first sequence/)
  assert.throws(() => seal({ previousEpoch: 4 }), /above epoch/)
  assert.throws(() => seal({ previousEpoch: 0 }), /does not go with/)
  assert.throws(() => seal({ uuid: 'demo' }), /uuid/)
  assert.throws(() => seal({ clock: { n1: -1 } }), /unsafe/)
  assert.throws(() => codec.builder().seal(originAt(2)), /without entries/)
})

function refused(bytes: Buffer, reason: RegExp): void {
  const outcome = codec.parse(bytes)
  assert.ok(typeof outcome === 'string', `taken, where ${reason} was due`)
  assert.match(outcome, reason)
}

frames('says why it refuses a frame', () => {
  const whole = sample().bytes.length
  refused(Buffer.from('hello'), /too short/)
  refused(forged((b) => b.write('X')), /magic/)
  refused(forged((b) => b.writeUInt8(3, 8)), /version 3.*upgrade/)
  refused(forged((b) => b.writeUInt8(0, 8)), /version 0/)
  refused(forged((b) => b.writeUInt8(9, 9)), /kind 9/)
  refused(forged((b) => b.writeUInt16LE(1, 10)), /flags/)
  refused(forged((b) => b.writeUInt32LE(whole + 1, 12)), /frame of/)
  refused(Buffer.concat([sample().bytes, Buffer.from([0])]), /frame of/)
  refused(forged((b) => b.fill(0xff, 32, 40)), /epoch is no/)
  refused(forged((b) => b.fill(0xff, 40, 48)), /first sequence is no/)
  refused(forged((b) => b.fill(0xff, 48, 56)), /previous epoch is no/)
  refused(forged((b) => b.fill(0xff, 56, 64)), /base timestamp/)
  refused(forged((b) => b.writeUInt32LE(0, 64)), /without entries/)
  refused(forged((b) => b.writeUInt32LE(5, 64)), /entry 4 reaches/)
  refused(forged((b) => b.writeUInt32LE(3, 64)), /bytes after the last entry/)
  refused(forged((b) => b.writeUInt32LE(0xffffffff, 68)), /origin/)
  refused(forged((b) => b.fill(0xdd, 72, 76)), /origin/)
  refused(forged((b) => b.writeUInt8(2, 9)), /epoch start of 4 entries/)
  const entry = 72 + Buffer.from(sample().bytes).readUInt32LE(68)
  refused(forged((b) => b.writeUInt32LE(0xffffffff, entry)), /lengths/)
  refused(forged((b) => b.writeUInt32LE(0, entry)), /lengths/)
  refused(forged((b) => b.writeUInt8(1, entry + 4)), /goes back/)
  refused(forged((b) => b.writeUInt16LE(3, entry + 10)), /requests do not add up/)
  refused(forged((b) => b.writeUInt16LE(0, entry + 10)), /requests do not add up/)
  refused(forged((b) => b.writeUInt16LE(0xfffe, entry + 12)), /lengths/)
  refused(forged((b) => b.writeUInt8(7, entry + 14 + 6)), /encoding 7/)
  const flipped = Buffer.from(sample().bytes)
  flipped[whole - 1]! ^= 1
  refused(flipped, /checksum/)
  const large = Buffer.alloc(1024 * 1024 + 1)
  refused(large, /longer/)
})

frames('never throws on hostile bytes, and takes no changed frame for a sound one', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    assert.is(typeof codec.parse(bytes), 'string')
    assert.is(typeof codec.decodeWal(bytes), 'string')
  }), { numRuns: 500 })
  for (const { bytes } of [sample(), withForks()]) changed(Buffer.from(bytes))
})

function changed(valid: Buffer): void {
  const change = fc.record({
    at: fc.nat(valid.length - 1),
    value: fc.integer({ min: 0, max: 255 }),
  })
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.boolean(), (changes, mend) => {
      const bytes = Buffer.from(valid)
      for (const { at, value } of changes) bytes[at] = value
      if (mend) bytes.writeUInt32LE(crc32c(bytes.subarray(8)), 4)
      const parsed = codec.parse(bytes)
      if (typeof parsed === 'string') return
      if (!mend) assert.ok(bytes.equals(valid))
      // With its checksum made good a frame may be another one; it must hold together.
      codec.clockAfter(parsed)
      try {
        const all = codec.entries(parsed)
        assert.is(all.length, parsed.last - parsed.first + 1)
        const [from, to] = [parsed.first + 1, parsed.last - 1]
        assert.equal(codec.entries(parsed, from, to), all.slice(1, -1), 'a part is a part of all')
        assert.equal(codec.entries(parsed, parsed.last), all.slice(-1))
      } catch (error) {
        // Only an operation that does not decode: that is the writer's defect.
        assert.not.match(String(error), /unchecked frame|ERR_OUT_OF_RANGE/)
      }
    }),
    { numRuns: 3000 },
  )
  for (let length = 0; length < valid.length; length++) {
    assert.is(typeof codec.parse(valid.subarray(0, length)), 'string')
  }
}

frames('refuses every single flipped bit', () => {
  const bytes = Buffer.from(withForks().bytes)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    assert.is(typeof codec.parse(bytes), 'string', `bit ${bit}`)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
})

const wal = {
  session: 3,
  epoch: 4,
  commitSequence: 40,
  safeSequence: 39,
  endSequence: 45,
  sentAtMs: 1_700_000_000_123,
}

frames('carries a WAL header alone and before a frame', () => {
  assert.equal(codec.decodeWal(codec.encodeWal(wal, null)), { header: wal, frame: null })
  const message = codec.encodeWal(wal, sample())
  const decoded = codec.decodeWal(message)
  assert.ok(typeof decoded === 'object')
  assert.equal(decoded.header, wal)
  message.fill(0)
  assert.is(typeof codec.parse(decoded.frame!.bytes), 'object', 'the frame is a copy')
})

frames('refuses a WAL message with any bit flipped, or cut anywhere', () => {
  const message = Buffer.from(codec.encodeWal(wal, sample()))
  for (let i = 0; i < message.length; i++) {
    message[i]! ^= 4
    assert.is(typeof codec.decodeWal(message), 'string', `byte ${i}`)
    message[i]! ^= 4
    assert.is(typeof codec.decodeWal(message.subarray(0, i)), 'string', `cut at ${i}`)
  }
  const later = Buffer.from(codec.encodeWal(wal, null))
  later[4] = 2
  assert.match(codec.decodeWal(later) as string, /version 2.*upgrade/)
  assert.throws(() => codec.encodeWal({ ...wal, session: -1 }, null), /safe integer/)
})

frames.run()
