/** What keeps a segment of the journal (I14). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readersNeed, segmentPins, type LogCover,
  type RemovableSegment } from '../../machines/log/retention.js'

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
  assert.equal(segmentPins(use(), logs()), [])
  assert.equal(segmentPins(use({ spaces: [] }), () => undefined), [])
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
    const [pin, ...others] = segmentPins(use(), logs({ a }))
    assert.is(pin?.uuid, 'a')
    assert.match(pin?.reason ?? '', reason)
    assert.equal(others, [])
  }
  const both = segmentPins(use(), logs({ a: logOf(9, 2), b: logOf(25, 1) }))
  assert.equal(both.map(({ uuid }) => uuid), ['a', 'b'])
})

test('what could not be read keeps it, until its log begins anew', () => {
  assert.match(segmentPins(use({ isUnread: true }), logs())[0]?.reason ?? '', /unknown spaces/)
  const unread = use({ unreadSpaces: ['c'] })
  assert.is(segmentPins(unread, logs({ c: logOf(0, 0, 'bits') }))[0]?.uuid, 'c')
  assert.equal(segmentPins(unread, logs({ c: logOf(0, 0) })), [], 'installed later')
  assert.equal(segmentPins(unread, logs()), [], 'dropped later')
})

test('readers keep what is young enough, or near enough to the end of the journal', () => {
  const part = { timeMs: 1000 }
  const reason = (retain: object, closedBytes: number, nowMs: number) =>
    readersNeed(retain, part, closedBytes, nowMs)
  assert.match(reason({ ms: 500 }, 1e9, 1499) ?? '', /retain 500 ms/)
  assert.is(reason({ ms: 500 }, 1e9, 1500), null)
  assert.match(reason({ bytes: 300 }, 300, 1e9) ?? '', /retain 300 bytes/)
  assert.is(reason({ bytes: 300 }, 301, 1e9), null)
  assert.ok(reason({ bytes: 300, ms: 500 }, 301, 1499), 'either is enough')
  assert.is(reason({}, 1, 1000), null)
})

test.run()
