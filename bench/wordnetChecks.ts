/** Spot checks by reading, from every member, at or above the last sequence that was written. */
import { headers as newHeaders } from 'nats'
import type { ReadAnswer } from '../actors/ports/clientApi.js'
import type { MemoryEdge, MemoryNode } from '../machines/graph/graph.js'
import { subjects } from '../machines/protocol/subjects.js'
import type { EngramCluster } from './engram.js'
import type { WordNet } from './wordnetData.js'

const samplesPerMember = 20
/** A queue group picks at random: with three members this many reads reach all of them. */
const readsMax = 600

interface Sample {
  readonly node: MemoryNode
  /** Distinct (source, kind, target), sorted. */
  readonly edges: readonly string[]
}

/** Wrong reads, and members that could not be read from; empty when all is well. */
export async function checkReads(cluster: EngramCluster, data: WordNet): Promise<string[]> {
  const now = await cluster.space()
  if (!now) return ['no node answers']
  const wanted = new Set(now.members.map((member) => member.node))
  const samples = pick(data)
  const faults: string[] = []
  const checked = new Map<string, number>()
  for (let n = 0; n < readsMax && ![...wanted].every((id) => enough(checked, id)); n++) {
    const sample = samples[n % samples.length]
    if (!sample) break
    const read = n % 2 === 0 ? readNode : readEdges
    const { node, fault } = await read(cluster, sample, now.endSequence)
    checked.set(node, (checked.get(node) ?? 0) + 1)
    if (fault) faults.push(`${node}: ${fault}`)
  }
  for (const id of wanted) {
    if (!enough(checked, id)) faults.push(`${id} answered ${checked.get(id) ?? 0} reads`)
  }
  const said = [...checked].toSorted().map(([id, count]) => `${count} by ${id}`)
  console.log(`Reads       ${said.join(', ')}, at sequence ${now.endSequence} or later`)
  return faults
}

function enough(checked: ReadonlyMap<string, number>, id: string): boolean {
  return (checked.get(id) ?? 0) >= samplesPerMember
}

/** Synsets spread over all of WordNet, with their edges. */
function pick(data: WordNet): Sample[] {
  const step = Math.max(1, Math.floor(data.nodes.length / (samplesPerMember * 3)))
  const nodes = data.nodes.filter((_, n) => n % step === 0)
  const edges = new Map(nodes.map((node) => [node.id, new Set<string>()]))
  for (const edge of data.edges) edges.get(edge.source)?.add(edgeName(edge))
  return nodes.map((node) => ({ node, edges: [...edges.get(node.id) ?? []].toSorted() }))
}

function edgeName(edge: MemoryEdge): string {
  return `${edge.source} ${edge.kind} ${edge.target}`
}

interface Read {
  readonly node: string
  readonly fault: string | null
}

async function readNode(cluster: EngramCluster, sample: Sample, from: number): Promise<Read> {
  const answer = await ask(cluster, { type: 'GetNode', nodeId: sample.node.id }, from)
  const read = answer.value as MemoryNode | null
  const same = read?.content === sample.node.content
    && JSON.stringify(read?.metadata?.['words']) === JSON.stringify(sample.node.metadata?.['words'])
  return { node: answer.node, fault: same ? null : `${sample.node.id} is ${JSON.stringify(read)}` }
}

async function readEdges(cluster: EngramCluster, sample: Sample, from: number): Promise<Read> {
  const query = { type: 'GetEdges', nodeId: sample.node.id, direction: 'out' }
  const answer = await ask(cluster, query, from)
  const read = (answer.value as MemoryEdge[]).map(edgeName).toSorted()
  const same = JSON.stringify(read) === JSON.stringify(sample.edges)
  const fault = `${sample.node.id} has ${read.length} edges, not ${sample.edges.length}`
  return { node: answer.node, fault: same ? null : fault }
}

async function ask(cluster: EngramCluster, query: object, from: number): Promise<ReadAnswer> {
  const headers = newHeaders()
  headers.set('Engram-Min-Sequence', String(from))
  const message = await cluster.connection.request(subjects.readAny(cluster.options.space),
    Buffer.from(JSON.stringify(query)), { timeout: 10_000, headers })
  const answer = JSON.parse(Buffer.from(message.data).toString()) as ReadAnswer | { ok: false;
    code: string; message: string }
  if (!answer.ok) throw new Error(`a read was refused: ${answer.code} ${answer.message}`)
  return answer
}
