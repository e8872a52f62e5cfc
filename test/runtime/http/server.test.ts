import { request } from 'node:http'
import { connect } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeMachine } from '../../../machines/node.js'
import { endingOf } from '../../../runtime/cli/errors.js'
import { createMetrics } from '../../../runtime/http/metrics.js'
import { nodeRoutes } from '../../../runtime/http/nodeRoutes.js'
import { HttpListenError, parseAddress, startHttpServer,
  text } from '../../../runtime/http/server.js'
import type { HttpServer } from '../../../runtime/http/server.js'
import type { MemberStatus, NodeStatusReport } from '../../../runtime/status/status.js'
import { shared } from '../../../runtime/system/slices.js'
import { Responder } from '../../support/responder.js'

const http = suite('http')
let report: NodeStatusReport = new Responder(null as never).report()
const metrics = createMetrics(() => report, { processMetrics: false })
let server: HttpServer
/** For `/works`: how often the loop had turned at each, and how many were under way at most. */
const works = { turns: [] as number[], underWay: 0, atMost: 0 }
let turns = 0
let isCounting = false

http.before(async () => {
  server = await startHttpServer({
    address: '127.0.0.1:0',
    routes: {
      ...nodeRoutes(() => report, metrics,
        () => ({ state: report.node.state, reason: `${report.node.state}: for a reason` })),
      '/fails': () => {
        throw new Error('secret detail')
      },
      '/works': async () => {
        works.turns.push(turns)
        works.atMost = Math.max(works.atMost, ++works.underWay)
        await Promise.resolve()
        works.underWay -= 1
        return text(200, 'done')
      },
    },
  })
})
http.after(() => server.close())
http.before.each(() => {
  report = new Responder(null as never).report()
})

interface Got {
  readonly status: number
  readonly body: string
  readonly headers: Record<string, unknown>
}

function get(path: string, options: { method?: string; host?: string } = {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', host } = options
    const sent = request({
      port: server.port,
      host: '127.0.0.1',
      path,
      method,
      headers: host ? { host } : {},
    }, (response) => {
      let body = ''
      response.on('data', (chunk) => (body += String(chunk)))
      response.on('end',
        () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

/** All that comes back for requests which are sent in one piece. */
function pipelined(path: string, count: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1')
    let body = ''
    socket.on('data', (chunk) => (body += String(chunk)))
    socket.on('close', () => resolve(body))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET') reject(error)
    })
    const last = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(count - 1) + last)
  })
}

async function countTurns(): Promise<void> {
  isCounting = true
  while (isCounting) {
    await nextTurn()
    turns += 1
  }
}

http('requests in one piece are answered one by one, and the loop turns in between', async () => {
  Object.assign(works, { turns: [], atMost: 0 })
  void countTurns()
  const got = await pipelined('/works', 500)
  isCounting = false
  assert.is(got.split('done').length - 1, 500)
  assert.is(works.atMost, 1)
  assert.is(new Set(works.turns).size, 500)
})

http('a connection with thousands of requests in one piece is closed', async () => {
  Object.assign(works, { turns: [], atMost: 0 })
  const got = await pipelined('/works', 30_000)
  assert.ok(got.split('done').length - 1 < 30_000)
  assert.ok(works.turns.length < 30_000)
  assert.is((await get('/healthz')).status, 200)
})

http('who asks while a text is made gets that one; and later, within its time', async () => {
  const releases: (() => void)[] = []
  let made = 0
  const one = shared(async () => {
    made += 1
    await new Promise<void>((resolve) => releases.push(resolve))
    if (made === 2) throw new Error('no')
    return made
  }, 0)
  const three = [one(), one(), one()]
  await nextTurn()
  releases.pop()!()
  assert.equal(await Promise.all(three), [1, 1, 1])
  const failing = [one(), one()]
  await nextTurn()
  releases.pop()!()
  const settled = await Promise.allSettled(failing)
  assert.equal(settled.map(({ status }) => status), ['rejected', 'rejected'])
  const after = one()
  await nextTurn()
  releases.pop()!()
  assert.is(await after, 3)
  const seldom = shared(() => Promise.resolve(++made), 3_600_000)
  assert.equal([await seldom(), await seldom()], [4, 4])
})

