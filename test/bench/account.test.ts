/** The use of the processor between two snapshots. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { accountBetween, serversCpu, withBatches } from '../../bench/account.js'
import type { Snapshot } from '../../bench/account.js'
import { cpuPerWrite, poolWakesPerBatch, wakesPerWrite } from '../../bench/measured.js'
import type { Measured } from '../../bench/measured.js'
import type { ThreadSample } from '../../bench/proc.js'

const test = suite('account')

/** The threads of a Node process: main, six of V8's and the inspector's, four of the pool. */
function nodeThreads(
  mainNs: number,
  otherNs: number,
  poolNs: number,
  wakes: number,
): ThreadSample[] {
  return Array.from({ length: 11 }, (_, n) => ({
    tid: 100 + n,
    name: 'node',
    startTicks: n,
    voluntary: n === 0 ? wakes : n > 6 ? 2 * wakes : 0,
    cpuNs: n === 0 ? mainNs : n > 6 ? poolNs : otherNs,
  }))
}

const before: Snapshot = {
  atMs: 1000,
  threads: {
    primary: [nodeThreads(0, 0, 0, 0)],
    replicas: [nodeThreads(5e6, 0, 0, 10), nodeThreads(0, 0, 0, 0)],
    load: [nodeThreads(0, 0, 0, 0)],
  },
}
const after: Snapshot = {
  atMs: 3000,
  threads: {
    primary: [nodeThreads(400e6, 10e6, 5e6, 800)],
    replicas: [nodeThreads(105e6, 0, 0, 210), nodeThreads(100e6, 0, 0, 200)],
    load: [nodeThreads(1e9, 0, 0, 0)],
  },
}
const account = accountBetween(before, after)
const measured = (more: Partial<Measured>): Measured =>
  ({ perSecond: 100, account, ...more }) as Measured

test('CPU and wakes per second, by role and kind', () => {
  const { primary, replicas } = account
  // 400 ms of main thread, 6 × 10 of others, 4 × 5 of the pool, in two seconds.
  assert.is(primary?.cpuMsPerSecond, 240)
  assert.is(primary?.othersCpuMsPerSecond, 30)
  assert.equal(primary?.wakesPerSecond, { main: 400, pool: 3200, others: 0 })
  assert.is(replicas?.processes, 2)
  assert.is(replicas?.cpuMsPerSecond, 100)
  assert.is(replicas?.wakesPerSecond.main, 200)
  assert.is(account.broker, undefined)
})

test('the load is not among the servers', () => {
  assert.is(serversCpu(account), 340)
  assert.is(cpuPerWrite(measured({})), 3400)
  assert.is(cpuPerWrite(measured({}), 'load'), 5000)
})

test('wakes are given per process of a role', () => {
  assert.is(wakesPerWrite(measured({}), 'replicas', 'main'), 1)
  assert.is(wakesPerWrite(measured({}), 'primary', 'main'), 4)
})

test('batches: of the roles that count them', () => {
  const counted = withBatches(account, { primary: 10 }, { primary: 1610 }, 2)
  assert.is(counted.primary?.batchesPerSecond, 800)
  assert.is(counted.replicas?.batchesPerSecond, null)
  assert.is(poolWakesPerBatch(measured({ account: counted }), 'primary'), 4)
  assert.ok(Number.isNaN(poolWakesPerBatch(measured({ account: counted }), 'replicas')))
})

test('a thread that began in between counts from nothing, one that ended does not count', () => {
  const short: Snapshot = { atMs: 1000, threads: {
    primary: [[...nodeThreads(0, 0, 0, 0).slice(0, 7), { tid: 99, name: 'node', startTicks: 8,
      cpuNs: 7e9, voluntary: 7 }]],
  } }
  const all = accountBetween(short, after)
  assert.equal(all.primary, account.primary)
})

test('processes that /proc does not list: not a number, rather than no use', () => {
  const nothing: Snapshot = { atMs: 3000, threads: { primary: [[]] } }
  const { primary } = accountBetween({ ...nothing, atMs: 1000 }, nothing)
  assert.ok(Number.isNaN(primary?.cpuMsPerSecond))
})

test.run()
