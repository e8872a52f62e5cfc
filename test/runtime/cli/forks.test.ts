/** engram forks, fate, quarantine and space set, against a stand-in for a node. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FateValue } from '../../../actors/ports/clientApi.js'
import type { ForkReport, QuarantineItem } from '../../../machines/log/forkNotes.js'
import { forksStatusOf } from '../../../runtime/status/forks.js'
import { runHere } from '../../support/cli.js'
import { item, report, salvage } from '../../support/forksKit.js'
import { Responder } from '../../support/responder.js'
import { ResponderKit } from '../../support/responderKit.js'

const test = suite('cli: forks')
const kit = new ResponderKit(test)
const engram = (...args: string[]) => runHere(args, kit.surroundings)

function keep(reports: readonly ForkReport[], quarantined = 0, of = kit.node): void {
  const open = reports.filter(({ outcome }) => outcome === null).length
  of.reported = { books: forksStatusOf({
    openReportCount: open,
    quarantineCount: quarantined,
    reports: () => reports,
  }) }
  of.onQuery = ({ type }) => type === 'GetForks' ? reports : undefined
}

const refuse = (code: string, message: string, retryable = false): object => ({ ok: false, code,
  message, retryable })

test('wrong usage exits 2, says what is right, and asks nobody', async () => {
  const wrong: [args: string[], says: string][] = [
    [['forks', 'de.mo'], 'invalid space name'],
    [['forks', 'close', 'demo'], 'missing required argument \'epoch\''],
    [['forks', 'close', 'demo', 'x'], 'whole number'],
    [['forks', 'reconcile'], 'missing required argument \'space\''],
    [['fate', 'demo'], 'the write is not named'],
    [['fate', 'demo', '--epoch', '3'], '--epoch and --sequence are needed together'],
    [['fate', 'demo', '--key', 'k', '--epoch', '3'], 'Name the write in one way only'],
    [['quarantine', 'show', 'demo', '3'], 'EPOCH-SEQUENCE'],
    [['quarantine', 'apply', 'demo', '3-x'], 'EPOCH-SEQUENCE'],
    [['quarantine', 'list', 'demo', '--after', 'n1'], 'EPOCH-SEQUENCE'],
    [['quarantine', 'discard', 'demo'], 'give the id of one write, or --all'],
    [['quarantine', 'apply', 'demo', '3-41', '--all'], 'give the id of one write, or --all'],
    [['space', 'set', 'demo'], 'nothing to change'],
    [['space', 'set', 'demo', '--max-loss-entries', '0'], 'or none'],
    [['space', 'set', 'demo', '--reconcile', 'never'], 'automatic, manual, off'],
  ]
  for (const [args, says] of wrong) {
    const { code, out, err } = await engram(...args)
    assert.is(code, 2, `${args.join(' ')}: ${err}`)
    assert.is(out, '')
    assert.ok(err.includes(says), `${args.join(' ')}: ${err}`)
  }
  assert.equal([kit.node.reads, kit.node.admins], [[], []])
  for (const args of [['forks'], ['forks', 'close'], ['fate'], ['quarantine'], ['quarantine',
    'show'], ['space', 'set']])
  {
    assert.is((await engram(...args, '--help')).code, 0, args.join(' '))
  }
})

test('forks: no forks is said on stderr; with --json it is a document', async () => {
  keep([])
  const none = await engram('forks')
  assert.equal([none.code, none.out], [0, ''])
  assert.match(none.err, 'no forks')
  assert.equal(JSON.parse((await engram('forks', '--json')).out), {
    spaces: [{ id: 'demo', reports: [], quarantined: 0 }],
  })
})

test('forks of one space: a table, and what its reports wait for', async () => {
  const reports = [
    report({ epoch: 1, outcome: 'lost', lost: 2, reason: 'the disk of n1 is gone' }),
    report({ atMost: 100, merged: 3, quarantined: 1, salvages: [salvage()] }),
    report({ epoch: 5, node: 'n2' }),
  ]
  keep(reports, 1)
  const { code, out } = await engram('forks', 'demo')
  assert.is(code, 0)
  const cells = out.split('\n')[1]?.trim().split(/ {2,}/).slice(0, 11)
  assert.equal(cells, ['1', 'n1', '(3, 40)', 'at least 10', '0', '0', '0', '0', '0', 'at least 2',
    'lost'])
  assert.match(out, /3 +n1 +\(3, 40\) +at least 10, at most 100 +0 +3 +0 +1 +9 +- +open +2026-/)
  assert.match(out, /^1 in quarantine: engram quarantine list demo$/m)
  assert.match(out, /^ {2}epoch 1: the disk of n1 is gone$/m)
  assert.match(out, /^ {2}epoch 3: 9 writes in a salvage of n1, being reconciled$/m)
  // n2 is a member and does not answer.
  assert.match(out, /^ {2}epoch 5: n2 has to come back, or: engram forks close demo 5$/m)
  const json = JSON.parse((await engram('forks', 'demo', '--json')).out) as object
  assert.equal(json, { spaces: [{ id: 'demo', reports, quarantined: 1 }] })
})

test('forks of all spaces: one that does not answer does not hide the others', async () => {
  const other = new Responder(kit.nats, 'other', 'n3').start()
  await kit.nats.flush()
  keep([report()])
  keep([report({ epoch: 9 })], 0, other)
  const all = await engram('forks')
  assert.is(all.code, 0)
  assert.match(all.out, /SPACE demo\n[^]+\n\nSPACE other\n/)
  other.onRead = () => ({
    ok: false,
    code: 'LEASE_LAPSED',
    message: 'the lease has lapsed',
    outcome: 'unknown',
    retryable: true,
  })
  const some = await engram('forks', '--json', '--deadline', '100ms')
  assert.is(some.code, 1)
  assert.equal((JSON.parse(some.out) as { spaces: { id: string }[] }).spaces.map(({ id }) => id), [
    'demo',
  ])
  assert.match(some.err, /other is left out: .*the lease has lapsed/)
  other.stop()
})

test('forks close: a command to the primary; options after and before are taken', async () => {
  kit.node.onAdmin = () => ({ ok: true, message: 'given up: at least 10 writes' })
  const { code, out } = await engram('forks', 'close', 'demo', '3')
  assert.equal([code, out], [0, 'given up: at least 10 writes\n'])
  assert.equal(kit.node.admins, [{ type: 'closeFork', space: 'demo', epoch: 3 }])
  for (const args of [['close', '--json', 'demo', '3'], ['--json', 'close', 'demo', '3']]) {
    assert.is((JSON.parse((await engram('forks', ...args)).out) as { ok: boolean }).ok, true)
  }
  kit.node.onAdmin = () => refuse('INVALID_OPERATION', 'no report on epoch 9 is open')
  const refused = await engram('forks', 'close', 'demo', '9')
  assert.is(refused.code, 1)
  assert.match(refused.err, /no report on epoch 9 is open[^]+engram forks demo/)
  const unknown = await engram('forks', 'close', 'nope', '3')
  assert.is(unknown.code, 1)
  assert.match(unknown.err, 'engram space list')
})

test('a command during a failover goes to the next primary', async () => {
  const next = new Responder(kit.nats, 'demo', 'n2')
  let refusals = 0
  kit.node.onAdmin = () => {
    refusals += 1
    // Its epoch is over; the next one begins while the operator waits.
    kit.node.reported = { role: 'replica' }
    setTimeout(() => {
      next.epoch = 2
      next.start()
    }, 50)
    return refuse('NOT_PRIMARY', 'n1 was primary, and is not any more', true)
  }
  const { code, err } = await engram('quarantine', 'discard', 'demo', '3-41')
  assert.equal([code, err, refusals], [0, '', 1])
  assert.equal(next.admins, [{ type: 'discardQuarantined', space: 'demo', id: '3-41' }])
  next.stop()
})

test('forks reconcile: every node is asked, and says whether it had anything', async () => {
  const other = new Responder(kit.nats, 'other', 'n3').start()
  await kit.nats.flush()
  kit.node.onAdmin = () => ({ ok: true, started: true })
  other.onAdmin = () => refuse('UNKNOWN_SPACE', 'this node does not hold demo')
  const { code, out, err } = await engram('forks', 'reconcile', 'demo')
  assert.is(code, 0, err)
  assert.is(out, 'n1 uploads its salvages of demo\nn3 has no salvages of demo\n')
  assert.match(err, 'n2 does not answer: its salvages wait until it is back')
  assert.equal(kit.node.admins, [{ type: 'reconcile', space: 'demo' }])
  other.onAdmin = () => refuse('INTERNAL', 'it failed')
  const failed = await engram('forks', 'reconcile', 'demo', '--json')
  assert.is(failed.code, 1)
  assert.equal(JSON.parse(failed.out), { nodes: [
    { node: 'n1', started: true },
    { node: 'n3', fault: 'it failed [INTERNAL]' },
  ] })
  assert.match((await engram('forks', 'reconcile', 'nope')).err, 'engram space list')
  other.stop()
})

const fate: FateValue = {
  fate: 'quarantined',
  epoch: 3,
  sequence: 41,
  now: null,
  via: 'salvage',
  by: { epoch: 4, sequence: 42 },
  node: null,
  reason: 'it lost against a write that n2 took meanwhile',
}

test('fate: a sentence and the facts, exit 0 whatever it is', async () => {
  kit.node.onQuery = ({ type }) => type === 'GetFate' ? fate : undefined
  const { code, out } = await engram('fate', 'demo', '--epoch', '3', '--sequence', '41')
  assert.is(code, 0)
  assert.is(out, `${fate.reason}\n  fate          quarantined\n`
    + '  logged first  epoch 3, sequence 41\n  brought by    a salvage\n'
    + '  lost against  epoch 4, sequence 42\n')
  assert.equal(kit.node.reads.at(-1)?.query, { type: 'GetFate', epoch: 3, sequence: 41 })
  const lost: FateValue = { ...fate, fate: 'unknown', epoch: null, sequence: null, by: null,
    via: null, reason: 'no write with that key is known' }
  kit.node.onQuery = () => lost
  const unknown = await engram('fate', 'demo', '--key', 'order-77', '--json')
  assert.is(unknown.code, 0)
  assert.equal(JSON.parse(unknown.out), { space: 'demo', ...lost })
  assert.equal(kit.node.reads.at(-1)?.query, { type: 'GetFate', key: 'order-77' })
})

/** Pages as a primary gives them: at most two items, whatever was asked for. */
function quarantine(items: readonly QuarantineItem[]): void {
  kit.node.onQuery = (query) => {
    if (query['type'] === 'GetFate')
      return { ...fate, fate: 'safe', now: { epoch: 4, sequence: 42 } }
    if (query['type'] === 'GetEntries') return [{ sequence: 42, epoch: 4, writeId: 'k' }]
    if (query['type'] !== 'GetQuarantine') return undefined
    const after = Number(String(query['after']).split('-')[1] ?? 0)
    return items.filter(({ origin }) => origin.sequence > after)
      .slice(0, Math.min(2, Number(query['limit'])))
  }
}

