import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chunkBytesMax } from '../../../machines/protocol/installMessages.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'

const test = suite('codec/chunks')
const codec = controlCodec()
const id = 'b17b83bb-2189-46a5-bf5a-5a9c21e86135'

test('a chunk is read as it was written', () => {
  for (const length of [0, 1, 1000, chunkBytesMax]) {
    const data = Buffer.alloc(length, 7)
    const read = codec.checkpointAnswer(codec.chunk(id, 2 ** 40 + 1, data))
    assert.ok(read.ok && read.value.kind === 'chunk')
    assert.equal([read.value.id, read.value.offset, Buffer.from(read.value.data)], [id, 2 ** 40 + 1,
      data])
  }
  assert.throws(() => codec.chunk(id, 0, Buffer.alloc(chunkBytesMax + 1)), /a chunk of/)
})

test('a flipped bit, anywhere, is seen', () => {
  const bytes = Buffer.from(codec.chunk(id, 99, Buffer.from('some content')))
  for (let at = 0; at < bytes.length; at += 1) {
    const flipped = Buffer.from(bytes)
    flipped[at]! ^= 4
    assert.not(codec.checkpointAnswer(flipped).ok, `${at}`)
  }
  for (let length = 0; length < bytes.length; length += 1) {
    assert.not(codec.checkpointAnswer(bytes.subarray(0, length)).ok, `cut at ${length}`)
  }
})

test('the other answers and requests are plain messages', () => {
  const answers = [
    { kind: 'opened', id, position: { epoch: 1, sequence: 9 }, bytes: 100 },
    { kind: 'none', newest: 4, reason: 'it has no checkpoint yet' },
    { kind: 'refused', reason: 'busy' },
    { kind: 'gone' },
    { kind: 'closed' },
  ]
  for (const answer of answers) {
    assert.equal(codec.checkpointAnswer(codec.encode(answer)), { ok: true, value: answer })
  }
  const requests = [
    { kind: 'open', version: 1, uuid: 'u-1', node: 'n2', minimum: 4, formats: 1, id: null },
    { kind: 'chunk', node: 'n2', id, offset: 5, bytes: 100 },
    { kind: 'close', node: 'n2', id },
  ]
  for (const request of requests) {
    assert.equal(codec.checkpointRequest(codec.encode(request)), { ok: true, value: request })
  }
  const report = { kind: 'install', version: 1, space: 'demo', uuid: 'u-1', node: 'n2', epoch: 3,
    session: 2, number: 1, phase: 'pulling', source: 'n3',
    checkpoint: { id, position: { epoch: 1, sequence: 9 } }, doneBytes: 1, totalBytes: 2,
    loadedRecords: 0 }
  for (const phase of ['salvaging', 'asking', 'pulling', 'verifying', 'switching']) {
    const value = { ...report, phase }
    assert.equal(codec.ackMessage(codec.encode(value)), { ok: true, value })
  }
  assert.not(codec.ackMessage(codec.encode({ ...report, phase: 'waiting' })).ok)
  const answer = { kind: 'installing', number: 1, node: 'n1', epoch: 3, ok: true, isPresent: true,
    reason: '', minimum: 4, pinnedFrom: 10 }
  assert.equal(codec.installAnswer(codec.encode(answer)), { ok: true, value: answer })
  assert.not(codec.ackMessage(codec.encode({ ...report, version: 2 })).ok)
})

test.run()