http('metrics in slices are those of the registry, with thousands of series', async () => {
  const [member] = report.spaces
  const spaces = Array.from({ length: 1200 }, (_, i) => ({ ...member!, space: `s${i}` }))
  report = { ...report, spaces }
  let isOver = false
  let turnsSeen = 0
  const counting = (async () => {
    while (!isOver) {
      await nextTurn()
      turnsSeen += 1
    }
  })()
  const body = await metrics.text()
  isOver = true
  await counting
  assert.is(body, await metrics.registry.metrics())
  assert.ok(body.includes('engram_is_primary{space="s1199"} 1'))
  assert.ok(turnsSeen > 3, `${turnsSeen} turns`)
})

http('/status is the report', async () => {
  const got = await get('/status?x=1')
  assert.equal(JSON.parse(got.body), JSON.parse(JSON.stringify(report)))
  assert.is(got.headers['content-type'], 'application/json')
})

http('/healthz and /readyz differ: isolated is healthy, and not ready', async () => {
  assert.is((await get('/healthz')).status, 200)
  assert.is((await get('/readyz')).status, 200)
  report = { ...report, node: { ...report.node, state: 'isolated' } }
  assert.is((await get('/healthz')).status, 200)
  const got = await get('/readyz')
  assert.equal([got.status, got.body], [503,
    'not ready: 1 of 2 checks\nnode: the node is isolated\n'])
  assert.is((await get('/healthz')).body, 'ok\nisolated: for a reason\n')
  report = { ...report, node: { ...report.node, state: 'failed' } }
  assert.is((await get('/healthz')).status, 503)
})

http('/healthz: a node that starts is not to be started again, however long it takes', async () => {
  const over = ['stopped', 'failed']
  for (const state of Object.keys(nodeMachine.states)) {
    report = { ...report, node: { ...report.node, state } }
    assert.is((await get('/healthz')).status, over.includes(state) ? 503 : 200, state)
  }
})

const ready: Readonly<Record<string, Partial<MemberStatus>>> = {
  'a primary': {},
  'a replica that is in sync': { role: 'replica', state: 'streaming', inSync: ['n1', 'n2'] },
  'one that catches up, and still counts': { role: 'replica', state: 'catchingUp' },
}

const install = { phase: 'pulling', source: 'n2', doneBytes: 412 * 2 ** 20, totalBytes: 2 ** 30,
  bytesPerSecond: 31 * 2 ** 20, etaMs: 19_741, minimum: 7 } as const

const notReady: readonly (readonly [Partial<MemberStatus>, string])[] = [
  [{ role: 'damaged', reason: 'a gap' }, 'damaged: a gap'],
  [{ blocked: 'n1, n2 are dead' }, 'blocked: n1, n2 are dead'],
  [{ state: 'opening' }, 'is opening: won'],
  [{ role: 'replica', state: 'joining.asking' }, 'has not joined: joining.asking, won'],
  [{ role: 'promoting', state: 'surveying' }, 'has not joined: surveying, won'],
  [{ role: 'recovering', state: 'recovering' }, 'has not joined: recovering, won'],
  [{ role: 'replica', state: 'streaming', inSync: ['n2', 'n3'], durableSequence: 7 },
    'not in sync, in sync are n2, n3; streaming, at 7'],
  [{ role: 'replica', state: 'streaming', arbiter: 'newer', arbiterReason: 'version 9' },
    'cannot tell: version 9'],
  [{ role: 'replica', state: 'streaming', inSync: ['n1', 'n2'],
    rebuilding: { phase: 'checkpoint', done: 620, total: 1_000 } },
    'loads its store from a checkpoint: 62 %, 620 of 1,000 records'],
  [{ role: 'replica', state: 'installing.pulling', install },
    'installs 412 of 1,024 MiB from n2, 31 MiB/s, 20 s'],
  [{ role: 'damaged', state: 'installing.pulling', reason: 'a gap', install },
    'damaged: a gap; it installs 412 of 1,024 MiB from n2, 31 MiB/s, 20 s'],
]

