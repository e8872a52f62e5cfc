/**
 * The promises at every instant of a scenario, judged by what nodes send and by what the arbiter
 * decides, not by what they think of themselves.
 */
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { EpochSpan, NodeId } from '../../../machines/base/ids.js'
import type { InvariantName } from '../../../machines/log/invariants.js'
import { epochAt } from '../../../machines/log/positions.js'
import { isMember } from '../../../machines/protocol/members.js'
import type { Ack, Assignment } from '../../../machines/protocol/messages.js'
import type { SimNode } from '../../support/simNode.js'
import { MemberChecks } from '../checkers/members.js'

/** Found by a scenario: the invariant, and what contradicts it. */
export class Violation extends Error {
  constructor(readonly invariant: InvariantName, details: string) {
    super(`${invariant}: ${details}`)
    this.name = 'Violation'
  }
}

/** A positive answer to a write, at the instant at which it was published. */
export interface Answered {
  readonly node: NodeId
  readonly answer: WriteAnswer
  readonly atMs: number
}

interface Held {
  readonly disk: string
  readonly history: readonly EpochSpan[]
  readonly durable: number
}

export class Judge {
  readonly answered: Answered[] = []
  private readonly held = new Map<NodeId, Held>()
  /** I16: told of each order that a scenario gives. */
  readonly members = new MemberChecks({
    violate: (details) => this.check('I16', false, () => details),
    saw: () => undefined,
  })
  private readonly owners = new Map<number, string>()
  private record: Assignment | null = null
  private violation: Violation | null = null

  constructor(
    private readonly nodes: ReadonlyMap<NodeId, SimNode>,
    private readonly space: string,
  ) {}

  /** Throws the first violation that was found, if any. */
  assertNone(): void {
    if (this.violation) throw this.violation
  }

  private check(invariant: InvariantName, holds: boolean, details: () => string): void {
    if (!holds) this.violation ??= new Violation(invariant, details())
  }

  /** I2, I5: what a positive answer of this instant must not contradict. */
  onAnswer(node: NodeId, answer: WriteAnswer, atMs: number): void {
    const { epoch, sequence, ack } = answer
    const later = this.answered.find((other) => other.answer.epoch > epoch)
    this.check('I2', later === undefined, () =>
      `${node} answers positively in epoch ${epoch} at `
      + `${atMs.toFixed(1)} ms, ${later!.node} did in epoch ${later!.answer.epoch} at `
      + `${later!.atMs.toFixed(1)} ms`)
    const rival = this.answered.find((other) =>
      other.answer.epoch === epoch
      && other.node !== node
    )
    this.check('I1', rival === undefined,
      () => `${node} and ${rival!.node} answer in one epoch, ${epoch}`)
    this.answered.push({ node, answer, atMs })
    if (ack !== 'committed' || answer.duplicate) return
    const holders = [...this.nodes.keys()].filter((each) =>
      this.record && isMember(this.record, each) && this.holds(each, epoch, sequence)
    )
    const asked = this.record?.settings.minInSync ?? 1
    this.check('I5', holders.length >= asked, () =>
      `${sequence} of epoch ${epoch} was answered as `
      + `committed; durable on ${holders.join(', ') || 'nobody'}, the space asks for ${asked}`)
    this.checkInSync()
  }

  /** I3: an entry that a member acknowledges in an epoch is the one that its primary has there. */
  onAck({ node, epoch, durableSequence: sequence }: Ack): void {
    const logOf = (of: NodeId) => this.nodes.get(of)?.life?.actor.spaces.get(this.space)?.member
    const holder = [...this.nodes.keys()].find((each) => logOf(each)?.own.epoch === epoch)
    if (!holder || sequence > logOf(holder)!.log.end.sequence) return
    const [mine, theirs] = [node, holder].map((each) => logOf(each)!.log.epochAt(sequence))
    this.check('I3', mine === theirs, () =>
      `${node} acknowledges ${sequence} to ${holder}, as its `
      + `entry of epoch ${mine}; that of ${holder} is of epoch ${theirs}`)
  }

  /** I1, I5: what the arbiter has just decided. */
  onRecord(next: Assignment): void {
    const { primary, epoch } = next
    if (primary && this.record && epoch > this.record.epoch && !next.forced) {
      const { inSync, members } = this.record
      const disk = this.stateOf(primary.node)?.disk
      this.check('I5', inSync.includes(primary.node), () =>
        `${primary.node} takes epoch ${epoch}, in sync were ${inSync.join(', ')}`)
      this.check('I5', members.some((each) => each.node === primary.node && each.disk === disk),
        () => `${primary.node} takes epoch ${epoch} with another disk than the one in sync`)
    }
    this.members.applied(this.record, next)
    this.record = next
    if (next.state === 'dropped') this.forget()
    if (primary) {
      const holder = `${primary.node} ${primary.incarnation}.${primary.connection}`
      const before = this.owners.get(epoch)
      this.check('I1', before === undefined || before === holder, () =>
        `epoch ${epoch} is held by ${before} and by ${holder}`)
      this.owners.set(epoch, holder)
    }
    this.checkInSync()
  }

  /** A member listed in sync may be promoted: it holds all that was answered as committed. */
  private checkInSync(): void {
    if (!this.record) return
    const { inSync, members, epoch: now } = this.record
    for (const node of inSync) {
      const disk = this.stateOf(node)?.disk
      if (!members.some((member) => member.node === node && member.disk === disk)) continue
      const lacking = this.answered.find(({ answer: { ack, epoch, sequence, duplicate } }) =>
        ack === 'committed' && !duplicate && !this.holds(node, epoch, sequence)
      )
      this.check('I5', lacking === undefined, () =>
        `${node} is listed in sync in epoch ${now} and `
        + `lacks ${lacking!.answer.sequence} of epoch ${lacking!.answer.epoch}, which `
        + `${lacking!.node} answered as committed`)
    }
  }

  private holds(node: NodeId, epoch: number, sequence: number): boolean {
    const state = this.stateOf(node)
    return state !== null && state.durable >= sequence
      && epochAt(state.history, sequence) === epoch
  }

  /** The durable log of the node, also after its death: a disk stays when a process goes. */
  private stateOf(node: NodeId): Held | null {
    this.look(node)
    return this.held.get(node) ?? null
  }

  /** Notes what a running node has. */
  look(node: NodeId): void {
    const actor = this.nodes.get(node)?.life?.actor
    const log = actor?.spaces.get(this.space)?.member.log
    if (!actor || !log) return
    const { durable, history } = log
    this.held.set(node, { disk: actor.disk, history, durable: durable.sequence })
  }

  /** The space is over: what was answered does not count any more. */
  forget(): void {
    this.answered.length = 0
    this.owners.clear()
  }

  /** The node's disk is gone. */
  lose(node: NodeId): void {
    this.held.delete(node)
  }
}
