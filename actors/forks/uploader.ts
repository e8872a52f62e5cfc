import type { NodeId, Position } from '../../machines/base/ids.js'
import { stateName } from '../../machines/base/stateName.js'
import type { ReconcileAnswer, ReconcileMessage } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { reconciliationMachine } from '../../machines/reconciliation.js'
import type { ReconciliationEffect } from '../../machines/reconciliation.js'
import type { ActorSpec, HostedActor } from '../host/actorHost.js'
import { sendAlert } from '../member/alerts.js'
import type { Member } from '../member/member.js'
import { SalvageCatalog } from './salvageCatalog.js'
import type { Slice } from './salvageSlices.js'

/** Timeout of a request, ms: its writes have to become durable. */
const requestMs = 2000
/** Pause after a request without an answer. */
const retryMs = 300

export interface UploaderOptions {
  readonly member: Member
  /** Returns the primary that is followed, or this member if it is primary. */
  readonly current: () => { readonly primary: NodeId; readonly epoch: number } | null
  /** Whether an entry survives that is not in the log here. */
  readonly isSafe: (entry: Position) => boolean
  /** `isLevel`: everything was uploaded. */
  readonly onOver: (isLevel: boolean) => void
}

/**
 * Uploads a member's salvages of a space to the primary, which may be the member itself. Runs also
 * without salvages while there is an open fork report on an epoch of this member.
 */
export class Uploader {
  private actor: HostedActor<typeof reconciliationMachine> | null = null
  private readonly salvages: SalvageCatalog
  /** Number of the request that is being prepared or waits for its answer; 0: none. */
  private requested = 0
  /** State of the chart. */
  private at = 'waiting'
  /** Reason of the last alert, which is not repeated. */
  private alerted = ''
  private awaited: { readonly epoch: number; readonly sequence: number } | null = null
  private isOver = false

  private readonly member: Member

  constructor(private readonly options: UploaderOptions) {
    this.member = options.member
    this.salvages = new SalvageCatalog(options.member)
  }

  spec(): ActorSpec<typeof reconciliationMachine> {
    const { space, self, context } = this.member
    return {
      id: `space.${space}.reconciliation`,
      logic: reconciliationMachine,
      input: () => ({ space, self, times: context.settings }),
      effects: (effect, actor) => {
        this.actor = actor
        this.perform(effect)
      },
      supervision: { maxRestarts: 5, withinMs: 30_000, backoffMs: 100, backoffMaxMs: 2000 },
      onExit: () => {
        this.isOver = true
        this.options.onOver(this.at === 'level')
      },
    }
  }

  get state(): string {
    return stateName(this.actor?.snapshot()?.value ?? 'waiting')
  }

  /** This member has joined the primary, or is primary: any fork that it gave up is in salvages. */
  primaryJoined(primary: NodeId, epoch: number): void {
    this.actor?.send({ type: 'primaryJoined', primary, epoch })
  }

  primaryLeft(reason: string): void {
    this.actor?.send({ type: 'primaryLeft', reason })
  }

  /** Handles an operator's command: salvages are uploaded, whatever the settings say. */
  uploadNow(): void {
    this.salvages.retryUnreadable()
    this.alerted = ''
    this.actor?.send({ type: 'ordered' })
  }

  stop(): void {
    this.actor?.stop()
  }

  /** Called once per heartbeat: checks if the uploaded entries are committed and on this disk. */
  tick(): void {
    const { awaited, member: { log } } = this
    if (!awaited) return
    // A primary that is alone in sync commits entries that no other member has yet.
    const isHere = Math.min(log.commitSequence, log.durable.sequence) >= awaited.sequence
      && log.has(awaited)
    if (!isHere && !this.options.isSafe(awaited)) return
    this.awaited = null
    this.actor?.send({ type: 'committed' })
  }

  private perform(effect: ReconciliationEffect): void {
    switch (effect.type) {
      case 'offer':
        this.requested = effect.number
        void this.offer(effect)
        return
      case 'sendSlice':
        this.requested = effect.number
        void this.sendSlice(effect)
        return
      case 'awaitCommit':
        this.awaited = { epoch: effect.epoch, sequence: effect.sequence }
        this.tick()
        return
      case 'release':
        void this.release(effect.salvage)
        return
      case 'progressed':
        this.progressed(effect.state, effect.reason)
    }
  }

