/**
 * The Store port in memory: one entry at a time, everything sorted when asked for. Shares only the
 * canonical bytes of a record with the real one, so that digests can be compared.
 */
import type {
  EdgeDirection, RememberedRecord, SpaceStore, Store,
} from '../../actors/ports.js'
import { defaultKeyRetention } from '../../machines/memory.js'
import type {
  KeyRecord, KeyRetention, LogEntry, MemoryEdge, MemoryNode,
} from '../../machines/memory.js'
import type { Position } from '../../machines/protocol.js'
import { digestText, encodeEdge, encodeNode, hashOf } from '../../runtime/store/record.js'
import { Slab } from '../../runtime/store/slab.js'

export class MemorySpaceStore implements SpaceStore {
  applied: Position = { epoch: 0, sequence: 0 }
  ignoredCount = 0
  private readonly nodesById = new Map<string, MemoryNode>()
  private readonly edgesByName = new Map<string, MemoryEdge>()
  private readonly keys = new Map<string, KeyRecord>()
  private lastWriteId: string | null = null
  /** Asked for more often than it changes. */
  private digestOf: { sequence: number; digest: string } | null = null

  get nodeCount(): number {
    return this.nodesById.size
  }

  get edgeCount(): number {
    return this.edgesByName.size
  }

  get digest(): string {
    if (this.digestOf?.sequence === this.applied.sequence) return this.digestOf.digest
    const digest = this.computed()
    this.digestOf = { sequence: this.applied.sequence, digest }
    return digest
  }

  private computed(): string {
    const slab = new Slab(1024)
    let sum = 0n
    for (const node of this.nodesById.values()) sum += hashOf(encodeNode(slab, node))
    for (const edge of this.edgesByName.values()) sum += hashOf(encodeEdge(slab, edge))
    return digestText(sum)
  }

  node(id: string): MemoryNode | undefined {
    return this.nodesById.get(id)
  }

  edges(nodeId: string, direction: EdgeDirection): MemoryEdge[] {
    const all = [...this.edgesByName.values()]
    const out = all.filter((edge) => edge.source === nodeId)
      .toSorted((a, b) => compareBytes(a.target, b.target) || compareBytes(a.kind, b.kind))
    const into = all.filter((edge) => edge.target === nodeId)
      .toSorted((a, b) => compareBytes(a.source, b.source) || compareBytes(a.kind, b.kind))
    if (direction === 'out') return out
    if (direction === 'in') return into
    return [...out, ...into.filter((edge) => edge.source !== nodeId)]
  }

  nodes(after: string, limit: number): MemoryNode[] {
    return [...this.nodesById.values()]
      .filter((node) => compareBytes(node.id, after) > 0)
      .toSorted((a, b) => compareBytes(a.id, b.id))
      .slice(0, Math.max(0, limit))
  }

  key(key: string): KeyRecord | undefined {
    return this.keys.get(key)
  }

  async apply(
    entries: readonly LogEntry[], retention: KeyRetention = defaultKeyRetention,
  ): Promise<void> {
    let { epoch, sequence } = this.applied
    for (const entry of entries) {
      if (entry.sequence !== sequence + 1 || entry.epoch < epoch) {
        throw new Error(`bug: entry ${entry.sequence} does not continue ${sequence}`)
      }
      ({ epoch, sequence } = entry)
    }
    for (const entry of entries) this.applyOne(entry)
    this.applied = { epoch, sequence }
    this.forgetKeys((entries.at(-1)?.timestamp ?? 0) - retention.ms, retention.count)
  }

  private forgetKeys(oldest: number, count: number): void {
    for (const [key, { timestamp }] of this.keys) {
      if (timestamp >= oldest && this.keys.size <= count) return
      this.keys.delete(key)
    }
  }

  private applyOne(entry: LogEntry): void {
    const { writeId, epoch, sequence, timestamp, operation } = entry
    if (writeId !== null) {
      const count = writeId === this.lastWriteId ? (this.keys.get(writeId)?.count ?? 0) + 1 : 1
      // Last in order, as in the log.
      this.keys.delete(writeId)
      this.keys.set(writeId, { epoch, sequence, count, timestamp })
    }
    this.lastWriteId = writeId
    if (operation.type === 'StoreNode') this.nodesById.set(operation.node.id, operation.node)
    if (operation.type === 'StoreEdge') {
      const { source, target, kind } = operation.edge
      this.edgesByName.set(JSON.stringify([source, target, kind]), operation.edge)
    }
    if (operation.type === 'UpdateActivation') {
      const { nodeId, activation } = operation
      const node = this.nodesById.get(nodeId)
      if (node === undefined) this.ignoredCount += 1
      else this.nodesById.set(nodeId, { ...node, activation })
    }
  }
}

export class MemoryStore implements Store {
  private readonly spaces = new Map<string, MemorySpaceStore>()
  private readonly seen = new Map<string, RememberedRecord>()
  private readonly reasons = new Map<string, string>()

  space(uuid: string): MemorySpaceStore {
    let space = this.spaces.get(uuid)
    if (space === undefined) {
      space = new MemorySpaceStore()
      this.spaces.set(uuid, space)
    }
    return space
  }

  async remember(space: string, seen: RememberedRecord): Promise<void> {
    this.seen.set(space, structuredClone(seen))
  }

  remembered(): Map<string, RememberedRecord> {
    return structuredClone(this.seen)
  }

  async condemn(uuid: string, reason: string): Promise<void> {
    if (!this.reasons.has(uuid)) this.reasons.set(uuid, reason)
  }

  condemned(uuid: string): string | null {
    return this.reasons.get(uuid) ?? null
  }

  /** As after a crash of the machine: graphs were never synced, what is remembered was. */
  discardGraphs(): void {
    this.spaces.clear()
  }

  /** What was applied stays: opening again is using the same object. */
  async close(): Promise<void> {}
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'))
}
