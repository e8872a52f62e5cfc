import { decode, encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ControlCodec, Decoded } from '../../../actors/ports/controlCodec.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { structureFault } from '../../../runtime/codec/structure.js'

const codec = controlCodec()

const assignment = {
  version: 1,
  space: 'demo',
  uuid: '7d3f0a3e-2a53-4bd6-9f5a-0c3f5f4dd001',
  epoch: 3,
  state: 'open',
  primary: { node: 'n1', incarnation: 4, connection: 2 },
  members: [{ node: 'n1', disk: 'd1' }, { node: 'n2', disk: 'd2' }],
  inSync: ['n1', 'n2'],
  settings: { replicas: 1, ack: 'durable', minInSync: 2 },
  forced: false,
  nonce: 'x7',
  writer: 'n1',
} as const

const valid = {
  heartbeat: {
    incarnation: 4,
    connection: 2,
    node: 'n1',
    disk: 'd1',
    number: 17,
    server: 'NSERVER',
    loopDelayMs: 0.25,
    leaving: false,
    http: null,
    registered: true,
    heard: { n2: [1, 1, 900], n3: [2, 7, 12] },
  },
  pingAnswer: { incarnation: 4, connection: 2, node: 'n1', disk: 'd1', server: 'NSERVER' },
  pingRequest: { incarnation: 4, connection: 2, target: 'n2' },
  pingRequestAnswer: { outcome: 'noWitness' },
  surveyRequest: { space: 'demo', uuid: 'u-1', candidate: 'n2', epoch: 3,
    position: { epoch: 3, sequence: 42 } },
  surveyAnswer: {
    incarnation: 4,
    connection: 2,
    node: 'n1',
    disk: 'd1',
    position: { epoch: 3, sequence: 42 },
    highestEpoch: 3,
    serving: true,
    endedEpoch: 0,
    whole: true,
    committed: { epoch: 3, sequence: 38 },
  },
  ackMessage: {
    kind: 'ack',
    space: 'demo',
    node: 'n2',
    epoch: 3,
    session: 9,
    durableSequence: 42,
    appliedSequence: 40,
    digest: 'ab12',
  },
  joinAnswer: {
    kind: 'joined',
    number: 1,
    node: 'n1',
    epoch: 3,
    session: 9,
    common: { epoch: 2, sequence: 30 },
    commitSequence: 30,
    endSequence: 42,
    endedEpoch: 2,
    snapshotNeeded: false,
    reason: '',
  },
  reconcileAnswer: {
    kind: 'busy',
    number: 1,
    node: 'n1',
    epoch: 3,
    sequence: 42,
    retryAfterMs: 20,
    isAutomatic: false,
    reason: 'the quarantine is full',
  },
  announcement: {
    kind: 'changed',
    assignment,
    revision: 11,
    root: { epoch: 1, sequence: 20 },
    history: [{ epoch: 1, last: 30 }],
    reason: '',
  },
} as const

const join = {
  kind: 'join',
  space: 'demo',
  uuid: 'u-1',
  node: 'n2',
  disk: 'd2',
  epoch: 3,
  number: 5,
  incarnation: 1,
  connection: 1,
  root: { epoch: 0, sequence: 0 },
  history: [{ epoch: 1, last: 30 }, { epoch: 2, last: 30 }],
  applied: 0,
  floor: 0,
  damaged: false,
  rebuilding: false,
  reads: 0,
}
const nack = {
  kind: 'nack',
  space: 'demo',
  node: 'n2',
  epoch: 3,
  session: 9,
  position: { epoch: 3, sequence: 41 },
  reason: 'gap',
}
const identity = {
  version: 1,
  node: 'n1',
  disk: 'd1',
  incarnation: 4,
  pid: 77,
  host: 'box',
  http: 'http://127.0.0.1:7432',
  nonce: 'q',
} as const

