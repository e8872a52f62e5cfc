import type { SalvageNote } from '../machines/books.js'
import { reconciliationMachine } from '../machines/reconciliation.js'
import type { ReconciliationEffect } from '../machines/reconciliation.js'
import type { NodeId, ReconcileAnswer, ReconcileMessage } from '../machines/protocol.js'
import { stateName } from '../machines/stateName.js'
import { subjects } from '../machines/subjects.js'
import { sendAlert } from './alerts.js'
import type { ActorSpec, HostedActor } from './hosting.js'
import type { Member } from './member.js'
import { Salvage, unreadNote } from './salvage.js'

/** A request waits this long for its answer, ms: writes have to become durable. */
const requestMs = 2000
/** Salvages of one offer: the others follow when these are taken. */
const offeredMax = 128
/** After a request without an answer. */
const retryMs = 300

interface Unusable {
  readonly why: string
  readonly note: SalvageNote
}

/**
 * A member that has salvages of a space, or whose reign an open fork report is about: brings what
 * it has to the reigning primary, which may be itself.
 */
export class ReconciliationRole {
  private actor: HostedActor<typeof reconciliationMachine> | null = null
  private salvages = new Map<string, Salvage>()
  /** Why they cannot be read, and what their headers tell. */
  private readonly unusable = new Map<string, Unusable>()
  private awaited: { readonly epoch: number; readonly sequence: number } | null = null
  private isOver = false

