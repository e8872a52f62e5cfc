import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Since } from '../../../actors/structures/since.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('since')

test('it lasts from the first note on, until one without it', () => {
  const clock = new VirtualClock()
  const since = new Since<string>(clock)
  const lasting = (ms: number): string[] => ['a', 'b'].filter((one) => since.lasts(one, ms))
  assert.equal(lasting(0), [])
  since.update(['a'])
  clock.advance(10)
  since.update(['a', 'b'])
  assert.equal(lasting(10), ['a'])
  assert.equal(lasting(11), [])
  clock.advance(5)
  assert.equal(lasting(5), ['a', 'b'])
  since.update(['b'])
  since.update(['a', 'b'])
  assert.equal(lasting(1), ['b'], 'it begins anew')
  since.clear()
  assert.equal(lasting(0), [])
})

test.run()
