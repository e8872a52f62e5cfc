import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Rounds, roundTicks } from '../../../actors/node/rounds.js'

const test = suite('actors/node/rounds')

function kit(count: number) {
  let condition = 'all well'
  const next: (() => void)[] = []
  const clock = {
    now: 0,
    monotonicMs: () => clock.now,
    nextTurn: (run: () => void) => void next.push(run),
    turn: () => next.shift()?.(),
  }
  const rounds = new Rounds<Space>(clock, () => condition, (space) => space.watched)
  const spaces = Array.from({ length: count }, () => new Space())
  for (const space of spaces) rounds.add(space)
  const tick = (times = 1): void => {
    for (let i = 0; i < times; i += 1) rounds.tick()
  }
  const looks = (): number => spaces.reduce((sum, space) => sum + space.ticks, 0)
  return { rounds, spaces, clock, tick, looks, change: (to: string) => void (condition = to) }
}

class Space {
  ticks = 0
  isAtRest = true
  watched: string | null = null
  onTick = (): void => undefined

  tick(): void {
    this.ticks += 1
    this.onTick()
  }
}

/** All have been awake for a round, and rest. */
function rested(count: number) {
  const all = kit(count)
  all.tick(2 * roundTicks)
  assert.is(all.rounds.awakeCount, 0)
  for (const space of all.spaces) space.ticks = 0
  return all
}

test('spaces at rest are looked at once a round, each, and evenly', () => {
  const { spaces, rounds, tick, looks } = rested(40)
  assert.is(rounds.tick().length, 4)
  tick(roundTicks - 1)
  assert.is(looks(), 40)
  assert.equal(new Set(spaces.map((space) => space.ticks)).size, 1)
})

test('one that is not at rest is looked at in each heartbeat, and for a round after', () => {
  const { spaces: [space], tick, looks } = rested(1)
  space!.isAtRest = false
  tick(roundTicks)
  const found = looks()
  tick(roundTicks)
  assert.is(looks(), found + roundTicks)
  space!.isAtRest = true
  tick(roundTicks)
  assert.is(looks(), found + 2 * roundTicks)
  tick(roundTicks)
  assert.ok(looks() <= found + 2 * roundTicks + 2)
})

test('one that is woken is looked at in the next heartbeat; all are when the condition changes', () => {
  const { spaces, rounds, tick, looks, change } = rested(30)
  rounds.wake(spaces[7]!)
  const before = spaces[7]!.ticks
  tick()
  assert.is(spaces[7]!.ticks, before + 1)
  const seen = looks()
  change('n2 is dead')
  assert.is(rounds.tick().length, 30)
  assert.is(looks(), seen + 30)
})

test('a change that concerns all wakes none that has nothing to do about it', () => {
  const { spaces, rounds, tick, looks, change } = rested(30)
  spaces[7]!.isAtRest = false
  change('n2 is dead')
  rounds.look()
  assert.is(looks(), 30, 'at once')
  assert.is(rounds.awakeCount, 1)
  tick()
  assert.is(looks(), 30 + 1 + 3)
})

test('many are looked at in several turns of the loop', () => {
  const { spaces, rounds, clock, tick, looks, change } = rested(30)
  for (const space of spaces) space.onTick = () => void (clock.now += 1)
  change('n2 is dead')
  assert.is(rounds.tick().length, 3)
  for (const done of [6, 9, 12]) {
    clock.turn()
    assert.is(looks(), done)
  }
  rounds.look()
  assert.is(looks(), 12, 'the turns go on as they are')
  for (let turns = 0; turns < 6; turns += 1) clock.turn()
  assert.equal(spaces.map((space) => space.ticks), spaces.map(() => 1))
  assert.is(rounds.tick().length, 30 - 3 + 3, 'all since the last heartbeat')
  rounds.close()
  clock.turn()
  for (const space of spaces) space.onTick = () => undefined
  tick(2 * roundTicks)
  assert.is(rounds.awakeCount, 0)
})

test('the primaries that are watched follow the spaces', () => {
  const { spaces: [a, b], rounds, tick } = rested(2)
  a!.watched = 'n2'
  rounds.wake(a!)
  assert.equal([...rounds.watchedNodes()], ['n2'], 'before the next heartbeat')
  b!.watched = 'n2'
  tick(roundTicks)
  a!.watched = 'n3'
  tick(roundTicks)
  assert.equal([...rounds.watchedNodes()].toSorted(), ['n2', 'n3'])
  rounds.delete(b!)
  assert.equal([...rounds.watchedNodes()], ['n3'])
})

test('a space that ends while others are looked at is not looked at any more', () => {
  const { spaces: [a, b], rounds } = kit(2)
  a!.onTick = () => rounds.delete(b!)
  assert.equal(rounds.tick(), [a])
  assert.is(b!.ticks, 0)
  rounds.wake(b!)
  assert.equal(rounds.tick(), [a])
})

test.run()
