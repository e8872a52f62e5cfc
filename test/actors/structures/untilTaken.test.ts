/** Writes that wait for a full disk. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { untilTaken } from '../../../actors/structures/untilTaken.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('until taken')

const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' })
const passing = Object.assign(new Error('the store cannot write'), { retryable: true })

function kit(errors: Error[]) {
  const clock = new VirtualClock()
  const seen = { writes: 0, isOver: false, hindered: [] as string[] }
  const done = untilTaken(async () => {
    seen.writes += 1
    const error = errors.shift()
    if (error) throw error
  }, { clock, isOver: () => seen.isOver, onHindered: (reason) => seen.hindered.push(reason) })
  return { clock, seen, done }
}

test('a full disk is waited for, and the reason is told each time', async () => {
  const { clock, seen, done } = kit([full, passing])
  await clock.advanceAsync(499)
  assert.is(seen.writes, 1)
  await clock.advanceAsync(1000)
  await done
  assert.is(seen.writes, 3)
  assert.equal(seen.hindered, ['no space left', 'the store cannot write'])
})

test('it ends without the write when that is not wanted any more', async () => {
  const { clock, seen, done } = kit([full, full])
  await clock.advanceAsync(1)
  seen.isOver = true
  await clock.advanceAsync(1000)
  await done
  assert.is(seen.writes, 1)
})

test('any other error ends it', async () => {
  const { done } = kit([new Error('the file is closed')])
  const error = await done.then(() => null, (thrown: Error) => thrown)
  assert.is(error?.message, 'the file is closed')
})

test.run()
