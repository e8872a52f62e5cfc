/** What keeps a segment of the journal (I14). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { segmentPin, type LogCover, type RemovableSegment } from '../../machines/log/retention.js'

const test = suite('machines/retention')

const logOf = (sequence: number, kept: number, damage: string | null = null): LogCover => ({
  covers: { covered: { epoch: 1, sequence }, kept: Array.from({ length: kept }, () => ({})) },
  damage,
})
const use = (over: Partial<RemovableSegment> = {}): RemovableSegment => ({
  spaces: [{ uuid: 'a', last: 10, timeMs: 5 }, { uuid: 'b', last: 20, timeMs: 5 }],
  unreadSpaces: [],
  isUnread: false,
  ...over,
})
const logs = (over: Record<string, LogCover | undefined> = {}) => {
  const all: Record<string, LogCover | undefined> = { a: logOf(10, 2), b: logOf(25, 2), ...over }
  return (uuid: string) => all[uuid]
}

test('all that counts is covered, twice', () => {
  assert.is(segmentPin(use(), logs()), null)
  assert.is(segmentPin(use({ spaces: [] }), () => undefined), null)
})

test('what is not covered, or by one checkpoint only, keeps it', () => {
  const cases: [LogCover | undefined, RegExp][] = [
    [logOf(9, 2), /up to 10, where checkpoints cover 9/],
    [logOf(10, 1), /^1 checkpoint/],
    [logOf(10, 0), /^0 checkpoint/],
    [logOf(10, 2, 'a bad record'), /damaged: a bad record/],
    [undefined, /not known/],
  ]
  for (const [a, reason] of cases) {
    const pin = segmentPin(use(), logs({ a }))
    assert.is(pin?.uuid, 'a')
    assert.match(pin?.reason ?? '', reason)
  }
})

test('what could not be read keeps it, until its log begins anew', () => {
  assert.match(segmentPin(use({ isUnread: true }), logs())?.reason ?? '', /unknown spaces/)
  const unread = use({ unreadSpaces: ['c'] })
  assert.is(segmentPin(unread, logs({ c: logOf(0, 0, 'bits') }))?.uuid, 'c')
  assert.is(segmentPin(unread, logs({ c: logOf(0, 0) })), null, 'installed later')
  assert.is(segmentPin(unread, logs()), null, 'dropped later')
})

test.run()
