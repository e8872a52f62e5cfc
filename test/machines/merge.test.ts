import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decide, defaultRule, relationTo, tellsAbsence } from '../../machines/forks/merge.js'
import type { Contender, Relation, Standing } from '../../machines/forks/merge.js'
import type { MemoryNode, Operation } from '../../machines/graph/graph.js'
import type { Version } from '../../machines/log/forkNotes.js'

const test = suite('machines/merge')

const version = (epoch: number, sequence: number, timestamp: number, at = sequence): Version => ({
  epoch,
  sequence,
  timestamp,
  at,
})

const store = (confidence?: number, content = 'x'): Operation => ({ type: 'StoreNode',
  node: { id: 'a', content, ...(confidence !== undefined && { confidence }) } })
const activate = (activation: number): Operation => ({ type: 'UpdateActivation', nodeId: 'a',
  activation })
const link = (weight: number): Operation => ({ type: 'StoreEdge',
  edge: { source: 'a', target: 'b', kind: 'k', weight } })

const incoming = (operation: Operation, timestamp = 100): Contender => ({ operation,
  origin: { epoch: 3, sequence: 42 }, timestamp })

function standing(
  node?: MemoryNode,
  stored?: Version,
  activated?: Version,
): Standing {
  return {
    nodeState: () => ({ node, stored, activated }),
    edgeState: () => undefined,
  }
}

const always = (relation: Relation) => () => relation
const node: MemoryNode = { id: 'a', content: 'there', confidence: 0.5, activation: 0.3 }

test('a present value tells that a write below the root is not here, or does not', () => {
  const write = { epoch: 5, sequence: 204 }
  const unknown = () => undefined
  const known = (epoch: number) => ({ epoch: epoch - 1, sequence: 190 + epoch })
  const tells = (present: Version, starts: Parameters<typeof tellsAbsence>[2] = unknown) =>
    tellsAbsence(present, write, starts)
  assert.ok(tells(version(5, 198, 1)), 'the write would be on top of it')
  assert.ok(tells(version(4, 90, 1, 203)), 'this one, too, wherever it came from')
  // Applied again at 323, on top of what was there.
  assert.not(tells(version(2, 97, 1, 323)))
  assert.not(tells(version(2, 97, 1, 323), known))
  assert.not(tells(version(8, 240, 1)), 'where epoch 8 began is not known')
  assert.ok(tells(version(8, 240, 1), known))
  assert.not(tells(version(8, 240, 1, 300), known), 'that is the log it came from, not this one')
})

test('there is nothing, or only what the write knew of: it is merged', () => {
  for (const operation of [store(0.1), activate(0.1), link(0.1)]) {
    const merged = {
      operation,
      outcome: 'merged',
      displaces: 'nothing',
      keepsActivation: false,
      by: null,
    }
    assert.equal(decide(incoming(operation), standing(), always('concurrent')), merged)
    const there = standing(node, version(2, 7, 50), version(2, 8, 60))
    assert.equal(decide(incoming(operation), there, always('before')), merged)
  }
})

test('a later write of its own fork came first: it is superseded by that', () => {
  const there = standing(node, version(3, 50, 150, 70))
  for (const operation of [store(0.9), activate(0.9)]) {
    const { outcome, by } = decide(incoming(operation), there, always('after'))
    assert.equal({ outcome, by }, { outcome: 'superseded', by: { epoch: 3, sequence: 50 } })
  }
})

test('two StoreNode: higher confidence, then later, then higher origin; the loser is kept', () => {
  const there = standing(node, version(4, 60, 200))
  assert.is(decide(incoming(store(0.6)), there, always('concurrent')).displaces, 'value')
  const lost = decide(incoming(store(0.4)), there, always('concurrent'))
  assert.equal([lost.outcome, lost.by], ['quarantined', { epoch: 4, sequence: 60 }])
  assert.is(decide(incoming(store(0.5), 201), there, always('concurrent')).displaces, 'value')
  assert.is(decide(incoming(store(0.5), 199), there, always('concurrent')).outcome, 'quarantined')
  assert.is(decide(incoming(store(0.5), 200), there, always('concurrent')).outcome, 'quarantined')
  assert.is(decide(incoming(store()), there, always('concurrent')).outcome, 'quarantined',
    'who states no confidence is below who does')
})

