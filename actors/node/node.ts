import type { Life } from '../../machines/base/ids.js'
import { stateName, topState } from '../../machines/base/stateName.js'
import { messageOf } from '../../machines/base/thrown.js'
import { nodeMachine } from '../../machines/node.js'
import type { NodeEffect, NodeEvent } from '../../machines/node.js'
import { RequestLimiter } from '../arbiter/requestLimiter.js'
import type { HostedActor } from '../host/actorHost.js'
import { Checkpointing } from '../checkpoints/checkpointing.js'
import type { NodeContext } from '../member/context.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import type { Arbiter } from '../ports/arbiter.js'
import { BusConnectError } from '../ports/bus.js'
import type { BusConnection, BusSubscription } from '../ports/bus.js'
import type { NodeIdentityInput, NodePorts } from '../ports/node.js'
import type { SpaceActor } from '../space/space.js'
import { AdminCommands } from './adminCommands.js'
import { FaultLog } from './faultLog.js'
import { handOverPrimaries } from './handOverAll.js'
import { noteEffect } from './nodeHistory.js'
import { listenAs } from './nodeMessages.js'
import type { NodeActorOptions } from './nodeParameters.js'
import { contextOf } from './nodeParts.js'
import { NodeRegistration, isFinal } from './nodeRegistration.js'
import { SalvageWatch } from './salvageWatch.js'
import { Spaces } from './spaces.js'
import { SupersededError } from './startErrors.js'

/** One node: its chart, and the effects of that chart. */
export class NodeActor {
  /** The spaces that this node holds, by name. */
  readonly spaces = new Map<string, SpaceActor>()
  private listing: Spaces | null = null
  private checkpoints: Checkpointing | null = null
  private present: NodeContext | null = null
  private actor: HostedActor<typeof nodeMachine> | null = null
  private connection: BusConnection | null = null
  private arbiter: Arbiter | null = null
  private subscriptions: BusSubscription[] = []
  private isClosing = false
  private readonly faults: FaultLog
  /** Serializes what uses the data directory before the node runs. */
  private readonly turns: RequestLimiter
  private readonly self: NodeIdentityInput
  readonly registration: NodeRegistration
  private readonly admin: AdminCommands

  constructor(private readonly options: NodeActorOptions) {
    const { process, boot, ports, settings, replyPrefixes } = options
    this.admin = new AdminCommands(this)
    this.faults = new FaultLog(ports.clock, ports.logger)
    this.turns = new RequestLimiter(1, ports.clock)
    this.self = { ...process, disk: '', incarnation: 0, http: null }
    this.registration = new NodeRegistration({
      boot,
      ports,
      settings,
      self: this.self,
      replyPrefixes,
      requiresData: options.requiresData ?? false,
      onRegistered: () => this.send({ type: 'registered' }),
      onReidentified: (reason) => {
        this.send({ type: 'reidentified', incarnation: this.self.incarnation, reason })
        // Messages sent under the former disk are void: all sessions begin anew.
        void this.connection?.close()
      },
      onSuperseded: (reason) => this.send({ type: 'superseded', reason }),
    })
  }

  /** Null until the data directory is recovered. */
  get context(): NodeContext | null {
    return this.present
  }

  /** Null until the data directory is recovered. */
  get checkpointing(): Checkpointing | null {
    return this.checkpoints
  }

  /** Notes the address of its HTTP server. */
  servesHttp(url: string | null): void {
    this.self.http = url
  }

  start(): void {
    this.actor = this.options.ports.host.spawn({
      id: 'node',
      logic: nodeMachine,
      input: () => ({ node: this.self.node, cleanStopMs: this.options.cleanStopMs }),
      effects: (effect) => this.perform(effect),
    })
  }

  get allowsChaos(): boolean {
    return this.options.allowsChaos
  }

  get state(): string {
    return topState(this.actor?.snapshot()?.value ?? 'starting')
  }

  /** The state with its parts and its reason, for people. */
  get stateReason(): string {
    const snapshot = this.actor?.snapshot()
    return `${stateName(snapshot?.value ?? 'starting')}: ${snapshot?.context.lastReason ?? ''}`
  }

  /** The spaces it should hold, and whether they are known; null before recovery. */
  get directory(): Pick<Spaces, 'isListed' | 'unheld'> | null {
    return this.listing
  }

  get disk(): string {
    return this.self.disk
  }

  drain(reason: string): void {
    this.send({ type: 'drainRequested', reason })
  }

  /** Ends the node: nothing that it did from here on could be trusted. */
  fatal(error: unknown): void {
    this.options.ports.logger.error({ error: String(error) }, 'the node has to stop')
    this.send({ type: 'fatal', error: String(error) })
  }

  private send(event: NodeEvent): void {
    this.actor?.send(event)
  }

