import type { BusConnection, BusMessage, BusSubscription } from '../../actors/ports/bus.js'
import type { Logger, TimerHandle } from '../../actors/ports/system.js'
import { EventService } from './eventService.js'
import type { Serving } from './eventService.js'
import { Feed } from './feed.js'
import type { FeedOptions } from './feed.js'
import type { NodeRecorder } from './recorder.js'
import { faultOf, inspectionSubjects, inspectionVersion, leaseBounds,
  startRequest } from './schema.js'
import type { StartAnswer, StartRequest } from './schema.js'

export interface InspectionServiceOptions extends Omit<FeedOptions, 'payloads'> {
  readonly logger: Logger
  readonly events: NodeRecorder
  /** null while the node is starting, before it has a connection. */
  readonly serving: () => Serving | null
}

/** Memory of a waiting start request. */
const startBytes = 1024
/** A larger start request is refused without being parsed. */
const startBytesMax = 4096

/** Inspectors at a time. Each costs nothing here, but more suggest a faulty inspector. */
const inspectorsMax = 32
/** The present state is sent to all inspectors together, not more often than this. */
const presentEveryMs = 1_000
const sweepMs = 500

/** One edition on NATS, with the leases of its inspectors. */
class Edition {
  readonly feed: Feed
  readonly leases = new Map<string, number>()
  /** Monotonic clock. null if not requested. */
  presentDueMs: number | null = null
  presentAtMs = -Infinity
  end: (() => void) | null = null

  constructor(readonly options: InspectionServiceOptions, readonly payloads: boolean) {
    this.feed = new Feed({ ...options, payloads })
  }
}

/**
 * The inspection stream of a node on NATS, with its past events: takes start requests, keeps the
 * leases, publishes. An inspector cannot slow the node down: a publish is a buffered write to the
 * server, and the server disconnects a reader that does not read.
 */
export class InspectionService {
  private readonly editions: { readonly plain: Edition; readonly full: Edition }
  private connection: BusConnection | null = null
  private subscriptions: BusSubscription[] = []
  private timer: TimerHandle | null = null
  private readonly past: EventService

  constructor(private readonly options: InspectionServiceOptions) {
    this.past = new EventService({ ...options, recorder: options.events })
    this.editions = { plain: new Edition(options, false), full: new Edition(options, true) }
  }

  /** The edition without payloads, for listeners within this process. */
  get feed(): Feed {
    return this.editions.plain.feed
  }

  /** Called when a connection is open, or (null) closed. Leases end with it; inspectors renew. */
  attach(connection: BusConnection | null): void {
    for (const subscription of this.subscriptions) subscription.unsubscribe()
    this.subscriptions = []
    for (const edition of this.all()) {
      edition.leases.clear()
      this.settle(edition)
    }
    this.connection = connection
    this.past.attach(connection)
    if (connection === null) return
    const subjects = [
      inspectionSubjects.start(this.options.node),
      inspectionSubjects.startAll,
    ]
    this.subscriptions = subjects.map((subject) =>
      connection.subscribeSide(subject, (message) => this.onStart(message))
    )
  }

  private all(): Edition[] {
    return [this.editions.plain, this.editions.full]
  }

  private onStart(message: BusMessage): void {
    const serving = this.options.serving()
    // Pages of nodes ask as well.
    const asker = serving?.answers.asker(message, 'commands')
    if (!serving || !asker) return
    const { answers, lanes: { status } } = serving
    const json = { ...asker, encoding: 'json' as const }
    if (!status.enter(startBytes)) {
      return answers.answer(json,
        this.refused('OVERLOADED', 'too many requests wait: try again later'))
    }
    const data = new Uint8Array(message.data.subarray(0, startBytesMax + 1))
    status.push(() => {
      status.leave(startBytes)
      answers.answer(json, this.answerTo(data))
    })
  }

  private refused(code: string, message: string): StartAnswer {
    return { ok: false, node: this.options.node, code, message }
  }

  private answerTo(data: Uint8Array): StartAnswer {
    const { node, incarnation } = this.options
    const refused = (code: string, message: string): StartAnswer => this.refused(code, message)
    if (data.length > startBytesMax) {
      return refused('MALFORMED', `a start request has at most ${startBytesMax} bytes`)
    }
    let raw: unknown
    try {
      raw = JSON.parse(Buffer.from(data).toString('utf8'))
    } catch {
      return refused('MALFORMED', 'a start request must be a JSON object')
    }
    const parsed = startRequest.safeParse(raw)
    if (!parsed.success) return refused('MALFORMED', faultOf(parsed.error))
    const request = parsed.data
    if (request.version > inspectionVersion) {
      return refused('VERSION', `node ${node} supports version ${inspectionVersion} of the `
        + `inspection stream, not ${request.version}: upgrade the node`)
    }
    const edition = request.payloads ? this.editions.full : this.editions.plain
    const isNew = !edition.leases.has(request.inspector)
    if (isNew && request.leaseMs > 0 && edition.leases.size >= inspectorsMax) {
      return refused('TOO_MANY', `node ${node} already has ${inspectorsMax} inspectors: close one`)
    }
    const leaseMs = this.grant(edition, request, isNew)
    return {
      ok: true,
      version: inspectionVersion,
      node,
      incarnation: incarnation(),
      leaseMs,
      subject: inspectionSubjects.stream(node, request.payloads),
    }
  }

  /** Returns the duration of the lease, ms. */
  private grant(edition: Edition, request: StartRequest, isNew: boolean): number {
    const leaseMs = request.leaseMs === 0 ? 0 : Math.max(request.leaseMs, leaseBounds.minMs)
    const nowMs = this.options.clock.monotonicMs()
    if (leaseMs === 0) edition.leases.delete(request.inspector)
    else edition.leases.set(request.inspector, nowMs + leaseMs)
    if (leaseMs > 0 && (isNew || request.present)) {
      edition.presentDueMs ??= Math.max(nowMs, edition.presentAtMs + presentEveryMs)
    }
    this.settle(edition)
    return leaseMs
  }

  /** Starts or ends the stream, as the leases require. */
  private settle(edition: Edition): void {
    const { clock } = this.options
    if (edition.leases.size === 0) {
      edition.end?.()
      edition.end = null
      edition.presentDueMs = null
    } else {
      const subject = inspectionSubjects.stream(this.options.node, edition.payloads)
      edition.end ??= edition.feed.listen((envelope) => this.publish(subject, envelope))
      if (edition.presentDueMs !== null && edition.presentDueMs <= clock.monotonicMs()) {
        edition.presentDueMs = null
        edition.presentAtMs = clock.monotonicMs()
        edition.feed.presentTo((envelope) => this.publish(subject, envelope))
      }
    }
    const isNeeded = this.all().some(({ leases }) => leases.size > 0)
    if (isNeeded && this.timer === null) this.timer = clock.setTimeout(this.sweep, sweepMs)
  }

  private readonly sweep = (): void => {
    this.timer = null
    const nowMs = this.options.clock.monotonicMs()
    for (const edition of this.all()) {
      for (const [inspector, untilMs] of edition.leases) {
        if (untilMs <= nowMs) edition.leases.delete(inspector)
      }
      this.settle(edition)
    }
  }

  private publish(subject: string, text: string): void {
    const { connection, options } = this
    if (connection === null || connection.isClosed) return
    try {
      connection.publishSide(subject, Buffer.from(text), 'reads')
    } catch (error) {
      options.logger.warn({ subject, error: String(error) }, 'inspection could not be published')
    }
  }
}
