/** deploy/: the alert rules and the dashboard name metrics and labels that /metrics really has. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createMetrics } from '../../runtime/http/metrics.js'
import { alertRules } from '../support/alertRules.js'
import { root } from '../support/environment.js'
import { namedIn, shownIn } from '../support/promql.js'
import { Responder } from '../support/responder.js'

const test = suite('deploy')

const read = (path: string): string => readFileSync(join(root, 'deploy', path), 'utf8')

/** Labels that Prometheus adds to every series of a target. */
const ofTarget = ['job', 'instance']

/** Names of series with their labels, as a node exposes them. */
function series(): Map<string, readonly string[]> {
  const report = new Responder(null as never).report()
  const { registry } = createMetrics(() => report, { processMetrics: false })
  const all = new Map<string, readonly string[]>([['up', ofTarget]])
  for (const metric of registry.getMetricsAsArray()) {
    const { labelNames, type } = metric as unknown as { labelNames: string[]; type: string }
    const labels = [...labelNames, ...ofTarget]
    const isHistogram = String(type) === 'histogram'
    if (!isHistogram) all.set(metric.name, labels)
    else {
      all.set(`${metric.name}_bucket`, [...labels, 'le'])
      all.set(`${metric.name}_sum`, labels).set(`${metric.name}_count`, labels)
    }
  }
  return all
}
const known = series()

/** Faults of an expression and of the labels that a text shows of it; null when there are none. */
function faultOf(expression: string, shown: readonly string[]): string | null {
  const { metrics, grouping } = namedIn(expression)
  if (metrics.length === 0) return 'no metric'
  for (const { name, labels } of metrics) {
    const has = known.get(name)
    if (!has) return `no node exposes ${name}`
    const missing = [...labels, ...grouping, ...shown].find((label) => !has.includes(label))
    if (missing) return `${name} has no label ${missing}`
  }
  // Labels that were summed over are gone.
  const lost = shown.find((label) => grouping.length > 0 && !grouping.includes(label))
  return lost ? `${lost} is shown, and is not among ${grouping.join(', ')}` : null
}

function checkExpression(expression: string, shown: readonly string[], where: string): void {
  assert.is(faultOf(expression, shown), null, where)
}

const rules = alertRules(read('prometheus/alerts.yml'))

test('the check finds what is wrong', () => {
  const wrong: [string, string[], string][] = [
    ['engram_nothing == 0', [], 'no node exposes engram_nothing'],
    ['engram_epoch{node="n1"}', [], 'engram_epoch has no label node'],
    ['sum by (replica) (engram_epoch)', [], 'engram_epoch has no label replica'],
    ['engram_epoch', ['replica'], 'engram_epoch has no label replica'],
    ['sum by (job) (engram_epoch)', ['space'], 'space is shown, and is not among job'],
    ['vector(1)', [], 'no metric'],
  ]
  for (const [expression, shown, fault] of wrong) assert.is(faultOf(expression, shown), fault)
  assert.throws(() => namedIn('node_load1 > 3'), /node_load1 .* neither metric/)
  checkExpression('histogram_quantile(0.9, sum by (le, job) (rate('
    + 'engram_promotion_seconds_bucket{job="x"}[5m])))', ['job'], 'here')
  assert.throws(() => alertRules('groups:\n  - nme: x\n'), /line 2 is not understood/)
})

test('alert rules: metrics and labels exist, each says what to do', () => {
  assert.ok(rules.length >= 8)
  assert.is(new Set(rules.map(({ alert }) => alert)).size, rules.length)
  for (const { alert, expr, for: time, labels, annotations } of rules) {
    const { summary = '', action = '', ...others } = annotations
    const shown = shownIn(summary + action).filter((name) => name !== 'value')
    checkExpression(expr, shown, alert)
    assert.match(time, /^(|\d+[sm])$/, alert)
    assert.ok(['info', 'warning', 'critical'].includes(labels['severity'] ?? ''), alert)
    assert.ok(summary && action && Object.keys(others).length === 0, alert)
  }
})

test('alert rules: the kinds of alerts that they match are sent', () => {
  const sources = readdirSync(join(root, 'actors'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(root, 'actors', name), 'utf8')).join('\n')
  const kinds = rules.flatMap(({ expr }) => [...expr.matchAll(/kind="(\w+)"/g)].map((m) => m[1]))
  assert.ok(kinds.length > 0)
  for (const kind of kinds) assert.match(sources, `'${kind}'`)
})

