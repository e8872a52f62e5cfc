/** `engram chaos` as a user types it, against `engram up --chaos`: all faults, and the audit. */
import { cpSync, mkdtempSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { Control } from '../../runtime/chaos/control.js'
import { faultKinds } from '../../runtime/chaos/plan.js'
import { places } from '../../runtime/chaos/records.js'
import type { ChaosReport } from '../../runtime/chaos/run.js'
import { readUpRecord } from '../../runtime/cluster/clusterFile.js'
import type { ClusterStatus } from '../../runtime/status/status.js'
import { Child, processesNaming } from '../support/child.js'
import { cli, jsonOf, runCli, showCommand } from '../support/cli.js'
import type { CommandResult } from '../support/cli.js'
import { mountRefusal, mountSmallDisk, unmount } from '../support/disk.js'
import { cliFile, removeTemporary, temporaryDirectory } from '../support/environment.js'
import { note, scenario, shared, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

/** Duration of the run with all faults, s. */
const faultSeconds = Number(process.env['CHAOS_SECONDS'] ?? 60)
const chaosSuite = suite('chaos: engram chaos', faultSeconds + 440)

interface Up {
  readonly child: Child
  readonly data: string
  /** Flags that lead to NATS, as an operator. */
  readonly nats: readonly string[]
  /** One node has a small disk of its own. */
  readonly hasSmallDisk: boolean
}

async function up(stage: Stage): Promise<Up> {
  const data = temporaryDirectory('chaos')
  const files = temporaryDirectory('chaos-files')
  stage.onEnd(() => {
    removeTemporary(data)
    removeTemporary(files)
  })
  const hasSmallDisk = mountRefusal() === null
  if (hasSmallDisk) {
    const mount = mountSmallDisk(join(data, 'n2'), 192)
    stage.onEnd(() => unmount(mount))
  }
  const child = new Child({
    label: 'engram up',
    command: process.execPath,
    group: true,
    logFile: join(files, 'up.log'),
    args: [cliFile, 'up', '--chaos', '--auth', '--restart', '--json', '--data', data, '--nats-port',
      '0', '--http', '127.0.0.1:0'],
  })
  stage.onEnd(() => {
    // Their command lines name the directory that is this test's own.
    for (const line of processesNaming(data)) process.kill(Number.parseInt(line, 10), 'SIGKILL')
  })
  stage.child(child)
  const ready = await child.firstLine(
    (line) => JSON.parse(line) as { nats: string; auth: string },
    40,
  )
  const nats = ['--nats', ready.nats, '--nats-auth', ready.auth]
  return { child, data, nats, hasSmallDisk }
}

const test = shared(chaosSuite, 'engram chaos', up)

function chaos(data: string, seconds: number, ...more: string[]): Promise<CommandResult> {
  return runCli(['chaos', 'demo', '--data', data, '--json', '--rate', '100', ...more], { seconds })
}

async function statusOf(nats: readonly string[]): Promise<ClusterStatus> {
  return jsonOf(await cli(['status', '--json', ...nats])) as ClusterStatus
}

/** The test's directories go with it; the logs are needed to find out why it failed. */
function keptLogs(data: string): string {
  const kept = mkdtempSync(join(tmpdir(), 'engram-failed-chaos-'))
  cpSync(join(data, 'logs'), kept, { recursive: true })
  return kept
}

/** The audit of any run, whatever came of it. */
function checkAccount(report: ChaosReport): void {
  let answered = 0
  for (const [name, level] of Object.entries(report.acknowledged)) {
    answered += level.acknowledged
    const sum = places.reduce((total, place) => total + level[place], 0)
    assert.is(sum, level.acknowledged, name)
    assert.ok(level.acknowledged > 0, `some were answered at ${name}`)
  }
  assert.is(answered + report.refused + report.unknown, report.written)
}

test(`${faultSeconds} s of all faults: every promise is kept`, async (context) => {
  const { data, nats, hasSmallDisk } = context
  const result = await chaos(data, faultSeconds + 140, '--for', `${faultSeconds}s`)
  for (const line of result.stderr.split('\n')) note(line)
  if (result.code !== 0) note(`all logs: ${keptLogs(data)}`)
  assert.is(result.code, 0, showCommand(result))
  const report = jsonOf(result) as ChaosReport
  assert.equal(report.broken, [])
  assert.is(report.ok, true)

  checkAccount(report)
  const { memory, durable, committed } = report.acknowledged
  assert.is(committed.present, committed.acknowledged)
  assert.is(durable.lost, 0)
  assert.is(report.duplicates, 0)
  assert.ok(report.lost.every(({ level, isBroken }) => level === 'memory' && !isBroken))

  assert.equal(report.skipped.map(({ fault }) => fault), hasSmallDisk ? [] : ['disk'])
  for (const kind of faultKinds) {
    const done = report.faults.filter((one) => one.kind === kind && one.refused === null)
    assert.is(done.length > 0, kind !== 'disk' || hasSmallDisk, `${kind}: ${done.length} times`)
  }

  assert.ok(report.promotions.length > 0, 'a primary was killed')
  const epochs = report.promotions.map(({ epoch }) => epoch)
  assert.equal(epochs, epochs.toSorted((a, b) => a - b))
  for (const { primary, atMs } of report.promotions) {
    assert.ok(['n1', 'n2', 'n3'].includes(primary) && atMs >= 0 && atMs <= report.ms)
  }
  const { worstMs, rawWorstMs, limitMs } = report.unavailability
  assert.ok(worstMs > 0 && worstMs <= limitMs && worstMs <= rawWorstMs)
  assert.is(limitMs, 5000)

  // What the members hold, counted by another way: each record makes one node of the graph.
  assert.ok(report.asked > 0)
  for (const { outcome, epoch } of report.reports) {
    assert.ok(outcome === 'level' || outcome === 'reconciled', `epoch ${epoch}: ${outcome}`)
  }
  const { spaces } = await statusOf(nats)
  assert.equal(new Set(spaces[0]?.members.map(({ digest }) => digest)).size, 1)
  const present = [memory, durable, committed].reduce(
    (sum, level) => sum + level.present + level.resent + level.merged,
    report.unknownPresent,
  )
  assert.is(await nodesIn(nats), present)
  note(
    `worst ${
      Math.round(worstMs)
    } ms, ${report.promotions.length} promotions, ${report.faults.length} faults, ${report.written} records`,
  )
}, faultSeconds + 200)

/** Listed page by page, by id. */
async function nodesIn(nats: readonly string[]): Promise<number> {
  let count = 0
  for (let after = '';;) {
    const page = jsonOf(
      await cli(['read', 'demo', 'list', '--json', '--limit', '1000',
        ...(after === '' ? [] : ['--after', after]), ...nats]),
    ) as { value: { id: string }[] }
    count += page.value.length
    const last = page.value.at(-1)
    if (!last) return count
    after = last.id
  }
}

test('all nodes hang for 7 s behind its back: the broken promise is reported', async (context) => {
  const { data, nats } = context
  const running = chaos(data, 150, '--for', '16s', '--faults', 'actor')
  const pids = (await statusOf(nats)).nodes.flatMap(({ pid }) => (pid === null ? [] : [pid]))
  assert.is(pids.length, 3)
  await pause(4000)
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  await pause(7000)
  for (const pid of pids) process.kill(pid, 'SIGCONT')
  const result = await running
  assert.is(result.code, 1, showCommand(result))
  const report = jsonOf(result) as ChaosReport
  assert.is(report.ok, false)
  assert.ok(report.unavailability.worstMs >= 5000, `${report.unavailability.worstMs} ms`)
  assert.is(report.broken.length, 1, report.broken.join('\n'))
  assert.match(report.broken[0] ?? '', /no positive answer for \d+ ms.*I10/)
  checkAccount(report)
}, 180)

test('a node that dies by itself is reported', async ({ data, nats }) => {
  const running = chaos(data, 150, '--for', '12s', '--faults', 'actor')
  const [victim] = (await statusOf(nats)).nodes
  assert.ok(victim?.pid)
  await pause(4000)
  process.kill(victim.pid, 'SIGKILL')
  const result = await running
  assert.is(result.code, 1, showCommand(result))
  const report = jsonOf(result) as ChaosReport
  assert.is(report.broken.length, 1, report.broken.join('\n'))
  assert.match(report.broken[0] ?? '', /ended by itself: SIGKILL/)
}, 180)

test('Ctrl-C ends it early, and the audit is made all the same', async ({ data }, stage) => {
  const files = temporaryDirectory('chaos-interrupted')
  stage.onEnd(() => removeTemporary(files))
  const child = stage.child(new Child({
    label: 'engram chaos',
    command: process.execPath,
    logFile: join(files, 'chaos.log'),
    args: [cliFile, 'chaos', 'demo', '--data', data, '--json', '--faults', 'actor', '--rate', '100',
      '--for', '10m'],
  }))
  await waitFor('a first fault', () => /actor space\.demo/.test(child.log()))
  await pause(2000)
  child.signal('SIGINT')
  const exit = await waitFor('its end', () => child.exit, { seconds: 60 })
  assert.is(exit.code, 0, child.logTail(20))
  const report = JSON.parse(child.stdout.join('')) as ChaosReport
  assert.is(report.ok, true)
  assert.ok(report.ms < 60_000 && report.faults.length > 0)
  checkAccount(report)
}, 120)

test('an engram up is found by its nodes; a directory without one is refused', async ({ nats }) => {
  const args = ['chaos', 'demo', ...nats, '--for', '9s', '--faults', 'pause', '--json']
  const found = await runCli(args, { seconds: 60 })
  assert.is(found.code, 0, showCommand(found))
  const { faults, skipped } = jsonOf(found) as ChaosReport
  assert.ok(faults.length > 0 && faults.every(({ kind }) => kind === 'pause'))
  assert.equal(skipped, [])
  const nowhere = await runCli([...args, '--data', temporaryDirectory('nowhere')])
  assert.is(nowhere.code, 1)
  assert.match(nowhere.stderr, /no engram up runs on/)
}, 90)

scenario(chaosSuite, 'nodes without engram up: faults that cannot be injected are named',
  async (stage) => {
    const cluster = await stage.cluster()
    const result = await runCli(['chaos', 'demo', '--nats', cluster.broker.url])
    assert.is(result.code, 1, showCommand(result))
    assert.match(result.stderr, /skipping actor: n1: this node does not let operators kill/)
    for (const kind of ['kill', 'pause', 'broker', 'network', 'disk']) {
      assert.match(result.stderr, new RegExp(`skipping ${kind}: .*engram up on this machine`))
    }
    assert.match(result.stderr,
      /none of the faults can be injected into this cluster\n.*engram up --chaos/)
    assert.is(result.stdout, '')
  })

test('an unknown space, no cluster, bad flags', async ({ data }) => {
  const unknown = await runCli(['chaos', 'nowhere', '--data', data])
  assert.is(unknown.code, 1)
  assert.match(unknown.stderr,
    /there is no space nowhere; existing spaces: demo\n.*space create nowhere/)
  const none = await runCli(['chaos', 'demo', '--nats', 'nats://127.0.0.1:1'])
  assert.is(none.code, 1)
  assert.match(none.stderr, /cannot connect to NATS/)
  for (const [wrong, said] of [
    [['--faults', 'kill,meteor'], /meteor is not a fault.*: actor, kill/],
    [['--faults', ','], /No fault is named/],
    [['--for', 'soon'], /must be a duration/],
    [['--for', '1s'], /out of range/],
    [['--for', '9h'], /out of range|duration/],
    [['--rate', '0'], /whole number from 1/],
    [['--seed', '-1'], /whole number from 0/],
  ] as const) {
    const result = await runCli(['chaos', 'demo', '--data', data, ...wrong])
    assert.is(result.code, 2, showCommand(result))
    assert.match(result.stderr, said)
  }
  assert.is((await runCli(['chaos', 'a.b', '--data', data])).code, 2)
}, 90)

test('control takes valid commands, and only with the token', async (context) => {
  const control = readUpRecord(context.data)?.control
  assert.ok(control)
  assert.is(statSync(join(context.data, 'up.json')).mode & 0o077, 0, 'the token is the owner\'s')
  const means = await new Control(control).means()
  assert.equal(means.nodes.map(({ id, hasLink }) => [id, hasLink]), [['n1', true], ['n2', true], [
    'n3',
    true,
  ]])
  assert.equal(means.nodes.map(({ fillRefusal }) => fillRefusal === null), [false,
    context.hasSmallDisk, false])
  const send = async (body: unknown, token = control.token): Promise<[number, string]> => {
    const response = await fetch(control.url, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    })
    return [response.status, ((await response.json()) as { message?: string }).message ?? '']
  }
  const kill = { type: 'kill', node: 'n1', forMs: 1 }
  assert.is((await send(kill, 'x'.repeat(control.token.length)))[0], 403)
  assert.is((await send(kill, ''))[0], 403)
  assert.is((await fetch(control.url))?.status, 403)
  for (const command of [null, {}, { ...kill, type: 'explode' }, { ...kill, forMs: 1e9 }]) {
    assert.is((await send(command))[0], 400, JSON.stringify(command))
  }
  assert.equal(await send({ ...kill, node: 'n9' }), [409, 'there is no node n9 in this cluster'])
  assert.match((await send({ ...kill, type: 'fill' }))[1], /shares its file system with/)
  const [first, second] = await Promise.all([
    send({ type: 'cut', node: 'n1', forMs: 300 }),
    send({ type: 'pause', node: 'n2', forMs: 1 }),
  ])
  assert.is(first[0], 200)
  assert.equal(second, [409, 'another fault is under way: cut'])
})

test('the cluster is whole afterwards', async ({ nats }) => {
  await waitFor('all members in sync', async () => {
    const found = (await statusOf(nats)).spaces[0]
    return found?.inSync.length === 3 || notYet(JSON.stringify(found?.inSync))
  }, { seconds: 20 })
})

chaosSuite.run()
