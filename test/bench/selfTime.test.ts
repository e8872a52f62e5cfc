/** CPU profiles, summed up. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { selfTimes, selfTimeTables, topicOf } from '../../bench/selfTime.js'
import type { CallFrame } from '../../bench/selfTime.js'

const test = suite('self time')

const frame = (functionName: string, url = ''): CallFrame => ({ functionName, url, lineNumber: 9 })

test('topics: folders of the project, packages, modules of Node, natives', () => {
  const topics: [string, string, string][] = [
    ['f', 'file:///x/dist/actors/primary/ingest.js', 'actors/primary'],
    ['f', 'file:///x/dist/runtime/index.js', 'runtime'],
    ['f', 'file:///x/node_modules/nats/lib/parser.js', 'package nats'],
    ['f', 'file:///x/node_modules/a/node_modules/@b/c/i.js', 'package @b/c'],
    ['f', 'node:net', 'node:net'],
    ['f', 'node:internal/streams/writable', 'node:internal/streams'],
    ['writev', '', 'native writev'],
    ['(garbage collector)', '', '(garbage collector)'],
  ]
  for (const [name, url, topic] of topics) assert.is(topicOf(frame(name, url)), topic)
})

const profile = {
  nodes: [
    { id: 1, callFrame: frame('(idle)') },
    { id: 2, callFrame: frame('take', 'file:///x/dist/actors/primary/ingest.js') },
    { id: 3, callFrame: frame('flush', 'file:///x/dist/actors/primary/other.js') },
    // The same function, called from elsewhere.
    { id: 4, callFrame: frame('take', 'file:///x/dist/actors/primary/ingest.js') },
  ],
  samples: [1, 2, 3, 4, 1],
  timeDeltas: [5, 600, 100, 200, 100],
}

test('a sample lasts until the next; idle is not busy', () => {
  const { totalUs, busyUs, topics, functions } = selfTimes(profile)
  assert.equal([totalUs, busyUs], [1000, 400])
  assert.equal([...topics], [['actors/primary', 400]])
  assert.equal([...functions], [['take primary/ingest.js:10', 200], ['flush primary/other.js:10',
    200]])
})

test('the tables: shares of busy time, a limit of rows', () => {
  const text = selfTimeTables('n1, primary', selfTimes(profile), 1)
  assert.match(text, 'n1, primary: main thread busy for 40 % of 0.0 s')
  assert.match(text, '| take primary/ingest.js:10 | 50.0 % | 0 ms |')
  assert.not.match(text, 'flush')
})

test('an empty profile is no reason to fail', () => {
  assert.equal([...selfTimes({ nodes: [] }).topics], [])
})

test.run()
