import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BucketLooks } from '../../../actors/arbiter/bucketLooks.js'

const test = suite('actors/arbiter/bucketLooks')

test('a read is current while looks show no change since, as of the sending of the last look', () => {
  const looks = new BucketLooks()
  assert.is(looks.currentAsOf(5), 5)
  looks.noted('a', 10, 12)
  assert.not(looks.isCurrent(11), 'sent before the first look of that mark was answered')
  assert.is(looks.currentAsOf(12), 12)
  looks.noted('a', 30, 35)
  assert.is(looks.currentAsOf(12), 30)
  assert.is(looks.currentAsOf(32), 32)
  assert.is(looks.currentAsOf(11), 11)
})

test('after a change, and over another connection, reads count only as of themselves', () => {
  const looks = new BucketLooks()
  looks.noted('a', 10, 12)
  looks.noted('a', 30, 35)
  looks.noted('b', 50, 55)
  assert.is(looks.currentAsOf(40), 40)
  looks.noted('b', 60, 61)
  assert.is(looks.currentAsOf(40), 40)
  assert.is(looks.currentAsOf(56), 60)
  looks.reset()
  assert.is(looks.mark, '')
  assert.is(looks.currentAsOf(56), 56)
})

test.run()
