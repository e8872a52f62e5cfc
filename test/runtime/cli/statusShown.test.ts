/** `engram status` as text: it fits, and shows what was asked for. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { showStatus } from '../../../runtime/cli/status.js'
import { wrapped } from '../../../runtime/cli/text.js'
import type { ClusterMember, ClusterNode, ClusterSpace } from '../../../runtime/status/status.js'

const test = suite('engram status')

const node = (id: string): ClusterNode => ({
  id,
  state: 'running',
  pid: 4_194_303,
  incarnation: 1_795_479_718,
  natsServer: 'S',
  http: 'http://127.0.0.1:37163',
  data: '/var/lib/engram/a/long/way/down',
  version: '0.1.0',
  uptimeMs: 12_345_678,
})
const member = (id: string, over: Partial<ClusterMember> = {}): ClusterMember => ({
  node: id,
  role: 'replica',
  state: 'catchingUp',
  epoch: 12_345,
  inSync: false,
  durableSequence: 123_456_789,
  appliedSequence: 123_456_788,
  lagBytes: 123_456_789,
  lagMs: 123_456,
  digest: '0123456789abcdef',
  salvages: 0,
  reason: 'the window is full, so the stream reads from the journal',
  ...over,
})
const space = (id: string, over: Partial<ClusterSpace> = {}): ClusterSpace => ({
  id,
  uuid: 'u',
  epoch: 12_345,
  primary: 'n1',
  inSync: ['n1'],
  minInSync: 2,
  rf: 3,
  ack: 'durable',
  endSequence: 123_456_789,
  commitSequence: 123_456_788,
  safeSequence: 123_456_787,
  lossWindow: { entries: 123_456, bytes: 123_456_789, ms: 123_456 },
  maxLoss: null,
  throttled: true,
  blocked: 'no member that is in sync is alive: n2 and n3 were in sync last',
  lastPromotionMs: null,
  members: [member('n1', { role: 'primary', inSync: true }), member('n2'), member('n3')],
  ...over,
})
const status = { nodes: ['n1', 'n2', 'n3'].map(node), spaces: [space('demo'), space('other')] }

const widthOf = (text: string): number =>
  Math.max(...text.split('\n').map((line) => [...line].length))

test('it fits as many columns as there are', () => {
  for (const columns of [60, 80, 100, 120]) {
    const text = showStatus(status, columns)
    assert.ok(widthOf(text) <= columns, `${widthOf(text)} of ${columns}\n${text}`)
    // The essential columns are there, however narrow it is.
    for (const part of ['n1', 'n2', 'n3', 'primary', 'replica', 'catchingUp', 'IN SYNC', 'BEHIND',
      'BLOCKED', 'THROTTLED', 'running']) assert.ok(text.includes(part), `${part}\n${text}`)
  }
})

test('everything is there without a bound', () => {
  const text = showStatus(status, Infinity)
  for (const part of ['INCARNATION', 'DATA', 'EPOCH', 'APPLIED', 'DIGEST', 'REASON',
    '/var/lib/engram/a/long/way/down', 'reads from the journal']) assert.ok(text.includes(part))
})

test('disks: what a member keeps, and what is wrong', () => {
  const shown = (over: Partial<ClusterMember>): string =>
    showStatus({ nodes: [], spaces: [space('demo', { members: [member('n1', over)] })] }, Infinity)
  const checkpoint = { sequence: 5_000, ageMs: 120_000, bytes: 4_096, kept: 2 }
  const kept = shown({ firstSequence: 2_901, checkpoint })
  assert.match(kept, /FIRST +CHECKPOINT.*\n.* 2,901 +5,000, 2\.0 min old/)
  assert.match(shown({ checkpoint: { ...checkpoint, ageMs: null } }), /5,000, unreadable/)
  assert.not.match(shown({ firstSequence: 1 }), /FIRST|CHECKPOINT|PINNED|REBUILDING|INSTALLING/)
  assert.match(shown({ rebuilding: { phase: 'checkpoint', done: 620, total: 1_000 } }),
    /^REBUILDING: n1 loads its store from a checkpoint: 62 %, 620 of 1,000 records$/m)
  assert.match(shown({ rebuilding: { phase: 'journal', done: 1, total: 2 } }),
    /^REBUILDING: n1 applies its journal to its store: 50 %, 1 of 2 entries$/m)
  assert.match(
    shown({
      install: { phase: 'pulling', source: 'n2', doneBytes: 412 * 2 ** 20, totalBytes: 2 ** 30,
        bytesPerSecond: 31 * 2 ** 20, etaMs: 19_741, minimum: 7 },
    }),
    /^INSTALLING: n1 installs 412 of 1,024 MiB from n2, 31 MiB\/s, 20 s$/m,
  )
  assert.match(shown({ pins: { bytes: 3 * 2 ** 30, reason: 'no checkpoint' } }),
    /^PINNED: n1 keeps 3\.0 GiB of journal that should go: no checkpoint$/m)
  const retain = { ms: 7 * 86_400_000, bytes: 2e10, keepsOldest: true, isOverruled: false }
  const forReaders = shown({ firstSequence: 2_901, retain })
  assert.match(forReaders, /FIRST.*\n.* 2,901 \(readers\)/)
  assert.not.match(forReaders, 'RETAIN:')
  assert.match(shown({ retain: { ...retain, isOverruled: true } }), new RegExp('^RETAIN: n1 keeps '
    + 'fewer entries for readers than those of the last 7 d, or of the last 20\\.0 GB of journal: '
    + 'its disk is nearly full$', 'm'))
  const large = { ...checkpoint, bytes: 2 ** 30 }
  assert.not.match(shown({ checkpoint: large, pins: { bytes: 6 * 2 ** 30, reason: 'x' } }),
    'PINNED', 'that is usual for a large space')
})

test('members: the change, and nodes that are none', () => {
  const change = { add: 'n4', remove: 'n3', since: '2026-11-30T12:00:00Z', by: 'ann@ops',
    ageMs: 12_000, waitsFor: 'n4 has not joined yet' }
  const members = [member('n4', { role: 'learner' }), member('n5', { role: 'removed' })]
  const text = showStatus({ nodes: [], spaces: [space('demo', { change, members })] }, Infinity)
  assert.match(text,
    /^MEMBERS: replace n3 by n4, ordered by ann@ops 12\.0 s ago; n4 has not joined yet$/m)
  assert.match(text, /n4 +learner .*\n.*n5 +removed /)
  assert.not.match(showStatus(status, Infinity), 'MEMBERS:')
})

test('disks: what a node takes', () => {
  const diskUse = { usedBytes: 2 ** 31, capBytes: 2 ** 35, journalBytes: 0, checkpointBytes: 0,
    storeBytes: 0, salvageBytes: 0, freeBytes: 2 ** 34 }
  const text = showStatus({ nodes: [{ ...node('n1'), diskUse }], spaces: [] }, Infinity)
  assert.match(text, /DISK.*\n.* 2\.0 GiB /)
})

test('a column that says nothing in any row is left out', () => {
  assert.not.match(showStatus(status, Infinity), 'SALVAGES')
  const left = space('demo', { members: [member('n1', { salvages: 2 })] })
  assert.match(showStatus({ ...status, spaces: [left] }, 80), /SALVAGES/)
})

test('long lines are broken between words', () => {
  assert.is(wrapped('a b', 80), 'a b')
  assert.is(wrapped('one two  three four', 10), 'one two \n  three\n  four'.replace(' \n', '\n'))
  assert.is(wrapped('averylongword b', 5), 'averylongword\n  b')
  for (let columns = 12; columns < 60; columns += 1) {
    const text = 'SPACE demo   epoch 1   primary n1   in sync n1 n2 n3 (3 of 3)'
    assert.ok(widthOf(wrapped(text, columns)) <= columns)
    assert.equal(wrapped(text, columns).split(/\s+/), text.split(/\s+/))
  }
})

test.run()
