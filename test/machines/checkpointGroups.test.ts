import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkpointGroups, groupBytesMax, groupSpacesMax, SharedFiles,
  smallBytes } from '../../machines/log/checkpointGroups.js'

const test = suite('groups of checkpoints')

const due = (name: string, lastBytes: number, newBytes = 0) => ({ name, lastBytes, newBytes })

function names(all: readonly ReturnType<typeof due>[]): string[] {
  return checkpointGroups(all).map((group) => group.map(({ name }) => name).join(''))
}

test('small ones are together where the first of them comes, the others alone', () => {
  assert.equal(names([]), [])
  assert.equal(names([due('a', smallBytes), due('b', 10), due('c', 2 * smallBytes), due('d', 20)]),
    [
      'a',
      'bd',
      'c',
    ])
  assert.equal(names([due('a', 0, smallBytes - 1), due('b', 0, smallBytes), due('c', 1)]), [
    'ac',
    'b',
  ], 'one without a checkpoint is as large as its journal')
})

test('a file has a bound in bytes, also if all of the new journal were new state', () => {
  const half = groupBytesMax / 2
  assert.equal(names([due('a', 10, half - 10), due('b', 10, half - 10), due('c', 1)]), ['ab', 'c'])
  assert.equal(names([due('a', 10, groupBytesMax), due('b', 10), due('c', 10)]), ['a', 'bc'])
})

test('a file has a bound in spaces', () => {
  const all = Array.from({ length: 2 * groupSpacesMax + 1 }, () => due('a', 100))
  assert.equal(checkpointGroups(all).map(({ length }) => length), [
    groupSpacesMax,
    groupSpacesMax,
    1,
  ])
})

test('a shared file of which less than half counts is to be left', () => {
  const section = (file: number, bytes: number, sharedBytes: number) => ({ file, bytes,
    sharedBytes })
  const files = new SharedFiles()
  files.add(section(1, 10, 10))
  files.add(section(2, 4, 10))
  files.add(section(3, 4, 10))
  files.add(section(3, 1, 10))
  assert.equal([...files.sparse()], [2])
})

test.run()