type Kind = keyof typeof valid
const kinds = Object.keys(valid) as Kind[]
const read = (kind: Kind, bytes: Uint8Array): Decoded<object> =>
  (codec as ControlCodec)[kind](bytes)

function refused(result: Decoded<object>, pattern: RegExp): void {
  assert.not.ok(result.ok)
  if (!result.ok) assert.match(result.reason, pattern)
}

const optional = new Set([
  'announcement.root',
  'joinAnswer.endedEpoch',
  'heartbeat.registered',
  'surveyAnswer.committed',
  'surveyRequest.position',
])

const x = suite('control codec')

for (const kind of kinds) {
  x(`${kind}: what is encoded is decoded`, () => {
    assert.equal(read(kind, codec.encode(valid[kind])), { ok: true, value: valid[kind] })
  })
  x(`${kind}: unknown fields are dropped, missing and negative ones refused`, () => {
    const message = valid[kind]
    assert.equal(read(kind, codec.encode({ ...message, future: [1] })), { ok: true,
      value: message })
    for (const [field, value] of Object.entries(message)) {
      // Optional: the version before did not send it.
      if (optional.has(`${kind}.${field}`)) continue
      const { [field]: _, ...rest } = message as Record<string, unknown>
      refused(read(kind, codec.encode(rest)), new RegExp(`^(${field}|.*kind)`))
      if (typeof value !== 'number') continue
      for (const wrong of [-1, 2 ** 53, Number.NaN, Infinity, '7']) {
        refused(read(kind, codec.encode({ ...message, [field]: wrong })), new RegExp(`^${field}`))
      }
    }
  })
}

x('join and nack are ack messages too', () => {
  assert.equal(codec.ackMessage(codec.encode(join)), { ok: true, value: join })
  assert.equal(codec.ackMessage(codec.encode(nack)), { ok: true, value: nack })
  refused(codec.ackMessage(codec.encode({ ...nack, kind: 'toString' })), /^kind/)
})

x('a history must grow', () => {
  for (const history of [
    [{ epoch: 2, last: 1 }, { epoch: 1, last: 2 }],
    [{ epoch: 1, last: 9 }, { epoch: 2, last: 8 }],
    [{ epoch: 1, last: 1 }, { epoch: 1, last: 2 }],
  ]) refused(codec.ackMessage(codec.encode({ ...join, history })), /^history: must grow/)
})

x('a peer of the version before says no root, and reads what has none of it', () => {
  const origin = { epoch: 0, sequence: 0 }
  const { root: _, applied, floor, damaged, rebuilding, reads, ...before } = join
  assert.equal(codec.ackMessage(codec.encode(before)), { ok: true, value: join })
  const { root: __, ...announced } = valid.announcement
  const read = codec.announcement(codec.encode(announced))
  assert.equal(read, { ok: true, value: { ...announced, root: origin } })
  // It drops fields that it does not know; all others are as they were.
  const { root, applied: a, floor: f, damaged: d, rebuilding: r, reads: n, ...seen } = decode(
    codec.encode(join),
  ) as typeof join
  assert.equal([root, a, f, d, r, n], [origin, applied, floor, damaged, rebuilding, reads])
  assert.equal(seen, before)
})

x('how to be installed is in the answer to a join, for those who understand it', () => {
  const install = { minimum: 40, sources: ['n3', 'n1'], replaces: true, salvageAfter: 30 }
  const answer = { ...valid.joinAnswer, snapshotNeeded: true, install }
  assert.equal(codec.joinAnswer(codec.encode(answer)), { ok: true, value: answer })
  const left = { ...valid.joinAnswer, kind: 'refused', code: 'leaveFirst' }
  assert.equal(codec.joinAnswer(codec.encode(left)), { ok: true, value: left })
  refused(codec.joinAnswer(codec.encode({ ...answer, install: { ...install, minimum: -1 } })),
    /^install.minimum/)
  refused(codec.joinAnswer(codec.encode({ ...answer, install: { ...install, sources: ['.'] } })),
    /^install.sources/)
})

