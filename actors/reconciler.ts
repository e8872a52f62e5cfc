import type {
  ForkNote, ForkOpening, OriginRecord, Reconciliation, Version,
} from '../machines/books.js'
import { quarantineMax } from '../machines/books.js'
import type { Starts } from '../machines/lineage.js'
import type { LogEntry, Operation } from '../machines/memory.js'
import { decide, defaultRule, relationTo } from '../machines/merge.js'
import type { MergeRule, Relation } from '../machines/merge.js'
import type { NodeId, Position } from '../machines/protocol.js'
import { ForkBooks } from './forkBooks.js'
import type { Ingest, Reconciled } from './ingest.js'
import type { Member } from './member.js'
import { Overlay } from './overlay.js'
import type { OverlayView } from './overlayView.js'
import type { AcceptedRequest } from './ports.js'

export interface ReconcilerOptions {
  readonly member: Member
  readonly epoch: number
  readonly ingest: Ingest
  /** Reports that this reign's first entry opened, and its timestamp. */
  readonly openings: readonly ForkOpening[]
  readonly openedAtMs: number
}

/** A write on its way home. `timestamp` null: its client did not say when it was logged first. */
export interface ComingWrite {
  readonly operation: Operation
  readonly origin: { readonly epoch: number; readonly sequence: number; readonly node: NodeId }
  readonly timestamp: number | null
}

/**
 * The primary's judgement of writes that were logged under an earlier epoch, in a log that did not
 * survive: whether they have come, what they meet here, what is logged. One per reign.
 */
export class Reconciler {
  readonly books: ForkBooks

  constructor(private readonly options: ReconcilerOptions) {
    const { member: { store, log }, openings, openedAtMs } = options
    this.books = new ForkBooks({ store, history: [...log.history], openings, openedAtMs })
  }

  /** A client sends again what it had been answered at `last`, of its last operation. */
  fromClient(request: AcceptedRequest, last: Position): Reconciled {
    const { epoch } = this.options
    const operations = request.operations as readonly Operation[]
    const first = last.sequence - operations.length + 1
    if (last.epoch > epoch) {
      return {
        kind: 'refused', code: 'NOT_PRIMARY',
        message: `the write was logged in epoch ${last.epoch}, this reign is of epoch ${epoch}`,
      }
    }
    if (first < 1) {
      return {
        kind: 'refused', code: 'INVALID_OPERATION',
        message: `Engram-Origin names entry ${last.sequence}, the request has `
          + `${operations.length} operations`,
      }
    }
    const view = this.view()
    const known = view.origin(last.epoch, last.sequence)
    const isHere = this.options.member.log.epochAt(last.sequence) === last.epoch
    if (known || isHere) {
      const { now } = known ?? { now: last }
      return { kind: 'known', record: { ...now, count: operations.length, timestamp: 0 } }
    }
    const node = this.books.holderOf(last.epoch)
    const writes = operations.map((operation, index): ComingWrite => ({
      operation, origin: { epoch: last.epoch, sequence: first + index, node }, timestamp: null,
    }))
    const decided = this.decideAll(writes, 'client', request.key, () => undefined)
    if (decided) return { kind: 'decided', request: decided }
    return { kind: 'refused', code: 'OVERLOADED', message: 'the quarantine is full' }
  }

  /**
   * Decides about the writes, each against what stands there when the ones before it have had their
   * effect. null: one would go into the quarantine, and that is full. `startsOfFork`: of the log
   * that they are of, where more is known of it than the books tell.
   */
  decideAll(
    writes: readonly ComingWrite[], via: Reconciliation['via'], key: string | null,
    startsOfFork: Starts,
  ): AcceptedRequest | null {
    const { books, options: { member, epoch, ingest } } = this
    const { frames, clock } = member.context.ports
    const scratch = this.pending()
    const view = scratch.view(member.overlay.view(member.store))
    const starts: Starts = (of) => startsOfFork(of) ?? books.startOf(of)
    const operations: Operation[] = []
    const encoded: Uint8Array[] = []
    const reconciliations: Reconciliation[] = []
    let sequence = ingest.nextSequence
    for (const { operation, origin, timestamp } of writes) {
      const when = timestamp ?? books.noLaterThan(origin.epoch)
      const meeting = new Meeting(
        relationTo(origin, books.sharedWith(origin, starts), starts))
      const { operation: result, ...decision } = decide(
        { operation, origin, timestamp: when }, view, meeting.relation, this.rule)
      if (decision.outcome === 'quarantined' || decision.displaces !== 'nothing') {
        if (member.store.quarantineCount >= quarantineMax) return null
      }
      const reconciliation: Reconciliation = { origin, timestamp: when, via, ...decision }
      const entry: LogEntry = {
        sequence, epoch, timestamp: clock.wallMs(), vectorClock: {}, writeId: key,
        operation: result, reconciliation,
      }
      scratch.add([entry], 0)
      sequence += 1
      operations.push(result)
      encoded.push(frames.encodeEntry(result, reconciliation))
      reconciliations.push(reconciliation)
      this.tell(reconciliation, meeting.met)
    }
    return { operations, encoded, key, reconciliations }
  }

