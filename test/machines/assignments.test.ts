import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { boundedEpochs, endedMax, endedEpochs, formerlyMax, formerlyOf, isSameButInSync,
  isSameButPaused, knownEnds, saysDropped, tombstone } from '../../machines/protocol/assignments.js'
import type { Assignment, EndedEpoch } from '../../machines/protocol/messages.js'

const test = suite('machines/assignments')

const ended = (
  epoch: number,
  node: string,
  start: [epoch: number, sequence: number],
  disk = `disk of ${node}`,
): EndedEpoch => ({ epoch, node, disk, start: { epoch: start[0], sequence: start[1] } })

/** n1 holds epoch 7, which began on (6, 40). */
function record(over: Partial<Assignment> = {}): Assignment {
  const members = ['n1', 'n2', 'n3'].map((node) => ({ node, disk: `disk of ${node}` }))
  return {
    version: 1,
    space: 'demo',
    uuid: 'u',
    epoch: 7,
    state: 'open',
    members,
    forced: false,
    primary: { node: 'n1', incarnation: 1, connection: 1 },
    inSync: ['n1', 'n2'],
    nonce: '',
    settings: { replicas: 2, ack: 'durable', minInSync: 2 },
    start: { epoch: 6, sequence: 40 },
    writer: 'n1',
    ...over,
  }
}
const epochsOf = (epochs: readonly EndedEpoch[]) => epochs.map(({ epoch }) => epoch)
const none = new Set<number>()

test('an epoch that another ends is remembered until a report of it is committed', () => {
  const before = [ended(6, 'n3', [5, 30])]
  const all = endedEpochs(record({ ended: before }), none, () => true)
  assert.equal(all, [...before, { ...ended(7, 'n1', [6, 40]), atMost: null }])
  assert.equal(epochsOf(endedEpochs(record({ ended: before }), new Set([6]), () => true)), [7])
})

test('one that was never opened has acknowledged nothing', () => {
  assert.equal(endedEpochs(record({ state: 'claimed' }), none, () => true), [])
})

test('one that its holder takes up again is remembered until its end is committed', () => {
  // Epoch 8 was of n1, too, and began after (7, 50).
  const again = (disk?: string) =>
    record({
      epoch: 8,
      ended: [ended(7, 'n1', [6, 40], disk)],
      start: { epoch: 7, sequence: 50 },
    })
  const until = (last: number) => ({ sequence }: { sequence: number }) => sequence <= last
  assert.equal(epochsOf(endedEpochs(again(), none, until(50))), [8])
  assert.equal(epochsOf(endedEpochs(again(), none, until(49))), [7, 8])
  assert.equal(epochsOf(endedEpochs(again('another disk'), none, () => true)), [7, 8])
  const unopened = { ...again(), state: 'claimed' as const }
  assert.equal(epochsOf(endedEpochs(unopened, none, () => true)), [7], 'it came to nothing')
})

test('alone in sync, a member forgets none: what only it has may be lost with it', () => {
  const alone = record({ inSync: ['n1'], ended: [ended(6, 'n3', [5, 30])] })
  assert.equal(epochsOf(endedEpochs(alone, new Set([6]), () => true)), [6, 7])
})

test('the end of an epoch is known when its holder took it up again', () => {
  const epochs = [ended(6, 'n1', [5, 30]), ended(7, 'n1', [6, 40]), ended(8, 'n2', [7, 45])]
  assert.equal([...knownEnds(epochs)], [[6, 40]], 'n2 may lack what n1 logged in epoch 7')
})

test('a record has limited room: epochs whose end is known go first, and are named', () => {
  const forks = [ended(2, 'n3', [1, 5]), ended(3, 'n2', [2, 9]), ended(4, 'n1', [3, 12])]
  // n1 is alone in sync from epoch 4 on, and takes its own epoch up again and again.
  const own = Array.from({ length: 70 },
    (_, index) => ended(5 + index, 'n1', [4 + index, 20 + index]))
  const { kept, dropped } = boundedEpochs([...forks, ...own])
  assert.is(kept.length, endedMax)
  assert.equal(epochsOf(dropped), Array.from({ length: 73 - endedMax }, (_, index) => 4 + index))
  assert.equal(epochsOf(kept).slice(0, 2), [2, 3], 'forks stay')
  assert.is(kept.at(-1)?.epoch, 74, 'and the last')
  const strangers = Array.from({ length: 66 },
    (_, index) => ended(index + 2, `n${index % 2}`, [index + 1, index]))
  assert.equal(epochsOf(boundedEpochs(strangers).dropped), [2, 3], 'then the oldest')
  assert.equal(boundedEpochs(forks), { kept: forks, dropped: [] })
})

test('records are the same, whatever the order of keys, but for a pause and who wrote them', () => {
  const one = record({ paused: { since: 't', by: 'ann' } })
  const { members, uuid, ...rest } = record({ nonce: 'other', writer: 'n2' })
  assert.ok(isSameButPaused(one, { members, ...rest, uuid }))
  assert.not(isSameButPaused(one, record({ inSync: ['n1'] })))
  assert.not(isSameButPaused(one, record({ epoch: 8 })))
  assert.not(isSameButPaused(one, record({ settings: { ...one.settings, ack: 'memory' } })))
  const shrunk = record({ inSync: ['n1'], nonce: 'other', writer: 'n2' })
  assert.ok(isSameButInSync(record({}), shrunk))
  assert.not(isSameButInSync(one, shrunk), 'a pause counts')
  assert.not(isSameButInSync(record({}), record({ epoch: 8 })))
})

test('a tombstone names the space and its members, and nothing of its epoch', () => {
  const living = record({ start: { epoch: 6, sequence: 9 }, paused: { since: 't', by: 'ann' } })
  const { uuid, epoch, members, settings } = living
  const dead = tombstone(living, { since: 't', by: 'bob' }, { writer: 'n9', nonce: 'x' })
  const { space } = living
  assert.equal(dead, {
    version: 1,
    space,
    uuid,
    epoch,
    state: 'dropped',
    primary: null,
    members,
    inSync: [],
    settings,
    forced: living.forced,
    dropped: { since: 't', by: 'bob' },
    writer: 'n9',
    nonce: 'x',
  })
  assert.not(isSameButPaused(dead, living))
})

test('a record says of some spaces that they were dropped, and of others nothing', () => {
  const living = record({ uuid: 'a' })
  assert.not(saysDropped(living, 'a'))
  assert.not(saysDropped(living, 'b'), 'the arbiter may have lost the record of b')
  const dead = tombstone(living, { since: 't', by: 'bob' }, { writer: 'n9', nonce: 'x' })
  assert.ok(saysDropped(dead, 'a'))
  assert.not(saysDropped(dead, 'b'))
  const next = record({ uuid: 'c', formerly: formerlyOf(dead) })
  assert.ok(saysDropped(next, 'a'))
  assert.not(saysDropped(next, 'c'))
  assert.equal(formerlyOf(next), ['a'], 'a living one is not among them')
  assert.equal(formerlyOf(null), [])
})

test('of the spaces that had a name before, the latest are listed', () => {
  let latest: Assignment | null = null
  for (let life = 0; life < formerlyMax + 4; life += 1) {
    const living: Assignment = record({ uuid: `u${life}`, formerly: formerlyOf(latest) })
    latest = tombstone(living, { since: 't', by: 'bob' }, { writer: 'n9', nonce: `${life}` })
  }
  const listed = formerlyOf(latest)
  assert.is(listed.length, formerlyMax)
  assert.is(listed[0], 'u4')
  assert.is(listed.at(-1), `u${formerlyMax + 3}`)
})

test.run()
