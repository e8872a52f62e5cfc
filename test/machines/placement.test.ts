import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { nextPlace, placeSpace } from '../../machines/protocol/spacePlacement.js'

const test = suite('machines/placement')

const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/)
const cluster = fc.uniqueArray(name, { minLength: 1, maxLength: 9 })
const count = fc.integer({ min: 1, max: 5 })

test('as many different nodes as asked for, or all there are', () => {
  fc.assert(fc.property(name, cluster, count, (space, nodes, n) => {
    const placed = placeSpace(space, nodes, n)
    assert.is(placed.length, Math.min(n, nodes.length))
    assert.is(new Set(placed).size, placed.length)
    for (const node of placed) assert.ok(nodes.includes(node))
    assert.equal(placed, placed.toSorted())
  }))
  assert.equal(placeSpace('demo', [], 3), [])
})

test('the order in which nodes are listed does not matter', () => {
  const shuffled = cluster.chain((nodes) =>
    fc.tuple(fc.constant(nodes), fc.shuffledSubarray(nodes, { minLength: nodes.length }))
  )
  fc.assert(fc.property(name, shuffled, count, (space, [nodes, other], n) => {
    assert.equal(placeSpace(space, nodes, n), placeSpace(space, other, n))
  }))
})

test('a node that goes moves only what it held, to one other node', () => {
  fc.assert(fc.property(name, cluster, count, fc.nat(8), (space, nodes, n, index) => {
    const gone = nodes[index % nodes.length] ?? ''
    const before = placeSpace(space, nodes, n)
    const after = placeSpace(space, nodes.filter((node) => node !== gone), n)
    if (!before.includes(gone)) assert.equal(after, before)
    for (const node of before) if (node !== gone) assert.ok(after.includes(node))
  }))
})

test('a node that comes takes over one place at most', () => {
  fc.assert(fc.property(name, cluster, name, count, (space, nodes, fresh, n) => {
    fc.pre(!nodes.includes(fresh))
    const before = placeSpace(space, nodes, n)
    const after = placeSpace(space, [...nodes, fresh], n)
    const left = before.filter((node) => !after.includes(node))
    assert.ok(left.length <= 1)
    if (!after.includes(fresh)) assert.equal(after, before)
  }))
})

test('more replicas keep the places there are', () => {
  fc.assert(fc.property(name, cluster, count, (space, nodes, n) => {
    const more = placeSpace(space, nodes, n + 1)
    for (const node of placeSpace(space, nodes, n)) assert.ok(more.includes(node))
  }))
})

const zoned = fc.tuple(cluster,
  fc.array(fc.constantFrom('', 'a', 'b', 'c'), { minLength: 9, maxLength: 9 })).map((
    [nodes, zones],
  ) => ({
    nodes,
    zoneOf: (node: string) => zones[nodes.indexOf(node)] ?? 'x',
  }))

test('members are as evenly over the zones as these allow', () => {
  fc.assert(fc.property(name, zoned, count, (space, { nodes, zoneOf }, n) => {
    const placed = placeSpace(space, nodes, n, zoneOf)
    const inZone = (zone: string, of: readonly string[]) =>
      of.filter((node) => zoneOf(node) === zone).length
    for (const one of new Set(nodes.map(zoneOf))) {
      for (const other of new Set(nodes.map(zoneOf))) {
        // A zone has two more than another only where that one has no node left.
        const isFull = inZone(other, placed) === inZone(other, nodes)
        assert.ok(isFull || inZone(one, placed) <= inZone(other, placed) + 1)
      }
    }
  }))
})

test('with zones, too, a node that goes moves one place, to one other node', () => {
  fc.assert(fc.property(name, zoned, count, fc.nat(8), (space, { nodes, zoneOf }, n, index) => {
    const gone = nodes[index % nodes.length] ?? ''
    const before = placeSpace(space, nodes, n, zoneOf)
    const after = placeSpace(space, nodes.filter((node) => node !== gone), n, zoneOf)
    if (!before.includes(gone)) assert.equal(after, before)
    const moved = before.filter((node) => node !== gone && !after.includes(node))
    assert.equal(moved, [])
  }))
})

test('the next place is the one that placing one more takes', () => {
  fc.assert(fc.property(name, zoned, count, (space, { nodes, zoneOf }, n) => {
    const placed = placeSpace(space, nodes, n, zoneOf)
    const next = nextPlace(space, nodes, placed, zoneOf)
    const more = placeSpace(space, nodes, n + 1, zoneOf)
    assert.equal(more, [...placed, ...(next === null ? [] : [next])].toSorted())
  }))
})

test('spaces spread over the nodes', () => {
  const nodes = ['n1', 'n2', 'n3', 'n4', 'n5']
  const held = new Map(nodes.map((node) => [node, 0]))
  for (let i = 0; i < 2000; i++) {
    for (const node of placeSpace(`space-${i}`, nodes, 1)) {
      held.set(node, (held.get(node) ?? 0) + 1)
    }
  }
  // 400 each when even; by chance alone a node is off by more than 80 less than once in 10,000.
  for (const [node, spaces] of held) assert.ok(Math.abs(spaces - 400) < 80, `${node}: ${spaces}`)
})

test.run()
