/** One seed is one run: in this process, again, and in another one. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { planOf } from './plan.js'
import { runSeeds } from './pool.js'
import { runPlan, runSeed } from './run.js'

const test = suite('determinism of the simulator')

test('a plan is drawn from its seed alone', () => {
  assert.equal(planOf(42), planOf(42))
  assert.not.equal(planOf(42).faults, planOf(43).faults)
})

test('the same seed gives the same events, others other ones', async () => {
  const first = await runSeed(42)
  const again = await runSeed(42)
  assert.is(again.hash, first.hash)
  assert.equal(again.stats.messages, first.stats.messages)
  assert.is.not((await runSeed(43)).hash, first.hash)
})

test('a trace does not change the run', async () => {
  const { hash } = await runSeed(7)
  const traced = await runSeed(7, { trace: true })
  assert.is(traced.hash, hash)
  assert.ok(traced.transcript!.lines.length > 100)
  assert.ok(traced.transcript!.inspection.some((line) => line.includes('@xstate.snapshot')))
})

test('another process runs it to the same end', async () => {
  const here = new Map<number, string>()
  for (const seed of [3, 4]) here.set(seed, (await runSeed(seed)).hash)
  const there = new Map<number, string>()
  await runSeeds({
    seeds: here.keys(),
    processes: 1,
    run: {},
    onResult: ({ seed, hash }) => there.set(seed, hash),
  })
  assert.equal(there, here)
})

test('without one of its faults a plan is another run, and repeats itself too', async () => {
  const plan = planOf(42)
  assert.ok(plan.faults.length > 1)
  const less = { ...plan, faults: plan.faults.slice(1) }
  const { hash } = await runPlan(less)
  assert.is.not(hash, (await runPlan(plan)).hash)
  assert.is((await runPlan(less)).hash, hash)
})

test.run()
