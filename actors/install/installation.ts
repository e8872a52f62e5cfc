import type { NodeId } from '../../machines/base/ids.js'
import { messageOf } from '../../machines/base/thrown.js'
import { InvariantViolation } from '../../machines/log/invariants.js'
import type { InstallPhase } from '../../machines/protocol/installMessages.js'
import type { ReplicaEvent } from '../../machines/protocol/replicaTypes.js'
import type { Following } from '../member/following.js'
import type { Member } from '../member/member.js'
import { pause } from '../structures/pause.js'
import { installStatus, phaseOf, type InstallStatus } from './installStatus.js'
import { InstallSession } from './installSession.js'
import type { InstallProgress, InstallSessionOptions } from './installSession.js'
import { InstallWatch, type Overtaken } from './installWatch.js'
import { askSource, openAt, pull, SourceLostError } from './pull.js'
import { Staged } from './staged.js'
import { replaceState } from './replaceState.js'

/** Pause before another source is asked, or the same again. */
const retryMs = 1000
/** The primary's agreement to the switch holds for so long. */
const agreedMsMax = 1000
const closeTimeoutMs = 1000

/** Events after a step that failed, by step. */
const failures = {
  pulling: 'sourceLost',
  verifying: 'unusable',
  switching: 'switchRefused',
} as const

/**
 * A member's own install: it gets a checkpoint from another member, loads it beside its state, and
 * replaces that. What is loaded outlives the session, and the role; but it is switched to only in a
 * session whose join was answered *install*, and any other answer to a join discards it.
 */
export class Installation {
  private session: InstallSession | null = null
  private staged: Staged | null = null
  /** As the replica's chart has it; null: it is in no state of an install. */
  private phase: InstallPhase | null = null
  private agreedAtMs = -Infinity
  /** Sources that were of no use in this session: others are asked before them. */
  private readonly failed = new Set<NodeId>()
  /** One step at a time, also over sessions. */
  private work: Promise<void> = Promise.resolve()
  private hasOldParts = true
  private readonly watch: InstallWatch

  constructor(private readonly member: Member, private readonly following: Following) {
    this.watch = new InstallWatch(member, () => this.progress())
  }

  /** Null: the member is not being installed. */
  get status(): InstallStatus | null {
    const { session, phase, staged } = this
    return phase
      && installStatus(phase, staged, session?.minimum ?? null, this.clock.monotonicMs())
  }

  /** Whether something is loaded, or is going to be. */
  get isUnderWay(): boolean {
    return this.phase !== null || this.staged !== null || this.following.isSwitching
  }

  /** Called with each answer to a join, before anything follows from it. */
  answered(
    { install, snapshotNeeded }: Pick<ReplicaEvent & { type: 'joined' },
      | 'install'
      | 'snapshotNeeded'>,
    reason: string,
  ): void {
    if (!install) this.discard()
    if (snapshotNeeded) this.watch.needed(reason)
    else this.watch.over()
  }

  /** The replica's chart has entered that state. */
  entered(state: string): void {
    const phase = phaseOf(state)
    if (phase === null) return
    this.phase = phase
    this.watch.entered()
    if (phase === 'waiting') this.watch.hindered('its primary cannot install it')
  }

  /** Begins a session that was answered *install*. */
  begin(options: Omit<InstallSessionOptions, 'member' | 'progress' | 'onOvertaken'>): void {
    const { member } = this
    this.endSession()
    this.failed.clear()
    this.session = new InstallSession({
      ...options,
      member,
      progress: () => this.progress(),
      onOvertaken: (reason) => this.overtaken(reason),
    })
  }

  /** The chart has left the states of an install, and the session is over. */
  leave(): void {
    this.phase = null
    this.watch.left()
    this.endSession()
  }

  private endSession(): void {
    this.session?.end()
    this.session = null
  }

  /** The member becomes primary: nothing has to be installed. */
  cancel(): void {
    this.discard()
    this.watch.over()
  }

  /** Gives up what is loaded, unless the switch to it is under way already. */
  discard(): void {
    if (this.following.isSwitching) return
    const { staged } = this
    this.staged = null
    if (!staged && !this.hasOldParts) return
    this.hasOldParts = false
    const { checkpoints } = this.member.context.ports
    this.run(async () => {
      await staged?.drop(checkpoints)
      await checkpoints.removeParts(this.member.uuid)
    })
  }

