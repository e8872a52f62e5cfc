/** The audit of `engram chaos` reports each broken promise, and nothing else. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FateValue } from '../../actors/ports/clientApi.js'
import type { ForkReport } from '../../machines/log/forkNotes.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { placesOf, questionable } from '../../runtime/chaos/recordAudit.js'
import { audit } from '../../runtime/chaos/audit.js'
import type { Audit, Evidence } from '../../runtime/chaos/audit.js'
import { contentOf, loggedRecord } from '../../runtime/chaos/load.js'
import type { Origin, LoggedRecord, WrittenRecord } from '../../runtime/chaos/records.js'
import { epochsOf } from '../../runtime/chaos/epochs.js'
import { unavailableMaxMs } from '../../runtime/chaos/run.js'

const test = suite('chaos: audit')

/** Exactly that is broken. */
function broken(evidence: Evidence, ...patterns: RegExp[]): Audit {
  const result = audit(evidence)
  assert.is(result.broken.length, patterns.length, result.broken.join('\n'))
  for (const pattern of patterns) assert.match(result.broken.join('\n'), pattern)
  return result
}

function taken(
  key: string,
  level: AckLevel,
  sequence: number,
  more: { epoch?: number; atMs?: number } = {},
): WrittenRecord {
  const { epoch = 1, atMs = sequence * 10 } = more
  return {
    key,
    sentAtMs: atMs - 1,
    failure: null,
    isRefused: false,
    answer: { level, epoch, loggedEpoch: epoch, sequence, node: `n${epoch}`, atMs },
  }
}

function entry(key: string | null, sequence: number, epoch = 1): LoggedRecord {
  return { key, sequence, epoch, isWhole: true, origin: null, resent: [] }
}

/** Of a write that was logged as (1, `from`) first. */
function origin(
  key: string,
  sequence: number,
  from: number,
  over: Partial<Origin> = {},
): LoggedRecord {
  return {
    ...entry(key, sequence, 2),
    origin: {
      epoch: 1,
      sequence: from,
      outcome: 'merged',
      via: 'salvage',
      isDisplacing: false,
      ...over,
    },
  }
}

/** On epoch 1, whose entries after the first are a fork. */
function report(over: Partial<ForkReport> = {}): ForkReport {
  return {
    epoch: 1,
    node: 'n1',
    disk: 'd',
    start: { epoch: 0, sequence: 0 },
    forkPoint: { epoch: 1, sequence: 1 },
    lastKnown: 1,
    atMost: null,
    opened: { epoch: 2, sequence: 2 },
    openedAtMs: 0,
    closedAtMs: 1,
    outcome: 'reconciled',
    reason: 'all that was found is in the log',
    resent: 0,
    merged: 0,
    superseded: 0,
    quarantined: 0,
    discarded: 0,
    lost: 0,
    salvages: [],
    ...over,
  }
}

function fate(fate: FateValue['fate'], now: FateValue['now'] = null): FateValue {
  return {
    fate,
    epoch: 1,
    sequence: 2,
    now,
    via: null,
    by: null,
    node: null,
    reason: 'the cluster said so',
  }
}

const none = { resent: 0, merged: 0, superseded: 0, quarantined: 0, salvaged: 0, lost: 0 }

/** Three records of epoch 1, then the start of epoch 2, all kept. */
const sound: Evidence = {
  records: [taken('a', 'memory', 1), taken('b', 'durable', 2), taken('c', 'committed', 3)],
  log: [entry('a', 1), entry('b', 2), entry('c', 3), entry(null, 4, 2)],
  salvaged: [],
  unreadable: [],
  filled: [],
  hasConverged: true,
  reports: [],
  fates: new Map(),
  returned: new Set(['n1', 'n2']),
  members: ['n1', 'n2'].map((node) => ({ node, role: 'replica', epoch: 2, inSync: true,
    appliedSequence: 4, digest: 'd1' })
  ),
}

function without(key: string, more: Partial<Evidence> = {}): Evidence {
  const log = sound.log.map((one) => (one.key === key ? { ...one, key: null } : one))
  return { ...sound, log, ...more }
}

test('all is kept: nothing is broken, everything is counted', () => {
  const result = audit(sound)
  assert.equal(result.broken, [])
  assert.equal(result.acknowledged, {
    memory: { ...none, acknowledged: 1, present: 1 },
    durable: { ...none, acknowledged: 1, present: 1 },
    committed: { ...none, acknowledged: 1, present: 1 },
  })
  assert.equal([result.written, result.duplicates, result.unknown, result.refused], [3, 0, 0, 0])
})

test('a committed record that is missing breaks I5, in a salvage or not', () => {
  const gone = broken(without('c'), /committed are missing; c of epoch 1.*I5/)
  assert.is(gone.acknowledged.committed.lost, 1)
  const kept = [{ key: 'c', epoch: 1, node: 'n1' }]
  const salvaged = broken(without('c', { salvaged: kept }), /I5/)
  assert.is(salvaged.acknowledged.committed.salvaged, 1)
})

