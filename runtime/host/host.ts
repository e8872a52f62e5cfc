import type { AnyActorLogic, EventObject } from 'xstate'
import type { ActorExit, ActorSpec, HostedActor } from '../../actors/host/actorHost.js'
import type { BusConnection } from '../../actors/ports/bus.js'
import type { Clock, Logger, Telemetry } from '../../actors/ports/system.js'
import { messageOf } from '../../machines/base/thrown.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import { AskError, Asks, replyToOf } from './asks.js'
import { Cell } from './cell.js'
import type { AnySpec, CellHost } from './cell.js'
import { DeadLetters } from './deadLetters.js'
import { detailLengthMax } from './envelope.js'
import type { AnswerBody } from './envelope.js'
import { Inspection } from './inspection.js'
import { Remote } from './remote.js'
import { ActorFailedError } from './types.js'
import type { ActorHostOptions, ActorHostRuntime, DeadLetter, ExitKind, HostEvent, HostReport,
  InspectionObserver, RemoteExit, RemoteRef, Reply, Sender } from './types.js'

type OnDeath = (exit: { id: string; kind: ExitKind | 'unknown' }) => void

const idRule = /^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}$/

const askMsDefault = 5_000

/** An actor host for any XState v5 actor logic; see ActorHost and ActorHostRuntime. */
export function createActorHost(options: ActorHostOptions): ActorHostRuntime {
  const fault = nameFault(options.node)
  if (fault !== null) throw new RangeError(`node: ${fault}`)
  return new Host(options)
}

class Host implements ActorHostRuntime, CellHost {
  readonly node: string
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry | undefined
  readonly deadLetters: DeadLetters
  readonly inspection: Inspection
  private readonly remote: Remote
  private readonly asks: Asks
  private readonly cells = new Map<string, Cell>()
  private readonly below = new Map<string, Set<Cell>>()
  private readonly watchers = new Map<string, Set<OnDeath>>()
  private restarts = 0
  private escalations = 0

  constructor(private readonly options: ActorHostOptions) {
    this.node = options.node
    this.clock = options.clock
    this.logger = options.logger
    this.telemetry = options.telemetry
    this.deadLetters = new DeadLetters(this.clock, this.logger, this.telemetry)
    this.inspection = new Inspection(this.node, this.logger)
    const bornAtMs = Math.floor(options.clock.wallMs())
    const incarnation = options.incarnation ?? (() => bornAtMs)
    this.asks = new Asks({ node: this.node, clock: this.clock, life: incarnation })
    this.remote = new Remote({
      host: options,
      incarnation,
      onAnswer: (answer) => this.takeAnswer(answer),
      onSilent: (node) => this.asks.nodeDown(node),
      deadLetters: this.deadLetters,
      deliver: (id, event, from) => this.deliverFromAfar(id, event, from),
      watch: (id, onDeath) => this.watch(id, onDeath),
    })
    if (options.inspect !== undefined) this.inspection.observe(options.inspect)
    this.deadLetters.listen((letter) => {
      this.notify({ type: 'engram.deadLetter', letter }, letter.to.actor)
      this.returnToSender(letter)
    })
    if (options.bus !== undefined) this.attachBus(options.bus)
  }

  spawn<TLogic extends AnyActorLogic>(spec: ActorSpec<TLogic>): HostedActor<TLogic> {
    const { id, parent } = spec
    if (!idRule.test(id)) {
      throw new RangeError(`an actor id must be tokens of [A-Za-z0-9_-] joined by dots, not ${id}`)
    }
    if (this.cells.has(id)) throw new Error(`actor ${id} exists on ${this.node} already`)
    // Below an ending parent the tree would never become empty.
    if (parent !== undefined && this.cells.get(parent)?.isEnding !== false) {
      throw new Error(`actor ${id}: its parent ${parent} is not alive on ${this.node}`)
    }
    // Inside the host the kind of logic does not matter; the handle gives the types back.
    const cell = new Cell(spec as unknown as AnySpec, this)
    this.cells.set(id, cell)
    if (parent !== undefined) {
      const siblings = this.below.get(parent) ?? new Set()
      this.below.set(parent, siblings.add(cell))
    }
    this.notify({ type: 'engram.spawn', parent: parent ?? null }, id)
    cell.start()
    return cell.handle as unknown as HostedActor<TLogic>
  }

