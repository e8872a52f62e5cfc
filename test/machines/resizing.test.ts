import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { nextResize } from '../../machines/protocol/resizing.js'
import { placeSpace } from '../../machines/protocol/spacePlacement.js'

const test = suite('machines/resizing')

const nodes = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6']
const zones: Record<string, string> = { n1: 'a', n2: 'a', n3: 'b', n4: 'b', n5: 'c', n6: 'c' }
const zoneOf = (node: string) => zones[node] ?? ''
const noZone = () => ''

/** The members after all steps to that number. */
function resized(
  space: string,
  members: readonly string[],
  count: number,
  of: (node: string) => string,
  inSync = members,
  unfit: readonly string[] = [],
): string[] {
  let now = [...members]
  for (let step = 0;; step += 1) {
    assert.ok(step < nodes.length)
    const spares = nodes.filter((node) => !now.includes(node))
    const present = { space, members: now, inSync, primary: members[0]!, unfit }
    const next = nextResize(present, count, spares, of)
    if (next === null) return now
    now = 'add' in next ? [...now, next.add] : now.filter((node) => node !== next.remove)
  }
}

const space = fc.stringMatching(/^[a-z]{1,6}$/)

test('a space gets the members that it would have been created with', () => {
  fc.assert(fc.property(space, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }), (
    name,
    from,
    to,
  ) => {
    for (const  of of[noZone, zoneOf]) {
      const begun = placeSpace(name, nodes, Math.min(from, to), of)
      const all = resized(name, begun, Math.max(from, to), of)
      assert.equal(all.toSorted(), placeSpace(name, nodes, Math.max(from, to), of))
    }
  }))
})

test('the primary stays, and zones are kept apart', () => {
  fc.assert(fc.property(space, fc.shuffledSubarray(nodes, { minLength: 4 }), (name, members) => {
    const left = resized(name, members, 3, zoneOf)
    assert.is(left.length, 3)
    assert.ok(left.includes(members[0]!))
    const apart = (some: readonly string[]) => new Set(some.map(zoneOf)).size
    assert.is(apart(left), Math.min(3, apart(members)))
    assert.equal(resized(name, members, 1, zoneOf), [members[0]])
  }))
})

test('a member that is not in sync goes first', () => {
  fc.assert(fc.property(space, fc.shuffledSubarray(nodes, { minLength: 3 }), (name, members) => {
    const [behind = ''] = members.slice(1)
    const inSync = members.filter((node) => node !== behind)
    const left = resized(name, members, members.length - 1, zoneOf, inSync)
    assert.not(left.includes(behind))
  }))
})

test('then one whose node is unfit', () => {
  fc.assert(fc.property(space, fc.shuffledSubarray(nodes, { minLength: 4 }), (name, members) => {
    const [, drained = '', gone = '', behind = ''] = members
    const inSync = members.filter((node) => node !== gone && node !== behind)
    const unfit = [drained, gone, members[0]!]
    for (const [index, leaves] of [gone, behind, drained].entries()) {
      const left = resized(name, members, members.length - 1 - index, zoneOf, inSync, unfit)
      assert.not(left.includes(leaves))
    }
  }))
})

test('nothing is left to do, or no spare node is there', () => {
  const demo = { space: 'demo', members: ['n1', 'n2'], inSync: ['n1', 'n2'], primary: 'n1',
    unfit: [] }
  assert.is(nextResize(demo, 2, ['n3'], noZone), null)
  assert.is(nextResize(demo, 3, [], noZone), null)
  const alone = { ...demo, members: ['n1'] }
  assert.is(nextResize(alone, 0, [], noZone), null)
})

test.run()