test('a durable record is in the log or in a salvage; else I6 is broken', () => {
  const salvaged = audit(without('b', { salvaged: [{ key: 'b', epoch: 1, node: 'n1' }] }))
  assert.equal(salvaged.broken, [])
  assert.equal(salvaged.acknowledged.durable, { ...none, acknowledged: 1, present: 0, salvaged: 1 })
  broken(without('b'), /durable are missing.*I6/)
  broken(without('b', { unreadable: ['n3: no such directory'] }),
    /could not be read: n3: no such directory/)
})

/** `a` stays, epoch 2 begins at 2, and then what the function says; committed are none. */
function forked(log: readonly LoggedRecord[], more: Partial<Evidence> = {}): Evidence {
  return {
    ...sound,
    records: [taken('a', 'durable', 1), taken('b', 'durable', 2), taken('c', 'durable', 3)],
    log: [entry('a', 1), entry(null, 2, 2), ...log],
    ...more,
  }
}

test('a reconciled record is counted once, by its outcome', () => {
  const result = audit(forked([
    origin('b', 3, 2),
    { ...entry(null, 4, 2), resent: [{ epoch: 1, sequence: 3 }] },
    entry('c', 5, 2),
  ], { reports: [report({ merged: 1, resent: 1 })] }))
  assert.equal(result.broken, [])
  assert.equal(result.acknowledged.durable, { ...none, acknowledged: 3, present: 1, merged: 1,
    resent: 1 })
  const without = audit(forked([
    origin('b', 3, 2, { outcome: 'quarantined' }),
    origin('c', 4, 3, { outcome: 'superseded' }),
  ], { reports: [report({ discarded: 1, superseded: 1 })] }))
  assert.equal(without.broken, [])
  assert.equal(without.acknowledged.durable, { ...none, acknowledged: 3, present: 1, quarantined: 1,
    superseded: 1 })
})

test('a record that was answered again, as logged under an earlier epoch, is where it was', () => {
  const { answer, ...rest } = taken('b', 'committed', 2)
  const again = { ...rest, answer: { ...answer!, epoch: 2 } }
  const result = audit({ ...sound, records: [again] })
  assert.equal([result.broken, result.acknowledged.committed.present], [[], 1])
})

test('a committed record that had to be reconciled breaks I5', () => {
  const records = [taken('b', 'committed', 2)]
  broken(forked([origin('b', 3, 2)], { records }), /b of epoch 1.*merged, at \(2, 3\).*I5/)
})

test('what the cluster says has to be what was found', () => {
  const log = [origin('b', 3, 2), origin('c', 4, 3)]
  const agreed = new Map([['b', fate('safe', { epoch: 2, sequence: 3 })], ['a', fate('durable')]])
  assert.equal(audit(forked(log, { fates: agreed })).broken, [])
  assert.is(audit(forked(log, { fates: agreed })).asked, 2)
  broken(forked(log, { fates: new Map([['b', fate('lost')]]) }),
    /wrong for 1 record\(s\).*b is merged at \(2, 3\); the cluster says lost: the cluster said so/)
  broken(forked(log, { fates: new Map([['b', fate('safe', { epoch: 2, sequence: 4 })]]) }),
    /b is merged at \(2, 3\)/)
  broken(forked(log, { fates: new Map([['a', fate('salvaged')]]) }), /a is present/)
})

test('reports have to count what the log holds', () => {
  const log = [origin('b', 3, 2), origin('c', 4, 3)]
  assert.equal(audit(forked(log, { reports: [report({ merged: 2 })] })).broken, [])
  broken(forked(log, { reports: [report({ merged: 1, resent: 1 })] }),
    /epoch 1 counts 1 resent, the log has 0; 1 merged, the log has 2 \(GetForks\)/)
  const displaced = [origin('b', 3, 2, { isDisplacing: true }), origin('c', 4, 3)]
  assert.equal(audit(forked(displaced, { reports: [report()] })).broken, [],
    'what is displaced has no entry of its own')
})

test('a report that stays open though its node is back is a broken promise', () => {
  const salvages = [{
    name: 'one',
    node: 'n1',
    common: { epoch: 1, sequence: 1 },
    spans: [],
    state: 'waiting' as const,
  }]
  const open = report({ outcome: null, closedAtMs: null, salvages })
  const log = [origin('b', 3, 2), origin('c', 4, 3)]
  broken(forked(log, { reports: [open] }), /epoch 1 is still open, and n1 is back: one waits/)
  const away = new Set(['n2'])
  assert.equal(audit(forked(log, { reports: [open], returned: away })).broken, [])
})

