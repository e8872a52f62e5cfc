import type { NodeId } from '../../machines/base/ids.js'
import { stackOf } from '../../machines/base/thrown.js'
import { compareUtf8 } from '../../machines/graph/utf8.js'
import { droppedText, formerlyOf, saysDropped } from '../../machines/protocol/assignments.js'
import { isHolder, learnerOf } from '../../machines/protocol/members.js'
import type { Assignment, AssignmentAt } from '../../machines/protocol/messages.js'
import { namesOf } from '../forks/salvageSlices.js'
import { sendAlert } from '../member/alerts.js'
import { CheckpointSource } from '../install/source.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import { isFirst } from '../member/precedence.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import { bindSpaceMachine } from '../space/roleActors.js'
import { SpaceActor } from '../space/space.js'
import { inSlices } from '../structures/inSlices.js'
import { Sorted } from '../structures/sorted.js'
import { Turns } from '../structures/turns.js'
import { Dropping } from './dropping.js'
import { PromotionTurns } from './promotionTurns.js'
import { Rounds } from './rounds.js'

/** Spaces of the arbiter are listed at least this often: announcements may be lost. */
const discoverMs = 2000
/** The record of a space of other nodes is read again after this time. */
const elsewhereMs = 30_000
/** The spaces are listed after this time, even if looks at the bucket show no change. */
const sureListMs = 60_000
/**
 * Records read per heartbeat only because time has passed. With a thousand spaces they would
 * otherwise be thousands per second, and the arbiter would have no time for promotions.
 */
const pollsPerTick = 20
/** Spaces that a node learns at a time: each may be an install of gigabytes. */
const learningMax = 2

/** The spaces that this node holds: found at the arbiter, each started once. */
export class Spaces {
  private readonly machine
  private hasList = false
  private discovering = false
  private lastDiscoveryMs = -Infinity
  /** Mark of the bucket, and when, when all was known about all spaces that it names. */
  private listed = { mark: '', atMs: -Infinity }
  private readonly elsewhere = new Map<string, number>()
  private readonly rounds: Rounds<SpaceActor>
  private readonly promotions: PromotionTurns<SpaceActor>
  private readonly dropping: Dropping
  private readonly learners = new Turns<string>(learningMax)
  /** Names of spaces that are leaving this node: none of that name is started meanwhile. */
  private readonly leaving = new Map<string, Promise<void>>()
  /** Spaces that this node does not hold, though it is or may be a member, with the reason. */
  readonly unheld = new Map<string, string>()
  /** Gives checkpoints to members that have to be installed. */
  readonly source: CheckpointSource
  /** Names of the spaces held, sorted. */
  readonly names = new Sorted<string>(compareUtf8)

  /**
   * `held`: filled here, read by the whole node. `salvages`: names of the files that existed at the
   * start. `onWanted`: called when another member has to be installed, and no checkpoint is of use.
   */
  constructor(
    private readonly context: NodeContext,
    private readonly held: Map<string, SpaceActor>,
    private readonly salvages: readonly string[],
    onWanted: (member: Member) => void,
  ) {
    this.source = new CheckpointSource({
      context,
      member: (space) => held.get(space)?.member,
      onWanted,
    })
    this.machine = bindSpaceMachine(context.ports.host, (space) => held.get(space))
    this.rounds = new Rounds(context.ports.clock, () => nodeCondition(context), (space) => {
      const node = space.member.known.record?.assignment.primary?.node
      return node === undefined || node === context.self.node ? null : node
    })
    this.promotions = new PromotionTurns({
      clock: context.ports.clock,
      isFirst: ({ member }) => isFirst(member),
    })
    this.dropping = new Dropping(context)
    this.dropping.resume(salvages)
  }

  /** Once per heartbeat. */
  tick(): void {
    const seen = this.rounds.tick()
    this.source.tick()
    const { ports, wire } = this.context
    if (!wire.isOpen) return
    this.poll(seen)
    const now = ports.clock.monotonicMs()
    if (now - this.lastDiscoveryMs > discoverMs) void this.discover()
  }

  /**
   * Called when the node ends: nothing begins any more. Resolves when no checkpoint is open, no
   * space is leaving, and no data is being removed.
   */
  async close(): Promise<void> {
    this.promotions.close()
    this.rounds.close()
    await this.source.stop()
    await Promise.all(this.leaving.values())
    await this.dropping.settled()
  }

  /** Something is known of the peer that may end epochs. */
  evidence(peer: NodeId): void {
    const spaces = this.held.values()
    inSlices(this.context.ports.clock, () => {
      const next = spaces.next()
      if (next.done !== true) next.value.evidence(peer)
      return next.done !== true
    }, () => void this.rounds.look())
  }

