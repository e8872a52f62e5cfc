import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseSynset, readWordNet, wordNetCounts,
  WordNetRequests } from '../../bench/wordnetData.js'
import type { WordNet } from '../../bench/wordnetData.js'

const test = suite('WordNet')

let read: WordNet | undefined
const wordNet = (): WordNet => read ??= readWordNet()

test('WordNet 3.1 has the synsets and pointers that the demo promises', () => {
  const { nodes, edges } = wordNet()
  assert.is(nodes.length, wordNetCounts.synsets)
  assert.is(new Set(nodes.map((node) => node.id)).size, wordNetCounts.synsets)
  assert.is(edges.length, wordNetCounts.pointers)
  const distinct = new Set(edges.map((edge) => `${edge.source} ${edge.kind} ${edge.target}`))
  assert.is(distinct.size, wordNetCounts.edges)
})

test('every pointer leads from a synset to a synset', () => {
  const { nodes, edges } = wordNet()
  const ids = new Set(nodes.map((node) => node.id))
  const lost = edges.filter((edge) => !ids.has(edge.source) || !ids.has(edge.target))
  assert.equal(lost, [])
})

test('a synset line is taken apart: words, gloss, pointers', () => {
  const { node, edges } = parseSynset('00002137 03 n 02 abstraction 0 abstract_entity 0 002 '
    + '@ 00001740 n 0000 + 00694095 v 0101 | a general concept  ', 'n')
  assert.equal(node, {
    id: 'n00002137',
    content: 'abstraction, abstract entity: a general concept',
    activation: 0.5,
    confidence: 1,
    metadata: { pos: 'n', lexFile: 3, words: ['abstraction', 'abstract entity'] },
  })
  assert.equal(edges, [
    { source: 'n00002137', target: 'n00001740', kind: '@' },
    { source: 'n00002137', target: 'v00694095', kind: '+' },
  ])
})

test('the word count is hexadecimal, and a satellite is an adjective', () => {
  const words = Array.from({ length: 16 }, (_, n) => `w${n} 0`).join(' ')
  const { node, edges } = parseSynset(
    `00001740 00 s 10 ${words} 001 & 00002098 s 0000 | gloss`,
    'a',
  )
  assert.equal(node.metadata?.['words'], Array.from({ length: 16 }, (_, n) => `w${n}`))
  assert.equal(edges, [{ source: 'a00001740', target: 'a00002098', kind: '&' }])
})

test('a line that ends too early is refused', () => {
  assert.throws(() => parseSynset('00001740 03 n 01 entity 0 001 @ | gloss', 'n'), /ends too early/)
})

test('requests cover every operation once, nodes before edges, within the size limit', () => {
  const requests = new WordNetRequests(wordNet(), 50)
  assert.is(requests.operations, wordNetCounts.synsets + wordNetCounts.pointers)
  const seen = { StoreNode: 0, StoreEdge: 0 }
  let largest = 0
  for (let index = 0; index < requests.count; index++) {
    const operations = requests.request(index)
    largest = Math.max(largest, Buffer.byteLength(JSON.stringify({ operations })))
    for (const { type } of operations) seen[type as keyof typeof seen]++
    if (index === 0) assert.ok(operations.every(({ type }) => type === 'StoreNode'))
  }
  assert.equal(seen, { StoreNode: wordNetCounts.synsets, StoreEdge: wordNetCounts.pointers })
  assert.ok(largest <= 256 * 1024, `a request of ${largest} bytes`)
})

test.run()
