/** Checkpoint files: what is written is read, and nothing else is taken for one. */
import { decode, encode } from '@msgpack/msgpack'
import { crc32c } from '@node-rs/crc32'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Checkpoints, StoredSection } from '../../../actors/ports/checkpoints.js'
import type { SpaceStore } from '../../../actors/ports/store.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { atOnce, directory, fileOf, fullSpace, imageOf, notesOf, openIn, readRecords, sourceOf,
  uuids } from '../../support/checkpoints.js'
import { slicesOf } from '../../support/images.js'

const path = `${directory}/0000000001.checkpoint`
const headBytes = 64

interface Context {
  fileSystem: MemoryFileSystem
  space: SpaceStore
  checkpoints: Checkpoints
  section: StoredSection
  /** The whole file. */
  bytes: Buffer
}

const test = suite<Context>('checkpoint files: format')
test.before.each(async (context) => {
  const fileSystem = new MemoryFileSystem()
  const checkpoints = await openIn(fileSystem)
  const space = await fullSpace()
  const [section] = await checkpoints.write([sourceOf(uuids[0], space)], atOnce)
  const bytes = fileSystem.bytesOf(path)
  Object.assign(context, { fileSystem, space, checkpoints, section, bytes })
})

/** Why a file of these bytes is refused: by an opening of the folder, then by a verification. */
async function refusal(
  bytes: Buffer,
  section: StoredSection,
): Promise<{ code: string; message: string }> {
  const fileSystem = new MemoryFileSystem()
  await fileSystem.makeDirectory(directory)
  const handle = await fileSystem.open(path, 'create')
  await handle.write([bytes], 0)
  await handle.datasync()
  const checkpoints = await openIn(fileSystem)
  const [file] = checkpoints.files()
  try {
    await checkpoints.verify(section, atOnce)
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    if (file!.fault !== null) assert.is(file!.fault.code, code)
    return { code, message }
  }
  assert.is(file!.fault, null)
  return { code: '', message: 'it is taken' }
}

interface BlockPlace {
  readonly at: number
  readonly type: number
  readonly payload: number
  readonly end: number
}

function blocksOf(bytes: Buffer): BlockPlace[] {
  const blocks: BlockPlace[] = []
  for (let at = headBytes; at < bytes.length - 16;) {
    const end = at + 32 + bytes.readUInt32LE(at + 20)
    blocks.push({ at, type: bytes[at + 4]!, payload: at + 32, end })
    at = end
  }
  return blocks
}

/** With right checksums of the block at `at`, or of the head of the file at 0. */
function sealed(bytes: Buffer, at: number): Buffer {
  if (at === 0) bytes.writeUInt32LE(crc32c(bytes.subarray(0, 60)), 60)
  else {
    const payload = bytes.subarray(at + 32, at + 32 + bytes.readUInt32LE(at + 20))
    bytes.writeUInt32LE(crc32c(payload), at + 24)
    bytes.writeUInt32LE(crc32c(bytes.subarray(at, at + 28)), at + 28)
  }
  return bytes
}

function changed(bytes: Buffer, change: (copy: Buffer) => void, seal?: number): Buffer {
  const copy = Buffer.from(bytes)
  change(copy)
  return seal === undefined ? copy : sealed(copy, seal)
}

test('a section has the state, what the log says, and all records', async (context) => {
  const { fileSystem, space, section, checkpoints } = context
  assert.equal(checkpoints.list(), [section])
  assert.equal({ ...section, id: '' }, {
    file: 1,
    id: '',
    writtenAtMs: 1234,
    space: 'demo',
    uuid: uuids[0],
    position: space.applied,
    digest: space.digest,
    offset: headBytes,
    bytes: section.bytes,
    sharedBytes: section.bytes,
  })
  const again = await openIn(fileSystem)
  assert.equal(again.list(), [section])
  const reader = await again.open(section)
  const image = space.image(space.applied)!
  assert.equal(reader.manifest, { ...notesOf(uuids[0], space), state: image.state })
  assert.ok((await readRecords(reader)).equals(Buffer.concat(slicesOf(space))))
  await reader.close()
  await again.verify(section, atOnce)
})