x('a root is an entry of the first span', () => {
  const history = [{ epoch: 4, last: 30 }, { epoch: 6, last: 50 }]
  const ask = (root: object) => codec.ackMessage(codec.encode({ ...join, history, root }))
  for (const root of [{ epoch: 4, sequence: 30 }, { epoch: 4, sequence: 12 }]) {
    const read = ask(root)
    assert.equal(read, { ok: true, value: { ...join, history, root } })
  }
  for (const root of [{ epoch: 4, sequence: 31 }, { epoch: 6, sequence: 40 }, { epoch: 3,
    sequence: 9 }, { epoch: 4, sequence: 0 }])
  {
    refused(ask(root), /root is not in the first span/)
  }
  refused(codec.announcement(codec.encode({ ...valid.announcement, history: [] })),
    /root is not in the first span/)
})

x('names are checked wherever they are', () => {
  for (const name of ['', 'a.b', 'a*', '>', 'a b', '../x', 'é', 'x'.repeat(65), 7, null]) {
    refused(codec.heartbeat(codec.encode({ ...valid.heartbeat, node: name })), /^node/)
    refused(codec.ackMessage(codec.encode({ ...valid.ackMessage, space: name })), /^space/)
  }
  refused(codec.heartbeat(codec.encode({ ...valid.heartbeat, heard: { 'a.b': [1, 1, 1] } })),
    /^heard/)
})

x('sizes are bounded', () => {
  const heard = Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`n${i}`, [1, 1, 1]]))
  refused(codec.heartbeat(codec.encode({ ...valid.heartbeat, heard })), /./)
  const history = Array.from({ length: 8193 }, (_, i) => ({ epoch: i, last: i }))
  refused(codec.ackMessage(encode({ ...join, history })), /./)
  assert.throws(() => codec.encode({ text: 'x'.repeat(256 * 1024) }), RangeError)
  refused(codec.ackMessage(new Uint8Array(256 * 1024 + 1)), /more than/)
})

x('longer tuples of a newer node are cut to what is known', () => {
  const result = codec.heartbeat(
    codec.encode({ ...valid.heartbeat, heard: { n2: [1, 2, 3, 'more'] } }),
  )
  assert.ok(result.ok)
  if (result.ok) assert.equal(result.value.heard, { n2: [1, 2, 3] })
})

x('records are JSON and round-trip', () => {
  assert.equal(codec.assignment(codec.encodeRecord(assignment)), { ok: true, value: assignment })
  assert.equal(codec.nodeIdentity(codec.encodeRecord(identity)), { ok: true, value: identity })
  assert.is(JSON.parse(new TextDecoder().decode(codec.encodeRecord(identity))).node, 'n1')
})

x('a tombstone says when it was written, and a record who had its name before', () => {
  const dropped = { since: '2026-11-30T09:15:08Z', by: 'ann' }
  const dead = {
    ...assignment,
    state: 'dropped' as const,
    primary: null,
    inSync: [],
    dropped,
    formerly: ['u8', 'u9'],
  }
  assert.equal(codec.assignment(codec.encodeRecord(dead)), { ok: true, value: dead })
  refused(codec.assignment(json({ ...dead, formerly: ['a b'] })), /formerly/)
  refused(codec.assignment(json({ ...dead, formerly: Array.from({ length: 65 }, () => 'u') })),
    /formerly/)
  refused(codec.assignment(json({ ...dead, dropped: { since: 'x'.repeat(41), by: 'ann' } })),
    /dropped/)
})