  kill(id: string, reason = 'killed'): boolean {
    const cell = this.cells.get(id)
    cell?.kill(reason)
    return cell !== undefined
  }

  watch(id: string, onDeath: OnDeath): () => void {
    let isOn = true
    const once: OnDeath = (exit) => {
      if (!isOn) return
      isOn = false
      onDeath(exit)
    }
    if (this.cells.has(id)) {
      const watchers = this.watchers.get(id) ?? new Set()
      this.watchers.set(id, watchers.add(once))
    } else {
      // Deferred until the caller has the function that ends the watch.
      queueMicrotask(() => this.safely(id, () => once({ id, kind: 'unknown' })))
    }
    return () => {
      isOn = false
      const watchers = this.watchers.get(id)
      watchers?.delete(once)
      if (watchers?.size === 0) this.watchers.delete(id)
    }
  }

  ids(): string[] {
    return [...this.cells.keys()]
  }

  isRunning(id: string): boolean {
    return this.cells.get(id)?.report().state === 'running'
  }

  snapshotOf(id: string): unknown {
    return this.cells.get(id)?.snapshot()
  }

  shutdown(): void {
    // Latest first: an actor that was spawned later may depend on earlier ones.
    for (const cell of [...this.cells.values()].toReversed()) cell.stop()
    this.asks.shutdown()
    this.remote.shutdown()
  }

  stopBelow(id: string): void {
    // A child may spawn another one while it ends; that must not outlive the parent.
    for (;;) {
      const cells = this.below.get(id)
      this.below.delete(id)
      if (cells === undefined) return
      for (const cell of [...cells].toReversed()) cell.stop()
    }
  }

  over(cell: Cell, exit: ActorExit<AnyActorLogic>): void {
    const { id, spec } = cell
    if (this.cells.get(id) === cell) this.cells.delete(id)
    if (spec.parent !== undefined) this.below.get(spec.parent)?.delete(cell)
    this.notify({ type: 'engram.exit', kind: exit.kind }, id)
    const watchers = this.watchers.get(id)
    this.watchers.delete(id)
    let fault = this.safely(id, () => spec.onExit?.(exit))
    for (const watcher of watchers ?? []) {
      fault = this.safely(id, () => watcher({ id, kind: exit.kind })) ?? fault
    }
    const isTaken = exit.kind === 'failed' && (spec.onGivenUp?.(exit.error) ?? false)
    if (exit.kind === 'failed' && !isTaken) this.escalate(cell, exit.error)
    else if (fault !== null) this.escalate(cell, fault)
  }

  notify(event: HostEvent, actor: string): void {
    if (this.inspection.isObserved) this.inspection.notify(event, actor)
  }

  restarted(): void {
    this.restarts += 1
  }

  private escalate(cell: Cell, cause: unknown): void {
    const { id, spec } = cell
    const parent = spec.parent === undefined ? undefined : this.cells.get(spec.parent)
    const error = new ActorFailedError(id, cause)
    this.escalations += 1
    this.telemetry?.count('engram_host_escalations_total')
    this.notify(
      { type: 'engram.escalation', to: parent?.id ?? null, error: messageOf(cause) },
      id,
    )
    if (parent !== undefined) parent.failBy(error)
    else this.options.onEscalation(error)
  }