test('quarantine list: page after page, up to a limit, and how to go on', async () => {
  const items = [41, 42, 43, 44, 45].map((sequence) => item(sequence))
  quarantine(items)
  const { out, err } = await engram('quarantine', 'list', 'demo')
  assert.is(err, '')
  assert.equal(out.trim().split('\n').slice(1).map((line) => line.split(' ')[0]),
    items.map(({ id }) => id))
  const some = await engram('quarantine', 'list', 'demo', '--json', '--limit', '3', '--after',
    '3-41')
  assert.equal(JSON.parse(some.out), { space: 'demo', items: items.slice(1, 4) })
  assert.match(some.err, 'engram quarantine list demo --after 3-44')
  const exact = await engram('quarantine', 'list', 'demo', '--limit', '5')
  assert.is(exact.err, '')
  quarantine([])
  const none = await engram('quarantine', 'list', 'demo')
  assert.equal([none.code, none.out], [0, ''])
  quarantine([
    item(41, { operation: { type: 'UpdateActivation', nodeId: 'a\x1b[2Jb', activation: 1 } }),
  ])
  assert.not.match((await engram('quarantine', 'list', 'demo')).out, '\x1b')
})

test('quarantine show: the write, the winner, and the present value', async () => {
  kit.node.graph.set('n41', { id: 'n41', content: 'won' })
  quarantine([item(41)])
  const { code, out } = await engram('quarantine', 'show', 'demo', '3-41')
  assert.is(code, 0)
  assert.equal(JSON.parse(out), {
    item: item(41),
    won: { epoch: 4, sequence: 42, fate: 'safe', entry: { sequence: 42, epoch: 4, writeId: 'k' } },
    present: { id: 'n41', content: 'won' },
  })
  assert.ok(kit.node.reads.some(({ query }) =>
    JSON.stringify(query)
      === '{"type":"GetFate","epoch":4,"sequence":42}'
  ))
  for (const id of ['3-40', '3-1']) {
    const none = await engram('quarantine', 'show', 'demo', id)
    assert.equal([none.code, none.out], [1, ''])
    assert.match(none.err,
      new RegExp(`${id} is not in the quarantine[^]+engram quarantine list demo`))
  }
})

