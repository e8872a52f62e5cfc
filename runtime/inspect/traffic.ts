/** Counts messages of a node to other nodes while an inspector listens. */
import type { Bus, BusConnection } from '../../actors/ports/bus.js'

export interface MessageCount {
  readonly kind: string
  readonly space: string | null
  readonly to: string | null
  count: number
  bytes: number
}

/** Subjects counted between two reports. Further ones are not counted. */
const subjectsMax = 4_096
const prefix = 'engram.v1.'

/** Kinds with the space in the fourth token and the receiver in the fifth. */
const ofSpaces: ReadonlySet<string> = new Set(['wal', 'ack', 'survey'])
const ofNodes: ReadonlySet<string> = new Set(['ping', 'pingreq', 'actor'])
const ofAll: ReadonlySet<string> = new Set(['heartbeat', 'assignment', 'alert'])

/**
 * Without an observer a connection's own functions are called. Counting ones take their place while
 * there is an observer.
 */
export class Traffic {
  private readonly connections = new Set<CountedConnection>()
  private readonly counts = new Map<string, MessageCount | null>()
  private observers = 0

  /** A bus whose messages can be counted. */
  over(bus: Bus): Bus {
    return {
      connect: async () => {
        const connection = new CountedConnection(await bus.connect(), this.note)
        this.connections.add(connection)
        void connection.closed.then(() => this.connections.delete(connection))
        connection.count(this.observers > 0)
        return connection
      },
    }
  }

  /** Counts until the returned function is called. */
  observe(): () => void {
    let isOver = false
    this.changeObservers(1)
    return () => {
      if (!isOver) this.changeObservers(-1)
      isOver = true
    }
  }

  /** Counts since the last call. */
  take(): MessageCount[] {
    const taken = [...this.counts.values()].filter((count) => count !== null)
    this.counts.clear()
    return taken
  }

  private changeObservers(by: number): void {
    this.observers += by
    for (const connection of this.connections) connection.count(this.observers > 0)
    if (this.observers === 0) this.counts.clear()
  }

  /** Notes a message that was sent over any connection. */
  readonly note = (subject: string, bytes: number): void => {
    // Answers to clients are not counted: each has its own subject.
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
  publishSide!: BusConnection['publishSide']
  request!: BusConnection['request']
  readonly subscribe: BusConnection['subscribe']
  readonly subscribeSide: BusConnection['subscribeSide']
  readonly flush: BusConnection['flush']
  readonly close: BusConnection['close']
  readonly closed: Promise<string>

  constructor(
    private readonly inner: BusConnection,
    private readonly note: (subject: string, bytes: number) => void,
  ) {
    this.subscribe = inner.subscribe.bind(inner)
    this.subscribeSide = inner.subscribeSide.bind(inner)
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
    const publishSide = inner.publishSide.bind(inner)
    this.publishSide = !on ? publishSide : (subject, data, way) => {
      note(subject, data.length)
      publishSide(subject, data, way)
    }
    this.request = !on ? request : (subject, data, options) => {
      note(subject, data.length)
      return request(subject, data, options)
    }
  }
}