test('a section is a file of its own, byte by byte, also out of a shared file', async (context) => {
  const { checkpoints, section, bytes, space, fileSystem } = context
  const reader = await checkpoints.open(section)
  assert.is(reader.fileBytes, bytes.length)
  for (const chunk of [1, 7, 64, 1000, 100_000]) {
    assert.ok((await fileOf(reader, chunk)).equals(bytes), `in chunks of ${chunk}`)
  }
  assert.is((await reader.read(bytes.length + 5, 10)).length, 0)
  await reader.close()
  const shared = await checkpoints.write(
    uuids.map((uuid) => sourceOf(uuid, space)),
    atOnce,
  )
  assert.equal(shared.map(({ file, uuid }) => [file, uuid]), [[2, uuids[0]], [2, uuids[1]]])
  for (const one of shared) {
    const from = await checkpoints.open(one)
    const alone = await fileOf(from, 100)
    await from.close()
    assert.is((await refusal(alone, { ...one, file: 1, offset: headBytes })).message, 'it is taken')
    const part = await checkpoints.receive({ uuid: one.uuid, id: one.id, totalBytes: alone.length })
    await part.append(alone)
    const received = await part.finish()
    const to = await checkpoints.open(received)
    assert.ok((await fileOf(to, 100)).equals(alone), 'and so is what was received')
    assert.ok((await readRecords(to)).equals(Buffer.concat(slicesOf(space))))
    await to.close()
  }
  assert.ok(fileSystem.paths(directory).every((name) => name.endsWith('.checkpoint')))
})

test('cut at every byte: refused', async ({ bytes, section }) => {
  for (let length = 0; length < bytes.length; length += 1) {
    const { code, message } = await refusal(bytes.subarray(0, length), section)
    assert.is(code, 'CHECKPOINT_DAMAGED', `${length}: ${message}`)
    const words = length < headBytes ? /its head is cut off/ : /its end is missing/
    assert.match(message, words)
  }
})

test('a piece is missing or doubled anywhere: refused', async ({ bytes, section }) => {
  for (const { at, end } of blocksOf(bytes)) {
    const missing = Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)])
    const doubled = Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)])
    for (const other of [missing, doubled]) {
      assert.is((await refusal(other, section)).code, 'CHECKPOINT_DAMAGED')
    }
  }
})

test('a flipped bit at every byte: refused', async ({ bytes, section }) => {
  const heads = new Set(
    blocksOf(bytes).flatMap(({ at }) => Array.from({ length: 32 }, (_, index) => at + index)),
  )
  for (let at = 0; at < bytes.length; at += 1) {
    const isHead = at < headBytes || heads.has(at) || at >= bytes.length - 16
    const bits = isHead ? [0, 1, 2, 3, 4, 5, 6, 7] : [at % 8]
    for (const bit of bits) {
      const flipped = changed(bytes, (copy) => copy[at]! ^= 1 << bit)
      const { code, message } = await refusal(flipped, section)
      assert.is(code, 'CHECKPOINT_DAMAGED', `byte ${at}, bit ${bit}: ${message}`)
    }
  }
})

test('each fault has its words', async ({ bytes, section }) => {
  const blocks = blocksOf(bytes)
  const [manifest, records, end, footer] = blocks
  const size = bytes.length
  const flip = (at: number) => changed(bytes, (copy) => copy[at]! ^= 1)
  const cases: [string, Buffer, RegExp][] = [
    ['magic', flip(0), /head is not that of a checkpoint/],
    ['version', flip(4), /head has a wrong checksum/],
    ['disk', flip(30), /head has a wrong checksum/],
    ['magic of a block', flip(manifest!.at), /block 0 is not there/],
    ['number of a block', flip(records!.at + 12), /block 1 has a wrong checksum of its head/],
    ['length of a block', flip(records!.at + 20), /block 1 has a wrong checksum of its head/],
    ['manifest', flip(manifest!.payload + 9), /block 0 has a wrong checksum/],
    ['record', flip(records!.payload + 30), /block 1 has a wrong checksum/],
    ['end', flip(end!.payload + 3), /block 2 has a wrong checksum/],
    ['footer', flip(footer!.payload + 3), /block 3 has a wrong checksum/],
    ['place of the footer', flip(size - 16), /its end names a wrong place/],
    ['magic of the trailer', flip(size - 1), /its end is missing/],
  ]
  assert.equal(blocks.map(({ type }) => type), [1, 2, 3, 4])
  for (const [name, other, words] of cases) {
    const { message } = await refusal(other, section)
    assert.match(message, words, name)
    assert.match(message, /^the checkpoint 0000000001\.checkpoint is damaged, and is not used: /)
  }
})