x('an assignment keeps what it says of epochs that ended, and of reconciliation', () => {
  const start = { epoch: 2, sequence: 30 }
  const ended = { node: 'n2', disk: 'd2', epoch: 2, start: { epoch: 0, sequence: 0 } }
  const { settings } = assignment
  for (const reconcile of ['automatic', 'manual', 'off'] as const) {
    const full = {
      ...assignment,
      settings: { ...settings, reconcile },
      start,
      ended: [ended],
    }
    assert.equal(codec.assignment(codec.encodeRecord(full)), { ok: true, value: full })
    const sent = { ...valid.announcement, assignment: full }
    assert.equal(codec.announcement(codec.encode(sent)), { ok: true, value: sent })
  }
  const wrong: [object, RegExp][] = [
    [{ settings: { ...settings, reconcile: 'later' } }, /^settings.reconcile/],
    [{ start: { epoch: -1, sequence: 0 } }, /^start/],
    [{ start: null }, /^start/],
    [{ ended: [{ ...ended, disk: '' }] }, /^ended.0.disk/],
    [{ ended: Array.from({ length: 65 }, () => ended) }, /^ended/],
  ]
  for (const [change, reason] of wrong) {
    refused(codec.assignment(json({ ...assignment, ...change })), reason)
  }
  const kept = { ...assignment, settings: { ...settings, retain: { bytes: 5, ms: 6 } } }
  assert.equal(codec.assignment(codec.encodeRecord(kept)), { ok: true, value: kept })
  refused(codec.assignment(json({ ...kept, settings: { ...settings, retain: { ms: -1 } } })),
    /^settings.retain/)
  const later = { ...kept, settings: { ...kept.settings, ofLaterReleases: { much: 7 } } }
  assert.equal(codec.assignment(json(later)), { ok: true, value: kept },
    'a setting that is not known is no fault')
  const most = { ...assignment, ended: Array.from({ length: 64 }, () => ended) }
  assert.ok(codec.assignment(json(most)).ok)
})

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

x('an announcement says how its primary came to be one; what is not understood is left out', () => {
  const promotion = {
    atMs: 1_700_000_000_000,
    space: 'demo',
    epoch: 3,
    from: 'n2',
    to: 'n1',
    vacancy: 'grantExpired',
    reason: 'n2 was not heard',
    ms: 2_210,
    atRisk: null,
  }
  const sent = { ...valid.announcement, promotion }
  assert.equal(codec.announcement(codec.encode(sent)), { ok: true, value: sent })
  for (const other of [{ ...promotion, vacancy: 'novel' }, { ...promotion, ms: -1 }, 'x', null]) {
    const read = codec.announcement(codec.encode({ ...sent, promotion: other }))
    assert.ok(read.ok, JSON.stringify(other))
    if (read.ok) assert.is(read.value.promotion, undefined)
  }
})

x('a record of a higher version is refused, whatever else it looks like', () => {
  refused(codec.assignment(json({ version: 2, nothing: 'known' })), /version 2 is newer/)
  refused(codec.nodeIdentity(json({ ...identity, version: 3 })), /version 3 is newer/)
  refused(codec.announcement(
    codec.encode({ ...valid.announcement, assignment: { version: 2 } }),
  ), /version 2 is newer/)
  refused(codec.assignment(json({ ...assignment, version: 0 })), /^version/)
})

x('an assignment has to make sense', () => {
  const wrong: [object, RegExp][] = [
    [{ inSync: ['n1', 'n3'] }, /n3 is in sync but not a member/],
    [{ inSync: ['n1', 'n1'] }, /twice in inSync/],
    [{ members: [...assignment.members, { node: 'n1', disk: 'd9' }] }, /twice in members/],
    [{ primary: null }, /names no primary/],
    [{ state: 'vacant' }, /vacant names a primary/],
    [{ inSync: ['n2'] }, /primary n1 is not in sync/],
    [{ state: 'asleep' }, /^state/],
  ]
  for (const [change, reason] of wrong) {
    refused(codec.assignment(json({ ...assignment, ...change })), reason)
  }
})

