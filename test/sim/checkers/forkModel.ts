/**
 * The meaning of a log, computed a second time and plainly: values, their makers, the fate of writes
 * of forks, the quarantine, the reports. The product's own fold (machines/forks/forkReports.ts, the
 * stores) is held against it.
 */
import type { Position } from '../../../machines/base/ids.js'
import type { MemoryEdge, MemoryNode, Operation } from '../../../machines/graph/graph.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import type { ForkNote, ForkOpening, Reconciliation } from '../../../machines/log/forkNotes.js'
import { nameOf } from './entries.js'

export interface FateOfOrigin {
  readonly outcome: 'resent' | Reconciliation['outcome']
  readonly via: Reconciliation['via']
  readonly now: Position
}

export interface ModelReport {
  readonly opening: ForkOpening
  outcome: string | null
  lost: number
  readonly salvages: Map<string, string>
  /** Sequences that some salvage misses: its member had given them up. */
  readonly missed: Set<number>
}

export type Counts = Record<'resent' | 'merged' | 'superseded' | 'quarantined' | 'discarded',
  number>

interface NodeOf {
  readonly node: MemoryNode
  readonly stored: Position
  readonly activated: Position | null
}

interface EdgeOf {
  readonly edge: MemoryEdge
  readonly stored: Position
}

export class ForkModel {
  readonly nodes = new Map<string, NodeOf>()
  readonly edges = new Map<string, EdgeOf>()
  readonly origins = new Map<string, FateOfOrigin>()
  /** In quarantine, by where each was logged first. */
  readonly items = new Map<string, { readonly operation: Operation; readonly origin: Position }>()
  readonly reports = new Map<number, ModelReport>()

  apply(entry: LogEntry): void {
    const { operation, reconciliation } = entry
    if (operation.type === 'EpochStart') {
      for (const fork of operation.forks ?? [])
        this.open(
          fork,
        )
    } else if (operation.type === 'ForkNote') this.note(operation)
    else {
      if (reconciliation) this.home(entry, operation, reconciliation)
      if (!reconciliation || reconciliation.outcome === 'merged') this.change(entry, operation)
    }
  }

  counts(epoch: number): Counts {
    const counts = { resent: 0, merged: 0, superseded: 0, quarantined: 0, discarded: 0 }
    const { forkPoint } = this.reports.get(epoch)!.opening
    for (const [name, fate] of this.origins) {
      const [of, sequence] = name.split('-').map(Number)
      if (of !== epoch || sequence! <= forkPoint.sequence) continue
      if (fate.outcome === 'merged' && fate.via === 'client') counts.resent += 1
      else if (fate.outcome === 'quarantined' && !this.items.has(name)) counts.discarded += 1
      else counts[fate.outcome] += 1
    }
    return counts
  }

  private open(opening: ForkOpening): void {
    if (this.reports.has(opening.epoch)) return
    this.reports.set(opening.epoch, { opening, outcome: null, lost: 0, salvages: new Map(),
      missed: new Set() })
  }

  private note(note: ForkNote): void {
    switch (note.note) {
      case 'opened':
        return this.open(note.opening)
      case 'salvaged': {
        const { node, name, common, spans, begins = 0 } = note.salvage
        let { sequence, epoch: before } = common
        for (const { epoch, last, writes } of spans) {
          const report = writes > 0 ? this.reports.get(epoch) : undefined
          report?.salvages.set(`${node}/${name}`, 'waiting')
          // The first entry of an epoch is no write.
          if (epoch !== before) sequence += 1
          for (sequence += 1; sequence <= last; sequence += 1) {
            if (sequence < begins) report?.missed.add(sequence)
          }
          before = epoch
          sequence = last
        }
        return
      }
      case 'taken':
      case 'gone':
        for (const { salvages } of this.reports.values()) {
          const name = `${note.node}/${note.name}`
          const isNews = note.note === 'taken' || salvages.get(name) === 'waiting'
          if (salvages.has(name) && isNews) salvages.set(name, note.note)
        }
        return
      case 'resent':
        for (const { now, ...place } of note.writes) {
          const name = nameOf(place)
          if (this.origins.has(name)) continue
          this.origins.set(name, { outcome: 'resent', via: 'client', now })
          this.found(place)
        }
        return
      case 'discarded':
        this.items.delete(note.id)
        return
      case 'closed':
        return this.close(note)
    }
  }

