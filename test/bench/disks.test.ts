/** The benchmark of disks: flags, room on the disk, goals, ids. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { idOf, metricIn } from '../../bench/diskKit.js'
import { findingsTable, isReached, lackOfRoom, parseDiskOptions } from '../../bench/disks.js'

const test = suite('disks')

test('all parts at the size of their goals, unless flags say otherwise', () => {
  assert.equal(parseDiskOptions([]), {
    only: ['restart', 'powerCut', 'install', 'checkpoints'],
    gib: null,
    pairs: 6,
    members: 3,
    entryBytes: 16_000,
    json: false,
  })
  const some = parseDiskOptions(['--only', 'install,restart', '--gib', '0.5', '--json'])
  assert.equal(some.only, ['restart', 'install'])
  assert.is(some.gib, 0.5)
  assert.is(some.json, true)
})

test('what is not known is refused, with what is', () => {
  const refused = (args: string[], pattern: RegExp): void =>
    assert.throws(() => parseDiskOptions(args), pattern)
  refused(['--only', 'restart,speed'], /--only knows restart, powerCut.*: not speed/)
  refused(['--gib', 'much'], /--gib is a number above 0: not much/)
  refused(['--pairs', '1.5'], /--pairs is a whole number above 0: not 1.5/)
  refused(['--members', '0'], /--members is a whole number above 0: not 0/)
})

test('a part takes no more than half of what is free', () => {
  const GiB = 2 ** 30
  assert.is(lackOfRoom('restart', 1, 4 * GiB), null)
  assert.match(lackOfRoom('restart', 1, 2 * GiB) ?? '', /1\.5 GiB.*half of the 2\.0 GiB/)
  assert.is(lackOfRoom('restart', null, 40 * GiB), null)
  assert.ok(lackOfRoom('restart', null, 20 * GiB))
})

test('a goal is reached from the right side, and never by what was not measured', () => {
  const finding = { what: 'x', unit: 's' }
  assert.is(isReached({ ...finding, value: 4, goal: { least: 4 } }), true)
  assert.is(isReached({ ...finding, value: 3.9, goal: { least: 4 } }), false)
  assert.is(isReached({ ...finding, value: 4.1, goal: { most: 4 } }), false)
  assert.is(isReached({ ...finding, value: NaN, goal: { most: 4 } }), false)
  assert.is(isReached({ ...finding, value: 4 }), null)
  assert.is(
    findingsTable([{ ...finding, value: 2.345, goal: { most: 2 } }, { ...finding, value: 1 }]),
    '|  | measured | goal |  |\n| --- | ---: | ---: | ---: |\n'
      + '| x | 2.35 s | ≤ 2 s | missed |\n| x | 1 s |  |  |',
  )
})

test('bulk writes store each memory node once in a round', () => {
  const ids = 5000
  const seen = new Set(Array.from({ length: ids }, (_, number) => idOf(number, ids)))
  assert.is(seen.size, ids)
})

test('a metric is summed over its labels, and not over names that begin like it', () => {
  const text = 'a_total{result="ok"} 3\na_total{result="failed"} 1\na_total_bytes 7\nb 2\n'
  assert.is(metricIn(text, 'a_total'), 4)
  assert.is(metricIn(text, 'b'), 2)
  assert.ok(Number.isNaN(metricIn(text, 'c')))
})

test.run()