  /** `reign`: the one that is followed or held, if any; asked at each start. */
  constructor(
    private readonly member: Member,
    private readonly reign: () => { readonly primary: NodeId; readonly epoch: number } | null,
    private readonly onOver: () => void,
  ) {}

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
        this.onOver()
      },
    }
  }

  get state(): string {
    return stateName(this.actor?.snapshot()?.value ?? 'waiting')
  }

  /** This member has joined the reign, or holds it: what it gave up is in salvages. */
  reignJoined(primary: NodeId, epoch: number): void {
    this.actor?.send({ type: 'reignJoined', primary, epoch })
  }

  reignLeft(reason: string): void {
    this.awaited = null
    this.actor?.send({ type: 'reignLeft', reason })
  }

  /** An operator wants the salvages to be taken, whatever the settings say. */
  order(): void {
    this.unusable.clear()
    this.actor?.send({ type: 'ordered' })
  }

  stop(): void {
    this.actor?.stop()
  }

  /** Once per heartbeat: is what came of the salvage committed, and on this disk again? */
  tick(): void {
    const { awaited, member: { log } } = this
    // A primary that is alone in sync commits what nobody else has yet.
    if (!awaited || Math.min(log.commitSequence, log.durable.sequence) < awaited.sequence) return
    if (log.epochAt(awaited.sequence) !== awaited.epoch) return
    this.awaited = null
    this.actor?.send({ type: 'committed' })
  }

  private perform(effect: ReconciliationEffect): void {
    switch (effect.type) {
      case 'offer':
        void this.offer(effect.primary, effect.epoch, effect.number)
        return
      case 'sendSlice':
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
    const reign = state === 'waiting' ? this.reign() : null
    if (reign) this.reignJoined(reign.primary, reign.epoch)
    if (state === 'unusable') sendAlert(context, space, 'salvageUnusable', {}, reason)
  }

  private async offer(primary: NodeId, epoch: number, number: number): Promise<void> {
    const { member, unusable } = this
    const { self } = member.context
    try {
      await this.open()
      const answer = await this.ask(primary, {
        kind: 'offer', space: member.space, uuid: member.uuid, node: self.node, disk: self.disk,
        epoch, number,
        // What cannot be read lies here all the same: its report must not be closed.
        salvages: [...this.salvages.values(), ...unusable.values()].map(({ note }) => note),
      })
      if (answer.kind !== 'taken') return this.failed(answer)
      const [salvage = null] = this.salvages.keys()
      const [damaged] = unusable.values()
      if (salvage === null && damaged !== undefined) {
        this.send({ type: 'salvageUnusable', reason: damaged.why })
        return
      }
      this.send({ type: 'offered', number, salvage, isAutomatic: answer.isAutomatic })
    } catch (error) {
      this.send({ type: 'requestFailed', number, pauseMs: retryMs, reason: String(error) })
    }
  }

  /** Reads what is new among the files of the space; one that cannot be read hides no others. */
  private async open(): Promise<void> {
    const { space, uuid, self, context: { ports } } = this.member
    // The oldest: what is offered once is offered again until it is taken.
    const found = (await ports.salvages.list())
      .filter(({ header }) => header.space === space && header.uuid === uuid)
      .toSorted((a, b) => a.header.savedAtMs - b.header.savedAtMs).slice(0, offeredMax)
    const salvages = new Map<string, Salvage>()
    const names = new Set(found.map(({ name }) => name))
    for (const name of this.unusable.keys()) if (!names.has(name)) this.unusable.delete(name)
    for (const { name, header } of found) {
      if (this.unusable.has(name)) continue
      try {
        const known = this.salvages.get(name)
        const read = known ? null : await ports.salvages.read(name)
        const salvage = known ?? new Salvage(name, self, read!.header, read!.frames, ports.frames)
        salvages.set(name, salvage)
      } catch (error) {
        this.unusable.set(name, { why: String(error), note: unreadNote(name, self, header) })
      }
    }
    this.salvages = salvages
  }

  private async sendSlice(
    { primary, epoch, number, salvage: name, sent }: ReconciliationEffect & { type: 'sendSlice' },
  ): Promise<void> {
    const { space, uuid, self } = this.member
    try {
      const salvage = this.salvages.get(name)
      if (!salvage) throw new Error(`the salvage ${name} is not open`)
      const { writes, isLast } = salvage.slice(sent)
      const answer = await this.ask(primary, {
        kind: 'slice', space, uuid, node: self, epoch, number, salvage: name, writes, isLast,
      })
      if (answer.kind !== 'taken') return this.failed(answer)
      this.send({
        type: 'sliceTaken', number, sent: sent + writes.length, sequence: answer.sequence, isLast,
        pauseMs: answer.retryAfterMs,
      })
    } catch (error) {
      this.send({ type: 'requestFailed', number, pauseMs: retryMs, reason: String(error) })
    }
  }

  private failed({ kind, number, reason, retryAfterMs }: ReconcileAnswer): void {
    const isRefused = kind === 'refused'
    this.send({
      type: 'requestFailed', number, pauseMs: retryAfterMs || retryMs, reason, isRefused,
    })
  }

  /** Rejects without an answer that makes sense. */
  private async ask(primary: NodeId, message: ReconcileMessage): Promise<ReconcileAnswer> {
    const { space, context: { ports, wire } } = this.member
    const answer = await wire.request(subjects.ack(space, primary), ports.control.encode(message),
      { timeoutMs: requestMs })
    const decoded = ports.control.reconcileAnswer(answer.data)
    if (!decoded.ok) throw new Error(decoded.reason)
    if (decoded.value.number !== message.number || decoded.value.epoch !== message.epoch) {
      throw new Error('the answer is to another request')
    }
    return decoded.value
  }

  private async release(name: string): Promise<void> {
    const { member } = this
    try {
      await member.context.ports.salvages.remove(name)
      this.salvages.delete(name)
      member.salvages = Math.max(0, member.salvages - 1)
      this.send({ type: 'released' })
    } catch (error) {
      this.send({ type: 'salvageUnusable', reason: `${name} cannot be removed: ${String(error)}` })
    }
  }

  private send(event: Parameters<HostedActor<typeof reconciliationMachine>['send']>[0]): void {
    if (!this.isOver) this.actor?.send(event)
  }
}
