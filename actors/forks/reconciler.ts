import type { NodeId, Position } from '../../machines/base/ids.js'
import { decide, defaultRule, quarantines, relationTo,
  tellsAbsence } from '../../machines/forks/merge.js'
import type { MergeRule, Relation } from '../../machines/forks/merge.js'
import type { Operation } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { quarantineMax } from '../../machines/log/forkNotes.js'
import type { ForkNote, OriginRecord, Reconciliation,
  Version } from '../../machines/log/forkNotes.js'
import type { Starts } from '../../machines/log/lineage.js'
import { epochAt } from '../../machines/log/positions.js'
import type { Member } from '../member/member.js'
import type { StartedEpoch } from '../member/startedEpoch.js'
import type { OverlayView } from '../overlay/view.js'
import type { AcceptedRequest } from '../ports/frames.js'
import type { PendingEntries, Reconciled } from './appender.js'
import { ForkTracker } from './forkTracker.js'

export interface ReconcilerOptions {
  readonly member: Member
  readonly epoch: number
  readonly pending: PendingEntries
  /** This epoch's first entry: the reports that it opened, and its timestamp. */
  readonly started: Pick<StartedEpoch, 'forks' | 'timestamp'>
}

/** A write to reconcile. `timestamp` null: its client did not say when it was logged first. */
export interface ComingWrite {
  readonly operation: Operation
  readonly origin: { readonly epoch: number; readonly sequence: number; readonly node: NodeId }
  readonly timestamp: number | null
}

interface Decided {
  readonly operation: Operation
  readonly encoded: Uint8Array
  readonly reconciliation: Reconciliation
  readonly met: readonly Met[]
}

/** A version that a write found in its place, and how the two relate. */
interface Met {
  readonly version: Version
  readonly relation: Relation
}

/** Encoded bytes that a deployment's rule may make of one request: a frame has to hold it. */
const mergedBytesMax = 128 * 1024

/**
 * Judges, for the primary of one epoch, writes that an earlier epoch logged in a log that did not
 * survive: whether this log has them already, what they conflict with, and what is logged.
 */
export class Reconciler {
  readonly tracker: ForkTracker
  /** Writes decided and not yet applied that go into the quarantine: up to `last`, `count`. */
  private readonly losers: { readonly last: number; readonly count: number }[] = []

  private isFull = false

  constructor(private readonly options: ReconcilerOptions) {
    const { member: { store, log }, started: { forks: openings, timestamp: openedAtMs } } = options
    const history = { root: log.root, history: [...log.history] }
    this.tracker = new ForkTracker({ store, history, openings, openedAtMs })
  }

  /** Decides about a request that a client resends. `last`: origin of its last operation. */
  fromClient(request: AcceptedRequest, last: Position): Reconciled {
    const { epoch } = this.options
    const operations = request.operations as readonly Operation[]
    const first = last.sequence - operations.length + 1
    if (last.epoch > epoch) {
      return {
        kind: 'refused',
        code: 'NOT_PRIMARY',
        message: `the write was logged in epoch ${last.epoch}, but this is epoch ${epoch}`,
      }
    }
    if (first < 1) {
      return {
        kind: 'refused',
        code: 'INVALID_OPERATION',
        message: `Engram-Origin names entry ${last.sequence}, but the request has `
          + `${operations.length} operations`,
      }
    }
    const node = this.tracker.holderOf(last.epoch)
    const writes = operations.map((operation, index): ComingWrite => ({
      operation,
      origin: { epoch: last.epoch, sequence: first + index, node },
      timestamp: null,
    }))
    // Some may have come in a slice of a salvage, where requests without a key are not known.
    const missing = writes.filter((write) => !this.placeOfWrite(write))
    if (missing.length === 0) {
      const now = this.placeOfWrite(writes.at(-1)!)!
      return { kind: 'known', record: { ...now, count: operations.length, timestamp: 0 } }
    }
    const decided = this.decideAll(missing, 'client', request.key, () => undefined)
    if (decided) return { kind: 'decided', request: decided }
    const { space } = this.options.member
    return {
      kind: 'refused',
      code: 'OVERLOADED',
      message: `the quarantine of ${space} is full; an operator has to empty it`,
    }
  }

  /** Counts operations in quarantine, among the `count` last ones up to that origin. */
  losersAt({ epoch, sequence }: Position, count: number): number {
    let lost = 0
    for (let at = sequence; at > Math.max(0, sequence - count); at -= 1) {
      if (this.lastOrigin(epoch, at)?.outcome === 'quarantined') lost += 1
    }
    return lost
  }