  private perform(effect: NodeEffect): void {
    const { logger } = this.options.ports
    const life = `${this.self.version}, incarnation ${this.self.incarnation}`
    noteEffect(this.options.ports.events, effect, life)
    const failing = (work: Promise<void>, event: (error: string) => NodeEvent) => {
      work.catch((error: unknown) => {
        const message = messageOf(error)
        logger.error({ error: message }, `${effect.type} failed`)
        this.send(event(message))
      })
    }
    switch (effect.type) {
      case 'prepare':
        return failing(this.prepare(), (error) => ({ type: 'refused', error }))
      case 'own':
        return failing(this.own(), (error) => ({ type: 'refused', error }))
      case 'connect':
        void this.connect(effect.connection)
        return
      case 'identify':
        void this.identify(effect.connection)
        return
      case 'recover':
        return failing(this.inTurn(() => this.recover()),
          (error) => ({ type: 'recoveryFailed', error }))
      case 'rejoin':
        logger.info({ server: effect.server }, 'connected to NATS again')
        return failing(this.join(effect.life), (error) => ({ type: 'fatal', error }))
      case 'startSpaces':
        return failing(this.join(effect.life), (error) => ({ type: 'fatal', error }))
      case 'isolate':
        return this.isolate(effect.reason)
      case 'drain':
        logger.info({}, effect.reason)
        return failing(this.handAllOver(), () => ({ type: 'drained' }))
      case 'stop':
        logger.info({}, effect.reason)
        return failing(this.close(), () => ({ type: 'closed' }))
      case 'resign':
        return this.resign(effect.reason)
      case 'exit':
        return void this.exit(effect.code, effect.reason)
    }
  }

  private async prepare(): Promise<void> {
    await this.registration.prepare()
    this.send({ type: 'prepared' })
  }

  private async own(): Promise<void> {
    await this.inTurn(() => this.options.boot.own())
    this.send({ type: 'owned' })
  }

  /** Runs after whatever else uses the data directory, and not at all once it is being closed. */
  private async inTurn(work: () => Promise<void>): Promise<void> {
    await this.turns.take(async () => {
      if (!this.isClosing) await work()
    })
  }

  private async recover(): Promise<void> {
    const { boot, settings, ports } = this.options
    const recovered = await boot.recover()
    const all: NodePorts = { ...ports, ...recovered }
    const context = contextOf(all, settings, this.self, this.registration, {
      spaces: () => this.spaces.values(),
      isHeld: (space) => this.spaces.has(space),
      evidence: (peer) => this.listing?.evidence(peer),
      grantsRenewed: () => this.listing?.grantsRenewed(),
      tick: () => {
        this.listing?.tick()
        this.checkpoints?.tick()
        salvages.tick()
      },
      watched: () => this.listing?.watchedNodes() ?? new Set(),
      syncFailed: (error) => this.send({ type: 'syncFailed', error }),
      healed: () => void boot.keepReserve(),
      hasRoom: (bytes) => this.checkpoints?.room.isLeft(bytes) ?? boot.keepReserve(),
      fatal: (error) => this.fatal(error),
      replyPrefixes: this.options.replyPrefixes,
    })
    const salvages = new SalvageWatch(context, boot)
    this.present = context
    this.listing = new Spaces(context, this.spaces, await recovered.salvages.names(),
      (member) => this.checkpoints?.checkpointer.want(member))
    this.checkpoints = new Checkpointing({
      context,
      members: () => [...this.spaces.values()].map(({ member }) => member),
      installing: () =>
        new Map(
          [...this.spaces.values()].map((
            { member, installation },
          ) => [member.uuid, installation.isUnderWay]),
        ),
      directory: boot,
    })
    const report = recovered.journal.recovery
    for (const damaged of report.damaged) {
      ports.logger.error({ ...damaged }, 'the journal is damaged')
    }
    if (report.torn) ports.logger.warn({ ...report.torn }, 'a torn flush was cut from the journal')
    this.send({ type: 'recovered', report })
    if (!await boot.keepReserve()) context.commits.runShort()
    if (await this.checkpoints.room.isAwaited()) context.commits.hold()
  }

  private async connect(number: number): Promise<void> {
    const { ports } = this.options
    let connection: BusConnection | null = null
    try {
      connection = await ports.bus.connect()
      if (this.isClosing) return await connection.close()
      // A node that comes back is known, and needs no arbiter for that.
      if (this.context) await this.registration.refuseTwin(connection, false)
      this.connection = connection
      this.arbiter = ports.openArbiter(connection)
      void connection.closed.then((reason) => {
        this.send({ type: 'connectionClosed', connection: number, reason })
      })
      if (this.context) this.faults.over()
      this.send({ type: 'connected', connection: number, server: connection.serverId })
    } catch (error) {
      // The next attempt opens another one.
      void connection?.close()
      if (error instanceof SupersededError) {
        return this.send({ type: 'superseded', reason: error.message })
      }
      const message = messageOf(error)
      this.faults.log(message, 'NATS cannot be used yet')
      const retryable = !(error instanceof BusConnectError) || error.retryable
      this.send({ type: 'connectFailed', connection: number, retryable, error: message })
    }
  }