test('what a report calls lost is accounted for; committed may not be lost all the same', () => {
  const reports = [report({ outcome: 'lost', merged: 1, reason: 'another disk' })]
  const result = audit(forked([origin('c', 3, 3)], { reports }))
  assert.equal(result.broken, [])
  assert.equal(result.lost.map(({ key, isAccounted }) => [key, isAccounted]), [['b', true]])
  const records = [taken('b', 'committed', 2)]
  broken(forked([], { reports: [{ ...reports[0]!, merged: 0 }], records }), /I5/)
})

test('the cluster is asked about all that moved, and some of the rest', () => {
  const found = placesOf(
    Array.from({ length: 10 }, (_, n) => taken(`k${n}`, 'durable', n + 1)),
    Array.from({ length: 9 }, (_, n) => entry(`k${n}`, n + 1)),
    [],
  )
  assert.equal(questionable(found, 3), ['k9', 'k0', 'k3', 'k6'])
  assert.is(questionable(found, 100).length, 10)
})

test('a memory record may be lost with its epoch or on a full disk, and not otherwise', () => {
  const ended = audit(without('a'))
  assert.equal(ended.broken, [])
  assert.is(ended.acknowledged.memory.lost, 1)
  assert.match(ended.lost[0]?.why ?? '', /memory of n1, whose epoch 1 ended/)
  const log = [entry(null, 1), entry('b', 2), entry('c', 3)]
  broken({ ...sound, log }, /whose epoch 1 went on/)
  const during = { node: 'n1', fromMs: 5, toMs: 15 }
  const full = broken({ ...sound, log, filled: [during] })
  assert.match(full.lost[0]?.why ?? '', /whose disk was full/)
  for (const other of [{ ...during, node: 'n2' }, { ...during, toMs: 9 }]) {
    broken({ ...sound, log, filled: [other] }, /went on/)
  }
})

test('a key that took effect twice breaks I7', () => {
  const result = broken({ ...sound, log: [...sound.log, entry('b', 5, 2)] },
    /b took effect at 2 and 5 \(I7\)/)
  assert.is(result.duplicates, 1)
})

test('holes, an older epoch and changed content are reported', () => {
  const log = [entry('a', 1, 2), { ...entry('b', 2, 1), isWhole: false }, entry('c', 4, 2)]
  broken({ ...sound, records: [], log }, /goes from 2 to 4/, /epoch goes back from 2 to 1/,
    /b at 2 is not what was sent/)
})

test('a refused record must not be there; one without an answer may', () => {
  const failed = { sentAtMs: 1, answer: null, failure: 'READ_ONLY' }
  const log = [...sound.log, entry('r', 5, 2), entry('u', 6, 2)]
  const refused = { ...failed, key: 'r', isRefused: true }
  const unknown = { ...failed, key: 'u', isRefused: false }
  const result = audit({ ...sound, log, records: [...sound.records, refused, unknown] })
  assert.equal([result.refused, result.unknown, result.unknownPresent], [1, 1, 1])
  assert.equal(result.broken, ['r was refused (READ_ONLY) and is in the log'])
})

test('members that differ, or do not reach one sequence, break I8', () => {
  const [first, second] = sound.members
  assert.ok(first && second)
  broken({ ...sound, members: [first, { ...second, digest: 'd2' }] },
    /differ at one sequence \(I8\)/)
  broken({ ...sound, hasConverged: false }, /reach one sequence \(I8\)/)
})

test('what is read back is compared with what was sent', () => {
  const read = (id: string, content: string) =>
    loggedRecord({
      sequence: 1,
      epoch: 1,
      timestamp: 0,
      vectorClock: {},
      writeId: 'run-7',
      operation: { type: 'StoreNode', node: { id, content } },
    }, 'run')
  assert.is(read('run-7', contentOf('run-7')).isWhole, true)
  assert.is(read('run-7', contentOf('run-8')).isWhole, false)
  assert.is(read('run-8', contentOf('run-7')).isWhole, false)
})

test('promotions: what clients saw, and after which fault', () => {
  const records = [
    taken('a', 'durable', 1, { epoch: 3, atMs: 100 }),
    taken('b', 'durable', 2, { epoch: 4, atMs: 700 }),
  ]
  const seen = [{ epoch: 3, primary: 'n3', atMs: 0, reason: null }, { epoch: 4, primary: 'n4',
    atMs: 650, reason: 'open' }, { epoch: 5, primary: 'n5', atMs: 900, reason: 'open' }]
  const faults = [{ what: 'kill n3', atMs: 90 }, { what: 'cut n4', atMs: 800 }]
  assert.equal(epochsOf(seen, records, faults, 3), [
    { epoch: 4, primary: 'n4', atMs: 650, gapMs: 600, reason: 'open', after: 'kill n3' },
    { epoch: 5, primary: 'n5', atMs: 900, gapMs: null, reason: 'open', after: 'cut n4' },
  ])
})

test('the limit of an outage is the one that is promised', () => {
  assert.is(unavailableMaxMs, 5000)
})

test.run()
