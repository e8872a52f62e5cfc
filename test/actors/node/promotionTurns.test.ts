import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PromotionTurns } from '../../../actors/node/promotionTurns.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('actors/node/promotionTurns')

/** A space whose primary is gone. */
class Space {
  begunAtMs: number | null = null

  constructor(readonly kit: Kit, readonly isFirst: boolean) {}

  reconsider(): void {
    if (this.begunAtMs !== null || !this.kit.turns.mayBegin(this)) return
    this.begunAtMs = this.kit.clock.monotonicMs()
  }
}

class Kit {
  readonly clock = new VirtualClock()
  readonly turns = new PromotionTurns<Space>({
    clock: this.clock,
    isFirst: ({ isFirst }) => isFirst,
  })
  readonly spaces: Space[] = []

  /** Every other space belongs to another member. */
  vacant(count: number): void {
    for (let i = 0; i < count; i += 1) this.spaces.push(new Space(this, i % 2 === 0))
    for (const space of this.spaces) space.reconsider()
  }

  /** Without heartbeats: a space that waits may be at rest. */
  run(ms: number): void {
    this.clock.advance(ms)
  }

  begun(of = this.spaces): number {
    return of.filter(({ begunAtMs }) => begunAtMs !== null).length
  }

  get others(): Space[] {
    return this.spaces.filter(({ isFirst }) => !isFirst)
  }
}

test('a few begin in a turn, the others in the next ones', () => {
  const kit = new Kit()
  kit.vacant(20)
  assert.is(kit.begun(), 8)
  kit.clock.advance(0)
  assert.is(kit.begun(), 20, 'each turn is a timer that is due at once')
})

test('in a crowd, spaces that belong to another member are left to it for a second', () => {
  const kit = new Kit()
  kit.vacant(200)
  kit.run(900)
  assert.is(kit.begun() - kit.begun(kit.others), 100)
  const early = kit.begun(kit.others)
  assert.ok(early <= 24, `${early} began before there was a crowd`)
  kit.run(200)
  assert.is(kit.begun(), 200, 'the other one may hang')
})

test('a few spaces wait for nobody', () => {
  const kit = new Kit()
  kit.vacant(23)
  kit.clock.advance(0)
  assert.is(kit.begun(), 23)
})

test('one that is better than a candidate begins at once', () => {
  const kit = new Kit()
  kit.vacant(200)
  kit.run(100)
  const space = kit.others.find(({ begunAtMs }) => begunAtMs === null)!
  kit.turns.insist(space)
  kit.clock.advance(0)
  assert.is(space.begunAtMs, 100)
})

test('a later crowd is one anew', () => {
  const kit = new Kit()
  kit.vacant(200)
  kit.run(1500)
  kit.spaces.length = 0
  kit.vacant(200)
  kit.run(500)
  assert.ok(kit.begun(kit.others) <= 24)
  kit.run(600)
  assert.is(kit.begun(), 200)
})

test('none begins once it is closed, and one that has left waits no longer', () => {
  const kit = new Kit()
  kit.vacant(20)
  for (const space of kit.spaces) kit.turns.forget(space)
  kit.clock.advance(0)
  assert.is(kit.begun(), 8)
  kit.turns.close()
  for (const space of kit.spaces) space.reconsider()
  kit.run(2000)
  assert.is(kit.begun(), 8)
})

test.run()
