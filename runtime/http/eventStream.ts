/** Server-sent events to one reader, bounded: a reader that does not read costs nothing. */
import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * Limit of the bytes that wait for a reader, beyond a whole state that was sent. Past it, events
 * are omitted until it has read them.
 */
const waitingBytesMax = 1024 * 1024
/** A reader that reads nothing for this long is disconnected. */
const stuckMs = 30_000
/** Interval of comments, so that proxies and readers see that the stream is alive. */
const heartbeatMs = 10_000

/** Readers of one route at a time; more get 503. */
export const readersMax = 16

export interface EventStreamLimits {
  readonly heartbeatMs?: number
  readonly stuckMs?: number
}

export interface EventStreamOptions extends EventStreamLimits {
  /** Name of the events. */
  readonly event: string
  /**
   * Called when the reader has caught up after that many events were omitted: `write` should now
   * send it the present state.
   */
  readonly onResumed: (skipped: number) => void
}

/** Whether there is no Origin (not a page), or that of this very server. */
export function isSameOrigin({ headers }: IncomingMessage): boolean {
  if (headers.origin === undefined) {
    const site = headers['sec-fetch-site']
    return site === undefined || site === 'same-origin' || site === 'none'
  }
  return headers.host !== undefined
    && [`http://${headers.host}`, `https://${headers.host}`].includes(headers.origin)
}

/** One open response. It ends itself when the reader reads nothing for 30 s. */
export class EventStream {
  private readonly heartbeat: NodeJS.Timeout
  private stuck: NodeJS.Timeout | null = null
  private skipped = 0
  private waitingMax = waitingBytesMax

  constructor(
    private readonly response: ServerResponse,
    private readonly options: EventStreamOptions,
  ) {
    response.writeHead(200, eventStreamHeaders)
    response.write('retry: 1000\n\n')
    this.heartbeat = setInterval(() => this.beat(), options.heartbeatMs ?? heartbeatMs)
    response.on('drain', () => this.drained())
    response.once('close', () => this.close())
  }

  /**
   * One event, unless the reader is too far behind.
   * @param data one line
   * @returns false: it was omitted
   */
  send(data: string): boolean {
    if (this.stuck !== null) {
      this.skipped += 1
      return false
    }
    this.write(data)
    this.judge()
    return true
  }

  /** Sends events that belong together, whole, however large: a half would have to be repeated. */
  sendAll(all: readonly string[]): void {
    if (this.response.destroyed) return
    for (const data of all) this.write(data)
    // Otherwise a large present state would be followed by a gap, and that by the state again.
    this.waitingMax = Math.max(this.waitingMax, this.response.writableLength + waitingBytesMax)
  }

  private write(data: string): void {
    this.response.write(`event: ${this.options.event}\ndata: ${data}\n\n`)
  }

  private judge(): void {
    if (this.stuck !== null || this.response.writableLength <= this.waitingMax) return
    this.stuck = setTimeout(() => this.response.destroy(), this.options.stuckMs ?? stuckMs)
  }

  private drained(): void {
    this.waitingMax = waitingBytesMax
    if (this.stuck === null) return
    clearTimeout(this.stuck)
    this.stuck = null
    const { skipped } = this
    this.skipped = 0
    if (skipped > 0) this.response.write(`: ${skipped} events were left out\n\n`)
    this.options.onResumed(skipped)
  }

  private beat(): void {
    if (this.stuck === null) this.response.write(': alive\n\n')
  }

  private close(): void {
    clearInterval(this.heartbeat)
    if (this.stuck !== null) clearTimeout(this.stuck)
  }
}

export const eventStreamHeaders = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
} as const
