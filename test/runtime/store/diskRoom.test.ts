import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { NoRoomError, Room } from '../../../runtime/store/diskRoom.js'
import { StoreWriteError } from '../../../runtime/store/storeWrite.js'
import { openStore } from '../../../runtime/store/store.js'
import { mountRefusal, mountSmallDisk, unmount } from '../../support/disk.js'

const test = suite('room for the store')

test('more records than the disk could hold are refused before lmdb sees them', async () => {
  const room = Room.of(tmpdir())
  await room.assert(1)
  const error = await room.assert(1e12).then(() => null, (thrown: unknown) => thrown)
  assert.instance(error, NoRoomError)
  assert.is((error as NoRoomError).code, 'ENOSPC')
})

test('plenty of room is looked up ten times a second; little, each time', async () => {
  let [freeBytes, nowMs, readings] = [1e12, 0, 0]
  const room = new Room(async () => {
    readings += 1
    return freeBytes
  }, () => nowMs)
  for (let i = 0; i < 10; i++) await room.assert(512)
  assert.is(readings, 1)
  nowMs = 100
  freeBytes = 1e9
  for (let i = 0; i < 10; i++) await room.assert(512)
  assert.is(readings, 11)
  freeBytes = 1e6
  const error = await room.assert(1).then(() => null, (thrown: unknown) => thrown)
  assert.instance(error, NoRoomError)
})

test('room for a huge transaction is always looked up', async () => {
  let readings = 0
  const room = new Room(async () => {
    readings += 1
    return 1e12
  }, () => 0)
  await room.assert(1)
  await room.assert(1e6)
  assert.is(readings, 2)
})

const refusal = mountRefusal()
const onTmpfs = refusal === null ? test : test.skip

onTmpfs('on a disk with little left nothing is written, and the process lives', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'engram-room-'))
  mountSmallDisk(directory, 6)
  try {
    const store = await openStore(join(directory, 'store'))
    const space = store.space('00000000-0000-4000-8000-000000000001')
    const entry = {
      sequence: 1,
      epoch: 1,
      timestamp: 1,
      vectorClock: { n1: 1 },
      writeId: null,
      operation: { type: 'StoreNode', node: { id: 'a' } },
    } as const
    const error = await space.apply([entry]).then(() => null, (thrown: unknown) => thrown)
    assert.instance(error, StoreWriteError)
    assert.is((error as StoreWriteError).retryable, true)
    assert.is(space.applied.sequence, 0)
    await store.close()
  } finally {
    unmount(directory)
    rmSync(directory, { recursive: true, force: true })
  }
})

test.run()
