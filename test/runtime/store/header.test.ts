import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeHeader, emptyHeader, encodeHeader, headerOf, stateOf,
  type SpaceHeader } from '../../../runtime/store/header.js'

const test = suite('store: header of a space')

const header: SpaceHeader = {
  ...emptyHeader,
  epoch: 3,
  sequence: 500,
  digest: 0xfedc_ba98_7654_3210n,
  nodes: 7,
  keys: 9,
  keysFrom: 12,
  timestamp: 1_700_000_000_000,
  keysNow: 1_700_000_000_001,
  installs: 4,
}

test('it comes back as it was', () => {
  assert.equal(decodeHeader(encodeHeader(header)), header)
  assert.equal(headerOf(stateOf(header), 4), header)
  assert.is(stateOf({ ...header, digest: 5n }).digest, '0000000000000005')
})

test('a header of an earlier release has no installs, and of earlier ones no times', () => {
  const record = encodeHeader(header)
  assert.equal(decodeHeader(record.subarray(0, 14 * 8)), { ...header, installs: 0 })
  assert.equal(decodeHeader(record.subarray(0, 12 * 8)), {
    ...header,
    installs: 0,
    timestamp: 0,
    keysNow: 0,
  })
})

test.run()