  /** The list is known: from the arbiter, or from what this node remembers of its records. */
  get isListed(): boolean {
    return this.hasList
  }

  /** Called when a peer's heartbeat renewed its grant. */
  grantsRenewed(): void {
    for (const space of this.rounds.awakeSpaces()) space.grantsRenewed()
  }

  /** Reads the records that are due, those that were read the longest ago first. */
  private poll(seen: readonly SpaceActor[]): void {
    const due = seen.filter((space) => space.pollOverdueMs() > 0)
    if (due.length > pollsPerTick) due.sort((a, b) => b.pollOverdueMs() - a.pollOverdueMs())
    for (const space of due.slice(0, pollsPerTick)) space.refresh()
  }

  /** Lists the spaces of the arbiter, and starts those that this node holds. */
  async discover(): Promise<void> {
    const { records, ports } = this.context
    if (this.discovering || !records.isAttached) return
    this.discovering = true
    this.lastDiscoveryMs = ports.clock.monotonicMs()
    try {
      await records.look()
      if (this.isListKnown()) return this.dropping.retry()
      const { looks, looks: { mark } } = records
      const atMs = ports.clock.monotonicMs()
      const names = await records.spaces()
      const known = new Set(names)
      for (const name of this.unheld.keys()) if (!known.has(name)) this.unheld.delete(name)
      const elsewhere = names.filter((name) => !this.held.has(name) && !this.leaving.has(name))
      const isKnown = (name: string) =>
        looks.isCurrent(this.elsewhere.get(name) ?? -Infinity) && !this.unheld.has(name)
      const isDue = (name: string) =>
        !isKnown(name) && atMs - (this.elsewhere.get(name) ?? -Infinity) > elsewhereMs
      await Promise.all(elsewhere.filter(isDue).map((name) => this.consider(name)))
      this.dropping.retry()
      this.hasList = true
      const areKnown = elsewhere.every((name) => this.held.has(name) || isKnown(name))
      if (areKnown && this.leaving.size === 0) this.listed = { mark, atMs }
    } catch (error) {
      if (!(error instanceof ArbiterUnavailableError)) throw error
      // AssignmentStore logs it, once for all spaces.
      this.startRemembered()
    } finally {
      this.discovering = false
    }
  }

  /** Nothing in the bucket has changed since all of it was known. */
  private isListKnown(): boolean {
    const { ports, records: { looks: { mark } } } = this.context
    return mark !== '' && mark === this.listed.mark && this.unheld.size === 0
      && ports.clock.monotonicMs() - this.listed.atMs < sureListMs
  }

  /**
   * Used while the arbiter is away. The records that this node remembers say whom to join, and
   * nothing else.
   */
  private startRemembered(): void {
    const { records } = this.context
    const remembered = records.memory.all()
    for (const record of remembered) {
      const { space: name, uuid, state } = record.assignment
      const isMine = state !== 'dropped' && this.isHeldHere(record.assignment)
      // The arbiter went away between the end of a space and the removal of its data.
      const isEnding = this.leaving.has(name) || this.dropping.isBusy(uuid)
      if (!isMine || isEnding || this.held.has(name)) continue
      const space = this.tryToHold(record)
      if (space) space.member.known.learned(record)
    }
    if (remembered.length > 0) this.hasList = true
  }

  /**
   * Starts the space if its record lists this node, and removes what is here of spaces that it says
   * were dropped. Rejects with ArbiterUnavailableError.
   */
  async consider(name: string): Promise<void> {
    const { records, ports } = this.context
    const askedAtMs = ports.clock.monotonicMs()
    const before = records.remembered(name)?.assignment.uuid
    const read = await records.read(name)
    const record = read.kind === 'present'
      ? read.record
      : read.kind === 'lost'
      ? read.remembered
      : null
    this.unheld.delete(name)
    // A space that leaves has frames under way; its own end removes it.
    if (this.leaving.has(name)) return
    if (read.kind === 'present') this.clearUp(read.record, before)
    if (record?.assignment.state === 'dropped') {
      this.elsewhere.set(name, askedAtMs)
      return
    }
    const isUnusable = read.kind === 'unreadable' || read.kind === 'newer'
    if (isUnusable) this.unheld.set(name, read.reason)
    if (isUnusable || (record && !this.isHeldHere(record.assignment))) {
      this.elsewhere.set(name, askedAtMs)
      return
    }
    // What was here of it before is being removed.
    if (record && this.dropping.isBusy(record.assignment.uuid)) return
    if (record && !this.held.has(name)) this.tryToHold(record)
  }

  /** Also by a node that was taken out: its data has to be kept, and to go in the end. */
  private isHeldHere(record: Assignment): boolean {
    return isHolder(record, this.context.self.node) || this.dropping.has(record.uuid)
  }