  /**
   * Decides about the writes, each against the state after the ones before it. null: one of them
   * belongs into the quarantine, which is full. `startsOfFork`: where epochs of their log began, as
   * far as more is known than the fork reports say.
   */
  decideAll(
    writes: readonly ComingWrite[],
    via: Reconciliation['via'],
    key: string | null,
    startsOfFork: Starts,
  ): AcceptedRequest | null {
    const { member: { context: { ports: { frames } } } } = this.options
    const { nextSequence: from } = this.options.pending
    const pending = this.options.pending.overlay()
    const decided: Decided[] = []
    let mergedBytes = 0
    try {
      for (const write of writes) {
        let one = this.decideOne(write, via, startsOfFork, this.rule)
        let encoded = frames.encodeEntry(one.operation, one.reconciliation)
        if (one.operation !== write.operation) mergedBytes += encoded.length
        if (mergedBytes > mergedBytesMax) {
          // Results of a rule for many writes may not fit one request: then nothing is replaced.
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
    for (const { reconciliation, met } of decided) this.report(reconciliation, met)
    return {
      operations: decided.map(({ operation }) => operation),
      encoded: decided.map(({ encoded }) => encoded),
      key,
      reconciliations: decided.map(({ reconciliation }) => reconciliation),
    }
  }

  private decideOne(
    { operation, origin, timestamp: known }: ComingWrite,
    via: Reconciliation['via'],
    startsOfFork: Starts,
    rule: MergeRule,
  ): Omit<Decided, 'encoded'> {
    const { tracker } = this
    const starts: Starts = (of) => startsOfFork(of) ?? tracker.startOf(of)
    const timestamp = known ?? tracker.noLaterThan(origin.epoch)
    const relate = relationTo(origin, tracker.sharedWith(origin, starts), starts)
    const met: Met[] = []
    // Below the root, this log may have the write itself, and the version on top of it.
    let isKnown = true
    const relation = (version: Version): Relation => {
      const tells = !tracker.isBelowRoot(origin) || tellsAbsence(version, origin, starts)
      const related = relate(version)
      met.push({ version, relation: tells || related !== 'before' ? related : 'concurrent' })
      isKnown &&= tells
      return met.at(-1)!.relation
    }
    const { operation: result, ...decision } = decide(
      { operation, origin, timestamp },
      this.view(),
      relation,
      (standing, incoming) => (isKnown ? rule(standing, incoming) : 'standing'),
    )
    const reconciliation = { origin, timestamp, via, ...decision }
    return { operation: result, reconciliation, met }
  }

  private entryOf(
    { operation, reconciliation }: Omit<Decided, 'encoded'>,
    sequence: number,
    key: string | null,
  ): LogEntry {
    const { epoch, member } = this.options
    const timestamp = member.context.ports.clock.wallMs()
    return { sequence, epoch, timestamp, vectorClock: {}, writeId: key, operation, reconciliation }
  }

  /** Returns the record of the write that was logged first there, pending entries included. */
  origin(epoch: number, sequence: number): OriginRecord | undefined {
    return this.view().origin(epoch, sequence)
  }

  /** Returns that of the place it is known by instead: it may have been logged in two forks. */
  private lastOrigin(epoch: number, sequence: number): OriginRecord | undefined {
    const record = this.origin(epoch, sequence)
    const { now } = record?.outcome === 'resent' ? record : { now: null }
    return (now && this.origin(now.epoch, now.sequence)) ?? record
  }

  /** Returns where the write that was logged first there is now, if it is in this log. */
  placeOf(epoch: number, sequence: number): Position | undefined {
    const record = this.lastOrigin(epoch, sequence)
    if (record) return record.now
    return this.options.member.log.has({ epoch, sequence }) ? { epoch, sequence } : undefined
  }

  /** The same; also of one that is below the root, and still stands. */
  private placeOfWrite(write: ComingWrite): Position | undefined {
    const { epoch, sequence } = write.origin
    return this.placeOf(epoch, sequence) ?? this.standing(write)
  }

  /**
   * Returns where the write is now if a present value is its own. A version is of one write only
   * (I1), so it is in this log, whatever history and records still tell.
   */
  standing({ operation, origin: { epoch, sequence } }: Pick<ComingWrite, 'operation' | 'origin'>):
    | Position
    | undefined
  {
    const own = versionsAt(this.view(), operation)
      .find((version) => version?.epoch === epoch && version.sequence === sequence)
    if (!own || own.at === sequence) return own && { epoch, sequence }
    return { epoch: epochAt(this.options.member.log.history, own.at), sequence: own.at }
  }

  private view(): OverlayView {
    const { member, pending } = this.options
    return pending.overlay().view(member.overlay.view(member.store))
  }

  /** Raises an alert, once until there is room again. */
  private noRoom(): null {
    const { member, member: { space } } = this.options
    if (!this.isFull) {
      member.alert('quarantineFull', { writes: quarantineMax },
        `the quarantine of ${space} is full: writes from forks wait, and so do clients that resend `
          + `writes. Look at it, then apply or discard: engram quarantine list ${space}, `
          + `engram quarantine discard ${space} --all`)
    }
    this.isFull = true
    return null
  }

  /** Number of writes in the quarantine, or decided to go there. */
  private quarantined(): number {
    const { store } = this.options.member
    while (this.losers[0] && this.losers[0].last <= store.applied.sequence) this.losers.shift()
    return this.losers.reduce((sum, { count }) => sum + count, store.quarantineCount)
  }

  /** Counts the outcome, and logs which versions the write conflicted with. */
  private report(
    { origin, outcome, via, displaces, by }: Reconciliation,
    met: readonly Met[],
  ): void {
    const { member: { context: { ports }, space } } = this.options
    ports.telemetry.count('reconciledWrites', 1, { space, outcome, via })
    ports.logger.debug(
      { space, origin, outcome, via, displaces, by, met },
      'a write is reconciled',
    )
  }

  /** Runs the deployment's rule. One that fails, or returns an invalid write, changes nothing. */
  private readonly rule: MergeRule = (standing, incoming) => {
    const { member: { context: { ports }, space } } = this.options
    const { mergeRules = {} } = ports
    if (!Object.hasOwn(mergeRules, space)) return defaultRule(standing, incoming)
    try {
      // Copies: the rule may change them.
      const verdict = mergeRules[space]!(structuredClone(standing), structuredClone(incoming))
      if (verdict === 'standing' || verdict === 'incoming') return verdict
      const validated = ports.clients.operation(verdict)
      if (!validated.ok) throw new Error(validated.reason)
      if (targetOf(validated.value) !== targetOf(incoming.operation)) {
        throw new Error('it returned a write to something else')
      }
      return validated.value
    } catch (error) {
      ports.logger.error({ space, error: String(error) },
        'the merge rule of the space failed: the present value stays, and the write from the fork '
          + 'goes into the quarantine')
      return 'standing'
    }
  }

  /** Returns the request that re-applies a write of the quarantine, over whatever is there now. */
  reapplied(id: string): AcceptedRequest | null {
    const { member: { store, context: { ports: { frames } } } } = this.options
    const item = store.quarantined(id)
    if (!item) return null
    const { operation, origin, timestamp } = item
    const reconciliation: Reconciliation = {
      origin: { ...origin, node: this.tracker.holderOf(origin.epoch) },
      timestamp,
      via: 'quarantine',
      outcome: 'merged',
      displaces: 'nothing',
      keepsActivation: false,
      by: null,
    }
    const encoded = [frames.encodeEntry(operation, reconciliation)]
    return { operations: [operation], encoded, key: null, reconciliations: [reconciliation] }
  }

  noted(note: ForkNote): AcceptedRequest {
    const { frames } = this.options.member.context.ports
    return { operations: [note], encoded: [frames.encodeEntry(note, null)], key: null }
  }
}

/** Returns the versions in the place that an operation changes. */
function versionsAt(view: OverlayView, operation: Operation): readonly (Version | undefined)[] {
  if (operation.type === 'StoreEdge') {
    const { source, target, kind } = operation.edge
    return [view.edgeState(source, target, kind)?.version]
  }
  const id = operation.type === 'StoreNode' ? operation.node.id : operation.nodeId
  const { stored, activated } = view.nodeState(id)
  return [stored, activated]
}

/** Names what an operation changes, with its type: a rule must return the same type. */
function targetOf(operation: Operation): string {
  switch (operation.type) {
    case 'StoreNode':
      return JSON.stringify([operation.type, operation.node.id])
    case 'UpdateActivation':
      return JSON.stringify([operation.type, operation.nodeId])
    case 'StoreEdge': {
      const { source, target, kind } = operation.edge
      return JSON.stringify([operation.type, source, target, kind])
    }
  }
}