  private close(note: ForkNote & { note: 'closed' }): void {
    const report = this.reports.get(note.epoch)
    if (!report) return
    const { outcome: before, lost, missed } = report
    const isFound = note.outcome === 'reconciled' && (before === 'lost' || before === 'dismissed')
    const isMore = note.outcome === 'lost' && missed.size > 0 && before !== 'dismissed'
      && (before !== 'lost' || note.lost > lost)
    if (before !== null && !isFound && !isMore) return
    report.outcome = note.outcome
    report.lost = note.lost
  }

  /** A write that comes after it was counted as lost was not lost. */
  private found({ epoch, sequence }: Position): void {
    const report = this.reports.get(epoch)
    if (!report) return
    const { forkPoint, lastKnown } = report.opening
    if (sequence <= forkPoint.sequence) return
    if (sequence > lastKnown && !report.missed.has(sequence)) return
    report.lost = Math.max(0, report.lost - 1)
  }

  /** A write of a fork: what is said of it counts when it is said first, or frees it. */
  private home(
    { epoch, sequence }: LogEntry,
    operation: Operation,
    said: Reconciliation,
  ): void {
    const { origin, outcome, via } = said
    const name = nameOf(origin)
    const known = this.origins.get(name)
    const isFreed = known?.outcome === 'quarantined' && outcome === 'merged'
    if (!known || isFreed) {
      this.origins.set(name, { outcome, via, now: { epoch, sequence } })
      if (!known) this.found(origin)
      if (outcome === 'quarantined') this.items.set(name, { operation, origin: placeOf(origin) })
    }
    if (outcome !== 'merged') return
    this.items.delete(name)
    const displaced = this.displacedBy(operation, said.displaces)
    if (displaced) this.displace(displaced, said, { epoch, sequence })
  }

  private displacedBy(
    operation: Operation,
    what: Reconciliation['displaces'],
  ): { operation: Operation; origin: Position } | null {
    if (what === 'nothing') return null
    if (operation.type === 'StoreEdge') {
      const there = this.edges.get(edgeName(operation.edge))
      return there
        ? {
          operation: { type: 'StoreEdge', edge: there.edge },
          origin: there.stored,
        }
        : null
    }
    const id = operation.type === 'StoreNode' ? operation.node.id : operation.nodeId
    const there = this.nodes.get(id)
    if (!there) return null
    const { node, stored, activated } = there
    if (what === 'value') return { operation: { type: 'StoreNode', node }, origin: stored }
    if (!activated) return null
    const { activation = 0 } = node
    return {
      operation: { type: 'UpdateActivation', nodeId: id, activation },
      origin: activated,
    }
  }

  private displace(
    item: { operation: Operation; origin: Position },
    { origin }: Reconciliation,
    now: Position,
  ): void {
    const name = nameOf(item.origin)
    if (name === nameOf(origin)) return
    this.items.set(name, item)
    const known = this.origins.get(name)
    if (known) this.origins.set(name, { ...known, outcome: 'quarantined', now })
  }

  private change(entry: LogEntry, operation: Operation): void {
    const { reconciliation } = entry
    const by = placeOf(reconciliation?.origin ?? entry)
    switch (operation.type) {
      case 'StoreEdge':
        this.edges.set(edgeName(operation.edge), { edge: operation.edge, stored: by })
        return
      case 'StoreNode': {
        const { node } = operation
        const before = this.nodes.get(node.id)
        const keeps = reconciliation?.keepsActivation === true && before?.activated
        this.nodes.set(node.id, keeps
          ? {
            node: { ...node, activation: before.node.activation! },
            stored: by,
            activated: before.activated,
          }
          : { node, stored: by, activated: null })
        return
      }
      case 'UpdateActivation': {
        const { nodeId, activation } = operation
        const before = this.nodes.get(nodeId)
        if (!before) return
        this.nodes.set(nodeId, { ...before, node: { ...before.node, activation }, activated: by })
      }
    }
  }
}

function placeOf({ epoch, sequence }: Position): Position {
  return { epoch, sequence }
}

function edgeName({ source, target, kind }: MemoryEdge): string {
  return `${source} ${target} ${kind}`
}
