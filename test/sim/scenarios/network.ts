/**
 * The messages between the nodes of a SimCluster, by subject: what becomes of each, and who sees
 * it go by. A fault of a scenario is a function from a message to its fate.
 */
import type { BusConnection } from '../../../actors/ports/bus.js'
import type { MemoryBroker } from '../../fakes/memoryBus.js'
import type { SimCluster } from '../../support/simCluster.js'

/** The purpose of a message, by its subject; `answer`: the reply to any request. */
export type Kind = 'write' | 'read' | 'wal' | 'ack' | 'checkpoint' | 'survey' | 'heartbeat' | 'ping'
  | 'pingreq' | 'assignment' | 'answer' | 'other'

export interface Message {
  /** Node ids, or `client`. */
  readonly from: string
  readonly to: string
  readonly kind: Kind
  readonly subject: string
  readonly data: Uint8Array
}

/** Lost, kept until `release`, or delivered this much later, ms; undefined: as usual. */
export type Fate = 'lost' | 'held' | number | undefined
export type Faults = (message: Message) => Fate

type Envelope = Parameters<MemoryBroker['route']>[0]
type Connection = Parameters<MemoryBroker['route']>[1]

const usualMs = 0.2

const kinds: readonly (readonly [prefix: string, kind: Kind])[] = [
  ['engram.v1.write.', 'write'],
  ['engram.v1.read.', 'read'],
  ['engram.v1.wal.', 'wal'],
  ['engram.v1.ack.', 'ack'],
  ['engram.v1.checkpoint.', 'checkpoint'],
  ['engram.v1.survey.', 'survey'],
  ['engram.v1.heartbeat.', 'heartbeat'],
  ['engram.v1.ping.', 'ping'],
  ['engram.v1.pingreq.', 'pingreq'],
  ['engram.v1.assignment.', 'assignment'],
  ['_INBOX', 'answer'],
]

function kindOf(subject: string): Kind {
  return kinds.find(([prefix]) => subject.startsWith(prefix))?.[1] ?? 'other'
}

export class Network {
  faults: Faults = () => undefined
  /** Sees every message at the instant it is published, whatever becomes of it. */
  onPublished: (from: string, kind: Kind, envelope: Envelope) => void = () => undefined
  /** A request to that subject finds nobody, as across a gateway that is down. */
  nobodyHears: (from: string, subject: string) => boolean = () => false
  private readonly held: { message: Message; envelope: Envelope; from: Connection }[] = []
  private readonly broken = new Set<BusConnection>()
  private readonly route: MemoryBroker['route']
  private routing: { envelope: Envelope; from: Connection } | null = null
  private isReleasing = false

  constructor(private readonly cluster: SimCluster) {
    const { broker } = cluster
    this.route = broker.route.bind(broker)
    broker.route = (envelope, from) => this.publish(envelope, from)
    cluster.weather = (from, to) => this.fateOf(from, to)
  }

  private nameOf(connection: BusConnection): string {
    return this.cluster.owners.get(connection)?.name ?? '?'
  }

  private publish(envelope: Envelope, from: Connection): void {
    // To a broker that has closed the connection, and a sender that does not know it yet.
    if (this.broken.has(from)) return
    const name = this.nameOf(from)
    this.onPublished(name, kindOf(envelope.subject), envelope)
    const before = this.routing
    this.routing = { envelope, from }
    try {
      const isUnheard = this.nobodyHears(name, envelope.subject)
      const subject = isUnheard ? `nobody.${envelope.subject}` : envelope.subject
      this.route({ ...envelope, subject }, from)
    } finally {
      this.routing = before
    }
  }

  private fateOf(from: string, to: string): 'lost' | number {
    if (!this.routing) return usualMs
    const { envelope, from: connection } = this.routing
    const { subject, data } = envelope
    const message: Message = { from, to, kind: kindOf(subject), subject, data }
    if (this.isReleasing) return usualMs
    const fate = this.faults(message)
    if (fate !== 'held') return fate ?? usualMs
    this.held.push({ message, envelope, from: connection })
    return 'lost'
  }

  /** Messages that were held, in the order they were sent. */
  get waiting(): readonly Message[] {
    return this.held.map(({ message }) => message)
  }

  /** Sends held messages on their way; returns how many there were. */
  release(which: (message: Message) => boolean = () => true): number {
    const going = this.held.filter(({ message }) => which(message))
    this.isReleasing = true
    try {
      for (const each of going) {
        this.held.splice(this.held.indexOf(each), 1)
        this.routing = each
        this.route(each.envelope, each.from)
      }
    } finally {
      this.isReleasing = false
      this.routing = null
    }
    return going.length
  }

  /** The broker closes the node's connection; the node notices at `noticed()`, or never. */
  breakConnection(node: string): { noticed: () => void } {
    const { life } = this.cluster.node(node)
    const connection = life?.connection as Connection | null
    if (!connection) throw new Error(`${node} has no connection`)
    this.broken.add(connection)
    this.cluster.broker.forget(connection)
    return { noticed: () => connection.end('the broker closed it') }
  }
}

/** No message of these kinds passes between the two, in either direction. */
export function cut(one: string, other: string, only?: readonly Kind[]): Faults {
  return ({ from, to, kind }) =>
    ((from === one && to === other) || (from === other && to === one))
      && (!only || only.includes(kind))
      ? 'lost'
      : undefined
}

/** The first that has a fate for the message. */
export function several(...faults: Faults[]): Faults {
  return (message) => {
    for (const fault of faults) {
      const fate = fault(message)
      if (fate !== undefined) return fate
    }
    return undefined
  }
}

/** Messages from one node to another (any, when null), of these kinds, are lost. */
export function lost(
  from: string | null,
  to: string | null,
  ...of: Kind[]
): Faults {
  return (message) =>
    (from === null || message.from === from)
      && (to === null || message.to === to) && message.from !== 'client' && message.to !== 'client'
      && (of.length === 0 || of.includes(message.kind))
      ? 'lost'
      : undefined
}
