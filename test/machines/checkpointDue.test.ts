import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkpointNeed } from '../../machines/log/checkpointDue.js'

const test = suite('machines/log/checkpointDue')
const limits = { checkpointBytes: 100, checkpointRatio: 2 }
const none = { newBytes: 0, lastBytes: 0, isPinning: false, nodeBytes: 0 }

test('the first one is due after checkpointBytes, later ones after a multiple of the last', () => {
  assert.is(checkpointNeed({ ...none, newBytes: 99 }, limits), 0.99)
  assert.is(checkpointNeed({ ...none, newBytes: 100 }, limits), 1)
  assert.is(checkpointNeed({ ...none, newBytes: 100, lastBytes: 100 }, limits), 0.5)
  assert.is(checkpointNeed({ ...none, newBytes: 400, lastBytes: 100 }, limits), 2)
  assert.is(checkpointNeed({ ...none, newBytes: 100, lastBytes: 10 }, limits), 1,
    'a small last one')
})

test('one that keeps a segment is due when the node has written as much as it costs', () => {
  const pinning = { ...none, lastBytes: 50, isPinning: true }
  assert.is(checkpointNeed({ ...pinning, nodeBytes: 49 }, limits), 0)
  assert.is(checkpointNeed({ ...pinning, nodeBytes: 50 }, limits), 1)
  assert.is(checkpointNeed({ ...pinning, newBytes: 300, nodeBytes: 50 }, limits), 3)
  assert.is(checkpointNeed({ ...none, isPinning: true }, limits), 1, 'it has none yet')
})

test.run()