test('alert rules: what must not go unnoticed has one', () => {
  const names = rules.map(({ alert }) => alert)
  for (const name of ['NoPrimary', 'UnderReplicated', 'ReplicationLag', 'LossWindow', 'ReadOnly',
    'Divergence', 'Tilt', 'ArbiterLost', 'ForkReportOpen', 'DiskUse', 'DiskNearlyFull',
    'JournalPinned', 'CheckpointFailed', 'CheckpointUnusable', 'DiskRotten', 'InstallStalled',
    'MemberChangeSlow'])
  {
    assert.ok(names.includes(`Engram${name}`), name)
  }
})

test('alert rules hold against made series (promtool, where it is)', () => {
  const folder = join(root, 'deploy', 'prometheus')
  const run = (...args: string[]) =>
    spawnSync('promtool', args, { cwd: folder, encoding: 'utf8', timeout: 30_000 })
  if (run('--version').error) {
    console.log('SKIP  promtool is not installed: the rules are read, not evaluated')
    return
  }
  for (const args of [['check', 'rules', 'alerts.yml'], ['test', 'rules', 'alerts.test.yml']]) {
    const { status, stdout, stderr } = run(...args)
    assert.is(status, 0, `${stdout}${stderr}`)
  }
})

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number;
    readonly h: number }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const dashboard = JSON.parse(read('grafana/engram.json')) as {
  readonly panels: readonly Panel[]
  readonly templating: { list: readonly { name: string; query: string | { query: string } }[] }
  readonly annotations: { list: readonly { name: string; expr: string; titleFormat: string }[] }
}

test('dashboard: metrics and labels of every panel, variable and annotation exist', () => {
  const shown = dashboard.panels.filter(({ type }) => type !== 'row')
  assert.ok(shown.length >= 15)
  for (const { title, targets } of shown) {
    assert.ok(targets && targets.length > 0, title)
    for (const { expr, legendFormat } of targets) {
      checkExpression(expr, shownIn(legendFormat), title)
    }
  }
  for (const { name, query } of dashboard.templating.list) {
    if (typeof query === 'string') continue
    const [, metric = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(query.query) ?? []
    checkExpression(metric, [label], name)
  }
  for (const { name, expr, titleFormat } of dashboard.annotations.list) {
    checkExpression(expr, shownIn(titleFormat), name)
  }
})

test('dashboard: variables are defined, ids unique, panels side by side', () => {
  const defined = new Set(dashboard.templating.list.map(({ name }) => name))
  for (const [, name = ''] of read('grafana/engram.json').matchAll(/\$\{?(\w+)/g)) {
    assert.ok(defined.has(name) || name.startsWith('__'), `$${name} is not defined`)
  }
  const ids = dashboard.panels.map(({ id }) => id)
  assert.is(new Set(ids).size, ids.length)
  for (const [index, { title, gridPos: a }] of dashboard.panels.entries()) {
    assert.ok(a.x >= 0 && a.x + a.w <= 24, title)
    for (const { title: other, gridPos: b } of dashboard.panels.slice(index + 1)) {
      const isApart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y
      assert.ok(isApart, `${title} and ${other} overlap`)
    }
  }
})

test('dashboard: lag, loss window, members, failovers, latency, journal and alerts are on it', () => {
  const text = dashboard.panels.flatMap((panel) => panel.targets ?? []).map((t) => t.expr).join(
    '\n',
  )
  for (const name of ['replication_lag_seconds', 'replication_lag_bytes', 'loss_window_seconds',
    'in_sync_members', 'promotions_total', 'writes_total', 'durable_ack_seconds_bucket',
    'journal_flush_seconds_bucket', 'alerts_total', 'fork_reports_open', 'quarantined_writes',
    'reconciled_writes_total', 'salvages_waiting', 'disk_bytes', 'disk_cap_bytes',
    'checkpoint_age_seconds', 'journal_pinned_bytes', 'rebuild_ratio', 'install_bytes',
    'installs_total'])
    assert.match(text, `engram_${name}`)
})

test.run()
