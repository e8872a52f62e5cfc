/** Counts of an epoch, and what two reports of them say. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { bucketMs, AckHistogram } from '../../../actors/primary/ackHistogram.js'
import { FlowRates } from '../../../runtime/page/server/flow.js'
import type { MemberStatus, NodeStatusReport } from '../../../runtime/status/status.js'

const test = suite('flow')

/** A report of n1, at `uptimeMs`, as far as it matters here. */
function report(
  meter: AckHistogram | null,
  uptimeMs: number,
  over: { epoch?: number; incarnation?: number } = {},
): NodeStatusReport {
  const member = {
    space: 'demo',
    epoch: over.epoch ?? 3,
    flow: meter?.counted() ?? null,
  } as unknown as MemberStatus
  const node = { id: 'n1', uptimeMs, incarnation: over.incarnation ?? 7 }
  return { format: 1, node, spaces: [member] } as unknown as NodeStatusReport
}

test('buckets: bounds grow by 19 %, what is off the scale falls into the first or last', () => {
  const meter = new AckHistogram()
  for (const ms of [0, -1, Number.NaN, 0.05, 1, 1e9]) meter.note(1, 1, ms)
  const { writes, acks } = meter.counted()
  assert.is(writes, 6)
  assert.equal(acks[0], [0, 4])
  const [bucket = 0] = acks[1] ?? []
  assert.ok(bucketMs(bucket) >= 1 && bucketMs(bucket) < 1.2, `${bucketMs(bucket)}`)
  assert.ok(bucketMs(bucket - 1) < 1)
  assert.equal(acks[2], [71, 1])
})

test('a rate and percentiles come from the difference of two reports', () => {
  const [meter, rates] = [new AckHistogram(), new FlowRates()]
  meter.note(1_000, 1_000, 500)
  assert.equal(rates.take([report(meter, 10_000)]), [], 'one report gives no rate')
  meter.note(980, 490, 1)
  meter.note(20, 10, 40)
  const [flow] = rates.take([report(meter, 12_000)])
  assert.is(flow?.writesPerSecond, 500)
  assert.is(flow?.space, 'demo')
  assert.is(flow?.node, 'n1')
  assert.ok(flow!.ackMs!.p50 >= 1 && flow!.ackMs!.p50 < 1.2, JSON.stringify(flow))
  assert.ok(flow!.ackMs!.p99 >= 40 && flow!.ackMs!.p99 < 48, JSON.stringify(flow))
})

test('the end of the traffic is sent once, and then nothing', () => {
  const [meter, rates] = [new AckHistogram(), new FlowRates()]
  rates.take([report(meter, 1_000)])
  meter.note(5, 5, 1)
  assert.is(rates.take([report(meter, 2_000)]).length, 1)
  assert.equal(rates.take([report(meter, 3_000)]), [{ space: 'demo', node: 'n1', writesPerSecond: 0,
    ackMs: null }])
  assert.equal(rates.take([report(meter, 4_000)]), [])
})

test('another epoch or another life counts from zero; a primary that is gone ends its traffic', () => {
  const [meter, rates] = [new AckHistogram(), new FlowRates()]
  meter.note(100, 100, 1)
  rates.take([report(meter, 1_000)])
  meter.note(50, 50, 1)
  assert.is(rates.take([report(meter, 2_000)])[0]?.writesPerSecond, 50)
  assert.is(rates.take([report(meter, 3_000, { epoch: 4 })])[0]?.writesPerSecond, 0)
  assert.equal(rates.take([report(meter, 500, { epoch: 4, incarnation: 8 })]), [])
  meter.note(10, 10, 1)
  assert.is(rates.take([report(meter, 1_500, { epoch: 4, incarnation: 8 })])[0]?.writesPerSecond,
    10)
  assert.is(rates.take([])[0]?.writesPerSecond, 0)
  assert.equal(rates.take([]), [])
})

test.run()
