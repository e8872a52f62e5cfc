import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { lagMonitorMachine } from '../../machines/lagMonitor.js'
import { assertCovered, assertHandled, golden, transcript } from './paths.js'

const test = suite('machines/lagMonitor')
const input = { peer: 'n2', lagBytesMax: 1000, lagMsMax: 100 }
const measured = (lagBytes: number, lagMs: number) =>
  ({ type: 'measured', lagBytes, lagMs }) as const

test('raises above a threshold, clears below 80 % of both', () => {
  const text = transcript(lagMonitorMachine, input, [
    measured(1000, 100), measured(1001, 0), measured(800, 0), measured(799, 80),
    measured(799, 79), measured(0, 101), measured(2000, 90), measured(2000, 79),
    measured(0, 120), measured(0, 0),
  ])
  assert.is(text, golden(`
    healthy: nothing measured yet
    > measured lagBytes:1000,lagMs:100
    healthy: nothing measured yet
    > measured lagBytes:1001,lagMs:0
    lagging.bytes: n2 is 1001 bytes behind, above 1000: lagging
      lagRaised peer:n2,kind:bytes,lagBytes:1001,lagMs:0
    > measured lagBytes:800,lagMs:0
    lagging.bytes: n2 is 1001 bytes behind, above 1000: lagging
    > measured lagBytes:799,lagMs:80
    lagging.bytes: n2 is 1001 bytes behind, above 1000: lagging
    > measured lagBytes:799,lagMs:79
    healthy: n2 is 799 bytes and 79 ms behind, below 80 % of both thresholds: healthy
      lagCleared peer:n2,lagBytes:799,lagMs:79
    > measured lagBytes:0,lagMs:101
    lagging.time: n2 is 101 ms behind, above 100 ms: lagging
      lagRaised peer:n2,kind:time,lagBytes:0,lagMs:101
    > measured lagBytes:2000,lagMs:90
    lagging.time: n2 is 101 ms behind, above 100 ms: lagging
    > measured lagBytes:2000,lagMs:79
    lagging.bytes: n2 is 2000 bytes behind, above 1000: lagging
      lagRaised peer:n2,kind:bytes,lagBytes:2000,lagMs:79
    > measured lagBytes:0,lagMs:120
    lagging.time: n2 is 120 ms behind, above 100 ms: lagging
      lagRaised peer:n2,kind:time,lagBytes:0,lagMs:120
    > measured lagBytes:0,lagMs:0
    healthy: n2 is 0 bytes and 0 ms behind, below 80 % of both thresholds: healthy
      lagCleared peer:n2,lagBytes:0,lagMs:0`))
})

test('every state is reached, every event handled', () => {
  assertCovered({
    machine: lagMonitorMachine, input,
    events: [measured(0, 0), measured(1001, 0), measured(0, 101)],
  })
  assertHandled({ machine: lagMonitorMachine, events: ['measured'], ignoreTable: [] })
})

test('the harness notices what is missing', () => {
  assert.throws(() => assertCovered({
    machine: lagMonitorMachine, input, events: [measured(0, 0), measured(1001, 0)],
  }), /no path reaches lagging\.time/)
  assert.throws(() => assertHandled({
    machine: lagMonitorMachine, events: ['measured', 'forgotten'], ignoreTable: [],
  }), /healthy does not handle forgotten/)
  const row = { state: 'lagging', events: ['measured'], reason: '' }
  assert.throws(() => assertHandled({
    machine: lagMonitorMachine, events: ['measured'], ignoreTable: [row],
  }), /stale row: lagging measured/)
})

test.run()
