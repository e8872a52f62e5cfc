import { nodeMachine } from '../machines/node.js'
import type { NodeEffect, NodeEvent } from '../machines/node.js'
import type { Announcement, Life, NodeId } from '../machines/protocol.js'
import { topState } from '../machines/stateName.js'
import { spaceOf, subjects } from '../machines/subjects.js'
import { Admin } from './admin.js'
import { sendAlert } from './alerts.js'
import type { Boot, Opened } from './boot.js'
import type { NodeContext, NodePorts } from './context.js'
import { GroupCommit } from './groupCommit.js'
import type { HostedActor } from './hosting.js'
import { claimIdentity, returnIdentity, SupersededError } from './identity.js'
import { Peers } from './peers.js'
import { BusConnectError } from './ports.js'
import type { BusConnection, BusMessage, BusSubscription } from './ports.js'
import { Records } from './records.js'
import type { ActorSettings } from './settings.js'
import type { SpaceActor } from './space.js'
import { Spaces } from './spaces.js'
import { Wire } from './wire.js'

/** A drain looks again after this long, and gives a space up after so many tries. */
const handoverPollMs = 20
const handoverTriesMax = 150

export interface NodeActorOptions {
  readonly node: NodeId
  readonly pid: number
  readonly hostname: string
  readonly data: string
  readonly version: string
  readonly cleanStopMs: number
  /** Operators may kill single actors (`killActor`). */
  readonly allowsChaos: boolean
  readonly settings: ActorSettings
  readonly ports: Omit<NodePorts, 'journal' | 'store' | 'salvages'>
  readonly boot: Boot
  /** JSON for `engram.v1.status.<node>`. */
  readonly report: () => Uint8Array
  readonly onRunning: () => void
  readonly onExit: (code: number, reason: string) => void
  /** Host and remote references get the connection, and lose it. */
  readonly onConnection: (connection: BusConnection | null) => void
}

/** One node: its chart, and the effects of that chart. */
export class NodeActor {
  /** What this node holds, by name. */
  readonly spaces = new Map<string, SpaceActor>()
  private directory: Spaces | null = null
  context: NodeContext | null = null
  http: string | null = null
  isReadOnly = false
  private actor: HostedActor<typeof nodeMachine> | null = null
  private opened: Opened | null = null
  private connection: BusConnection | null = null
  private subscriptions: BusSubscription[] = []
  private isClosing = false
  private isIdentified = false
  private readonly admin: Admin

  constructor(private readonly options: NodeActorOptions) {
    this.admin = new Admin(this)
  }

  start(): void {
    this.actor = this.options.ports.host.spawn({
      id: 'node',
      logic: nodeMachine,
      input: () => ({ node: this.options.node, cleanStopMs: this.options.cleanStopMs }),
      effects: (effect) => this.perform(effect),
    })
  }

  get allowsChaos(): boolean {
    return this.options.allowsChaos
  }

  get state(): string {
    return topState(this.actor?.snapshot()?.value ?? 'starting')
  }

  get disk(): string {
    return this.opened?.disk ?? ''
  }

  drain(reason: string): void {
    this.send({ type: 'drainRequested', reason })
  }

  /** Ends the node: nothing that it would do from here on could be trusted. */
  fatal(error: unknown): void {
    this.options.ports.logger.error({ error: String(error) }, 'the node cannot go on')
    this.send({ type: 'fatal', error: String(error) })
  }

  private send(event: NodeEvent): void {
    this.actor?.send(event)
  }

  private perform(effect: NodeEffect): void {
    const { logger } = this.options.ports
    const failing = (work: Promise<void>, event: (error: string) => NodeEvent) => {
      work.catch((error: unknown) => {
        const message = error instanceof Error ? error.message : String(error)
        logger.error({ error: message }, `${effect.type} failed`)
        this.send(event(message))
      })
    }
    switch (effect.type) {
      case 'open':
        return failing(this.open(), (error) => ({ type: 'fatal', error }))
      case 'recover':
        return failing(this.recover(), (error) => ({ type: 'recoveryFailed', error }))
      case 'connect':
        void this.connect(effect.life)
        return
      case 'startSpaces':
      case 'rejoin':
        return failing(this.join(effect.life), (error) => ({ type: 'fatal', error }))
      case 'isolate':
        return this.isolate(effect.reason)
      case 'drain':
        return failing(this.handAllOver(), () => ({ type: 'drained' }))
      case 'stop':
        return failing(this.close(), () => ({ type: 'closed' }))
      case 'resign':
        return this.resign(effect.reason)
      case 'exit':
        logger.info({ code: effect.code }, `the node ends: ${effect.reason}`)
        this.options.onExit(effect.code, effect.reason)
    }
  }

