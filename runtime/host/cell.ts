import { createActor } from 'xstate'
import type { AnyActor, AnyActorLogic, AnyEventObject, EventFromLogic } from 'xstate'
import type { ActorExit, ActorSpec, HostedActor } from '../../actors/host/actorHost.js'
import type { Escalating } from '../../actors/host/invokeHosted.js'
import type { Clock, Logger, Telemetry } from '../../actors/ports/system.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { DeadLetters } from './deadLetters.js'
import type { Inspection } from './inspection.js'
import { defaultMailbox, Mailbox } from './mailbox.js'
import type { Letter } from './mailbox.js'
import { RestartBudget } from './supervisor.js'
import { ActorKilledError, MailboxOverflowError } from './types.js'
import type { ActorReport, DeadLetter, DeadLetterReason, HostEvent, Reply,
  Sender } from './types.js'
import { ChildGuard, dispose, disposeChildren, isBusy, snapshotOf, wasIgnored } from './xstate.js'

export type AnySpec = ActorSpec<AnyActorLogic> & Escalating

/** The host as a cell uses it. */
export interface CellHost {
  readonly node: string
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry | undefined
  readonly deadLetters: DeadLetters
  readonly inspection: Inspection
  stopBelow(id: string): void
  /**
   * Removes the cell, then calls onExit, the watchers, and, after a failure, parent or escalation.
   */
  over(cell: Cell, exit: ActorExit<AnyActorLogic>): void
  notify(event: HostEvent, actor: string): void
  restarted(): void
  reply(answer: Reply): void
}

/** One run of the logic, from its start to its end or failure. */
interface Life {
  readonly actor: AnyActor
  readonly children: ChildGuard
  isOver: boolean
}

type CellState = 'starting' | 'running' | 'ending' | 'restarting' | 'over'

/** Types counted one by one in `unhandled`; all others are counted together. */
const unhandledTypesMax = 64

/** A hosted actor over all its lives: mailbox, supervision, effects. */
export class Cell {
  readonly id: string
  readonly handle: HostedActor<AnyActorLogic>
  private state: CellState = 'starting'
  private life: Life | null = null
  /** An event of this actor is being processed by a call further up the stack. */
  private isInTurn = false
  private isDrainDue = false
  private restartTimer: object | null = null
  private restarts = 0
  private readonly mailbox: Mailbox
  private readonly budget: RestartBudget
  /** null: none so far. */
  private unhandled: Map<string, number> | null = null

  constructor(readonly spec: AnySpec, private readonly host: CellHost) {
    this.id = spec.id
    this.mailbox = new Mailbox(spec.mailbox ?? defaultMailbox)
    this.budget = new RestartBudget(spec.supervision)
    this.handle = {
      id: this.id,
      send: (event: EventFromLogic<AnyActorLogic>) => this.send(event, null),
      snapshot: () => this.snapshot(),
      stop: () => this.stop(),
    }
  }

  snapshot(): ReturnType<HostedActor<AnyActorLogic>['snapshot']> {
    // The last snapshot stays readable at the end, for those who waited for it.
    return this.state === 'restarting' ? undefined : this.life?.actor.getSnapshot()
  }

  get isEnding(): boolean {
    return this.state === 'ending' || this.state === 'over'
  }

  report(): ActorReport {
    return {
      id: this.id,
      parent: this.spec.parent ?? null,
      state: this.state === 'over' ? 'ending' : this.state,
      restarts: this.restarts,
      waiting: this.mailbox.size,
      unhandled: Object.fromEntries(this.unhandled ?? []),
    }
  }

  /** Processes the event before it returns if the actor is idle; else it waits in the mailbox. */
  send(event: AnyEventObject, from: Sender | null): void {
    const letter = { event, from }
    // Events that wait for the microtask of `drainSoon` come first.
    if (this.mailbox.size > 0 && this.isIdle()) this.turn(() => undefined)
    if (this.state === 'over') return this.bury(letter, 'actorOver', 'the actor is over')
    // XState would take them for its own: `xstate.stop` ends an actor behind the host's back.
    if (typeof event.type !== 'string' || event.type.startsWith('xstate.')) {
      return this.bury(letter, 'reservedEvent', `event type ${String(event.type)}`)
    }
    if (this.isIdle()) return this.turn(() => this.deliver(letter))
    this.post(letter)
    if (this.state === 'running' && !this.isInTurn) this.drainSoon()
  }