http('/readyz: ready is who has joined and is in sync in all its spaces', async () => {
  const [member] = report.spaces
  for (const [what, over] of Object.entries(ready)) {
    report = { ...report, spaces: [{ ...member!, ...over }] }
    const got = await get('/readyz')
    assert.equal([got.status, got.body], [200, 'ready\n'], what)
  }
  for (const [over, missing] of notReady) {
    report = { ...report, spaces: [member!, { ...member!, space: 'other', ...over }] }
    const got = await get('/readyz')
    assert.equal([got.status, got.body], [503,
      `not ready: 1 of 3 checks\nspace other: ${missing}\n`])
    assert.is((await get('/readyz?verbose')).body,
      `not ready: 1 of 3 checks\n[-] space other: ${missing}\n[+] node: ok\n`
        + '[+] space demo: ok\n')
  }
})

http('/readyz: a node that does not know its spaces yet is not ready', async () => {
  report = { ...report, node: { ...report.node, spacesListed: false }, spaces: [] }
  const got = await get('/readyz')
  assert.is(got.status, 503)
  assert.match(got.body, 'its spaces are not listed yet')
  report = { ...report, node: { ...report.node, spacesListed: true } }
  assert.is((await get('/readyz')).status, 200)
})

http('/readyz: a node that does not hold what it should is not ready', async () => {
  const unheldSpaces = { odd: 'it cannot be started: no room' }
  report = { ...report, node: { ...report.node, unheldSpaces } }
  const got = await get('/readyz')
  assert.equal([got.status, got.body], [503,
    'not ready: 1 of 3 checks\nspace odd: it cannot be started: no room\n'])
})

http('/readyz of thousands of spaces is a page', async () => {
  const [member] = report.spaces
  report = { ...report,
    spaces: Array.from({ length: 5000 },
      (_, at) => ({ ...member!, space: `s${at}`, blocked: 'no disk' })) }
  const lines = (await get('/readyz')).body.trimEnd().split('\n')
  assert.is(lines.length, 1002)
  assert.is(lines.at(-1), 'and 4000 more')
})

http('HEAD has the headers and no body; other methods are refused', async () => {
  const head = await get('/status', { method: 'HEAD' })
  assert.equal([head.status, head.body], [200, ''])
  const post = await get('/status', { method: 'POST' })
  assert.equal([post.status, post.headers['allow']], [405, 'GET, HEAD'])
})

http('on loopback, a foreign Host header is refused', async () => {
  assert.is((await get('/status', { host: 'evil.example' })).status, 403)
  assert.is((await get('/status', { host: '127.0.0.1.evil.example:80' })).status, 403)
  for (const host of ['localhost:80', '127.0.0.1', '[::1]:9']) {
    assert.is((await get('/status', { host })).status, 200, host)
  }
})

http('nothing else is there, and failures give no details', async () => {
  assert.is((await get('/nothing')).status, 404)
  assert.is((await get('/toString')).status, 404)
  const failed = await get('/fails')
  assert.equal([failed.status, failed.body], [500, 'internal error\n'])
})

/** The only member beside the primary, n2, has joined it. */
function joined(): void {
  const [member] = report.spaces
  report = {
    ...report,
    spaces: [{
      ...member!,
      lag: { n2: { ...member!.lag['n2']!, lagBytes: 2048, lagMs: 1500 } },
    }],
  }
}