  private async open(): Promise<void> {
    this.opened = await this.options.boot.open()
    this.send({ type: 'opened', incarnation: this.opened.incarnation })
  }

  private async recover(): Promise<void> {
    const { boot, settings, ports, node } = this.options
    const { disk, incarnation } = this.opened!
    const recovered = await boot.recover()
    const all: NodePorts = { ...ports, ...recovered }
    const wire = new Wire(incarnation, ports.logger)
    const self = {
      node, disk, incarnation, pid: this.options.pid, hostname: this.options.hostname,
      http: this.http, data: this.options.data, version: this.options.version,
    }
    const commits = new GroupCommit({
      journal: recovered.journal,
      clock: ports.clock,
      logger: ports.logger,
      telemetry: ports.telemetry,
      flushBytesMax: settings.flushBytesMax,
      idleConfirmMs: settings.idleConfirmMs,
      onSyncFailed: (error) => this.send({ type: 'syncFailed', error: String(error) }),
      onFull: (error) => {
        this.isReadOnly = true
        for (const space of this.spaces.values()) space.journalFault(error.message)
      },
      onHealed: () => {
        this.isReadOnly = false
        for (const space of this.spaces.values()) space.journalFault(null)
      },
    })
    const peers = new Peers({
      ports: all, settings, self, wire,
      onGrants: () => {
        for (const space of this.spaces.values()) space.grantsRenewed()
      },
      onEvidence: (peer, reason) => {
        for (const space of this.spaces.values()) space.evidence(peer, reason)
      },
      onTick: () => this.directory?.tick(),
      watched: () => this.directory?.watchedNodes() ?? new Set(),
    })
    const records = new Records({
      clock: ports.clock, control: ports.control, store: recovered.store, logger: ports.logger,
      onBucketLost: (space, reason) =>
        sendAlert(this.context!, space, 'arbiterLost', {}, reason),
    })
    this.context = {
      ports: all, settings, self, wire, peers, records, commits,
      fatal: (error) => this.fatal(error),
    }
    const salvages = await recovered.salvages.names()
    this.directory = new Spaces(this.context, this.spaces, salvages)
    const report = recovered.journal.recovery
    for (const damaged of report.damaged) {
      ports.logger.error({ ...damaged }, 'the journal is damaged')
    }
    if (report.torn) ports.logger.warn({ ...report.torn }, 'a torn flush was cut from the journal')
    this.send({ type: 'recovered', report })
  }

  // ---------------------------------------------------------------- connection

  private async connect(life: Life): Promise<void> {
    const { ports } = this.options
    let connection: BusConnection | null = null
    try {
      connection = await ports.bus.connect()
      if (this.isClosing) return await connection.close()
      this.context!.records.attach(ports.openArbiter(connection))
      await this.identify(connection, life)
      this.connection = connection
      void connection.closed.then((reason) => {
        this.send({ type: 'connectionClosed', connection: life.connection, reason })
      })
      this.send({ type: 'connected', life, server: connection.serverId })
    } catch (error) {
      // The next attempt opens another one.
      void connection?.close()
      if (error instanceof SupersededError) {
        return this.send({ type: 'superseded', reason: error.message })
      }
      const message = error instanceof Error ? error.message : String(error)
      ports.logger.warn({ error: message }, 'NATS or its JetStream cannot be used yet')
      const retryable = !(error instanceof BusConnectError) || error.retryable
      this.send({
        type: 'connectFailed', connection: life.connection, retryable, error: message,
      })
    }
  }

  /** A node that comes back needs no arbiter: reigns and sessions go on without it. */
  private async identify(connection: BusConnection, life: Life): Promise<void> {
    const context = this.context!
    if (this.isIdentified) {
      const { settled } = await returnIdentity(context, connection, life)
      settled.catch((error: Error) => this.send({ type: 'superseded', reason: error.message }))
      return
    }
    await context.records.prepare()
    await claimIdentity(context, connection, life)
    this.isIdentified = true
  }

