/**
 * Outcomes of writes of forks according to pending entries, above those in the store. Removals by
 * pending entries (with reports that expire) take effect only when they are applied.
 */
import type { Position } from '../../machines/base/ids.js'
import { concernsForks, displacedNode, isDisplacing, isSameWrite, recordAfter,
  recordDisplaced } from '../../machines/forks/forkReports.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { OriginRecord } from '../../machines/log/forkNotes.js'
import { originName, originsOf } from '../../machines/log/versions.js'
import type { VersionReader } from '../ports/store.js'
import { stateOf, type EdgeSlot, type NodeSlot } from './slots.js'

/** Outcome of one write according to an entry; null: the entry displaces the write. */
interface Statement {
  readonly entry: LogEntry
  readonly said: OriginRecord | null
}

/**
 * An entry that displaces the present value when it takes effect. Which write that is depends on
 * the store if no pending entry says it; it is looked up once, when it is first needed.
 */
interface Displacement {
  readonly entry: LogEntry
  /** The present node as of the pending entries before. */
  readonly node: NodeSlot | undefined
  readonly edge: EdgeSlot | undefined
  /** Name of the displaced write, once it is known. */
  name: string | undefined
}

export class PendingOrigins {
  /** By name of the write, in log order. */
  private readonly statements = new Map<string, Statement[]>()
  /** By sequence of the entry. */
  private readonly displacements = new Map<number, Displacement>()
  private readonly unresolved = new Set<Displacement>()

  /** `node`, `edge`: newest pending slot of what the entry changes. */
  push(entry: LogEntry, node: NodeSlot | undefined, edge: EdgeSlot | undefined): void {
    if (!concernsForks(entry)) return
    for (const [name, said] of originsOf(entry)) this.add(name, { entry, said })
    if (!isDisplacing(entry)) return
    const displacement: Displacement = { entry, node, edge, name: undefined }
    this.displacements.set(entry.sequence, displacement)
    this.unresolved.add(displacement)
  }

  /** Called when the entry is dropped, or in the store now. */
  remove(entry: LogEntry): void {
    if (!concernsForks(entry)) return
    for (const [name] of originsOf(entry)) this.forget(name, entry)
    const displacement = this.displacements.get(entry.sequence)
    if (displacement === undefined) return
    this.displacements.delete(entry.sequence)
    this.unresolved.delete(displacement)
    if (displacement.name !== undefined) this.forget(displacement.name, entry)
  }

  read(epoch: number, sequence: number, store: VersionReader): OriginRecord | undefined {
    for (const displacement of this.unresolved) this.resolve(displacement, store)
    let known = store.origin(epoch, sequence)
    for (const { entry, said } of this.statements.get(originName(epoch, sequence)) ?? []) {
      // The store has applied the entry already, and maybe later ones.
      if (known !== undefined && known.now.sequence >= entry.sequence) continue
      if (said !== null) known = recordAfter(known, said)
      else if (known !== undefined) known = recordDisplaced(known, entry)
    }
    return known
  }

  private resolve(displacement: Displacement, store: VersionReader): void {
    const { entry } = displacement
    const found = standingBefore(displacement, store)
    this.unresolved.delete(displacement)
    if (found === undefined || isSameWrite(entry, found)) return
    displacement.name = originName(found.epoch, found.sequence)
    this.add(displacement.name, { entry, said: null })
  }

  private add(name: string, statement: Statement): void {
    const statements = this.statements.get(name)
    if (statements === undefined) {
      this.statements.set(name, [statement])
      return
    }
    const { sequence } = statement.entry
    const after = statements.findIndex(({ entry }) => entry.sequence > sequence)
    statements.splice(after < 0 ? statements.length : after, 0, statement)
  }

  private forget(name: string, entry: LogEntry): void {
    const left = (this.statements.get(name) ?? []).filter((one) => one.entry !== entry)
    if (left.length === 0) this.statements.delete(name)
    else this.statements.set(name, left)
  }
}

/** Undefined also once the store has the entry: the store knows its outcome then. */
function standingBefore(
  { entry, node, edge }: Displacement,
  store: VersionReader,
): Position | undefined {
  const { operation, sequence, reconciliation } = entry
  if (operation.type === 'StoreEdge') {
    const { source, target, kind } = operation.edge
    const below = store.edgeState(source, target, kind)?.version
    if (below !== undefined && below.at >= sequence) return undefined
    return edge?.version ?? below
  }
  if (operation.type !== 'StoreNode' && operation.type !== 'UpdateActivation') return undefined
  const id = operation.type === 'StoreNode' ? operation.node.id : operation.nodeId
  const below = store.nodeState(id)
  if (Math.max(below.stored?.at ?? 0, below.activated?.at ?? 0) >= sequence) return undefined
  const state = node === undefined ? below : stateOf(node, store)
  const { displaces } = reconciliation!
  return displaces === 'nothing' ? undefined : displacedNode(state, displaces)?.version
}
