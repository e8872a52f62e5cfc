/** The table of goals. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Account, Usage } from '../../bench/account.js'
import { goalsReached, goalsTable } from '../../bench/goals.js'
import type { Measured } from '../../bench/measured.js'
import { report } from '../../bench/report.js'
import { noFindings } from '../../bench/results.js'
import type { Results } from '../../bench/results.js'

const test = suite('goals')

function usage(processes: number, cpuMsPerSecond: number, more: Partial<Usage> = {}): Usage {
  return {
    processes,
    cpuMsPerSecond,
    othersCpuMsPerSecond: 0,
    batchesPerSecond: null,
    wakesPerSecond: { main: 0, pool: 0, others: 0 },
    ...more,
  }
}

function measured(perSecond: number, p50Ms: number, p99Ms: number, account: Account): Measured {
  return {
    perSecond,
    p50Ms,
    p99Ms,
    account,
    sent: 0,
    ok: 0,
    errors: {},
    p999Ms: 0,
    maxMs: 0,
    lateP99Ms: 0,
    windowMax: 0,
  }
}

const nothing: Results = {
  command: 'npm run bench',
  at: '2026-01-01',
  seconds: 2,
  repeats: 1,
  warmSeconds: 20,
  machine: { cores: 2, model: 'x', memoryGiB: 1, node: 'v20', broker: 'nats', redis: null },
  ...noFindings(),
}

const paced = measured(200, 1, 2, {
  primary: usage(1, 200, {
    wakesPerSecond: { main: 510, pool: 900, others: 0 },
    batchesPerSecond: 200,
  }),
  replicas: usage(2, 200, {
    wakesPerSecond: { main: 800, pool: 1680, others: 0 },
    batchesPerSecond: 400,
  }),
})
const some: Results = {
  ...nothing,
  oneSyncWakes: 4.1,
  loads: {
    floor: { closed: [measured(40_000, 1, 2, {})], one: [measured(1000, 0.5, 1, {})] },
    engram: {
      closed: [measured(20_000, 1, 2, { primary: usage(1, 1000), load: usage(1, 900) })],
      one: [measured(500, 0.752, 4, {})],
      paced: [paced],
      keyed: [measured(15_000, 1, 2, {})],
    },
    redis: { closed: [measured(30_000, 1, 2, {})] },
    jetstream: { closed: [measured(10_000, 1, 2, { primary: usage(1, 490) })] },
  },
  failover: [{ fault: 'kill', rounds: 3, medianMs: 190, maxMs: 300, timesMs: [] }],
}

const verdicts = (results: Results): Map<string, string> =>
  new Map(goalsReached(results)
    .map(({ measure, goal, now, verdict }) => [`${measure} ${goal}`, `${now} ${verdict}`]))

test('reached, missed, and not measured', () => {
  const found = verdicts(some)
  const is = (row: string, text: string): void => assert.is(found.get(row), text, row)
  // As it is shown: 0.752 is 1.504 times 0.5.
  is('one in flight, `durable`, median ≤ 1.5 × floor', '1.50 ok')
  is('256 in flight, `durable`, writes per second ≥ 0.45 × floor', '0.50 ok')
  is('256 in flight, `durable`, writes per second ≥ 1 × Redis over 256 connections',
    '– not measured')
  is('256 in flight, `durable`, writes per second ≥ 1 × Redis over one connection, pipelined',
    '0.67 missed')
  is('256 in flight, a key on every write, writes per second ≥ 0.9 × without', '0.75 missed')
  // The load's own CPU is not counted.
  is('CPU per write of all servers, 256 in flight ≤ 50 µs', '50 ok')
  is('CPU per write of all servers, 256 in flight ≤ 1 × JetStream R3', '1.02 missed')
  is('CPU per write of all servers, 200/s ≤ 3,000 µs', '2,000 ok')
  is('wakes of the primary\'s main thread, 200/s ≤ 2.5 per write', '2.55 missed')
  is('wakes of a replica\'s main thread, 200/s ≤ 2.1 per write', '2.00 ok')
  is('wakes of the primary\'s thread pool per batch, 200/s ≤ 1 × one fdatasync', '1.1 missed')
  is('wakes of a replica\'s thread pool per batch, 200/s ≤ 1 × one fdatasync', '1.0 ok')
  is('CPU of all servers, idle, one space ≤ 5 % of a core', '– not measured')
  is('kill -9 of the primary to the first positive answer, median ≤ 180 ms', '190 missed')
})

test('a ratio is that of one repeat, and the median of these', () => {
  const rate = (perSecond: number): Measured => measured(perSecond, 1, 1, {})
  const found = verdicts({
    ...nothing,
    loads: {
      floor: { closed: [rate(100), rate(1000), rate(10)] },
      engram: { closed: [rate(50), rate(400), rate(6)] },
    },
  })
  assert.is(found.get('256 in flight, `durable`, writes per second ≥ 0.45 × floor'), '0.50 ok')
})

test('of several repeats the median counts', () => {
  const repeats = [paced, paced, paced]
  const found = verdicts({ ...some, loads: { engram: { paced: repeats } } })
  assert.is(found.get('CPU per write of all servers, 200/s ≤ 3,000 µs'), '2,000 ok')
  assert.is(found.get('wakes of the primary\'s main thread, 200/s ≤ 2.5 per write'), '2.55 missed')
})

test('no table when nothing of it was measured', () => {
  assert.is(goalsTable(nothing), '')
})

test('the report: CPU by system and process, wakes, goals; a system that is left out says so', () => {
  const idle: Account = {
    primary: usage(1, 20, { wakesPerSecond: { main: 140, pool: 0, others: 0 } }),
    replicas: usage(2, 60, { wakesPerSecond: { main: 260, pool: 0, others: 0 } }),
    broker: usage(1, 10),
  }
  const text = report({
    ...some,
    idle: { engram: [idle] },
    leftOut: ['Redis: left out, redis-server is not installed'],
  })
  assert.match(text, '| Redis: left out, redis-server is not installed | – |')
  assert.match(text, '| Engram | 9.0 % | 2,000 µs |')
  assert.match(text, '| Engram: replicas (2 together) | 6.0 % | 1,000 µs |')
  assert.match(text, '| Engram, a replica | 130 | 2.00 |')
  assert.match(text, 'alone, wake a thread pool 4.1 times')
  assert.match(text, '| CPU of all servers, idle, one space | ≤ 5 % of a core | 9.0 | missed |')
  assert.match(text, /\(mean of three\)[^|]*\|[^|]*\| 133 \| missed/)
})

test.run()
