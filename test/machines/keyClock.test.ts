import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LogEntry } from '../../machines/log/entries.js'
import { keyTimeAfter } from '../../machines/log/keyClock.js'
import type { KeyTime } from '../../machines/log/keyClock.js'

const test = suite('machines/keyClock')

const hourMs = 3_600_000
const none: KeyTime = { epoch: 0, timestamp: 0, now: 0 }

function entry(epoch: number, timestamp: number): LogEntry {
  return {
    sequence: 1,
    epoch,
    timestamp,
    vectorClock: {},
    writeId: null,
    operation: { type: 'UpdateActivation', nodeId: 'x', activation: 0 },
  }
}

test('within an epoch the keys age as the entries do', () => {
  assert.equal(keyTimeAfter(none, [entry(1, 5000), entry(1, 5000), entry(1, 5000 + 30 * hourMs)]), {
    epoch: 1,
    timestamp: 5000 + 30 * hourMs,
    now: 5000 + 30 * hourMs,
  })
})

test('from epoch to epoch they age by an hour at most, whatever the clocks say', () => {
  const before = keyTimeAfter(none, [entry(1, 5000)])
  const jumped = keyTimeAfter(before, [entry(2, 5000 + 25 * hourMs)])
  assert.is(jumped.now, 5000 + hourMs)
  const back = keyTimeAfter(jumped, [entry(3, jumped.timestamp), entry(3, jumped.timestamp + 7)])
  assert.is(back.now, 5000 + hourMs + 7, 'timestamps that do not move age nothing')
  assert.is(keyTimeAfter(before, [entry(2, 5500)]).now, 5500, 'a failover as usual')
})

test('it does not depend on how the log is cut into batches', () => {
  const entries = [1, 1, 1, 2, 2, 4, 4, 4, 5].map((epoch, index) =>
    entry(epoch, 1000 + index * index * hourMs / 8)
  )
  const whole = keyTimeAfter(none, entries)
  for (let cut = 0; cut <= entries.length; cut += 1) {
    const first = keyTimeAfter(none, entries.slice(0, cut))
    assert.equal(keyTimeAfter(first, entries.slice(cut)), whole)
  }
})

test.run()
