import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkpointNeed, epochsBetween, neededBytes, shortBytes,
  spareBytes } from '../../machines/log/checkpointDue.js'

const test = suite('machines/log/checkpointDue')
const limits = { checkpointBytes: 100, checkpointRatio: 2, coveredSpansMax: 256 }
const none = { newBytes: 0, lastBytes: 0, newEpochs: 0, pinning: null }

test('the first one is due after checkpointBytes, later ones after a multiple of the last', () => {
  assert.is(checkpointNeed({ ...none, newBytes: 99 }, limits), 0.99)
  assert.is(checkpointNeed({ ...none, newBytes: 100 }, limits), 1)
  assert.is(checkpointNeed({ ...none, newBytes: 100, lastBytes: 100 }, limits), 0.5)
  assert.is(checkpointNeed({ ...none, newBytes: 400, lastBytes: 100 }, limits), 2)
  assert.is(checkpointNeed({ ...none, newBytes: 100, lastBytes: 10 }, limits), 1,
    'a small last one')
})

test('one that keeps a segment is due when the node has written twice what all of them cost', () => {
  const pinning = (nodeBytes: number) => ({
    ...none,
    lastBytes: 20,
    pinning: { checkpointBytes: 50, nodeBytes, isRoomShort: false },
  })
  assert.is(checkpointNeed(pinning(99), limits), 0)
  assert.is(checkpointNeed(pinning(100), limits), 1)
  assert.is(checkpointNeed({ ...pinning(100), newBytes: 300 }, limits), 3)
  const first = { ...none, pinning: { checkpointBytes: 0, nodeBytes: 0, isRoomShort: false } }
  assert.is(checkpointNeed(first, limits), 1, 'none of them has one yet')
})

test('on a disk that is nearly full a pair is due after what one of each costs', () => {
  const pinning = (nodeBytes: number) => ({
    ...none,
    lastBytes: 20,
    pinning: { checkpointBytes: 50, nodeBytes, isRoomShort: true },
  })
  assert.is(checkpointNeed(pinning(49), limits), 0)
  assert.is(checkpointNeed(pinning(50), limits), 1)
  assert.is(checkpointNeed(pinning(25), { ...limits, checkpointRatio: 0.5 }), 1,
    'not less often than usual')
})

test('room is short when the next two may not fit, as large as the state may be by now', () => {
  const MiB = 2 ** 20
  assert.is(neededBytes(100 * MiB), 100 * MiB + spareBytes)
  assert.is(neededBytes(0), MiB + spareBytes)
  const short = (lastMiB: number, olderMiB: number, newMiB: number): number =>
    (shortBytes({ lastBytes: lastMiB * MiB, olderBytes: olderMiB * MiB, newBytes: newMiB * MiB })
      - spareBytes) / MiB
  assert.is(short(100, 100, 0), 100)
  assert.is(short(100, 120, 30), 160)
  assert.is(short(100, 40, 30), 220, 'the next one frees as much as the older one has')
  assert.is(short(100, 0, 0), 200, 'it frees nothing')
  assert.is(short(0, 0, 30), 61)
})

test('at that moment both do fit, however the state has grown', () => {
  for (const [olderBytes, lastBytes] of [[0, 0], [0, 90], [30, 90], [90, 90], [90, 30]] as const) {
    for (const newBytes of [0, 7, 200]) {
      for (const grown of [0, newBytes / 2, newBytes]) {
        // MiB, so that the least size plays no part.
        const scale = (size: number): number => (size + 1) * 2 ** 20
        const [older, last, fresh] = [olderBytes && scale(olderBytes), scale(lastBytes),
          newBytes * 2 ** 20]
        const size = last + grown * 2 ** 20
        const free = shortBytes({ olderBytes: older, lastBytes: last, newBytes: fresh })
        assert.ok(free - size >= spareBytes, 'the first')
        assert.ok(free - size + older - size >= spareBytes, 'the second')
      }
    }
  }
})

test('it is due, too, when its history has grown long', () => {
  assert.is(checkpointNeed({ ...none, newEpochs: 128 }, limits), 0.5)
  assert.is(checkpointNeed({ ...none, newEpochs: 256, newBytes: 10 }, limits), 1)
  const history = [{ epoch: 1, last: 5 }, { epoch: 3, last: 9 }, { epoch: 4, last: 20 }]
  const above = [0, 4, 5, 9, 19, 20].map((sequence) => epochsBetween({ history }, sequence, 20))
  assert.equal(above, [3, 3, 2, 1, 1, 0])
  assert.is(epochsBetween({ history: [] }, 0, 0), 0)
  const applied = [5, 6, 9, 10, 20].map((sequence) => epochsBetween({ history }, 5, sequence))
  assert.equal(applied, [0, 1, 1, 2, 2], 'a checkpoint would not hold those that are not applied')
})

test.run()