http('metrics come from the status', async () => {
  joined()
  const { body } = await get('/metrics')
  const lines = body.split('\n')
  for (const line of [
    'engram_replication_lag_seconds{space="demo",replica="n2"} 1.5',
    'engram_replication_lag_bytes{space="demo",replica="n2"} 2048',
    'engram_in_sync_members{space="demo"} 1',
    'engram_loss_window_bytes{space="demo"} 100',
    'engram_loss_window_seconds{space="demo"} 0.005',
    'engram_journal_bytes 4096',
    'engram_promotion_last_seconds{space="demo"} 0.12',
    'engram_is_primary{space="demo"} 1',
  ]) assert.ok(lines.includes(line), line)
})

http('a replica that is away has no series of its lag, also if it had one before', async () => {
  const series = /^engram_replication_lag_(seconds|bytes)\{/m
  assert.not.match((await get('/metrics')).body, series)
  joined()
  assert.match((await get('/metrics')).body, series)
  report = new Responder(null as never).report()
  assert.not.match((await get('/metrics')).body, series)
})

http('counters of a space are there before their first event', async () => {
  assert.match(await metrics.text(), 'engram_divergences_total{space="demo"} 0')
})

http('a space that is gone is no longer shown', async () => {
  metrics.telemetry.count('alerts', 1, { space: 'demo', kind: 'replicaLag' })
  metrics.telemetry.count('promotions', 1, { space: 'demo' })
  assert.match(await metrics.text(), 'engram_alerts_total{space="demo",kind="replicaLag"} 1')
  report = { ...report, spaces: [] }
  assert.not.match(await metrics.text(), 'space="demo"')
})

http('telemetry: counters and distributions in base units, labels fitted', async () => {
  metrics.telemetry.count('newWords', 3, { space: 'demo' })
  metrics.telemetry.count('newWords', 2, { space: 'demo', other: 'x' })
  metrics.telemetry.count('newWords')
  metrics.telemetry.observe('journalFlushMs', 4)
  metrics.telemetry.observe('frameBytes', 1000)
  const body = await metrics.text()
  assert.match(body, 'engram_new_words_total{space="demo"} 5')
  assert.match(body, 'engram_new_words_total{space=""} 1')
  assert.match(body, 'engram_journal_flush_seconds_sum 0.004')
  assert.match(body, 'engram_frame_bytes_sum 1000')
})

/** Of the disks only, samples without their text. */
const ofDisks = (body: string): string[] =>
  body.split('\n').filter((line) =>
    /^engram_(first|checkpoint_(seq|age|bytes|due)|checkpoints_kept|rebuild|retain|disk|store_free|journal_(ret|pin)|install_)/
      .test(line)
  )

http('metrics of disks', async () => {
  const [member] = report.spaces
  const pins = { bytes: 9_000, reason: 'no checkpoint' }
  report = {
    ...report,
    node: {
      ...report.node,
      journal: { ...report.node.journal!, retainedBytes: 3_000 },
      diskUse: {
        usedBytes: 10,
        capBytes: 900,
        journalBytes: 1,
        checkpointBytes: 2,
        storeBytes: 3,
        storeFreeBytes: 2,
        salvageBytes: 4,
        freeBytes: 500,
      },
    },
    spaces: [
      {
        ...member!,
        firstSequence: 41,
        checkpoint: { sequence: 70, ageMs: 2_500, bytes: 4_096, kept: 2 },
        checkpointDue: 0.5,
        rebuilding: { phase: 'journal', done: 30, total: 40 },
        pins,
        install,
        retain: { ms: 5_000, keepsOldest: true, isOverruled: false },
      },
      { ...member!, space: 'new', firstSequence: null, checkpoint: null, rebuilding: null,
        pins: null, retain: null,
        install: { ...install, phase: 'asking', doneBytes: 0, totalBytes: 0 } },
    ],
  }
  assert.equal(ofDisks((await get('/metrics')).body), [
    'engram_journal_retained_bytes 3000',
    'engram_disk_cap_bytes 900',
    'engram_disk_free_bytes 500',
    'engram_store_free_bytes 2',
    'engram_first_sequence{space="demo"} 41',
    'engram_checkpoint_sequence{space="demo"} 70',
    'engram_checkpoint_age_seconds{space="demo"} 2.5',
    'engram_checkpoint_bytes{space="demo"} 4096',
    'engram_checkpoints_kept{space="demo"} 2',
    'engram_checkpoints_kept{space="new"} 0',
    'engram_checkpoint_due_ratio{space="demo"} 0.5',
    'engram_rebuild_ratio{space="demo"} 0.75',
    'engram_journal_pinned_bytes{space="demo"} 9000',
    'engram_journal_pinned_bytes{space="new"} 0',
    'engram_retained_for_readers{space="demo"} 1',
    'engram_retained_for_readers{space="new"} 0',
    'engram_retain_overruled{space="demo"} 0',
    'engram_retain_overruled{space="new"} 0',
    'engram_install_bytes{space="demo",what="done"} 432013312',
    'engram_install_bytes{space="demo",what="total"} 1073741824',
    'engram_disk_bytes{use="journal"} 1',
    'engram_disk_bytes{use="checkpoints"} 2',
    'engram_disk_bytes{use="store"} 3',
    'engram_disk_bytes{use="salvages"} 4',
  ])
})

http('metrics of disks: where nothing is known there are no series', async () => {
  assert.equal(ofDisks((await get('/metrics')).body), ['engram_journal_retained_bytes Nan',
    'engram_disk_cap_bytes Nan', 'engram_disk_free_bytes Nan', 'engram_store_free_bytes Nan'])
})

http('metrics of a change of members: its age, at the primary', async () => {
  const of = async (): Promise<string[]> =>
    (await get('/metrics')).body.split('\n')
      .filter((line) => line.startsWith('engram_member_change_seconds{'))
  const { spaces: [member] } = report
  const change = { add: 'n4', remove: null, since: '2026-11-30T12:00:00Z', by: 'ann@ops',
    ageMs: 2_500, waitsFor: null }
  assert.equal(await of(), [])
  report = { ...report,
    spaces: [{ ...member!, change }, { ...member!, space: 'other', role: 'replica', change }] }
  assert.equal(await of(), ['engram_member_change_seconds{space="demo"} 2.5'])
})

http('metrics of forks: nothing is zero, and is there all the same', async () => {
  const of = async (): Promise<string[]> =>
    (await get('/metrics')).body.split('\n')
      .filter((line) => /^engram_(fork_reports|quarantined|salvages_w|reconciled)/.test(line))
  assert.equal(await of(), [
    'engram_fork_reports_open{space="demo"} 0',
    'engram_quarantined_writes{space="demo"} 0',
    'engram_salvages_waiting{space="demo"} 0',
  ])
  const forks = { open: 2, quarantined: 7, waiting: 30, salvagesWaiting: 3, reports: [] }
  report = { ...report, spaces: report.spaces.map((member) => ({ ...member, books: forks })) }
  metrics.telemetry.count('reconciledWrites', 5, { space: 'demo', outcome: 'merged',
    via: 'salvage' })
  assert.equal(await of(), [
    'engram_fork_reports_open{space="demo"} 2',
    'engram_quarantined_writes{space="demo"} 7',
    'engram_salvages_waiting{space="demo"} 3',
    'engram_reconciled_writes_total{space="demo",outcome="merged",via="salvage"} 5',
  ])
})

http('an address in use is reported with a remedy; one that is none is refused', async () => {
  try {
    await startHttpServer({ address: `127.0.0.1:${server.port}`, routes: {} })
    assert.unreachable()
  } catch (error) {
    assert.instance(error, HttpListenError)
    assert.match(endingOf(error).remedy ?? '', '--http HOST:PORT')
  }
  assert.equal(parseAddress('[::1]:80'), { host: '::1', port: 80 })
  for (const bad of ['80', 'host', 'host:99999', '::1:80']) {
    assert.throws(() => parseAddress(bad), undefined, bad)
  }
})

http.run()