test('quarantine apply and discard: commands to the primary, refusals with a remedy', async () => {
  kit.node.onAdmin = () => ({ ok: true })
  const applied = await engram('quarantine', 'apply', 'demo', '3-41')
  assert.is(applied.out, '3-41 has taken effect in demo\n')
  const discarded = await engram('quarantine', 'discard', 'demo', '3-41', '--json')
  assert.equal(JSON.parse(discarded.out), { ok: true })
  assert.equal(kit.node.admins, [
    { type: 'applyQuarantined', space: 'demo', id: '3-41' },
    { type: 'discardQuarantined', space: 'demo', id: '3-41' },
  ])
  kit.node.onAdmin = () => refuse('INVALID_OPERATION', 'no 3-41 is in the quarantine')
  const refused = await engram('quarantine', 'apply', 'demo', '3-41')
  assert.is(refused.code, 1)
  assert.match(refused.err, /no 3-41 is[^]+engram quarantine list demo/)
})

test('quarantine discard --all: page after page; what is gone meanwhile is passed over', async () => {
  const items = [41, 42, 43, 44, 45].map((sequence) => item(sequence))
  quarantine(items)
  kit.node.onAdmin = ({ id }) => {
    const at = items.findIndex((one) => one.id === id)
    items.splice(at, 1)
    return id === '3-43' ? refuse('INVALID_OPERATION', 'nothing with the id 3-43') : { ok: true }
  }
  const all = await engram('quarantine', 'discard', 'demo', '--all')
  assert.equal([all.code, all.out], [0, '4 writes have been discarded in demo\n'])
  assert.equal(kit.node.admins, ['3-41', '3-42', '3-43', '3-44', '3-45'].map((id) => (
    { type: 'discardQuarantined', space: 'demo', id }
  )))
  const none = await engram('quarantine', 'apply', 'demo', '--all', '--json')
  assert.equal(JSON.parse(none.out), { space: 'demo', count: 0 })
  quarantine([item(41), item(42)])
  kit.node.onAdmin = ({ id }) => id === '3-42' ? refuse('NOT_PRIMARY', 'not here') : { ok: true }
  const broken = await engram('quarantine', 'discard', 'demo', '--all')
  assert.equal([broken.code, broken.out], [1, ''])
  assert.match(broken.err, 'not here')
})

