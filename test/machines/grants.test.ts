import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { elapsedMs, Grants, waitedMs } from '../../machines/election/grants.js'
import type { Instant } from '../../machines/election/grants.js'

const test = suite('machines/grants')
const times = { heartbeatMs: 100, grantMs: 2000 }
const at = (ms: number, wallMs = ms): Instant => ({ monotonicMs: ms, wallMs })
const self = { incarnation: 3, connection: 2 }
const other = (connection: number) => ({ incarnation: 7, connection })
const grants = () => new Grants(times, at(0))

test('the holder counts the longer clock, the granter the monotonic one', () => {
  assert.is(elapsedMs(at(0), at(10, 5000)), 5000, 'suspended')
  assert.is(elapsedMs(at(0, 9000), at(10, 0)), 10, 'wall clock set back')
  assert.is(elapsedMs(at(5), at(0)), 0)
  assert.is(waitedMs(at(0), at(10, 5000)), 10, 'wall clock set forward')
})

test('a grant counts from the sending of the listed heartbeat', () => {
  const b = grants()
  assert.is(b.remainingMs('n2', at(0)), -Infinity)
  b.sent(1, at(100))
  b.sent(2, at(200))
  assert.is(b.listed('n2', [3, 2, 1], self, at(200)), null)
  assert.is(b.remainingMs('n2', at(250)), 1850)
  assert.is(b.remainingMs('n2', at(2099)), 1)
  assert.is(b.remainingMs('n2', at(2100)), 0)
  assert.is(b.remainingMs('n2', at(300, 2100)), 0, 'by the wall clock')
  assert.is(b.listed('n2', [3, 2, 2], self, at(250)), null)
  assert.match(b.listed('n2', [3, 2, 1], self, at(250)) ?? '', 'listed 2 before')
  assert.is(b.remainingMs('n2', at(250)), 1950)
})

test('a grant that comes after the last one ran out begins another stretch', () => {
  const b = grants()
  const heard = (number: number, now: Instant) => b.listed('n2', [3, 2, number], self, now)
  assert.is(b.stretchOf('n2'), 0)
  for (let number = 1; number <= 5; number++) b.sent(number, at(number * 100))
  heard(1, at(150))
  const first = b.stretchOf('n2')
  heard(2, at(2099))
  assert.is(b.stretchOf('n2'), first, 'just in time')
  heard(3, at(2200))
  const second = b.stretchOf('n2')
  assert.is.not(second, first)
  heard(4, at(300, 2300))
  assert.is.not(b.stretchOf('n2'), second, 'by the wall clock')
  b.reset()
  assert.is(b.stretchOf('n2'), 0, 'none on this connection')
  b.sent(6, at(600))
  heard(6, at(650))
  assert.ok(b.stretchOf('n2') > second, 'a number is never used twice')
})

test('a listing of another life, or of an unknown number, is no grant', () => {
  const b = grants()
  b.sent(1, at(100))
  assert.match(b.listed('n2', [3, 1, 1], self, at(250)) ?? '',
    'heard life 3.1 of this node, which is 3.2')
  assert.match(b.listed('n2', [2, 2, 1], self, at(250)) ?? '',
    'heard life 2.2 of this node, which is 3.2')
  assert.match(b.listed('n2', [3, 2, 2], self, at(250)) ?? '', 'not among the last 40')
  for (let number = 2; number <= 41; number++) b.sent(number, at(number * 100))
  assert.match(b.listed('n2', [3, 2, 1], self, at(250)) ?? '', 'not among',
    'fallen out of the ring')
  assert.is(b.listed('n2', [3, 2, 2], self, at(250)), null)
  assert.throws(() => b.sent(41, at(5000)), /numbers rise/)
})

test('a new connection voids the grants held and keeps the receipts', () => {
  const b = grants()
  b.sent(1, at(100))
  b.listed('n2', [3, 2, 1], self, at(250))
  b.received('n2', other(1), 5, at(100))
  assert.ok(b.heardOnThisConnection('n2'))
  b.reset()
  assert.is(b.remainingMs('n2', at(150)), -Infinity)
  assert.match(b.listed('n2', [3, 2, 1], { ...self, connection: 3 }, at(250)) ?? '', 'which is 3.3')
  assert.match(b.listed('n2', [3, 3, 1], { ...self, connection: 3 }, at(250)) ?? '', 'not among')
  assert.equal(b.heardList(), { n2: [7, 1, 5] })
  assert.not(b.heardOnThisConnection('n2'))
  assert.is(b.silenceMs('n2', at(600)), 500)
  b.received('n2', other(1), 6, at(700))
  assert.ok(b.heardOnThisConnection('n2'))
})

