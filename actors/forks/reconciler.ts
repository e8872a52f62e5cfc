import type { NodeId, Position } from '../../machines/base/ids.js'
import { decide, defaultRule, quarantines, relationTo } from '../../machines/forks/merge.js'
import type { MergeRule, Relation } from '../../machines/forks/merge.js'
import type { Operation } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { quarantineMax } from '../../machines/log/forkNotes.js'
import type {
  ForkNote, ForkOpening, OriginRecord, Reconciliation, Version,
} from '../../machines/log/forkNotes.js'
import type { Starts } from '../../machines/log/lineage.js'
import type { Member } from '../member/member.js'
import type { OverlayView } from '../overlay/view.js'
import type { AcceptedRequest } from '../ports/frames.js'
import type { Appender, Reconciled } from './appender.js'
import { ForkTracker } from './forkTracker.js'

export interface ReconcilerOptions {
  readonly member: Member
  readonly epoch: number
  readonly ingest: Appender
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

interface Decided {
  readonly operation: Operation
  readonly encoded: Uint8Array
  readonly reconciliation: Reconciliation
  readonly met: Meeting['met']
}

/** What a deployment's rule may add to one request, encoded: a frame has to hold it. */
const mergedBytesMax = 128 * 1024

/**
 * The primary's judgement of writes that were logged under an earlier epoch, in a log that did not
 * survive: whether they have come, what they meet here, what is logged. One per reign.
 */
export class Reconciler {
  readonly tracker: ForkTracker
  /** What was decided and is not yet applied: so many go into the quarantine, up to which entry. */
  private readonly losers: { readonly last: number; readonly count: number }[] = []

  private isFull = false

  constructor(private readonly options: ReconcilerOptions) {
    const { member: { store, log }, openings, openedAtMs } = options
    this.tracker = new ForkTracker({ store, history: [...log.history], openings, openedAtMs })
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
    const node = this.tracker.holderOf(last.epoch)
    const writes = operations.map((operation, index): ComingWrite => ({
      operation, origin: { epoch: last.epoch, sequence: first + index, node }, timestamp: null,
    }))
    // Some may have come with a slice of a salvage, which knows no requests without a key.
    const missing = writes.filter(({ origin: { sequence } }) =>
      !this.placeOf(last.epoch, sequence))
    if (missing.length === 0) {
      const now = this.placeOf(last.epoch, last.sequence)!
      return { kind: 'known', record: { ...now, count: operations.length, timestamp: 0 } }
    }
    const decided = this.decideAll(missing, 'client', request.key, () => undefined)
    if (decided) return { kind: 'decided', request: decided }
    const { space } = this.options.member
    return {
      kind: 'refused', code: 'OVERLOADED',
      message: `the quarantine of ${space} is full: an operator has to empty it`,
    }
  }

  /** Of so many operations up to that origin, those that have come and lie in the quarantine. */
  losersAt({ epoch, sequence }: Position, count: number): number {
    let lost = 0
    for (let at = sequence; at > Math.max(0, sequence - count); at -= 1) {
      if (this.lastOrigin(epoch, at)?.outcome === 'quarantined') lost += 1
    }
    return lost
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
    const { ingest, member: { context: { ports: { frames } } } } = this.options
    const pending = ingest.pending()
    const from = ingest.nextSequence
    const decided: Decided[] = []
    let mergedBytes = 0
    try {
      for (const write of writes) {
        let one = this.decideOne(write, via, startsOfFork, this.rule)
        let encoded = frames.encodeEntry(one.operation, one.reconciliation)
        if (one.operation !== write.operation) mergedBytes += encoded.length
        if (mergedBytes > mergedBytesMax) {
          // What a rule makes of many may not fit one request: then what stands stays.
          one = this.decideOne(write, via, startsOfFork, () => 'standing')
          encoded = frames.encodeEntry(one.operation, one.reconciliation)
        }
        const sequence = from + decided.length
        decided.push({ ...one, encoded })
        pending.add([this.entryOf(one, sequence, key)], 0)
      }
    } finally {
      pending.dropAbove(from - 1)
    }
    const losers = decided.filter(({ reconciliation }) => quarantines(reconciliation)).length
    if (losers > 0 && this.quarantined() + losers > quarantineMax) return this.noRoom()
    if (losers > 0) this.isFull = false
    if (losers > 0) this.losers.push({ last: from + decided.length - 1, count: losers })
    for (const { reconciliation, met } of decided) this.tell(reconciliation, met)
    return {
      operations: decided.map(({ operation }) => operation),
      encoded: decided.map(({ encoded }) => encoded),
      key, reconciliations: decided.map(({ reconciliation }) => reconciliation),
    }
  }

  private decideOne(
    { operation, origin, timestamp: told }: ComingWrite, via: Reconciliation['via'],
    startsOfFork: Starts, rule: MergeRule,
  ): Omit<Decided, 'encoded'> {
    const { tracker } = this
    const starts: Starts = (of) => startsOfFork(of) ?? tracker.startOf(of)
    const timestamp = told ?? tracker.noLaterThan(origin.epoch)
    const meeting = new Meeting(relationTo(origin, tracker.sharedWith(origin, starts), starts))
    const { operation: result, ...decision } = decide(
      { operation, origin, timestamp }, this.view(), meeting.relation, rule)
    return {
      operation: result, reconciliation: { origin, timestamp, via, ...decision },
      met: meeting.met,
    }
  }

  private entryOf(
    { operation, reconciliation }: Omit<Decided, 'encoded'>, sequence: number, key: string | null,
  ): LogEntry {
    const { epoch, member } = this.options
    const timestamp = member.context.ports.clock.wallMs()
    return { sequence, epoch, timestamp, vectorClock: {}, writeId: key, operation, reconciliation }
  }

  /** What became of the write that was logged first there, what is pending included. */
  origin(epoch: number, sequence: number): OriginRecord | undefined {
    return this.view().origin(epoch, sequence)
  }

  /** The same, by the place that it is known by: it may have been logged in two forks. */
  private lastOrigin(epoch: number, sequence: number): OriginRecord | undefined {
    const record = this.origin(epoch, sequence)
    const { now } = record?.outcome === 'resent' ? record : { now: null }
    return (now && this.origin(now.epoch, now.sequence)) ?? record
  }

  /** Where the write that was logged first there is now, if it has come or never went. */
  placeOf(epoch: number, sequence: number): Position | undefined {
    const record = this.lastOrigin(epoch, sequence)
    if (record) return record.now
    return this.options.member.log.epochAt(sequence) === epoch ? { epoch, sequence } : undefined
  }

  private view(): OverlayView {
    const { member, ingest } = this.options
    return ingest.pending().view(member.overlay.view(member.store))
  }

  /** Said once, until there is room again. */
  private noRoom(): null {
    const { member, member: { space } } = this.options
    if (!this.isFull) {
      member.alert('quarantineFull', { writes: quarantineMax },
        `the quarantine of ${space} is full: writes from forks wait, and so do clients that send `
        + `lost writes again. Look at it, then apply or discard: engram quarantine list ${space}, `
        + `engram quarantine discard ${space} --all`)
    }
    this.isFull = true
    return null
  }

  /** In the quarantine, or on the way there. */
  private quarantined(): number {
    const { store } = this.options.member
    while (this.losers[0] && this.losers[0].last <= store.applied.sequence) this.losers.shift()
    return this.losers.reduce((sum, { count }) => sum + count, store.quarantineCount)
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
      origin: { ...origin, node: this.tracker.holderOf(origin.epoch) }, timestamp,
      via: 'quarantine',
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
