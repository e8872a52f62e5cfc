/** Counts what a node sends to other nodes, while an inspector wants to know. */
import type { Bus, BusConnection } from '../../actors/ports/bus.js'

export interface MessageCount {
  readonly kind: string
  readonly space: string | null
  readonly to: string | null
  count: number
  bytes: number
}

/** Subjects counted one by one between two looks; what is more is not counted. */
const subjectsMax = 4_096
const prefix = 'engram.v1.'

/** Kinds whose fourth token is a space, and the fifth the receiver. */
const ofSpaces: ReadonlySet<string> = new Set(['wal', 'ack', 'survey'])
const ofNodes: ReadonlySet<string> = new Set(['ping', 'pingreq', 'actor'])
const ofAll: ReadonlySet<string> = new Set(['heartbeat', 'assignment', 'alert'])

/**
 * While nobody looks, a connection's own functions are called; the counting ones take their place
 * for as long as somebody does.
 */
export class Traffic {
  private readonly connections = new Set<CountedConnection>()
  private readonly counts = new Map<string, MessageCount | null>()
  private lookers = 0

  /** A bus whose connections can be counted. */
  over(bus: Bus): Bus {
    return {
      connect: async () => {
        const connection = new CountedConnection(await bus.connect(), this.note)
        this.connections.add(connection)
        void connection.closed.then(() => this.connections.delete(connection))
        connection.count(this.lookers > 0)
        return connection
      },
    }
  }

  /** Counts from now on, until the returned function is called. */
  look(): () => void {
    let isOver = false
    this.changeLookers(1)
    return () => {
      if (!isOver) this.changeLookers(-1)
      isOver = true
    }
  }

  /** What was sent since the last call. */
  take(): MessageCount[] {
    const taken = [...this.counts.values()].filter((count) => count !== null)
    this.counts.clear()
    return taken
  }

  private changeLookers(by: number): void {
    this.lookers += by
    for (const connection of this.connections) connection.count(this.lookers > 0)
    if (this.lookers === 0) this.counts.clear()
  }

  /** A message was sent, over whatever connection. */
  readonly note = (subject: string, bytes: number): void => {
    // Answers to clients: each has a subject of its own.
    if (!subject.startsWith(prefix)) return
    let known = this.counts.get(subject)
    if (known === undefined) {
      if (this.counts.size >= subjectsMax) return
      known = countOf(subject)
      this.counts.set(subject, known)
    }
    if (known === null) return
    known.count += 1
    known.bytes += bytes
  }
}

function countOf(subject: string): MessageCount | null {
  const [kind = '', third = '', fourth = ''] = subject.slice(prefix.length).split('.')
  const none = { kind, count: 0, bytes: 0 }
  if (ofSpaces.has(kind)) return { ...none, space: third, to: fourth }
  if (ofNodes.has(kind)) return { ...none, space: null, to: third }
  if (kind === 'heartbeat') return { ...none, space: null, to: null }
  return ofAll.has(kind) ? { ...none, space: third, to: null } : null
}

class CountedConnection implements BusConnection {
  publish!: BusConnection['publish']
  publishAside!: BusConnection['publishAside']
  request!: BusConnection['request']
  readonly subscribe: BusConnection['subscribe']
  readonly subscribeAside: BusConnection['subscribeAside']
  readonly flush: BusConnection['flush']
  readonly close: BusConnection['close']
  readonly closed: Promise<string>

  constructor(
    private readonly inner: BusConnection,
    private readonly note: (subject: string, bytes: number) => void,
  ) {
    this.subscribe = inner.subscribe.bind(inner)
    this.subscribeAside = inner.subscribeAside.bind(inner)
    this.flush = inner.flush.bind(inner)
    this.close = inner.close.bind(inner)
    this.closed = inner.closed
    this.count(false)
  }

  get serverId(): string {
    return this.inner.serverId
  }

  get inboxPrefix(): string {
    return this.inner.inboxPrefix
  }

  get maxPayload(): number {
    return this.inner.maxPayload
  }

  get bufferedBytes(): number {
    return this.inner.bufferedBytes
  }

  get isClosed(): boolean {
    return this.inner.isClosed
  }

  count(on: boolean): void {
    const { inner, note } = this
    const publish = inner.publish.bind(inner)
    const request = inner.request.bind(inner)
    this.publish = !on ? publish : (subject, data, options) => {
      note(subject, data.length)
      publish(subject, data, options)
    }
    const publishAside = inner.publishAside.bind(inner)
    this.publishAside = !on ? publishAside : (subject, data, way) => {
      note(subject, data.length)
      publishAside(subject, data, way)
    }
    this.request = !on ? request : (subject, data, options) => {
      note(subject, data.length)
      return request(subject, data, options)
    }
  }
}