test('what has right checksums and makes no sense is refused, too', async (context) => {
  const { bytes, section } = context
  const [manifest, records, end, footer] = blocksOf(bytes) as [BlockPlace, BlockPlace, BlockPlace,
    BlockPlace]
  const fill = ({ at, payload, end: until }: BlockPlace) =>
    changed(bytes, (copy) => copy.fill(0xc1, payload, until), at)
  const cases: [string, Buffer, RegExp][] = [
    ['manifest', fill(manifest), /its manifest makes no sense/],
    ['end', fill(end), /the end of a section makes no sense/],
    ['footer', fill(footer), /its footer makes no sense/],
    ['counts', changed(bytes, (copy) => {
      const said = decode(copy.subarray(end.payload, end.end)) as { records: number[][] }
      said.records[2]![1]! += 1
      Buffer.from(encode(said)).copy(copy, end.payload)
    }, end.at), /does not fit its records/],
    ['records', fill(records), /ends beyond its bytes/],
    ['type', changed(bytes, (copy) => copy[records.at + 4] = 9, records.at),
      /block 1 is no records/],
    ['section', changed(bytes, (copy) => copy[records.at + 8] = 5, records.at), /is of section 5/],
    ['block', changed(bytes, (copy) => copy[records.at + 12] = 5, records.at),
      /block 1 is not there, but block 5/],
    ['id', changed(bytes, (copy) => copy[records.at + 16]! ^= 1, records.at), /of another file/],
    ['length', changed(bytes, (copy) => copy.writeUInt32LE(2 ** 31, records.at + 20)), /checksum/],
    ['node', changed(bytes, (copy) => {
      copy[copy.indexOf('three', records.at)] = 0x54
    }, records.at), /wrong hash/],
    ['first block', changed(bytes, (copy) => copy[44] = 1, 0), /its footer has holes/],
    ['first section', changed(bytes, (copy) => copy[56] = 1, 0), /its footer has holes/],
  ]
  for (const [name, other, words] of cases) {
    const { code, message } = await refusal(other, section)
    assert.is(code, 'CHECKPOINT_DAMAGED', `${name}: ${message}`)
    assert.match(message, words, name)
  }
})

test('a later version is no damage', async ({ bytes, section }) => {
  for (const [at, words] of [[4, /later version.*format 2/], [5,
    /later version.*records of version 4/]] as const)
  {
    const later = changed(bytes, (copy) => copy[at]! += 1, 0)
    const { code, message } = await refusal(later, section)
    assert.is(code, 'CHECKPOINT_VERSION', message)
    assert.match(message, words)
  }
})

test('another file at the same place is not taken', async ({ bytes, section, space }) => {
  const fileSystem = new MemoryFileSystem()
  await (await openIn(fileSystem)).write([sourceOf(uuids[0], space)], atOnce)
  const other = fileSystem.bytesOf(path)
  const [, records] = blocksOf(bytes)
  assert.match((await refusal(other, section)).message, /another file/)
  const spliced = changed(bytes, (copy) => other.copy(copy, records!.at, records!.at, records!.end))
  assert.match((await refusal(spliced, section)).message, /block 1 is of another file/)
})

test('records that are not those of the state are never a checkpoint', async (context) => {
  const { space, checkpoints, fileSystem } = context
  const [slice] = slicesOf(space)
  const source = space.image(space.applied)!
  const second = 7 + slice!.readUInt16LE(1) + slice!.readUInt32LE(3)
  for (const [name, slices, words] of [
    ['none', [], /0 nodes, and its header says/],
    ['one missing', [slice!.subarray(second)], /and its header says/],
    ['one twice', [slice!.subarray(0, second), slice!], /out of order/],
    ['cut off', [slice!.subarray(0, -1)], /ends beyond its bytes/],
  ] as const) {
    const image = imageOf(source, slices)
    const notes = notesOf(uuids[0], space)
    let thrown = { code: '', message: '' }
    await checkpoints.write([{ notes, image }], atOnce).catch((error: typeof thrown) => {
      thrown = error
    })
    assert.is(thrown.code, 'INVARIANT_VIOLATION', name)
    assert.match(thrown.message, /^I13/)
    assert.match(thrown.message, words, name)
    assert.ok(image.isClosed)
    assert.equal(fileSystem.paths(directory), [path])
  }
})

test('a manifest that nobody would read is not written', async ({ checkpoints, space }) => {
  const { notes, image } = sourceOf(uuids[0], space)
  const history = { root: { epoch: 9, sequence: 9 }, history: notes.history.history }
  let message = ''
  await checkpoints.write([{ notes: { ...notes, history }, image }], atOnce)
    .catch((error: Error) => {
      message = error.message
    })
  assert.match(message, /bug: a manifest/)
  assert.is(checkpoints.list().length, 1)
})

test('a manifest without sense inside is refused', async ({ bytes, section }) => {
  const [manifest] = blocksOf(bytes)
  const payload = Buffer.from(encode({ space: 'demo' }))
  const other = changed(bytes, (copy) => {
    copy.fill(0, manifest!.payload, manifest!.end)
    payload.copy(copy, manifest!.payload)
  }, manifest!.at)
  assert.match((await refusal(other, section)).message, /its manifest makes no sense/)
})

test.run()
