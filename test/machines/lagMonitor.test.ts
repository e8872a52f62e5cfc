import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { lagMonitorMachine } from '../../machines/lagMonitor.js'
import { assertCovered, assertHandled, golden, transcript } from './paths.js'

const test = suite('machines/lagMonitor')
const input = { peer: 'n2', lagBytesMax: 1000, lagMsMax: 100 }
const measured = (lagBytes: number, lagMs: number, isAway = false) =>
  ({ type: 'measured', lagBytes, lagMs, isAway }) as const

test('raises above a threshold, clears below 80 % of both', () => {
  const text = transcript(lagMonitorMachine, input, [
    measured(1000, 100),
    measured(1001, 0),
    measured(800, 0),
    measured(799, 80),
    measured(799, 79),
    measured(0, 101, true),
    measured(2000, 90),
    measured(2000, 79),
    measured(0, 120),
    measured(0, 0),
  ])
  assert.is(text, golden(`
    healthy: nothing measured yet
    > measured lagBytes:1000,lagMs:100,isAway:false
    healthy: nothing measured yet
    > measured lagBytes:1001,lagMs:0,isAway:false
    lagging.bytes: replica n2 is 1.0 kB behind (limit 1.0 kB)
      lagRaised peer:n2,by:bytes,lagBytes:1001,lagMs:0
    > measured lagBytes:800,lagMs:0,isAway:false
    lagging.bytes: replica n2 is 1.0 kB behind (limit 1.0 kB)
    > measured lagBytes:799,lagMs:80,isAway:false
    lagging.bytes: replica n2 is 1.0 kB behind (limit 1.0 kB)
    > measured lagBytes:799,lagMs:79,isAway:false
    healthy: replica n2 has caught up: 799 B and 79 ms behind
      lagCleared peer:n2,lagBytes:799,lagMs:79
    > measured lagBytes:0,lagMs:101,isAway:true
    lagging.time: replica n2 is away and 101 ms behind (limit 100 ms)
      lagRaised peer:n2,by:time,lagBytes:0,lagMs:101
    > measured lagBytes:2000,lagMs:90,isAway:false
    lagging.time: replica n2 is away and 101 ms behind (limit 100 ms)
    > measured lagBytes:2000,lagMs:79,isAway:false
    lagging.bytes: replica n2 is 2.0 kB behind (limit 1.0 kB)
      lagRaised peer:n2,by:bytes,lagBytes:2000,lagMs:79
    > measured lagBytes:0,lagMs:120,isAway:false
    lagging.time: replica n2 is 120 ms behind (limit 100 ms)
      lagRaised peer:n2,by:time,lagBytes:0,lagMs:120
    > measured lagBytes:0,lagMs:0,isAway:false
    healthy: replica n2 has caught up: 0 B and 0 ms behind
      lagCleared peer:n2,lagBytes:0,lagMs:0`))
})

test('every state is reached, every event handled', () => {
  assertCovered({
    machine: lagMonitorMachine,
    input,
    events: [measured(0, 0), measured(1001, 0), measured(0, 101)],
  })
  assertHandled({ machine: lagMonitorMachine, events: ['measured'], ignoreTable: [] })
})

test('the harness notices what is missing', () => {
  assert.throws(() =>
    assertCovered({
      machine: lagMonitorMachine,
      input,
      events: [measured(0, 0), measured(1001, 0)],
    }), /no path reaches lagging\.time/)
  assert.throws(() =>
    assertHandled({
      machine: lagMonitorMachine,
      events: ['measured', 'forgotten'],
      ignoreTable: [],
    }), /healthy does not handle forgotten/)
  const row = { state: 'lagging', events: ['measured'], reason: '' }
  assert.throws(() =>
    assertHandled({
      machine: lagMonitorMachine,
      events: ['measured'],
      ignoreTable: [row],
    }), /stale row: lagging measured/)
})

test.run()
