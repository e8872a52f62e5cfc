/** The faults that are dealt: each kind in turn, and never more than the space can bear. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Dealer, faultKinds, isReplaced, victimOf } from '../../runtime/chaos/plan.js'
import type { Fault, Scene } from '../../runtime/chaos/plan.js'
import { seeded } from '../../runtime/chaos/run.js'

const test = suite('chaos: plan')

const scene: Scene = {
  space: 'demo',
  primary: 'n1',
  members: ['n1', 'n2', 'n3'],
  inSync: ['n1', 'n2', 'n3'],
  actors: new Map([
    ['n1', ['node', 'space.demo', 'space.demo.primary', 'space.demo.stream.n2', 'space.demo.lag.n2',
      'detector.n2', 'space.other']],
    ['n2', ['node', 'space.demo', 'space.demo.replica', 'detector.n1']],
    ['n3', ['node', 'space.demo', 'space.demo.replica', 'detector.n1']],
  ]),
  fillable: ['n2'],
  linked: ['n1', 'n2', 'n3'],
}

function deal(count: number, at: Scene = scene, seed = 1, kinds = faultKinds): Fault[] {
  const dealer = new Dealer(kinds, seeded(seed))
  return Array.from({ length: count }, () => dealer.next(at)).filter((fault) => fault !== null)
}

test('a round has each kind once, actors twice; the same seed deals the same', () => {
  for (let seed = 1; seed < 20; seed += 1) {
    const faults = deal(7, scene, seed)
    assert.equal(faults.map(({ kind }) => kind).toSorted(), ['actor', 'actor', 'broker', 'disk',
      'kill', 'network', 'pause'])
    assert.equal(faults, deal(7, scene, seed))
  }
  assert.is.not(JSON.stringify(deal(20)), JSON.stringify(deal(20, scene, 2)))
})

test('over the rounds everything is hit: both roles, both ways of a link, all actors', () => {
  const faults = deal(70)
  const names = new Set(faults.map((fault) => (fault.kind === 'actor'
    ? fault.actor.replace(/n\d$/, 'n')
    : `${fault.command.type} ${'node' in fault.command ? fault.command.node : ''}`.trim())
  ))
  for (const wanted of [
    'space.demo.primary',
    'space.demo.replica',
    'space.demo',
    'detector.n',
    'space.demo.stream.n',
    'space.demo.lag.n',
    'kill n1',
    'pause n1',
    'cut n1',
    'stall n1',
    'fill n2',
    'broker',
  ]) assert.ok(names.has(wanted), `${wanted} is among ${[...names].join(', ')}`)
  assert.not.ok(names.has('node'), 'the node actor is the process: that is what kill is for')
  assert.not.ok(names.has('space.other'), 'other spaces are left alone')
  const pauses = faults.flatMap((
    fault,
  ) => (fault.kind === 'pause' ? [fault.command.forMs < 2000] : []))
  assert.equal(new Set(pauses), new Set([true, false]), 'shorter and longer than a lease')
})

test('the last in-sync member is left alone', () => {
  for (let seed = 1; seed < 50; seed += 1) {
    const faults = deal(50, { ...scene, inSync: ['n1'] }, seed)
    for (const fault of faults) assert.is.not(victimOf(fault), 'n1')
    // n2 is in sync and down: it cannot take over.
    const alone = deal(50, { ...scene, members: ['n1', 'n3'], inSync: ['n1', 'n2'] }, seed)
    for (const fault of alone) assert.is.not(victimOf(fault), 'n1')
  }
})

test('nothing is dealt that cannot be done', () => {
  const bare = { ...scene, actors: new Map(), fillable: [], linked: [] }
  assert.equal(deal(10, bare, 1, ['actor', 'network', 'disk'] as never), [])
  const dealer = new Dealer(['network', 'kill'], seeded(1))
  const seen = new Set<string | null>()
  for (let n = 0; n < 20; n += 1) seen.add(dealer.next(bare)?.kind ?? dealer.skip())
  assert.equal(seen, new Set(['network', 'kill']), 'what cannot be done does not block the rest')
})

test('replaced: the actor itself, or what took its place', () => {
  assert.ok(isReplaced('demo', 'detector.n1', ['detector.n1']))
  assert.not.ok(isReplaced('demo', 'detector.n1', ['detector.n2', 'space.demo.replica']))
  assert.ok(isReplaced('demo', 'space.demo.primary', ['space.demo', 'space.demo.replica']))
  assert.not.ok(isReplaced('demo', 'space.demo.primary', ['space.demo']))
  assert.not.ok(isReplaced('demo', 'space.demo', ['space.demo.replica']))
  assert.not.ok(isReplaced('demo', 'space.demo.stream.n2', ['space.demo.primary']))
  assert.ok(isReplaced('demo', 'space.demo.stream.n2', ['space.demo.replica']))
  assert.ok(isReplaced('demo', 'space.demo.lag.n2', ['space.demo.primary', 'space.demo.lag.n2']))
})

test.run()
