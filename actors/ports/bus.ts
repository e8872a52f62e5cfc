/** NATS, as the actors use it. */

export interface BusMessage {
  readonly subject: string
  /** A view of the receive buffer: copy before keeping. */
  readonly data: Uint8Array
  readonly reply: string | undefined
  /** Value of a header, or undefined. Parsed only when asked for. */
  header(name: string): string | undefined
  /**
   * Names of the headers as written, each as often as it occurs; null: the header block is
   * malformed, and its meaning cannot be known.
   */
  headerNames(): readonly string[] | null
}

export interface BusSubscription {
  unsubscribe(): void
}

export interface PublishOptions {
  readonly reply?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Side connections for answers to clients; `reads` also takes whatever else clients ask for. */
export type SideWay = 'writes' | 'reads'

/** One connection. It never reconnects: a new connection is a new life. */
export interface BusConnection {
  /** Id of the server this connection is on. */
  readonly serverId: string
  /** Prefix of the subjects on which this connection receives answers: `_INBOX_node`. */
  readonly inboxPrefix: string
  readonly maxPayload: number
  /**
   * Published bytes, answers to reads included, that are still in this process's memory because the
   * server takes them more slowly.
   */
  readonly bufferedBytes: number
  readonly isClosed: boolean
  /** Resolves with the reason when the connection is gone, for whatever cause. Never rejects. */
  readonly closed: Promise<string>
  /**
   * At most once; throws BusClosedError. The bytes must not be changed afterwards. With a reply
   * subject to which this connection subscribes, it hears there if nobody gets the message:
   * `isNoResponders`.
   */
  publish(subject: string, data: Uint8Array, options?: PublishOptions): void
  /**
   * The same for clients, who may be slow to take it: one way does not hold up the other. In order
   * within one way, once the connection has been used for a while.
   */
  publishSide(subject: string, data: Uint8Array, way: SideWay): void
  /**
   * The handler runs in order of arrival. An error that it throws is logged, and stops no other.
   */
  subscribe(
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): BusSubscription
  /**
   * The same for requests that clients may send at any rate: they delay no message of `subscribe`.
   * While their connection is opened again, for about a second, nobody is subscribed.
   */
  subscribeSide(
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): BusSubscription
  /** Rejects with NoRespondersError, RequestTimeoutError, ForbiddenError or BusClosedError. */
  request(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs: number; headers?: Readonly<Record<string, string>> },
  ): Promise<BusMessage>
  /** Round trip: everything published before has reached the server. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** Whether the server itself says that nobody subscribes. */
export function isNoResponders(message: BusMessage): boolean {
  // Only a message by the server has both no payload and a status.
  return message.data.length === 0 && message.header('Status') === '503'
}

export interface Bus {
  /** Rejects with BusConnectError when no server can be reached or it refuses the credentials. */
  connect(): Promise<BusConnection>
}

export class BusConnectError extends Error {
  readonly code = 'BUS_CONNECT'
  constructor(message: string, readonly retryable: boolean, cause?: unknown) {
    super(message, { cause })
    this.name = 'BusConnectError'
  }
}

export class BusClosedError extends Error {
  readonly code = 'BUS_CLOSED'
  constructor(message = 'the NATS connection is closed') {
    super(message)
    this.name = 'BusClosedError'
  }
}

export class NoRespondersError extends Error {
  readonly code = 'NO_RESPONDERS'
  constructor(subject: string) {
    super(`nobody subscribes to ${subject}`)
    this.name = 'NoRespondersError'
  }
}

export class RequestTimeoutError extends Error {
  readonly code = 'REQUEST_TIMEOUT'
  constructor(subject: string, timeoutMs: number) {
    super(`no answer on ${subject} within ${timeoutMs} ms`)
    this.name = 'RequestTimeoutError'
  }
}

/** The server dropped the message for lack of a permission: nobody got it, and nobody will. */
export class ForbiddenError extends Error {
  readonly code = 'FORBIDDEN'
  constructor(readonly subject: string) {
    super(`these NATS credentials may not publish to ${subject}`)
    this.name = 'ForbiddenError'
  }
}

/** Whether all that is known of a request is that no answer came. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof NoRespondersError || error instanceof RequestTimeoutError
    || error instanceof BusClosedError || error instanceof ForbiddenError
}