  /** The connection stands: ping subject first, then heartbeats, then the spaces. */
  private async join(life: Life): Promise<void> {
    const { connection } = this
    const { wire, peers, self } = this.context!
    if (!connection || connection.isClosed) return
    wire.attach(connection, life)
    this.options.onConnection(connection)
    const on = (subject: string, handler: (message: BusMessage) => void) => {
      this.subscriptions.push(wire.subscribe(subject, handler))
    }
    const { node } = self
    on(subjects.wal('*', node), (m) => this.spaces.get(spaceOf(m.subject))?.onWal(m))
    on(subjects.ack('*', node), (m) => this.onAckMessage(m))
    on(subjects.survey('*', node), (m) => this.onSurvey(m))
    on(subjects.assignment('*'), (m) => this.onAnnouncement(m))
    on(subjects.status(node), (m) => this.onStatus(m))
    on(subjects.status('_all'), (m) => this.onStatus(m))
    on(subjects.admin(node), (m) => void this.admin.onMessage(m))
    peers.connected()
    for (const space of this.spaces.values()) space.connected()
    await this.directory?.discover()
    this.options.onRunning()
  }

  private isolate(reason: string): void {
    const { wire, peers, records } = this.context!
    this.options.ports.logger.warn({}, `isolated: ${reason}`)
    wire.detach()
    records.detach()
    this.subscriptions = []
    this.connection = null
    this.options.onConnection(null)
    peers.disconnected()
    for (const space of this.spaces.values()) space.disconnected(reason)
  }

  private onAckMessage(message: BusMessage): void {
    const { ports } = this.context!
    const decoded = ports.control.ackMessage(message.data)
    if (!decoded.ok) return ports.telemetry.count('badMessages', 1, { kind: 'ack' })
    this.spaces.get(decoded.value.space)?.onAckMessage(decoded.value, message.reply)
  }

  private onSurvey(message: BusMessage): void {
    const { ports, wire } = this.context!
    const decoded = ports.control.surveyRequest(message.data)
    if (!decoded.ok || !message.reply) return
    const space = this.spaces.get(decoded.value.space)
    if (!space || space.member.uuid !== decoded.value.uuid) return
    wire.publish(message.reply, ports.control.encode(space.surveyAnswer()))
  }

  private onAnnouncement(message: BusMessage): void {
    const { ports } = this.context!
    const decoded = ports.control.announcement(message.data)
    if (!decoded.ok) return ports.telemetry.count('badMessages', 1, { kind: 'announcement' })
    const announcement: Announcement = decoded.value
    const { space, members } = announcement.assignment
    const known = this.spaces.get(space)
    if (known) known.onAnnouncement(announcement)
    else if (members.some((m) => m.node === this.options.node)) void this.take(space)
  }

  /** A space that this node may hold: it is there at once, not when the spaces are listed next. */
  async take(space: string): Promise<void> {
    try {
      await this.directory?.consider(space)
    } catch (error) {
      this.options.ports.logger.debug({ space, error: String(error) }, 'the record cannot be read')
    }
  }

  private onStatus(message: BusMessage): void {
    if (message.reply) this.context!.wire.publish(message.reply, this.options.report())
  }

  // ---------------------------------------------------------------- the end

  private async handAllOver(): Promise<void> {
    await this.handReignsOver('the node is drained')
    this.send({ type: 'drained' })
  }

  /** Hands every reign over; returns how many are left, for want of an in-sync replica. */
  async handReignsOver(reason: string): Promise<number> {
    const { clock } = this.options.ports
    const tries = new Map<SpaceActor, number>()
    for (;;) {
      const reigning = [...this.spaces.values()].filter((space) => space.primaryRole)
      const open = reigning.filter((space) => (tries.get(space) ?? 0) < handoverTriesMax)
      if (open.length === 0 || !this.context?.wire.isOpen) return reigning.length
      for (const space of open) {
        const to = space.successor()
        tries.set(space, to ? (tries.get(space) ?? 0) + 1 : handoverTriesMax)
        if (to) space.handOver(to, reason)
      }
      await new Promise<void>((resolve) => clock.setTimeout(resolve, handoverPollMs))
    }
  }

  private async close(): Promise<void> {
    this.isClosing = true
    const { context } = this
    if (context) {
      for (const space of this.spaces.values()) await space.stop()
      context.peers.leave()
      try {
        if (context.wire.isOpen) await context.wire.flush()
      } catch {
        // The connection went first: there is nobody to take leave of.
      }
      context.peers.stop()
      this.options.onConnection(null)
      await this.connection?.close()
      await context.commits.stop()
    }
    await this.options.boot.close()
    this.send({ type: 'closed' })
  }

  private resign(reason: string): void {
    this.isClosing = true
    this.directory?.close()
    for (const space of this.spaces.values()) space.disconnected(reason)
    this.context?.peers.stop()
    void this.connection?.close()
  }
}
