import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { rebalancing, type Move, type PlacedSpace } from '../../machines/protocol/rebalance.js'
import { placeSpace, preferredPrimary } from '../../machines/protocol/spacePlacement.js'

const test = suite('machines/rebalance')

const nodes = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6']
const zoneOf = (node: string) =>
  ({ n1: 'a', n2: 'a', n3: 'b', n4: 'b', n5: 'c', n6: 'c' })[node] ?? ''

const some = fc.uniqueArray(
  fc.record({
    space: fc.stringMatching(/^[a-z]{1,6}$/),
    members: fc.shuffledSubarray(nodes, { minLength: 1, maxLength: 4 }),
  }).map(({ space, members }): PlacedSpace => ({ space, members, primary: members[0]! })),
  { selector: ({ space }) => space, maxLength: 12 },
)
const living = fc.shuffledSubarray(nodes, { minLength: 1 })

/** The spaces after the moves, each of which is possible when its turn comes. */
function after(spaces: readonly PlacedSpace[], moves: readonly Move[]): PlacedSpace[] {
  return spaces.map((one) => {
    let { members, primary } = one
    for (const move of moves) {
      if (move.space !== one.space) continue
      if (move.type === 'primary') {
        assert.ok(members.includes(move.to))
        primary = move.to
        continue
      }
      assert.ok(members.includes(move.remove) && !members.includes(move.add))
      members = [...members.filter((node) => node !== move.remove), move.add]
    }
    return { space: one.space, members, primary }
  })
}

test('afterwards every space is where it would be placed, and nothing is left to do', () => {
  fc.assert(fc.property(some, living, (spaces, alive) => {
    const done = after(spaces, rebalancing(spaces, alive, zoneOf))
    assert.equal(rebalancing(done, alive, zoneOf), [])
    for (const [index, { space, members, primary }] of done.entries()) {
      const { length } = spaces[index]!.members
      assert.is(members.length, length)
      if (length > alive.length) continue
      assert.equal(members.toSorted(), placeSpace(space, alive, length, zoneOf))
      assert.is(primary, preferredPrimary(space, members))
    }
  }))
})

test('a node that comes takes one place of a space at most', () => {
  fc.assert(fc.property(some, (spaces) => {
    const before = nodes.slice(0, 5)
    const placed = after(spaces, rebalancing(spaces, before, zoneOf))
    const moves = rebalancing(placed, nodes, zoneOf)
    for (const { space } of spaces) {
      const own = moves.filter((move) => move.type === 'member' && move.space === space)
      assert.ok(own.length <= 1)
      for (const move of own) assert.is(move.type === 'member' && move.add, 'n6')
    }
  }))
})

test('members and primaries of many spaces spread over the nodes', () => {
  const spaces = Array.from({ length: 1200 }, (_, index): PlacedSpace => ({
    space: `space-${index}`,
    members: ['n1', 'n2', 'n3'],
    primary: 'n1',
  }))
  const done = after(spaces, rebalancing(spaces, nodes, zoneOf))
  for (const node of nodes) {
    const members = done.filter((space) => space.members.includes(node)).length
    const primaries = done.filter(({ primary }) => primary === node).length
    // An even share is 600 members and 200 primaries; three standard deviations are 52 and 39.
    assert.ok(Math.abs(members - 600) < 60, `${node}: member of ${members}`)
    assert.ok(Math.abs(primaries - 200) < 40, `${node}: primary of ${primaries}`)
  }
})

test.run()
