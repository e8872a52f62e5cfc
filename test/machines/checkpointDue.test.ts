import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkpointNeed } from '../../machines/log/checkpointDue.js'

const test = suite('machines/log/checkpointDue')
const limits = { checkpointBytes: 100, checkpointRatio: 2 }
const none = { newBytes: 0, lastBytes: 0, pinning: null }

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
    pinning: { checkpointBytes: 50, nodeBytes },
  })
  assert.is(checkpointNeed(pinning(99), limits), 0)
  assert.is(checkpointNeed(pinning(100), limits), 1)
  assert.is(checkpointNeed({ ...pinning(100), newBytes: 300 }, limits), 3)
  const first = { ...none, pinning: { checkpointBytes: 0, nodeBytes: 0 } }
  assert.is(checkpointNeed(first, limits), 1, 'none of them has one yet')
})

test.run()