  /**
   * The member's end: resolves when nothing is under way and no file is open. What a switch uses
   * that is under way stays; it ends with `following`.
   */
  async close(): Promise<void> {
    this.leave()
    await this.work
    if (!this.following.isSwitching) await this.staged?.close()
  }

  private progress(): InstallProgress {
    const { staged, phase } = this
    return {
      phase: phase === null || phase === 'waiting' ? 'asking' : phase,
      source: staged?.source ?? null,
      checkpoint: staged && { id: staged.id, position: staged.position },
      doneBytes: staged?.doneBytes ?? 0,
      totalBytes: staged?.totalBytes ?? 0,
      loadedRecords: staged?.records ?? 0,
    }
  }

  private run(work: () => Promise<void>): void {
    const { logger } = this.member.context.ports
    this.work = this.work.then(work).catch((error: unknown) => {
      if (error instanceof InvariantViolation) return this.member.context.fatal(error)
      logger.error({ space: this.member.space, error: messageOf(error) },
        'a step of an install failed')
    })
  }

  /**
   * Runs a step of the present session with what is staged. It ends with an event, unless the
   * session is over: after an error with the one that leads back to the choice of a source.
   */
  private step(
    phase: keyof typeof failures,
    work: (session: InstallSession, staged: Staged) => Promise<void>,
  ): void {
    const { session } = this
    if (!session) return
    this.run(async () => {
      const { staged } = this
      if (session.isOver) return
      if (!staged) return session.send({ type: failures[phase], reason: 'nothing is loaded' })
      try {
        await work(session, staged)
      } catch (error) {
        if (error instanceof InvariantViolation) throw error
        await this.useless(session, staged, error, failures[phase])
      }
    })
  }

  private overtaken(reason: string): void {
    this.staged?.overtake(reason)
  }

  openCheckpoint(): void {
    const { session } = this
    if (!session) return
    this.run(async () => {
      while (!session.isOver) {
        const reason = await this.find(session).catch(messageOf)
        if (reason === null || session.isOver) return
        this.watch.hindered(reason)
        session.send({ type: 'noSource', reason })
        await session.orEnd(pause(this.clock, retryMs))
      }
    })
  }

  /** Returns why there is no checkpoint to install, or null when one was found. */
  private async find(session: InstallSession): Promise<string | null> {
    const { checkpoints } = this.member.context.ports
    const { staged } = this
    if (staged?.isComplete && staged.isFrom(session.minimum)) {
      const { refusal, isAnswered } = await this.chosen(session, staged)
      if (refusal === null || !isAnswered) return refusal
      staged.overtake(refusal)
    }
    if (staged && !staged.isFrom(session.minimum)) {
      this.staged = null
      this.watch.vain(staged.overtakenBy || `it is as of ${staged.position.sequence}`,
        this.overtakenBy(session, staged))
      await staged.drop(checkpoints)
    }
    const id = this.staged?.id ?? (await checkpoints.parts(this.member.uuid))[0] ?? null
    const reasons: string[] = []
    for (const source of this.sources(session)) {
      const opened = await openAt(this.member, source, session.minimum, id)
      if (session.isOver) return null
      if (typeof opened === 'string') {
        reasons.push(opened)
        continue
      }
      if (this.staged?.id === opened.id) this.staged.offeredBy(source)
      else {
        await this.staged?.drop(checkpoints)
        this.staged = new Staged(source, opened)
      }
      const { refusal } = await this.chosen(session, this.staged)
      if (refusal === null || session.isOver) return null
      reasons.push(refusal)
    }
    return reasons.join('; ')
  }

  private sources({ offer: { sources } }: InstallSession): NodeId[] {
    const hasFailed = (source: NodeId) => (this.failed.has(source) ? 1 : 0)
    return sources.toSorted((a, b) => hasFailed(a) - hasFailed(b))
  }

  /** Reports the choice; the primary keeps from then on what follows on it. */
  private async chosen(session: InstallSession, staged: Staged): ReturnType<InstallSession['ask']> {
    const answer = await session.ask()
    const { source, position, totalBytes } = staged
    if (answer.refusal === null) {
      this.watch.sourceFound(source, position, session.minimum)
      session.send({ type: 'checkpointOpened', source, position, totalBytes })
    }
    return answer
  }

  pull(): void {
    this.step('pulling', async (session, staged) => {
      const { member } = this
      await this.receive(session, staged)
      if (session.isOver) return
      if (staged.isOvertaken) throw new SourceLostError(staged.overtakenBy)
      void askSource(member, staged.source, { kind: 'close', node: member.self, id: staged.id },
        closeTimeoutMs).catch(() => undefined)
      session.send({ type: 'pulled' })
    })
  }