x('binary, extensions and deep or endless nesting are refused before decoding', () => {
  assert.match(structureFault(encode(new Uint8Array(3))) ?? '', /type that is not used/)
  assert.match(structureFault(encode(new Date(0))) ?? '', /type that is not used/)
  assert.match(structureFault(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)) ?? '', /cut short/)
  assert.match(structureFault(new Uint8Array(9).fill(0x91)) ?? '', /cut short|nested/)
  const nested = new Uint8Array(256 * 1024).fill(0)
  for (let at = 0; at + 3 < nested.length; at += 3) nested.set([0xdc, 0x1f, 0xff], at)
  assert.match(structureFault(nested) ?? '', /nested/)
  assert.match(structureFault(Uint8Array.of(1, 2)) ?? '', /follow/)
  assert.match(structureFault(new Uint8Array(0)) ?? '', /cut short/)
})

x('the structure check accepts what the encoder writes, and no prefix of it', () => {
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
    const bytes = encode(value)
    assert.is(structureFault(bytes), null)
    for (let i = 0; i < bytes.length; i += 1) {
      assert.is.not(structureFault(bytes.subarray(0, i)), null)
    }
  }), { numRuns: 300 })
})

const decoders = [
  ...kinds.map((kind) => codec[kind] as (bytes: Uint8Array) => Decoded<object>),
  codec.assignment,
  codec.nodeIdentity,
]

x('random bytes never throw', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    for (const run of decoders) assert.type(run(bytes).ok, 'boolean')
  }), { numRuns: 2000 })
})

/** Accepted values are plain values of the kinds that the types name. */
function assertSane(value: unknown): void {
  if (typeof value === 'number') return assert.ok(Number.isFinite(value) && value >= 0)
  if (typeof value === 'string') return assert.ok(value.length <= 4096)
  if (typeof value === 'boolean' || value === null) return
  assert.ok(typeof value === 'object')
  for (const inner of Object.values(value as object)) assertSane(inner)
}

x('mutated messages never throw, and what is accepted satisfies its type', () => {
  const seeds = [
    ...kinds.map((kind) => codec.encode(valid[kind])),
    codec.encode(join),
    codec.encode(nack),
    codec.encodeRecord(assignment),
    codec.encodeRecord(identity),
  ]
  const change = fc.record({
    seed: fc.nat(seeds.length - 1),
    at: fc.nat(500),
    byte: fc.nat(255),
    cut: fc.nat(1000),
  })
  let accepted = 0
  fc.assert(fc.property(change, ({ seed, at, byte, cut }) => {
    const bytes = (seeds[seed] ?? new Uint8Array(1)).slice(0, cut)
    if (bytes.length > 0) bytes[at % bytes.length] = byte
    for (const run of decoders) {
      const result = run(bytes)
      if (!result.ok) {
        assert.ok(result.reason.length > 0 && result.reason.length <= 301)
        continue
      }
      accepted += 1
      assertSane(result.value)
      // Accepting again gives the same: nothing depends on what was dropped.
      const again = result.value as { version?: number }
      const bytesAgain = again.version === undefined ? codec.encode(again) : json(again)
      assert.equal(run(bytesAgain), result)
    }
  }), { numRuns: 4000 })
  assert.ok(accepted > 100, `only ${accepted} of the mutations were accepted`)
})

x('names that plain objects know are data like any other', () => {
  const bytes = json({ ...identity, node: 'constructor' })
  assert.ok(codec.nodeIdentity(bytes).ok)
  const heard = JSON.parse('{"constructor":[1,1,1],"toString":[1,1,2]}') as object
  const result = codec.heartbeat(codec.encode({ ...valid.heartbeat, heard }))
  assert.ok(result.ok)
  if (result.ok)
    assert.equal(Object.keys(result.value.heard).toSorted(), ['constructor', 'toString'])
  assert.ok(decode(codec.encode(valid.pingRequest)))
})

x.run()