test('space set: what is named and nothing else; none removes', async () => {
  kit.node.onAdmin = () => ({
    ok: true,
    settings: { replicas: 1, ack: 'durable', minInSync: 2, maxLoss: { entries: 9 } },
  })
  const { code, out } = await engram('space', 'set', 'demo', '--max-loss-entries', '9',
    '--max-loss-ms', 'none', '--reconcile', 'manual')
  assert.equal([code, out], [0,
    'space demo: replicas 1, ack durable, minInSync 2, maxLoss 9 entries\n'])
  await engram('space', 'set', 'demo', '--ack', 'committed', '--min-in-sync', '1',
    '--when-under-replicated', 'wait', '--keys-ms', '60000', '--keys-count', 'none', '--json')
  assert.equal(kit.node.admins, [
    { type: 'setSpace', space: 'demo',
      settings: { reconcile: 'manual', maxLoss: { entries: 9, ms: null } } },
    { type: 'setSpace', space: 'demo',
      settings: { ack: 'committed', minInSync: 1, whenUnderReplicated: 'wait',
        keys: { ms: 60000, count: null } } },
  ])
})

test('status: fork numbers in JSON; a line for people where there is something', async () => {
  type Printed = { spaces: { forks: object }[] }
  assert.equal((JSON.parse((await engram('status', '--json')).out) as Printed).spaces[0]?.forks, {
    open: 0,
    quarantined: 0,
    waiting: 0,
  })
  assert.not.match((await engram('status')).out, 'fork')
  keep([report({ salvages: [salvage()] }), report({ epoch: 5 })], 7)
  assert.equal((JSON.parse((await engram('status', '--json')).out) as Printed).spaces[0]?.forks, {
    open: 2,
    quarantined: 7,
    waiting: 9,
  })
  assert.match((await engram('status')).out,
    /^2 open fork reports: engram forks demo\n7 writes in quarantine: engram quarantine list demo$/m)
})

test.run()
