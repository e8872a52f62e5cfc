import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { imageDuty } from '../../../actors/checkpoints/imagePace.js'

const test = suite('pace of an image')
const MiB = 2 ** 20
const state = { passedMs: 0, need: 1, grownBytes: 0, stateBytes: 800 * MiB }

test('the more the file of the store has grown, the faster', () => {
  const duties = [0, 90, 120, 390, 420, 790, 810, 5000].map((grownMiB) =>
    imageDuty({ ...state, grownBytes: grownMiB * MiB })
  )
  assert.equal(duties, [0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.8, 0.8])
})

test('a small state may make it grow by some megabytes', () => {
  const small = { ...state, stateBytes: MiB }
  assert.is(imageDuty({ ...small, grownBytes: 7 * MiB }), 0.1)
  assert.is(imageDuty({ ...small, grownBytes: 9 * MiB }), 0.3)
})

test('the later, and the more is written meanwhile, the faster', () => {
  assert.is(imageDuty({ ...state, need: 1.9 }), 0.1)
  assert.is(imageDuty({ ...state, need: 2 }), 0.3)
  assert.is(imageDuty({ ...state, passedMs: 61_000 }), 0.3)
  assert.is(imageDuty({ ...state, passedMs: 181_000 }), 0.5)
})

test.run()