  /** What became of the write that was logged first there, what is pending included. */
  origin(epoch: number, sequence: number): OriginRecord | undefined {
    return this.view().origin(epoch, sequence)
  }

  private pending(): Overlay {
    const scratch = new Overlay()
    scratch.add(this.options.ingest.pendingEntries(), 0)
    return scratch
  }

  private view(): OverlayView {
    const { member } = this.options
    return this.pending().view(member.overlay.view(member.store))
  }

  /** Each outcome is counted, and the debug log says who met whom. */
  private tell({ origin, outcome, via, displaces, by }: Reconciliation, met: Meeting['met']): void {
    const { member: { context: { ports }, space } } = this.options
    ports.telemetry.count('reconciledWrites', 1, { space, outcome, via })
    ports.logger.debug({ space, origin, outcome, via, displaces, by, met }, 'a write comes home')
  }

  /** A deployment's own rule that fails, or gives what no client could write, decides nothing. */
  private readonly rule: MergeRule = (standing, incoming) => {
    const { member: { context: { ports }, space } } = this.options
    const { mergeRules = {} } = ports
    if (!Object.hasOwn(mergeRules, space)) return defaultRule(standing, incoming)
    try {
      // Copies: what it does to them is its own matter.
      const verdict = mergeRules[space]!(structuredClone(standing), structuredClone(incoming))
      if (verdict === 'standing' || verdict === 'incoming') return verdict
      const gated = ports.clients.operation(verdict)
      if (!gated.ok) throw new Error(gated.reason)
      if (thingOf(gated.value) !== thingOf(incoming.operation)) {
        throw new Error('it gives a write of something else')
      }
      return gated.value
    } catch (error) {
      ports.logger.error({ space, error: String(error) },
        'the merge rule of the space failed: what stands stays, the other goes into quarantine')
      return 'standing'
    }
  }

  /** An operator re-applies what lies in quarantine: over whatever stands there. */
  reapplied(id: string): AcceptedRequest | null {
    const { member: { store, context: { ports: { frames } } } } = this.options
    const item = store.quarantined(id)
    if (!item) return null
    const { operation, origin, timestamp } = item
    const reconciliation: Reconciliation = {
      origin: { ...origin, node: this.books.holderOf(origin.epoch) }, timestamp, via: 'quarantine',
      outcome: 'merged', displaces: 'nothing', keepsActivation: false, by: null,
    }
    const encoded = [frames.encodeEntry(operation, reconciliation)]
    return { operations: [operation], encoded, key: null, reconciliations: [reconciliation] }
  }

  noted(note: ForkNote): AcceptedRequest {
    const { frames } = this.options.member.context.ports
    return { operations: [note], encoded: [frames.encodeEntry(note, null)], key: null }
  }
}

/** Remembers what a write met where it wanted to be, and how they relate. */
class Meeting {
  readonly met: { readonly version: Version; readonly relation: Relation }[] = []

  constructor(private readonly relate: (version: Version) => Relation) {}

  readonly relation = (version: Version): Relation => {
    const relation = this.relate(version)
    this.met.push({ version, relation })
    return relation
  }
}

/** What an operation changes; its type included, since a rule answers in kind. */
function thingOf(operation: Operation): string {
  switch (operation.type) {
    case 'StoreNode': return JSON.stringify([operation.type, operation.node.id])
    case 'UpdateActivation': return JSON.stringify([operation.type, operation.nodeId])
    case 'StoreEdge': {
      const { source, target, kind } = operation.edge
      return JSON.stringify([operation.type, source, target, kind])
    }
  }
}