  private progressed(state: string, reason: string): void {
    const { context, space } = this.member
    context.ports.logger.info({ space, state }, `reconciliation: ${reason}`)
    this.at = state
    if (state !== 'settling') this.awaited = null
    if (state !== 'merging') this.salvages.release()
    if (state !== 'offering' && state !== 'merging') this.requested = 0
    const current = state === 'waiting' ? this.options.current() : null
    if (current) this.primaryJoined(current.primary, current.epoch)
    if (state === 'unusable') this.alert(reason)
  }

  private alert(reason: string): void {
    const { context, space } = this.member
    if (reason === this.alerted) return
    this.alerted = reason
    sendAlert(context, space, 'salvageUnusable', {}, reason)
  }

  private isCurrent(number: number): boolean {
    return !this.isOver && this.requested === number
  }

  private async offer(
    { primary, epoch, number }: ReconciliationEffect & { type: 'offer' },
  ): Promise<void> {
    const { space, uuid, context: { self } } = this.member
    try {
      const found = await this.salvages.look(() => !this.isOver && this.requested !== 0)
      if (!this.isCurrent(number)) return
      const { notes, isComplete, fault } = found
      const answer = await this.ask(primary, {
        kind: 'offer',
        space,
        uuid,
        node: self.node,
        disk: self.disk,
        epoch,
        number,
        salvages: notes,
        isComplete,
      })
      if (answer.kind !== 'taken') return this.failed(answer)
      // Reported at once: uploading the others may take long.
      if (fault !== null) this.alert(fault)
      const salvage = notes[0]?.name ?? null
      if (salvage === null && fault !== null) this.unusableNow(number, fault)
      else this.send({ type: 'offered', number, salvage, isAutomatic: answer.isAutomatic })
    } catch (error) {
      this.send({ type: 'requestFailed', number, pauseMs: retryMs, reason: String(error) })
    }
  }

  private async sendSlice(
    { primary, epoch, number, salvage: name, sent }: ReconciliationEffect & { type: 'sendSlice' },
  ): Promise<void> {
    const { space, uuid, self } = this.member
    let slice: Slice
    try {
      slice = await this.salvages.slice(name, sent)
    } catch (error) {
      return this.unusableNow(number, String(error))
    }
    if (!this.isCurrent(number)) return
    const { writes, isLast } = slice
    try {
      const answer = await this.ask(primary, {
        kind: 'slice',
        space,
        uuid,
        node: self,
        epoch,
        number,
        salvage: name,
        writes,
        isLast,
      })
      if (answer.kind !== 'taken') return this.failed(answer)
      this.send({
        type: 'sliceTaken',
        number,
        sent: sent + writes.length,
        sequence: answer.sequence,
        isLast,
        pauseMs: answer.retryAfterMs,
      })
    } catch (error) {
      this.send({ type: 'requestFailed', number, pauseMs: retryMs, reason: String(error) })
    }
  }

  private unusableNow(number: number, reason: string): void {
    if (this.isCurrent(number)) this.send({ type: 'salvageUnusable', reason })
  }

  private failed({ kind, number, reason, retryAfterMs }: ReconcileAnswer): void {
    const isRefused = kind === 'refused'
    this.send({
      type: 'requestFailed',
      number,
      pauseMs: retryAfterMs || retryMs,
      reason,
      isRefused,
    })
  }

  /** Rejects when there is no valid answer. */
  private async ask(primary: NodeId, message: ReconcileMessage): Promise<ReconcileAnswer> {
    const { space, context: { ports, wire } } = this.member
    const answer = await wire.request(subjects.ack(space, primary), ports.control.encode(message), {
      timeoutMs: requestMs,
    })
    const decoded = ports.control.reconcileAnswer(answer.data)
    if (!decoded.ok) throw new Error(decoded.reason)
    if (decoded.value.number !== message.number || decoded.value.epoch !== message.epoch) {
      throw new Error('the answer is to another request')
    }
    return decoded.value
  }

  private async release(name: string): Promise<void> {
    const done = await this.salvages.remove(name).then(
      () => ({ type: 'released' }) as const,
      (error: unknown) =>
        ({
          type: 'salvageUnusable',
          reason: `${name} cannot be removed: ${String(error)}`,
        }) as const,
    )
    if (this.at === 'releasing') this.send(done)
  }

  private send(event: Parameters<HostedActor<typeof reconciliationMachine>['send']>[0]): void {
    if (!this.isOver) this.actor?.send(event)
  }
}