  private async receive(session: InstallSession, staged: Staged): Promise<void> {
    if (staged.isComplete) return
    const { member } = this
    const part = await staged.receive(member.context.ports.checkpoints, member.uuid,
      this.clock.monotonicMs())
    this.hasOldParts = true
    await pull({
      member,
      source: staged.source,
      part,
      ended: session.ended,
      isOver: () => session.isOver || staged.isOvertaken,
      onHindered: (reason) => this.watch.waitsForDisk(reason),
    })
  }

  /** Another source, or the same again after a pause. Only a lost one may have the rest later. */
  private async useless(
    session: InstallSession,
    staged: Staged,
    error: unknown,
    type: (typeof failures)[keyof typeof failures],
  ): Promise<void> {
    const { ports: { checkpoints, logger } } = this.member.context
    const reason = messageOf(error)
    logger.warn({ space: this.member.space, source: staged.source, reason },
      'the install does not go on with this checkpoint')
    this.member.context.ports.telemetry.count('installs', 1, { result: 'failed' })
    this.failed.add(staged.source)
    if (error instanceof SourceLostError && !staged.isOvertaken) this.watch.hindered(reason)
    else {
      this.watch.vain(reason, staged.isOvertaken ? this.overtakenBy(session, staged) : null)
      if (this.staged === staged) this.staged = null
      await staged.drop(checkpoints)
    }
    await session.orEnd(pause(this.clock, retryMs))
    session.send({ type, reason })
  }

  load(): void {
    this.step('verifying', async (session, staged) => {
      await staged.load({
        member: this.member,
        isOver: () => session.isOver || staged.isOvertaken,
        onHindered: (reason) => this.watch.waitsForDisk(reason),
      })
      if (session.isOver) return
      if (staged.isOvertaken) throw new SourceLostError(staged.overtakenBy)
      session.send({ type: 'verified' })
    })
  }

  /** Asks the primary once more, right before the switch. */
  askToSwitch(): void {
    this.step('switching', async (session, staged) => {
      await staged.finish()
      while (!session.isOver) {
        const askedAtMs = this.clock.monotonicMs()
        const { refusal, isAnswered } = await session.ask()
        if (session.isOver) return
        if (refusal === null) {
          this.agreedAtMs = askedAtMs
          return session.send({ type: 'switchAllowed' })
        }
        if (isAnswered) return await this.refused(session, staged, refusal)
        await session.orEnd(pause(this.clock, retryMs))
      }
    })
  }

  private async refused(session: InstallSession, staged: Staged, reason: string): Promise<void> {
    this.watch.vain(reason, this.overtakenBy(session, staged))
    if (this.staged === staged) this.staged = null
    await staged.drop(this.member.context.ports.checkpoints)
    session.send({ type: 'switchRefused', reason })
  }

  private overtakenBy({ minimum }: InstallSession, staged: Staged): Overtaken {
    return { bytesPerSecond: staged.bytesPerSecond(this.clock.monotonicMs()), minimum }
  }

  /**
   * Replaces the state of this member. From here on it is waited for, whatever becomes of the
   * session: its record may be in the journal.
   */
  switch(): void {
    const { session, staged, member } = this
    if (!session) return
    if (!staged) return session.send({ type: 'switchRefused', reason: 'nothing is loaded' })
    this.following.replace(async () => {
      await this.work
      let reason: string | null
      try {
        reason = await replaceState(member, staged, () => this.staleReason(session))
      } catch (error) {
        // The record may be in force: a start goes on from it.
        return member.context.fatal(error)
      }
      if (reason === null) this.replaced(session, staged)
      else this.run(async () => {
          await session.orEnd(pause(this.clock, retryMs))
          session.send({ type: 'switchRefused', reason })
        })
    })
  }

  private staleReason(session: InstallSession): string | null {
    if (session.isOver) return 'the session is over'
    return this.clock.monotonicMs() - this.agreedAtMs > agreedMsMax
      ? 'the primary agreed too long ago'
      : null
  }

  private replaced(session: InstallSession, { position }: Staged): void {
    this.staged = null
    this.watch.installed(position)
    this.member.context.ports.telemetry.count('installs', 1, { result: 'installed' })
    session.send({ type: 'switched', position })
  }

  private get clock() {
    return this.member.context.ports.clock
  }
}
