/**
 * The Store port in memory: one entry at a time, everything sorted when asked for. Shares only the
 * canonical bytes of a record with the real one, so that digests can be compared.
 */
import type { DamageMark, EdgeDirection, EdgeState, NodeState, RememberedRecord, SpaceImage,
  SpaceState, SpaceStore, Store } from '../../actors/ports/store.js'
import type { Position } from '../../machines/base/ids.js'
import { concernsForks, displacedEdge, displacedNode, foldForks, isEffective,
  originOf } from '../../machines/forks/forkReports.js'
import type { Displaced } from '../../machines/forks/forkReports.js'
import type { EdgePlace } from '../../machines/graph/edgePlace.js'
import { defaultKeyRetention } from '../../machines/graph/graph.js'
import type { KeyRetention, MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { KeyRecord, LogEntry } from '../../machines/log/entries.js'
import type { ForkReport, OriginRecord, QuarantineItem } from '../../machines/log/forkNotes.js'
import { keyTimeAfter } from '../../machines/log/keyClock.js'
import type { KeyTime } from '../../machines/log/keyClock.js'
import { versionOf } from '../../machines/log/versions.js'
import { encodeItem, encodeReport } from '../../runtime/store/forkRecord.js'
import { canonicalEdge, canonicalNode, digestText, encodeEdge, encodeNode,
  hashOf } from '../../runtime/store/record.js'
import { Slab } from '../../runtime/store/slab.js'
import { MemoryStage } from './memoryStage.js'
import { edgeName, emptyContent, MemoryImage, type MemoryContent } from './memoryImage.js'

/** About what an entry makes a file of pages grow by while none is free. */
const pagedBytes = 5000
const nothing: NodeState = { node: undefined, stored: undefined, activated: undefined }

export class MemorySpaceStore implements SpaceStore {
  applied: Position = { epoch: 0, sequence: 0 }
  ignoredCount = 0
  installs = 0
  private life = 0
  private content: MemoryContent = emptyContent()
  /** Keys of earlier entries are forgotten. */
  private keysFrom = 0
  private keyTime: KeyTime = { epoch: 0, timestamp: 0, now: 0 }
  private lastWriteId: string | null = null
  /** Asked for more often than it changes. */
  private digestOf: { sequence: number; installs: number; digest: string } | null = null

  get nodeCount(): number {
    return this.content.nodes.size
  }

  get edgeCount(): number {
    return this.content.edges.size
  }

  get digest(): string {
    const { applied: { sequence }, installs, digestOf } = this
    if (digestOf?.sequence === sequence && digestOf.installs === installs) return digestOf.digest
    const digest = this.computed()
    this.digestOf = { sequence, installs, digest }
    return digest
  }

  private computed(): string {
    const slab = new Slab(1024)
    let sum = 0n
    for (const { node, stored, activated } of this.content.nodes.values()) {
      sum += hashOf(encodeNode(slab, node!, stored!, activated))
    }
    for (const { edge, version } of this.content.edges.values()) {
      sum += hashOf(encodeEdge(slab, edge, version))
    }
    for (const report of this.content.forks.reports()) sum += hashOf(encodeReport(report))
    for (const item of this.content.forks.items()) sum += hashOf(encodeItem(item))
    return digestText(sum)
  }

  node(id: string): MemoryNode | undefined {
    return this.content.nodes.get(id)?.node
  }

  nodeState(id: string): NodeState {
    return this.content.nodes.get(id) ?? nothing
  }

  edgeState(source: string, target: string, kind: string): EdgeState | undefined {
    return this.content.edges.get(edgeName({ source, target, kind }))
  }

  origin(epoch: number, sequence: number): OriginRecord | undefined {
    return this.content.forks.origin({ epoch, sequence })
  }

  reports(): readonly ForkReport[] {
    return this.content.forks.reports()
  }

  get openReportCount(): number {
    return this.reports().filter(({ outcome }) => outcome === null).length
  }

  get quarantineCount(): number {
    return this.content.forks.itemCount
  }

  quarantine(after: string): QuarantineItem[] {
    const from = after === '' ? { epoch: 0, sequence: 0 } : originOf(after)
    if (from === undefined) return []
    return this.content.forks.items().filter(({ origin: { epoch, sequence } }) =>
      epoch > from.epoch || (epoch === from.epoch && sequence > from.sequence)
    )
  }

  quarantined(id: string): QuarantineItem | undefined {
    return this.content.forks.item(id)
  }

  edges(
    nodeId: string,
    direction: EdgeDirection,
    after: EdgePlace | null = null,
  ): MemoryEdge[] {
    const all = [...this.content.edges.values()].map(({ edge }) => edge)
    const isAfter = (side: 'out' | 'in', other: string, kind: string): boolean => {
      if (after === null) return true
      if (side !== after.side) return side === 'in'
      return (compareBytes(other, after.other) || compareBytes(kind, after.kind)) > 0
    }
    const out = all
      .filter(({ source, target, kind }) => source === nodeId && isAfter('out', target, kind))
      .toSorted((a, b) => compareBytes(a.target, b.target) || compareBytes(a.kind, b.kind))
    const into = all
      .filter(({ source, target, kind }) => target === nodeId && isAfter('in', source, kind))
      .toSorted((a, b) => compareBytes(a.source, b.source) || compareBytes(a.kind, b.kind))
    if (direction === 'out') return out
    if (direction === 'in') return into
    return [...out, ...into.filter((edge) => edge.source !== nodeId)]
  }

  nodes(after: string): MemoryNode[] {
    return [...this.content.nodes.values()].map(({ node }) => node!)
      .filter((node) => compareBytes(node.id, after) > 0)
      .toSorted((a, b) => compareBytes(a.id, b.id))
  }

  readonly areKeysRead = true

  async keysRead(): Promise<void> {}

  key(key: string): KeyRecord | undefined {
    return this.content.keys.get(key)
  }

  async apply(
    entries: readonly LogEntry[],
    retention: KeyRetention = defaultKeyRetention,
  ): Promise<void> {
    let { epoch, sequence } = this.applied
    for (const entry of entries) {
      if (entry.sequence !== sequence + 1 || entry.epoch < epoch) {
        throw new Error(`bug: entry ${entry.sequence} does not continue ${sequence}`)
      }
      ;({ epoch, sequence } = entry)
    }
    for (const entry of entries) this.applyOne(entry)
    this.applied = { epoch, sequence }
    this.keyTime = keyTimeAfter(this.keyTime, entries)
    this.forgetKeys(this.keyTime.now - retention.ms, retention.count)
  }

  private forgetKeys(oldest: number, count: number): void {
    for (const [key, { sequence, timestamp }] of this.content.keys) {
      if (timestamp >= oldest && this.content.keys.size <= count) return
      this.content.keys.delete(key)
      this.keysFrom = Math.max(this.keysFrom, sequence + 1)
    }
  }

  get state(): SpaceState {
    const { forks, keys } = this.content
    return {
      position: this.applied,
      digest: this.digest,
      nodes: this.nodeCount,
      edges: this.edgeCount,
      ignored: this.ignoredCount,
      keys: keys.size,
      keysFrom: this.keysFrom,
      keysNow: this.keyTime.now,
      timestamp: this.keyTime.timestamp,
      openReports: this.openReportCount,
      quarantined: this.quarantineCount,
      strays: forks.strayCount,
      forgotten: 0,
    }
  }

  image({ epoch, sequence }: Position): SpaceImage | null {
    const { applied, state, content } = this
    if (applied.epoch !== epoch || applied.sequence !== sequence) return null
    const { life } = this
    return new MemoryImage(state, content, () => life !== this.life,
      () => (this.applied.sequence - sequence) * pagedBytes)
  }

  /** Replaces the whole state; the object stays. */
  adopt(state: SpaceState, content: MemoryContent, installs: number): void {
    const { position, keysFrom, timestamp, keysNow } = state
    this.applied = position
    this.ignoredCount = state.ignored
    this.installs = installs
    this.content = content
    this.keysFrom = keysFrom
    this.keyTime = { epoch: position.epoch, timestamp, now: keysNow }
    const [lastKey, last] = [...content.keys].at(-1) ?? [null, undefined]
    this.lastWriteId = last?.sequence === position.sequence ? lastKey : null
  }

  /** Images of before are closed, as by a restart. */
  close(): void {
    this.life += 1
  }

  private applyOne(entry: LogEntry): void {
    const { writeId, epoch, sequence, timestamp, operation } = entry
    if (writeId !== null) {
      const count = writeId === this.lastWriteId
        ? (this.content.keys.get(writeId)?.count ?? 0) + 1
        : 1
      // Last in order, as in the log.
      this.content.keys.delete(writeId)
      this.content.keys.set(writeId, { epoch, sequence, count, timestamp })
    }
    this.lastWriteId = writeId
    if (concernsForks(entry)) foldForks(this.content.forks, entry, this.displacedBy(entry))
    if (isEffective(entry)) this.change(entry, operation)
  }

  private displacedBy(entry: LogEntry): Displaced | undefined {
    const { operation, reconciliation } = entry
    const displaces = reconciliation?.displaces ?? 'nothing'
    if (displaces === 'nothing' || !isEffective(entry)) return undefined
    if (operation.type === 'StoreEdge') {
      const state = this.content.edges.get(edgeName(operation.edge))
      return state && displacedEdge(canonicalEdge(state.edge), state.version)
    }
    if (operation.type !== 'StoreNode' && operation.type !== 'UpdateActivation') return undefined
    const id = operation.type === 'StoreNode' ? operation.node.id : operation.nodeId
    const state = this.nodeState(id)
    const node = state.node && canonicalNode(state.node)
    return displacedNode({ ...state, node }, displaces)
  }

  private change(entry: LogEntry, operation: LogEntry['operation']): void {
    const version = versionOf(entry)
    if (operation.type === 'StoreNode') {
      const { node } = operation
      const { node: before, activated } = this.nodeState(node.id)
      const keeps = entry.reconciliation?.keepsActivation === true && activated !== undefined
      this.content.nodes.set(node.id, {
        node: keeps ? { ...node, activation: before!.activation! } : node,
        stored: version,
        activated: keeps ? activated : undefined,
      })
    }
    if (operation.type === 'StoreEdge') {
      this.content.edges.set(edgeName(operation.edge), { edge: operation.edge, version })
    }
    if (operation.type === 'UpdateActivation') {
      const { nodeId, activation } = operation
      const { node, stored } = this.nodeState(nodeId)
      if (node === undefined) this.ignoredCount += 1
      else this.content.nodes.set(nodeId, { node: { ...node, activation }, stored,
          activated: version })
    }
  }
}

export class MemoryStore implements Store {
  readonly keyBytes = 0
  readonly freeBytes = 0
  private readonly spaces = new Map<string, MemorySpaceStore>()
  private readonly stages = new Map<string, MemoryStage>()
  private readonly seen = new Map<string, RememberedRecord>()
  private readonly marks = new Map<string, DamageMark>()

  space(uuid: string): MemorySpaceStore {
    let space = this.spaces.get(uuid)
    if (space === undefined) {
      space = new MemorySpaceStore()
      this.spaces.set(uuid, space)
    }
    return space
  }

  stage(uuid: string, state: SpaceState): MemoryStage {
    this.stages.get(uuid)?.discard()
    const stage = new MemoryStage(uuid, state, (content, installs) => {
      this.space(uuid).adopt(state, content, installs)
    })
    this.stages.set(uuid, stage)
    return stage
  }

  has(uuid: string): boolean {
    const { sequence } = this.spaces.get(uuid)?.applied ?? { sequence: 0 }
    return sequence > 0 || this.marks.has(uuid)
  }

  async drop(uuid: string): Promise<void> {
    this.stages.get(uuid)?.discard()
    this.stages.delete(uuid)
    this.spaces.delete(uuid)
    this.marks.delete(uuid)
  }

  async remember(space: string, seen: RememberedRecord): Promise<void> {
    this.seen.set(space, structuredClone(seen))
  }

  remembered(): Map<string, RememberedRecord> {
    return structuredClone(this.seen)
  }

  async markDamaged(uuid: string, mark: DamageMark): Promise<void> {
    if ((this.marks.get(uuid)?.installs ?? -1) < mark.installs) this.marks.set(uuid, mark)
  }

  markedDamaged(uuid: string): DamageMark | null {
    return this.marks.get(uuid) ?? null
  }

  async unmarkDamaged(uuid: string): Promise<void> {
    this.marks.delete(uuid)
  }

  /** As after a crash of the machine: graphs were never synced, what is remembered was. */
  discardGraphs(): void {
    this.spaces.clear()
    this.discardStages()
  }

  /** The applied state stays: opening again is using the same object. */
  async close(): Promise<void> {
    for (const space of this.spaces.values()) space.close()
    this.discardStages()
  }

  private discardStages(): void {
    for (const stage of this.stages.values()) stage.discard()
    this.stages.clear()
  }
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'))
}