  private async identify(number: number): Promise<void> {
    const { connection, arbiter } = this
    try {
      if (!connection || !arbiter) throw new Error('the connection is closed')
      await this.inTurn(() => this.registration.identify(connection, arbiter))
      // The connection closed meanwhile; the next one comes to the same result.
      if (this.isClosing || this.connection !== connection || connection.isClosed) return
      this.subscriptions.push(this.registration.answerPings(connection, number))
      const { incarnation } = this.self
      this.send({ type: 'identified', incarnation, isRegistered: this.registration.isRegistered })
    } catch (error) {
      const message = messageOf(error)
      if (error instanceof SupersededError) {
        return this.send({ type: 'superseded', reason: message })
      }
      if (isFinal(error)) return this.send({ type: 'refused', error: message })
      this.faults.log(message, 'this node cannot be identified yet')
      void connection?.close()
      this.send({ type: 'identifyFailed', connection: number, error: message })
    }
  }

  /** Starts on a new connection: ping subject first, then heartbeats, then the spaces. */
  private async join(life: Life): Promise<void> {
    const { connection, arbiter } = this
    const { wire, peers, records } = this.context!
    if (!connection || !arbiter || connection.isClosed) return
    wire.attach(connection, life)
    records.attach(arbiter)
    this.options.program.onConnection(connection)
    const early = this.subscriptions.splice(0)
    const { names, source } = this.listing!
    const of = { reporter: this.options.status, names, source }
    this.subscriptions.push(...listenAs(this, this.admin, of))
    peers.connected()
    for (const subscription of early) subscription.unsubscribe()
    for (const space of this.spaces.values()) space.connected()
    void this.registration.attach(connection, arbiter)
    await this.listing?.discover()
    this.options.program.onRunning()
  }

  private isolate(reason: string): void {
    const { wire, peers, records } = this.context!
    this.options.ports.logger.warn({}, `isolated: ${reason}`)
    wire.detach()
    records.detach()
    this.registration.detach()
    this.subscriptions = []
    this.connection = null
    this.arbiter = null
    this.options.program.onConnection(null)
    peers.disconnected()
    for (const space of this.spaces.values()) space.disconnected(reason)
  }

  /** Looks at a space that this node may hold now, and not when the spaces are listed next. */
  async take(space: string): Promise<void> {
    try {
      await this.listing?.consider(space)
    } catch (error) {
      // Its turn comes again when the spaces are listed.
      if (!(error instanceof ArbiterUnavailableError)) this.fatal(error)
    }
  }

  private async handAllOver(): Promise<void> {
    this.context?.duty.leave()
    this.context?.peers.beatNow()
    await this.handOverPrimaries('the node stops')
    this.send({ type: 'drained' })
  }

  /** Returns the spaces that this node is still primary of. */
  async handOverPrimaries(reason: string): Promise<SpaceActor[]> {
    return await handOverPrimaries(
      () => this.spaces.values(),
      this.options.ports.clock,
      () => this.isOpen,
      reason,
    )
  }

  private get isOpen(): boolean {
    return this.context?.wire.isOpen ?? false
  }

  private async close(): Promise<void> {
    this.isClosing = true
    this.registration.detach()
    // Closing the connection ends requests that are under way.
    if (!this.context) await this.connection?.close()
    await this.turns.take(() => Promise.resolve())
    const { context } = this
    if (context) {
      await this.checkpoints?.stop()
      await context.loads.stop()
      for (const space of this.spaces.values()) await space.stop()
      await this.listing?.close()
      context.peers.leave()
      try {
        if (this.isOpen) await context.wire.flush()
      } catch {
        // The connection is gone already: there is nobody to say goodbye to.
      }
      context.peers.stop()
      context.records.detach()
      this.options.program.onConnection(null)
      await this.connection?.close()
      context.floors.stop()
      await context.commits.stop()
      await context.records.idle()
    }
    await this.options.boot.close()
    this.send({ type: 'closed' })
  }

  private async exit(code: number, reason: string): Promise<void> {
    const { boot, ports: { logger }, program } = this.options
    logger[code === 0 ? 'info' : 'error']({ code }, `the node ends: ${reason}`)
    // A node that has written nothing leaves nothing behind.
    if (!this.context) await boot.close().catch(() => undefined)
    program.onExit(code, reason)
  }

  private resign(reason: string): void {
    this.isClosing = true
    void this.listing?.close()
    for (const space of this.spaces.values()) space.disconnected(reason)
    this.context?.peers.stop()
    void this.connection?.close()
  }
}