  private isIdle(): boolean {
    return this.state === 'running' && !this.isInTurn && this.life !== null
      && !isBusy(this.life.actor)
  }

  private post(letter: Letter): void {
    const offered = this.mailbox.offer(letter)
    if (offered.kind === 'taken') return
    const { capacity } = this.mailbox.policy
    const full = `its mailbox of ${capacity} is full`
    if (offered.kind === 'dropped') return this.bury(offered.letter, 'overflow', full)
    this.bury(letter, 'overflow', full)
    const life = this.life
    if (life === null || life.isOver) return
    // The next life must not begin with the mailbox that this one failed by.
    this.buryAll('overflow', full)
    this.fail(life, new MailboxOverflowError(this.id, capacity))
  }

  /** Runs the work, then the events that arrived meanwhile. */
  private turn(work: () => void): void {
    this.isInTurn = true
    try {
      work()
      while (this.state === 'running' && this.life !== null && !isBusy(this.life.actor)) {
        const letter = this.mailbox.take()
        if (letter === undefined) break
        this.deliver(letter)
      }
    } finally {
      this.isInTurn = false
    }
  }

  // XState processes an event of one of the actor's own children: no turn of this cell will end.
  private drainSoon(): void {
    if (this.isDrainDue) return
    this.isDrainDue = true
    queueMicrotask(() => {
      this.isDrainDue = false
      if (this.isIdle()) this.turn(() => undefined)
    })
  }

  private deliver({ event }: Letter): void {
    const actor = this.life?.actor
    if (actor === undefined) return
    const before = snapshotOf(actor)
    actor.send(event)
    if (wasIgnored(before, snapshotOf(actor), event)) this.countUnhandled(event.type)
  }

  private countUnhandled(type: string): void {
    const unhandled = this.unhandled ??= new Map()
    const isKnown = unhandled.has(type) || unhandled.size < unhandledTypesMax
    const key = isKnown ? type : 'other'
    unhandled.set(key, (unhandled.get(key) ?? 0) + 1)
    this.host.telemetry?.count('engram_host_unhandled_total', 1, { type: key })
    this.host.logger.debug({ actor: this.id, event: type }, 'event ignored in this state')
  }

  private bury(letter: Letter, reason: DeadLetterReason, detail: string): void {
    const { node } = this.host
    this.host.deadLetters.add({ reason, detail, to: { node, actor: this.id }, ...letter })
  }

  /** An event that it sent reached nobody. In a turn of its own: it may well send again. */
  undelivered(letter: DeadLetter): void {
    const { onUndelivered } = this.spec
    const life = this.life
    if (onUndelivered === undefined || life === null) return
    this.host.clock.nextTurn(() => {
      if (!life.isOver) this.guarded(life, () => onUndelivered(letter))
    })
  }

  private buryAll(reason: DeadLetterReason, detail: string): void {
    for (const letter of this.mailbox.takeAll()) this.bury(letter, reason, detail)
  }

  start(): void {
    this.restartTimer = null
    this.state = 'starting'
    let life: Life
    try {
      life = this.createLife()
    } catch (error) {
      this.life = null
      this.decide(error)
      return
    }
    this.life = life
    this.turn(() => {
      life.actor.start()
      if (this.state === 'starting') this.state = 'running'
    })
  }

  private createLife(): Life {
    const inspect = this.host.inspection.hookFor(this.id)
    const clock = {
      setTimeout: (run: () => void, ms: number) =>
        this.host.clock.setTimeout(() => this.onTimer(life, run), ms),
      clearTimeout: (timer: object) => this.host.clock.clearTimeout(timer),
    }
    const actor: AnyActor = createActor(this.spec.logic, {
      id: this.id,
      input: this.spec.input(),
      clock,
      logger: (...args: unknown[]) => this.host.logger.debug({ actor: this.id, args }, 'actor log'),
      ...(inspect === undefined ? {} : { inspect }),
    })
    const life: Life = { actor, children: new ChildGuard(), isOver: false }
    this.host.inspection.born(actor, this.id, inspect !== undefined)
    // Subscribed before start(), or the emits of entry actions would be lost.
    actor.on('*', (effect) => this.perform(life, effect))
    actor.subscribe({
      next: (snapshot) => this.onSnapshot(life, snapshot),
      error: (error) => {
        if (life.isOver) disposeChildren(actor)
        else this.fail(life, error)
      },
      complete: () => this.onComplete(life),
    })
    return life
  }