  // An error of a callback at an actor's end cannot fail that actor: it is escalated instead.
  private safely(id: string, work: () => void): Error | null {
    try {
      work()
      return null
    } catch (error) {
      this.logger.error({ actor: id, error }, 'a callback at the end of an actor threw')
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  ref<TEvent extends EventObject>(node: string, id: string, from?: string): RemoteRef<TEvent> {
    const actor = from ?? null
    const send = node !== this.node
      ? this.remote.sender(node, id, actor)
      : (event: EventObject) => this.deliver(id, event, { node, actor })
    return {
      node,
      id,
      send,
      ask: async <TAnswer = unknown>(
        event: TEvent,
        { timeoutMs = askMsDefault }: { readonly timeoutMs?: number } = {},
      ): Promise<TAnswer> => {
        const asked = this.asks.begin(node, id, timeoutMs)
        if (asked === null) throw new AskError('tooMany', 'too many asks wait for their answers')
        send({ ...event, replyTo: asked.replyTo })
        return asked.answer as Promise<TAnswer>
      },
    }
  }

  reply({ to, value }: Reply): void {
    const replyTo = replyToOf({ replyTo: to })
    if (replyTo === null) return
    if (replyTo.node === this.node) return this.asks.answer(replyTo, value)
    const { node, ask, life } = replyTo
    this.remote.answer(node, { kind: 'answer', ask, life, value })
  }

  private takeAnswer({ refusal, value, ...of }: AnswerBody): void {
    if (refusal === undefined) this.asks.answer(of, value)
    else this.asks.refuse(of, refusal.reason, refusal.detail)
  }

  /** Ends the ask, and notifies the sender, of an event that nobody got. */
  private returnToSender(letter: DeadLetter): void {
    const { reason, detail, from, event } = letter
    // A repeated event has been delivered before, and may still be answered.
    const replyTo = reason === 'stale' ? null : replyToOf(event)
    if (replyTo?.node === this.node) this.asks.refuse(replyTo, reason, detail)
    else if (replyTo !== null) {
      const { node, ask, life } = replyTo
      const refusal = { reason, detail: detail.slice(0, detailLengthMax) }
      this.remote.answer(node, { kind: 'answer', ask, life, refusal })
    }
    this.remote.notify(letter)
    if (from?.node !== this.node || from.actor === null) return
    this.cells.get(from.actor)?.undelivered(letter)
  }

  attachBus(connection: BusConnection): void {
    this.remote.attach(connection)
  }

  detachBus(): void {
    this.remote.detach()
  }

  watchRemote(node: string, id: string, onDeath: (exit: RemoteExit) => void): () => void {
    if (node === this.node) return this.watch(id, (exit) => onDeath({ node, ...exit }))
    return this.remote.watch(node, id, onDeath)
  }

  nodeDown(node: string): void {
    this.asks.nodeDown(node)
    this.remote.nodeDown(node)
  }

  private deliver(id: string, event: EventObject, from: Sender): void {
    const cell = this.cells.get(id)
    if (cell !== undefined) return cell.send(event, from)
    const to = { node: this.node, actor: id }
    const detail = 'there is no actor of that id'
    this.deadLetters.add({ reason: 'noSuchActor', detail, to, from, event })
  }

  private deliverFromAfar(id: string, event: EventObject, from: Sender): void {
    const cell = this.cells.get(id)
    const refusal = cell === undefined ? null : this.refusal(cell, event)
    if (refusal === null) return this.deliver(id, event, from)
    const to = { node: this.node, actor: id }
    this.deadLetters.add({ reason: 'refused', detail: refusal, to, from, event })
  }

  private refusal({ id, spec }: Cell, event: EventObject): string | null {
    const refuse = spec.refuseRemote ?? this.options.refuseRemote
    if (refuse === undefined) return 'the actor takes no events from other nodes'
    try {
      return refuse(event, spec.logic)
    } catch (error) {
      this.logger.error({ actor: id, error }, 'refuseRemote threw')
      return `refuseRemote threw: ${messageOf(error)}`
    }
  }

  inspect(observer: InspectionObserver): () => void {
    return this.inspection.observe(observer)
  }

  onDeadLetter(listener: (letter: DeadLetter) => void): () => void {
    return this.deadLetters.listen(listener)
  }

  report(): HostReport {
    return {
      node: this.node,
      actors: [...this.cells.values()].map((cell) => cell.report()),
      restarts: this.restarts,
      escalations: this.escalations,
      deadLetters: this.deadLetters.report(),
    }
  }
}