test('receipts: out of order and older lives are refused, a newer life replaces', () => {
  const b = grants()
  assert.is(b.received('n2', other(2), 5, at(100)), null)
  assert.match(b.received('n2', other(2), 5, at(200)) ?? '', 'comes after 5')
  assert.match(b.received('n2', other(1), 9, at(200)) ?? '', 'was heard as 7.2')
  assert.is(b.silenceMs('n2', at(300)), 200)
  assert.is(b.received('n2', other(3), 1, at(300)), null)
  assert.equal(b.heardList(), { n2: [7, 3, 1] })
  assert.equal(b.lastHeardLife('n2'), other(3))
  assert.is(b.lastHeardLife('n3'), null)
})

test('silence of a life is counted from its own last heartbeat, whatever speaks since', () => {
  const b = grants()
  b.received('n2', other(2), 5, at(100))
  b.received('n2', other(2), 6, at(250))
  b.received('n2', other(3), 1, at(400))
  b.received('n2', other(3), 2, at(500))
  assert.is(b.silenceOfMs('n2', other(3), at(700)), 200)
  assert.is(b.silenceOfMs('n2', other(2), at(700)), 450)
  // Of one that was never heard, or before the last two: as long as this node listens.
  assert.is(b.silenceOfMs('n2', other(1), at(700)), b.silenceMs('n9', at(700)))
})

test('a peer that was forgotten is like one that was never heard', () => {
  const b = new Grants(times, at(0))
  const life = other(1)
  b.sent(1, at(100))
  b.received('n2', life, 5, at(200))
  assert.is(b.listed('n2', [life.incarnation, life.connection, 1], life, at(200)), null)
  b.forget('n2')
  assert.equal(b.heardList(), {})
  assert.equal([b.lastHeardLife('n2'), b.grantedAt('n2'), b.stretchOf('n2')], [null, null, 0])
  assert.is(b.received('n2', life, 5, at(5000)), null, 'it is heard again')
})

test('after a start nothing is expired for one lease x margin', () => {
  const b = new Grants(times, at(1000))
  assert.not(b.expired('n2', at(3199), 2200))
  assert.ok(b.expired('n2', at(3200), 2200))
  b.received('n2', other(1), 1, at(3300))
  assert.not(b.expired('n2', at(5499, 99_999), 2200), 'a jump of the wall clock breaks no promise')
  assert.ok(b.expired('n2', at(5500), 2200))
})

test('a bounded number of peers: the longest silent gives way, else the new is refused', () => {
  const b = grants()
  for (let i = 0; i < 1024; i++) b.received(`p${i}`, other(1), 1, at(i === 7 ? 10 : 1000))
  assert.match(b.received('late', other(1), 1, at(2000)) ?? '', '1024 nodes')
  assert.is(b.received('late', other(1), 1, at(20_010)), null)
  const peers = Object.keys(b.heardList())
  assert.not(peers.includes('p7'))
  assert.is(peers.length, 1024)
})

test('the granter never takes over while the holder may think it is unchallenged', () => {
  // Two nodes, each with clocks of its own: rate within 10 %, any delay, loss, wall jumps.
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 900 }),
    there: fc.boolean(),
    back: fc.boolean(),
    delayMs: fc.integer({ min: 0, max: 3000 }),
    wallJumpMs: fc.integer({ min: -5000, max: 5000 }),
  })
  fc.assert(fc.property(
    fc.array(step, { maxLength: 40 }),
    fc.double({ min: 0.955, max: 1.045, noNaN: true }),
    (steps, rate) => {
      const holder = new Grants(times, at(0))
      const granter = new Grants(times, at(0))
      let now = 0
      let wallMs = 0
      const mine = () => at(now / rate, wallMs)
      const theirs = () => at(now * rate, -wallMs)
      steps.forEach(({ waitMs, there, back, delayMs, wallJumpMs }, index) => {
        const number = index + 1
        now += waitMs
        wallMs += wallJumpMs
        holder.sent(number, mine())
        now += delayMs
        if (there) granter.received('holder', self, number, theirs())
        const heard = granter.heardList()['holder']
        now += delayMs / 3
        if (back && heard) holder.listed('granter', heard, self, mine())
        for (const later of [0, 500, 1500, 2000, 2300]) {
          now += later
          const both = holder.remainingMs('granter', mine()) > 0
            && granter.expired('holder', theirs(), times.grantMs * 1.1)
          assert.not(both)
          now -= later
        }
      })
    },
  ))
})

test.run()