  /** `before`: the space that this node knew by that name. */
  private clearUp({ assignment }: AssignmentAt, before: string | undefined): void {
    const { space, uuid } = assignment
    const held = this.held.get(space)?.member.uuid
    for (const past of formerlyOf(assignment)) {
      if (past !== held && this.dropping.has(past)) void this.dropping.drop(space, past)
    }
    if (before !== undefined && before !== uuid) this.checkClaimed(assignment, before)
  }

  /** Raises an alert if this node has data of a space that the record does not know. */
  private checkClaimed(assignment: Assignment, uuid: string): void {
    if (saysDropped(assignment, uuid) || !this.dropping.has(uuid)) return
    const { space } = assignment
    sendAlert(this.context, space, 'spaceUnclaimed', { uuid, present: assignment.uuid },
      `this node has data of a space ${space} (${uuid}) that was never dropped, but the arbiter's `
        + `record is that of another space of this name (${assignment.uuid}): the bucket may have `
        + 'lost its records. The data stays on the disk and is not served')
  }

  /** The space ends here: its record is a tombstone, or that of another space. */
  private readonly over = (space: SpaceActor, { assignment }: AssignmentAt): void => {
    const { space: name, member: { uuid } } = space
    if (this.held.get(name) !== space) return
    const isDropped = saysDropped(assignment, uuid)
    const isOut = assignment.uuid === uuid && !isDropped
    const reason = isDropped
      ? `the space ${droppedText(assignment)}`
      : isOut
      ? 'this node was taken out of its members'
      : `${name} is another space now`
    const isGone = assignment.state === 'dropped'
    this.context.ports.logger.warn({ space: name, uuid }, `the space ends here: ${reason}`)
    const leaving = space.leave(isGone ? 'UNKNOWN_SPACE' : 'NOT_PRIMARY', reason)
      .then(() => {
        if (isDropped || isOut) return this.dropping.drop(name, uuid, assignment.epoch)
        this.checkClaimed(assignment, uuid)
      })
      .catch((error: unknown) => this.context.fatal(error))
      .finally(() => this.leaving.delete(name))
    this.leaving.set(name, leaving)
    // Its roles have ended; they need to be found until then.
    this.listed = { mark: '', atMs: -Infinity }
    this.held.delete(name)
    this.names.delete(name)
    this.promotions.forget(space)
    this.learners.giveBack(name)
    this.rounds.delete(space)
    // Another space of that name may list this node.
    if (!isGone) void leaving.then(() => this.discover())
  }

  /** A space that cannot be started (a bug, a store that fails) does not affect others. */
  private tryToHold(record: AssignmentAt): SpaceActor | null {
    const { space } = record.assignment
    try {
      return this.hold(record)
    } catch (error) {
      const { logger, clock } = this.context.ports
      const failed = this.held.get(space)
      if (failed) this.rounds.delete(failed)
      this.held.delete(space)
      this.names.delete(space)
      this.elsewhere.set(space, clock.monotonicMs())
      this.unheld.set(space, `it cannot be started: ${String(error)}`)
      logger.error({ space, error: stackOf(error) },
        'the space cannot be started; the node tries again in half a minute')
      return null
    }
  }

  private hold({ assignment, assignment: { space: name, uuid } }: AssignmentAt): SpaceActor {
    // A learner may have been a member before: it begins anew.
    if (this.dropping.isDropped(uuid) && learnerOf(assignment) !== this.context.self.node) {
      throw new Error('it was dropped, and this node has removed its data of it; the record says '
        + 'now that it exists (the arbiter may have gone back): drop it again')
    }
    const calls = {
      mayPromote: this.promotions.mayBegin,
      insist: this.promotions.insist,
      learners: this.learners,
      wake: (of: SpaceActor) => this.rounds.wake(of),
      over: this.over,
    }
    const space = new SpaceActor(this.context, name, uuid, calls)
    space.member.salvages.counted(namesOf(this.salvages, name, uuid).length)
    this.held.set(name, space)
    this.context.records.memory.keep(name)
    this.names.put(name)
    this.rounds.add(space)
    space.start(this.machine)
    const { notice } = this.context.identity
    if (notice !== null) sendAlert(this.context, name, 'directory', {}, notice)
    return space
  }

  /** Nodes to probe at every heartbeat: the primaries of the spaces held here. */
  watchedNodes(): Set<NodeId> {
    return this.rounds.watchedNodes()
  }
}

/** What concerns all spaces of a node, as text: they are looked at when it changes. */
function nodeCondition({ peers, duty, commits, wire, identity }: NodeContext): string {
  const own = [duty.drained, commits.isFull, wire.life.connection, wire.isOpen,
    identity.isRegistered]
  return [...own, peers.condition()].join()
}
