/** The screen of engram status --watch: its content, and that it fits. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fitted, tableLines, textOf } from '../../../runtime/cli/paint.js'
import type { Line } from '../../../runtime/cli/paint.js'
import { alertEvent, changesBetween } from '../../../runtime/cli/statusEvents.js'
import { lossSentence, plainLines, viewLines } from '../../../runtime/cli/statusView.js'
import type { Size, View } from '../../../runtime/cli/statusView.js'
import { asStatusReport } from '../../../runtime/status/status.js'
import type { ClusterMember, ClusterNode, ClusterSpace,
  ClusterStatus } from '../../../runtime/status/status.js'

const test = suite('status view')

test('reports that make no sense are passed over, whoever answers', () => {
  const said = { format: 1, node: { id: 'n9', peers: {} }, spaces: [] }
  const demo = { space: 'demo', epoch: 1, endSequence: 1, role: 'replica', primary: null,
    members: [], inSync: [], lag: {} }
  for (const good of [said, { ...said, spaces: [demo, { ...demo, change: null, removed: [] }] }]) {
    assert.is(asStatusReport(good), good)
  }
  for (const wrong of [
    null,
    [],
    'n9',
    { ...said, format: 2 },
    { ...said, node: { id: 'n9' } },
    { ...said, node: { id: 7, peers: {} } },
    { ...said, spaces: [null] },
    { ...said, spaces: [{ space: 'demo', members: 'n1' }] },
    { ...said, spaces: {} },
    { ...said, spaces: [{ ...demo, change: 'n4' }] },
    { ...said, spaces: [{ ...demo, change: { add: 4 } }] },
    { ...said, spaces: [{ ...demo, removed: [null] }] },
  ]) assert.is(asStatusReport(wrong), null, JSON.stringify(wrong))
})

const node = (id: string, over: Partial<ClusterNode> = {}): ClusterNode => ({
  id,
  state: 'running',
  pid: 7,
  incarnation: 1,
  natsServer: 'S',
  http: 'http://127.0.0.1:7432',
  data: '/data',
  version: '0.1.0',
  uptimeMs: 5000,
  ...over,
})

const member = (name: string, over: Partial<ClusterMember> = {}): ClusterMember => ({
  node: name,
  role: 'replica',
  state: 'streaming',
  epoch: 4,
  inSync: true,
  durableSequence: 1042,
  appliedSequence: 1042,
  lagBytes: 0,
  lagMs: 0,
  digest: 'd',
  salvages: 0,
  reason: '',
  ...over,
})

const space = (id: string, over: Partial<ClusterSpace> = {}): ClusterSpace => ({
  id,
  uuid: 'u',
  epoch: 4,
  primary: 'n1',
  inSync: ['n1', 'n2', 'n3'],
  minInSync: 2,
  rf: 3,
  ack: 'durable',
  endSequence: 1042,
  commitSequence: 1042,
  safeSequence: 1039,
  lossWindow: { entries: 3, bytes: 420, ms: 4 },
  maxLoss: null,
  throttled: false,
  blocked: null,
  lastPromotionMs: null,
  members: [member('n1', { role: 'primary', state: 'serving' }), member('n2'), member('n3')],
  ...over,
})

const status = (over: Partial<ClusterStatus> = {}): ClusterStatus => ({
  nodes: [node('n1'), node('n2'), node('n3')],
  spaces: [space('demo')],
  ...over,
})

const atMs = new Date(2026, 0, 2, 3, 4, 5).getTime()
const view = (over: Partial<View> = {}): View => ({
  status: status(),
  atMs,
  silentSinceMs: null,
  server: '127.0.0.1:4222',
  intervalMs: 1000,
  events: [],
  ...over,
})

const wide: Size = { columns: 140, rows: 40 }
const text = (lines: readonly Line[], columns = 140): string =>
  lines.map((line) => fitted(line, columns, false).trimEnd()).join('\n')

test('the loss window in plain words', () => {
  const of = (over: Partial<ClusterSpace>): string => lossSentence(space('demo', over))
  assert.is(of({}), 'not yet on a second disk: 3 writes (420 B, 4 ms old)')
  assert.is(of({ lossWindow: { entries: 1, bytes: 90, ms: 1500 } }),
    'not yet on a second disk: 1 write (90 B, 1.5 s old)')
  assert.is(of({ lossWindow: { entries: 0, bytes: 0, ms: 0 } }),
    'every acknowledged write is on a second disk')
  assert.is(of({ primary: null, members: [member('n1'), member('n2')] }), 'no primary: writes wait')
  // A named primary that does not answer says nothing of what it has.
  assert.match(of({ members: [member('n1', { role: 'unknown' }), member('n2')] }),
    'n1 is the primary on record and does not answer')
  // With one member the safe sequence is its own: the window is empty, the risk is not.
  assert.match(of({ rf: 1, lossWindow: { entries: 0, bytes: 0, ms: 0 } }),
    'all data is on the disk of n1')
})

test('the screen: nodes, the space, its members with bars, events', () => {
  const lines = viewLines(view({
    status: status({
      nodes: [node('n1'), node('n2', { state: 'dead', pid: null, uptimeMs: null })],
      spaces: [space('demo', {
        inSync: ['n1', 'n3'],
        members: [member('n1', { role: 'primary', state: 'serving' }),
          member('n2', { role: 'unknown', state: 'unreachable', inSync: false, epoch: null,
            durableSequence: null, appliedSequence: 1040, lagBytes: null, lagMs: null }),
          member('n3', { lagMs: 70, lagBytes: 2048 })],
      })],
    }),
    events: [{ atMs, subject: 'demo', text: 'inSyncShrunk: in sync: n1, n3' }],
  }), wide)
  const shown = text(lines)
  assert.match(shown, /^n2 +dead/m)
  assert.match(shown, 'demo  epoch 4  primary n1  in sync 2 of 3 n1 n3  committed 1,042')
  assert.match(shown, /^ {2}n1 +primary +yes +1,042 +1,042 +serving$/m)
  assert.match(shown, /^ {2}n2 +unknown +no +- +- +- +1,040 +unreachable$/m)
  assert.match(shown, /^ {2}n3 +replica +yes +█████░░░░░ +70 ms +2\.0 KiB/m)
  assert.match(shown, /^03:04:05 {2}demo {2}inSyncShrunk: in sync: n1, n3$/m)
})

test('forks: a line where a space has some, and none where it has not', () => {
  const forks = { open: 2, quarantined: 1, waiting: 0 }
  const some = status({ spaces: [space('demo', { forks })] })
  assert.match(text(viewLines(view({ status: some }), wide)),
    /^ {2}2 open fork reports: engram forks demo\n {2}1 write in quarantine: engram quarantine/m)
  assert.match(plainLines(some, atMs)[0] ?? '', ', 2 open fork reports: engram forks demo, 1 write')
  const none = status({
    spaces: [space('demo', { forks: { open: 0, quarantined: 0, waiting: 0 } })],
  })
  assert.not.match(text(viewLines(view({ status: none }), wide)), 'fork')
})

test('lag bars: empty at none, something at little, full and red from the alert on', () => {
  const bar = (over: Partial<ClusterMember>): readonly [string, string] => {
    const { spaces } = status({ spaces: [space('demo', { members: [
      member('n1', { role: 'primary' }),
      member('n2', over),
    ] })] })
    const cells = viewLines(view({ status: status({ spaces }) }), wide).flat()
    const found = cells.find((cell) => /[█░]/.test(textOf(cell)))
    return found && typeof found !== 'string' ? found : ['', '']
  }
  assert.equal(bar({ lagMs: null, lagBytes: null }), ['', ''])
  assert.equal(bar({}), ['░'.repeat(10), 'green'])
  assert.equal(bar({ lagMs: 1 }), ['█' + '░'.repeat(9), 'green'])
  assert.equal(bar({ lagMs: 4000 }), ['█'.repeat(9) + '░', 'yellow'])
  assert.equal(bar({ lagMs: 5000 }), ['█'.repeat(10), 'red'])
  assert.equal(bar({ lagBytes: 100_000_001 }), ['█'.repeat(10), 'red'])
})

test('it fits any terminal; what matters most is left out last', () => {
  const busy = view({
    status: status({
      nodes: Array.from({ length: 5 }, (_, i) => node(`n${i}`)),
      spaces: Array.from({ length: 9 }, (_, i) => space(`space-${i}`)),
    }),
    events: Array.from({ length: 9 }, (_, i) => ({ atMs, subject: 's', text: `event ${i}` })),
  })
  for (const columns of [1, 2, 10, 20, 40, 60, 80, 100, 200]) {
    for (const rows of [1, 2, 5, 10, 24, 60, 200]) {
      const lines = viewLines(busy, { columns, rows })
      assert.ok(lines.length <= rows, `${lines.length} lines in ${rows}`)
      for (const line of lines) assert.ok([...fitted(line, columns, false)].length <= columns)
    }
  }
  const narrow = text(viewLines(view(), { columns: 40, rows: 30 }), 40)
  assert.match(narrow, /^ {2}MEMBER +ROLE +LAG +BEHIND$/m)
  assert.match(narrow, /^NODE +STATE +UPTIME$/m)
})

const installing = member('n3', { state: 'installing.pulling', inSync: false, lagMs: null,
  lagBytes: null,
  install: { phase: 'pulling', source: 'n2', doneBytes: 412 * 2 ** 20, totalBytes: 2 ** 30,
    bytesPerSecond: 31 * 2 ** 20, etaMs: 19_741, minimum: 7 } })
const withInstall = status({
  spaces: [
    space('demo', { inSync: ['n1', 'n2'],
      members: [member('n1', { role: 'primary', state: 'serving' }), member('n2'), installing] }),
  ],
})

test('an install takes the place of the lag: its share as a bar, and a line', () => {
  for (const columns of [80, 140]) {
    const shown = text(viewLines(view({ status: withInstall }), { columns, rows: 40 }), columns)
    assert.match(shown, /^ {2}INSTALLING: n3 installs 412 of 1,024 MiB from n2, 31 MiB\/s, 20 s$/m)
    assert.match(shown, /^ {2}n3 +replica +no +████░░░░░░ +- /m)
    assert.match(shown, /^ {2}n2 +replica +yes +░░░░░░░░░░ +0 ms/m)
  }
  const waiting = { ...installing,
    install: { ...installing.install!, phase: 'asking' as const, doneBytes: 0, totalBytes: 0 } }
  const shown = text(
    viewLines(
      view({
        status: status({
          spaces: [space('demo', { members: [member('n1', { role: 'primary' }), waiting] })],
        }),
      }),
      wide,
    ),
  )
  assert.match(shown, /^ {2}n3 +replica +no +- /m, 'no bar of what is not known')
})

test('members that change: the learner, the change, and who was taken out', () => {
  const change = { add: 'n4', remove: 'n3', since: '2026-11-30T12:00:00Z', by: 'ann@ops',
    ageMs: 12_000, waitsFor: 'n4 has not joined yet' }
  const changing = (over: Partial<ClusterSpace> = {}): ClusterSpace =>
    space('demo', {
      change,
      members: [member('n1', { role: 'primary', state: 'serving' }),
        member('n4', { role: 'learner', inSync: false, lagMs: 70 }),
        member('n5', { role: 'removed', inSync: false, state: 'waiting' })],
      ...over,
    })
  const both = status({ spaces: [changing()] })
  const shown = text(viewLines(view({ status: both }), wide))
  assert.match(shown, /^ {2}MEMBERS: replace n3 by n4, ordered by ann@ops 12\.0 s ago; n4 has not/m)
  assert.match(shown, /^ {2}n4 +learner +no +█████░░░░░ +70 ms/m)
  assert.match(shown, /^ {2}n5 +removed +1,042 +1,042 +waiting$/m)
  assert.match(plainLines(both, atMs)[0]!, /, n4 70 ms behind, MEMBERS: replace n3 by n4, /)
  const many = [space('a'), space('b'), changing({ id: 'c' })]
  const few = text(viewLines(view({ status: status({ spaces: many }) }), { columns: 80, rows: 19 }))
  assert.match(few, 'MEMBERS: replace n3', 'it is shown in full')
  assert.match(few, /^a {2}epoch 4/m)
})

test('many spaces: those in trouble in full and first, the latest events stay', () => {
  const spaces = Array.from({ length: 30 }, (_, i) => space(`s${i}`))
  spaces[20] = space('s20', { primary: null, blocked: 'blocked: n1 is not in sync', inSync: [],
    members: [member('n1'), member('n2')] })
  const events = Array.from({ length: 9 }, (_, i) => ({ atMs, subject: 's', text: `event ${i}` }))
  const full = text(
    viewLines(view({ status: status({ spaces }), events }), { columns: 140, rows: 60 }),
  )
  assert.match(full, 'BLOCKED: n1 is not in sync')
  assert.is(full.match(/^ {2}MEMBER/gm)?.length, 1, 'only the one in trouble is shown in full')
  assert.match(full, /^s29 {2}epoch/m)
  const short = text(
    viewLines(view({ status: status({ spaces }), events }), { columns: 140, rows: 24 }),
  )
  assert.ok(short.indexOf('s20  epoch') < short.indexOf('s0  epoch') && short.includes('s20'))
  assert.match(short, /… and \d+ more spaces: engram status shows all/)
  assert.match(short, 'event 8')
  const [, more] = /and (\d+) more/.exec(short) ?? []
  assert.is((short.match(/^s\d+ {2}epoch/gm)?.length ?? 0) + Number(more), 30)
})

test('no node answers: the last status stays, marked as old', () => {
  assert.match(text(viewLines(view({ silentSinceMs: atMs }), wide)),
    /no node has answered since 03:04:05; the status below is old[^]*demo {2}epoch 4/)
  assert.match(text(viewLines(view({ status: null }), wide)), 'no node answers yet')
})

test('colours do not count as width, and bytes of others steer no terminal', () => {
  const line: Line = [['abc', 'red'], 'def\x1b[2J\n']
  assert.is(fitted(line, 4, true), '\x1b[31mabc\x1b[0m…')
  assert.is(fitted(line, 20, false), 'abcdef [2J ')
  assert.is(fitted([['abc', 'red']], 3, true), '\x1b[31mabc\x1b[0m')
  assert.is(fitted(['abc'], 0, true), '')
})

test('tables: numbers to the right, columns leave by rank, the last is cut while readable', () => {
  const heads = [{ head: 'A', rank: 0 }, { head: 'N', rank: 2, isNumber: true }, { head: 'TEXT',
    rank: 3 }]
  const rows = [['a', '1', 'x'.repeat(40)], ['b', '10', 'y']]
  const at = (columns: number): string => text(tableLines(heads, rows, columns), columns)
  assert.is(at(60), `A   N  TEXT\na   1  ${'x'.repeat(40)}\nb  10  y`)
  assert.is(at(20), `A   N  TEXT\na   1  ${'x'.repeat(12)}…\nb  10  y`)
  assert.is(at(18), 'A   N\na   1\nb  10')
  assert.is(at(3), 'A\na\nb')
})

test('differences between two polls', () => {
  const after = status({
    nodes: [node('n1', { state: 'dead' }), node('n2', { incarnation: 2 }), node('n4')],
    spaces: [space('demo', { primary: 'n2', epoch: 5 }), space('new')],
  })
  assert.equal(changesBetween(status(), after, 9).map(({ subject, text }) => `${subject} ${text}`),
    [
      'n1 is dead, was running',
      'n2 was restarted',
      'n4 is running',
      'demo n2 is the primary in epoch 5, after n1',
      'new is new, epoch 4',
    ])
  assert.equal(changesBetween(status(), status(), 9), [])
  const ended = status({ spaces: [space('demo', { primary: null })] })
  assert.is(changesBetween(status(), ended, 9)[0]?.text, 'n1 is no longer the primary')
})

test('alerts: kind and message; anything else is none', () => {
  const of = (data: unknown) =>
    alertEvent('engram.v1.alert.demo',
      Buffer.from(typeof data === 'string' ? data : JSON.stringify(data)), 5)
  assert.equal(of({ kind: 'replicaLag', message: 'n2 is behind', atMs: 3 }), { atMs: 3,
    subject: 'demo', text: 'replicaLag: n2 is behind' })
  for (const bad of ['{', 'null', '[]', { kind: 'replicaLag' }, { kind: 1, message: 'x' }]) {
    assert.is(of(bad), null)
  }
})

test('without a terminal: one line for each space', () => {
  const time = new Date(atMs).toISOString()
  assert.equal(plainLines(status(), atMs), [
    `${time} demo epoch 4, primary n1, in sync n1 n2 n3 (3 of 3), committed 1042, `
    + 'not yet on a second disk: 3 writes (420 B, 4 ms old), n2 0 ms behind, n3 0 ms behind',
  ])
  assert.match(plainLines(withInstall, atMs)[0]!,
    /, n2 0 ms behind, n3 installs 412 of 1,024 MiB from n2, 31 MiB\/s, 20 s$/)
  assert.equal(plainLines({ nodes: [], spaces: [] }, atMs), [`${time} no node answers`])
})

test.run()
