/** Counters and histograms, against the list that /metrics explains. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { instruments } from '../../../runtime/http/instruments.js'
import { createMetrics } from '../../../runtime/http/metrics.js'
import { path, settle } from '../../support/actorKit.js'
import { root } from '../../support/environment.js'
import { Responder } from '../../support/responder.js'

const test = suite('telemetry')

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`
    return entry.isDirectory() ? sources(name) : name.endsWith('.ts') ? [name] : []
  })
}

interface Call {
  readonly name: string
  readonly kind: string
  readonly labels: readonly string[]
}

/** Calls of the port in the source: the names are literals there, and so are the labels' names. */
function calls(): Call[] {
  return [...sources('actors'), ...sources('runtime')].flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    const found = [...text.matchAll(
      /telemetry\??\.(count|observe)\(\s*'(\w+)'([^;{}]*?)(?:\{([^}]*)\})?\s*\)(?=[\s;)]|$)/g,
    )]
    const all = [...text.matchAll(/telemetry\??\.(?:count|observe)\(/g)]
    assert.is(found.length, all.length, `${file}: a call that this test cannot read`)
    return found.map(([, method, name = '', , labels = '']) => ({
      name,
      kind: method === 'count' ? 'counter' : 'distribution',
      labels: labels.split(',').flatMap((one) => /^\s*(\w+)/.exec(one)?.[1] ?? []),
    }))
  })
}

test('every call is explained, with its labels, and nothing is that no call reports', () => {
  const made = calls()
  assert.ok(made.length >= 25, `${made.length} calls`)
  for (const { name, kind, labels } of made) {
    const known = instruments.find((one) => one.name === name)
    assert.ok(known, `${name} is not among the instruments`)
    assert.equal([known.kind, [...known.labels].toSorted()], [kind, [...labels].toSorted()], name)
  }
  const names = new Set(made.map(({ name }) => name))
  assert.equal(instruments.filter(({ name }) => !names.has(name)).map(({ name }) => name), [])
})

test('/metrics explains each metric, once, before anything has happened', async () => {
  const report = new Responder(null as never).report()
  const metrics = createMetrics(() => report, { processMetrics: false })
  const text = await metrics.text()
  const helps = [...text.matchAll(/^# HELP (\S+) (.+)$/gm)]
  const names = helps.map(([, name = '']) => name)
  assert.is(new Set(names).size, names.length)
  assert.ok(helps.every(([, , help = '']) => help.endsWith('.')), 'a HELP is a sentence')
  for (const name of names) {
    assert.match(name, /^engram_[a-z0-9_]+$/)
    const type = new RegExp(`^# TYPE ${name} (\\w+)$`, 'm').exec(text)?.[1]
    assert.is(type === 'counter', name.endsWith('_total'), `${name} is a ${type}`)
    // OpenMetrics takes `x` and the counter `x_total` for one metric.
    assert.not.ok(names.includes(`${name}_total`), name)
    if (type === 'histogram') assert.match(name, /_(seconds|bytes|entries)$/)
  }
  for (const name of ['engram_replication_lag_seconds', 'engram_loss_window_entries',
    'engram_in_sync_members', 'engram_journal_bytes', 'engram_promotion_seconds',
    'engram_durable_ack_seconds', 'engram_writes_total', 'engram_host_restarts_total'])
  {
    assert.ok(names.includes(name), name)
  }
  assert.match(text, /^engram_writes_total 0$/m)
})

interface Sample {
  readonly name: string
  readonly value: number
  readonly labels: Record<string, string>
}

function recorder() {
  const samples: Sample[] = []
  const keep = (name: string, value = 1, labels = {}): void =>
    void samples.push({ name, value, labels })
  return { samples, telemetry: { count: keep, observe: keep } }
}

test('the ack latency is observed once a batch: its slowest write', async () => {
  const { samples, telemetry } = recorder()
  const side = path({ telemetry })
  side.journal.holdsSyncs = true
  side.write()
  side.write()
  await settle()
  await side.clock.advanceAsync(7)
  await side.journal.release()
  assert.equal(samples.filter(({ name }) => name === 'durableAckMs'), [{ name: 'durableAckMs',
    value: 7, labels: {} }])
})

test('every error answer is counted by its code', async () => {
  const { samples, telemetry } = recorder()
  const side = path({ telemetry })
  side.ingest.refuse({ code: 'OVERLOADED', message: 'the disk does not keep up' })
  side.write()
  side.ingest.refuse(null)
  side.write({ 'Engram-Ack': 'all' })
  side.journal.holdsSyncs = true
  side.write()
  await settle()
  side.ingest.expire()
  await side.clock.advanceAsync(5001)
  side.ingest.expire()
  await side.journal.release()
  assert.equal(
    samples.filter(({ name }) => name === 'writesRefused').map((one) => one.labels['code']),
    ['OVERLOADED', 'INVALID_OPERATION', 'ACK_TIMEOUT'],
  )
})

test('an idle process is not woken to measure the delay of its event loop', async () => {
  const metrics = createMetrics(() => {
    throw new Error('no node')
  })
  const names = metrics.registry.getMetricsAsArray().map(({ name }) => name)
  assert.ok(names.includes('nodejs_eventloop_lag_seconds'), names.join(', '))
  assert.ok(names.includes('process_resident_memory_bytes'))
  assert.is(names.find((name) => /eventloop_lag_(?!seconds)/.test(name)), undefined)
})

test.run()