  private onTimer(life: Life, run: () => void): void {
    if (life.isOver) return
    if (this.isInTurn) run()
    else this.turn(run)
  }

  private perform(life: Life, effect: unknown): void {
    if (life.isOver) return
    if ((effect as { readonly type?: unknown }).type === 'engram.reply') {
      return this.host.reply(effect as Reply)
    }
    if (this.spec.effects === undefined) return
    this.guarded(life, () => {
      const outcome: unknown = this.spec.effects?.(effect as never, this.handle)
      // An async function passes for `void`: its failure is the actor's failure, too.
      if (outcome instanceof Promise) outcome.catch((error) => this.fail(life, error))
    })
  }

  private onSnapshot(life: Life, snapshot: unknown): void {
    life.children.scan(life.actor)
    if (life.isOver || this.spec.onSnapshot === undefined) return
    this.guarded(life, () => this.spec.onSnapshot?.(snapshot as never))
  }

  private guarded(life: Life, work: () => void): void {
    try {
      work()
    } catch (error) {
      this.fail(life, error)
    }
  }

  private onComplete(life: Life): void {
    if (life.isOver) return
    const { output } = life.actor.getSnapshot() as { output?: never }
    this.end(life, { kind: 'done', output: output as never })
  }

  /** Ends it, and everything below it, without a restart. Idempotent. */
  stop(): void {
    if (this.isEnding) return
    this.end(this.life, { kind: 'stopped' })
  }

  private end(life: Life | null, exit: ActorExit<AnyActorLogic>): void {
    this.state = 'ending'
    this.close(life)
    this.finish(exit)
  }

  /** Ends it as if it had thrown. Between two lives there is nothing to kill. */
  kill(reason: string): void {
    if (this.life === null || this.life.isOver) return
    this.host.notify({ type: 'engram.kill', reason }, this.id)
    this.fail(this.life, new ActorKilledError(this.id, reason))
  }

  /** Called when an actor below it gave up. */
  failBy(error: Error): void {
    if (this.life !== null && !this.life.isOver) return this.fail(this.life, error)
    // It is between two lives: the next one starts its children again.
    this.host.logger.warn({ actor: this.id, error }, 'escalated to an actor that has failed too')
  }

  private fail(life: Life, error: unknown): void {
    if (life.isOver) return
    this.state = 'ending'
    this.close(life)
    this.decide(error)
  }

  /** Children before parents: hosted actors below, then the actor with its own children. */
  private close(life: Life | null): void {
    if (this.restartTimer !== null) this.host.clock.clearTimeout(this.restartTimer)
    this.restartTimer = null
    if (life !== null) life.isOver = true
    this.host.stopBelow(this.id)
    if (life === null) return
    this.host.inspection.gone(life.actor)
    dispose(life.actor)
  }

  private decide(error: unknown): void {
    const { clock, logger, telemetry } = this.host
    const verdict = this.budget.next(clock.monotonicMs())
    if (verdict.kind === 'giveUp') {
      logger.error({ actor: this.id, error }, 'actor failed and is not restarted')
      this.finish({ kind: 'failed', error })
      return
    }
    const { attempt, delayMs } = verdict
    this.state = 'restarting'
    this.restarts += 1
    this.host.restarted()
    telemetry?.count('engram_host_restarts_total')
    logger.warn({ actor: this.id, error, attempt, delayMs }, 'actor failed and is restarted')
    this.host.notify({ type: 'engram.restart', attempt, delayMs, error: messageOf(error) }, this.id)
    this.restartTimer = clock.setTimeout(() => this.start(), delayMs)
  }

  private finish(exit: ActorExit<AnyActorLogic>): void {
    this.state = 'over'
    this.buryAll('actorOver', `the actor is over (${exit.kind})`)
    this.host.over(this, exit)
  }
}