test('two UpdateActivation, and one against a StoreNode: the later', () => {
  const there = standing(node, version(4, 60, 200), version(4, 61, 250))
  const later = decide(incoming(activate(0.9), 251), there, always('concurrent'))
  assert.equal([later.outcome, later.displaces], ['merged', 'activation'])
  const between = decide(incoming(activate(0.9), 225), there, always('concurrent'))
  assert.equal([between.outcome, between.by], ['quarantined', { epoch: 4, sequence: 61 }])
  const earlier = decide(incoming(activate(0.9), 100), there, always('concurrent'))
  assert.equal([earlier.outcome, earlier.by], ['quarantined', { epoch: 4, sequence: 60 }])
})

test('a StoreNode that wins leaves a later activation as it is', () => {
  const there = standing(node, version(4, 60, 200), version(4, 61, 250))
  const wins = decide(incoming(store(0.9), 220), there, always('concurrent'))
  assert.equal([wins.outcome, wins.displaces, wins.keepsActivation], ['merged', 'value', true])
  // The value it knew of, the activation it did not.
  const relation = ({ sequence }: Version): Relation => sequence === 60 ? 'before' : 'concurrent'
  const over = decide(incoming(store(0.1), 300), there, relation)
  assert.equal([over.displaces, over.keepsActivation], ['activation', false])
  const under = decide(incoming(store(0.1), 220), there, relation)
  assert.equal([under.displaces, under.keepsActivation], ['nothing', true])
})

test('a rule of a deployment may give the result of both: nobody loses', () => {
  const both = store(0.7, 'there and here')
  const there = standing(node, version(4, 60, 200))
  const decision = decide(incoming(store(0.4, 'here')), there, always('concurrent'), () => both)
  assert.equal([decision.operation, decision.outcome, decision.displaces], [both, 'merged',
    'nothing'])
})

test('positions decide how two writes relate', () => {
  // The write is (3, 45); the present log has epoch 3 up to 40, then 5.
  const starts = (epoch: number) => epoch === 5 ? { epoch: 3, sequence: 40 } : undefined
  const relation = relationTo({ epoch: 3, sequence: 45 }, 40, starts)
  assert.is(relation(version(2, 30, 0, 30)), 'before')
  assert.is(relation(version(5, 50, 0, 50)), 'concurrent')
  assert.is(relation(version(3, 43, 0, 55)), 'before', 'of its own fork, reconciled before it')
  assert.is(relation(version(3, 47, 0, 55)), 'after')
})

const contenders = fc.record({
  value: fc.constantFrom(undefined, 0, 0.5, 1),
  timestamp: fc.integer({ min: 0, max: 3 }),
})

for (const [type, operation] of [
  ['StoreNode', (value?: number) => store(value)],
  ['StoreEdge', (value?: number) => link(value ?? 0)],
  ['UpdateActivation', (value?: number) => activate(value ?? 0)],
] as const) {
  test(`${type}: among concurrent writes the order is no matter, nor how often`, () => {
    fc.assert(
      fc.property(fc.array(contenders, { minLength: 1, maxLength: 6 }), fc.nat(), (drawn, seed) => {
        const all = drawn.map(({ value, timestamp }, sequence): Contender => ({
          operation: operation(value),
          origin: { epoch: 1, sequence },
          timestamp,
        }))
        const winner = (some: readonly Contender[]): Contender =>
          some.reduce((a, b) => a !== b && defaultRule(a, b) === 'incoming' ? b : a)
        const whole = winner(all)
        const shuffled = all.toSorted((a, b) =>
          ((a.origin.sequence * 7919 + seed) % 13) - ((b.origin.sequence * 7919 + seed) % 13)
        )
        assert.is(winner(shuffled), whole, 'commutative')
        assert.is(winner([...all, ...shuffled, whole]), whole, 'idempotent')
        const cut = seed % all.length
        const halves = [all.slice(0, cut), all.slice(cut)].filter((half) => half.length > 0)
        assert.is(winner(halves.map(winner)), whole, 'associative')
      }),
    )
  })
}

test.run()
