import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { judgeDirectory } from '../../machines/protocol/dataDirectoryVerdict.js'
import type { DirectoryIdentity,
  DirectoryKind } from '../../machines/protocol/dataDirectoryVerdict.js'

const test = suite('machines/directory')
const fresh = { disk: 'fresh', incarnation: 1000 }
const directory = (incarnation: number, spoken = incarnation): DirectoryIdentity => ({ node: 'n1',
  disk: 'd1', incarnation, spoken })
const recorded = (incarnation: number, disk = 'd1') => ({ node: 'n1', disk, incarnation })

const table: readonly [
  what: string,
  directory: DirectoryIdentity | null,
  recorded: ReturnType<typeof recorded> | null,
  kind: DirectoryKind,
  disk: string,
  incarnation: number,
][] = [
  ['a first start', null, null, 'new', 'fresh', 1000],
  ['an empty disk in a known node', null, recorded(7), 'empty', 'fresh', 1000],
  ['an empty disk in a node started often', null, recorded(2000), 'empty', 'fresh', 2001],
  ['a restart', directory(7), recorded(7), 'trusted', 'd1', 8],
  ['a restart after a crash before the record', directory(8), recorded(7), 'trusted', 'd1', 9],
  ['numbers used without the arbiter', directory(7, 9), recorded(7), 'trusted', 'd1', 10],
  ['a copy of the past', directory(6), recorded(7), 'past', 'fresh', 8],
  ['a copy that spoke without the arbiter', directory(6, 12), recorded(7), 'past', 'fresh', 13],
  ['another disk was used since', directory(9), recorded(7, 'd2'), 'other', 'fresh', 10],
  ['the record is lost', directory(7), null, 'unrecorded', 'd1', 8],
]

for (const [what, own, known, kind, disk, incarnation] of table) {
  test(`${what}: ${kind}`, () => {
    const verdict = judgeDirectory(own, known, fresh)
    assert.is(verdict.kind, kind)
    assert.is(verdict.disk, disk)
    assert.is(verdict.incarnation, incarnation)
    assert.is(verdict.reason === null, kind === 'new' || kind === 'trusted')
  })
}

test('whatever is tried, a number is above all that were known', () => {
  for (const [, own, known] of table) {
    const { incarnation } = judgeDirectory(own, known, fresh)
    for (const other of [own?.incarnation, own?.spoken, known?.incarnation]) {
      if (other !== undefined) assert.ok(incarnation > other)
    }
  }
})

test.run()
