/** The page server's own connection to NATS, renewed without limit. */
import { setTimeout as after } from 'node:timers/promises'
import type { NatsConnection, Status } from 'nats'
import type { RecordedEvent } from '../../../machines/protocol/events.js'
import type { NatsOptions } from '../../bus/natsOptions.js'
import { inboxPrefix } from '../../bus/options.js'
import { openConnection } from '../../client/connection.js'
import { Operator } from '../../client/operator.js'
import { Inspector } from '../../inspect/inspector.js'
import { eventsOfNode } from '../../inspect/past.js'
import type { Envelope } from '../../inspect/schema.js'
import type { FrameFeed } from './frameFeed.js'

export interface ClusterLinkOptions {
  readonly nats: NatsOptions
  /** True if texts in contexts are included. */
  readonly payloads: boolean
  readonly feed: FrameFeed
  /** Takes a message on invalid or refused requests. Each message comes once. */
  readonly onFault?: (message: string) => void
}

const statusEveryMs = 500
const linesEveryMs = 50
/** Lease of the page, which it holds at most this long after it has gone. */
const leaseMs = 3_000
const redialMs = 500
/** A hung server is noticed after two to three of these pings. */
const pingIntervalMs = 500
/** Time to give the leases back. Otherwise they expire by themselves. */
const farewellMs = 200
const faultsMax = 100

/** Reads past events of nodes when they are first heard, and after each loss. */
export class PastOfNodes {
  private readonly incarnations = new Map<string, number>()
  private readonly underWay = new Set<string>()
  private readonly again = new Set<string>()

  constructor(
    private readonly eventsOf: (node: string) => Promise<readonly RecordedEvent[]>,
    private readonly feed: Pick<FrameFeed, 'onPast'>,
  ) {}

  /** Requests events from before a stream began, or dropped from it. */
  onEnvelope({ node, incarnation, dropped }: Envelope): void {
    const known = this.incarnations.get(node)
    this.incarnations.set(node, incarnation)
    if ((known !== undefined && known !== incarnation) || dropped > 0) this.ask(node)
  }

  ask(node: string): void {
    if (this.underWay.has(node)) {
      this.again.add(node)
      return
    }
    this.underWay.add(node)
    void this.read(node).finally(() => {
      this.underWay.delete(node)
      if (this.again.delete(node)) this.ask(node)
    })
  }

  private async read(node: string): Promise<void> {
    try {
      this.feed.onPast(await this.eventsOf(node))
    } catch {
      // The node has gone again, or is of a release that keeps no events.
    }
  }
}

/** Feeds reports of the cluster into a FrameFeed until `stop`. */
export class ClusterLink {
  private readonly stopping = new AbortController()
  private connection: NatsConnection | null = null
  private inspector: Inspector | null = null
  private isConnected = false
  private readonly faults = new Set<string>()
  private readonly ended: Promise<void>

  constructor(private readonly options: ClusterLinkOptions) {
    options.feed.onBroker('disconnected', 'connecting to NATS')
    this.ended = this.run()
  }

  /** Gives the leases back and closes the connection. */
  async stop(): Promise<void> {
    this.stopping.abort()
    const { connection, inspector } = this
    inspector?.stop()
    if (connection !== null) {
      await Promise.race([connection.flush().catch(() => undefined), after(farewellMs)])
      await connection.close()
    }
    // A pending attempt to connect ends by itself and is then closed.
    await Promise.race([this.ended, after(farewellMs)])
  }

  private get isStopped(): boolean {
    return this.stopping.signal.aborted
  }

  private async run(): Promise<void> {
    const { nats } = this.options
    const dial = { name: 'engram page', pingIntervalMs, ...nats }
    while (!this.isStopped) {
      try {
        await this.serve(await openConnection(dial))
      } catch (error) {
        this.changed(false, (error as Error).message)
      }
      await this.pause(redialMs)
    }
  }

  /** Serves until the connection is closed. The client library reconnects while it can. */
  private async serve(connection: NatsConnection): Promise<void> {
    if (this.isStopped) return await connection.close()
    const { nats, payloads, feed } = this.options
    this.connection = connection
    this.changed(true, `connected to ${connection.getServer()}`)
    const prefix = inboxPrefix(nats)
    const past = new PastOfNodes((node) => eventsOfNode({ connection, inboxPrefix: prefix }, node),
      feed)
    const inspector: Inspector = new Inspector({
      connection,
      inboxPrefix: prefix,
      payloads,
      leaseMs,
      onFault: (message) => this.fault(message),
      onNode: (node) => past.ask(node),
      onEnvelope: (envelope) => {
        past.onEnvelope(envelope)
        if (!feed.onEnvelope(envelope)) inspector.askAgain(envelope.node)
      },
    })
    const operator = new Operator(connection, prefix)
    const lines = setInterval(() => feed.flushLines(), linesEveryMs)
    const closed = connection.closed()
    this.inspector = inspector
    try {
      await inspector.start()
      void this.watch(connection)
      void this.poll(connection, operator)
      const reason = await closed
      this.changed(false, reason ? reason.message : 'the connection to NATS was closed')
    } finally {
      clearInterval(lines)
      // Needed again if it was stopped while it was starting.
      inspector.stop()
      this.inspector = null
      this.connection = null
      await connection.close()
    }
  }

  private async watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status() as AsyncIterable<Status>) {
      if (status.type === 'disconnect') this.changed(false, `lost ${status.data as string}`)
      if (status.type === 'reconnect') this.changed(true, `connected to ${status.data as string}`)
    }
  }

  private async poll(connection: NatsConnection, operator: Operator): Promise<void> {
    const { feed } = this.options
    let connectedMs = 0
    while (!connection.isClosed() && !this.isStopped) {
      const begunMs = performance.now()
      const reports = this.isConnected ? await operator.reports().catch(() => []) : []
      if (this.isConnected && !this.isStopped) {
        try {
          feed.onReports(reports)
        } catch (error) {
          this.fault(`a status is not valid: ${String(error)}`)
        }
        connectedMs += statusEveryMs
        if (connectedMs > leaseMs) feed.dropSilent(leaseMs)
      } else {
        // Nodes that are not heard while the broker is away may be alive.
        connectedMs = 0
      }
      await this.pause(Math.max(0, statusEveryMs - (performance.now() - begunMs)))
    }
  }

  private fault(message: string): void {
    if (this.faults.size >= faultsMax || this.faults.has(message)) return
    this.faults.add(message)
    this.options.onFault?.(message)
  }

  private changed(isConnected: boolean, reason: string): void {
    this.isConnected = isConnected
    if (this.isStopped) return
    this.options.feed.onBroker(isConnected ? 'connected' : 'disconnected', reason)
  }

  private async pause(ms: number): Promise<void> {
    await after(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined)
  }
}
