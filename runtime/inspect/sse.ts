/** `/events`: the inspection stream of a node as server-sent events, for pages of its own. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from '../http/server.js'
import type { Route } from '../http/server.js'
import type { Feed } from './feed.js'

/** Open at a time; more get 503. */
const readersMax = 16
/** Bytes that wait for a reader; beyond, envelopes are left out until it has read them. */
const waitingBytesMax = 1024 * 1024
/** A reader that takes nothing for so long is cut off. */
const stuckMs = 30_000
/** So often something is sent, so that proxies and readers see that the stream lives. */
const heartbeatMs = 10_000

export interface EventsOptions {
  readonly heartbeatMs?: number
  readonly stuckMs?: number
  readonly readersMax?: number
}

/**
 * The route. A page of another origin is refused (403): a browser names it in the Origin header,
 * and the server has checked the Host header before, against DNS rebinding. Each event is
 * `inspection`, its data an envelope (schema.ts). A new reader, and one that was too slow, gets
 * the present state of all actors first.
 */
export function eventsRoute(feed: Feed, options: EventsOptions = {}): Route {
  const readers = new Set<Reader>()
  return (request, response) => {
    if (!isSameOrigin(request)) return text(403, 'the event stream is for pages of this server')
    if (readers.size >= (options.readersMax ?? readersMax)) {
      return text(503, `${readers.size} readers are connected; close one`)
    }
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    })
    if (request.method === 'HEAD') {
      response.end()
      return null
    }
    const reader = new Reader(feed, response, options)
    readers.add(reader)
    response.once('close', () => {
      readers.delete(reader)
      reader.close()
    })
    return null
  }
}

/** No Origin: not a page, or one of this very server. */
function isSameOrigin({ headers }: IncomingMessage): boolean {
  if (headers.origin === undefined) return headers['sec-fetch-site'] !== 'cross-site'
  return headers.host !== undefined
    && [`http://${headers.host}`, `https://${headers.host}`].includes(headers.origin)
}

class Reader {
  private readonly cease: () => void
  private readonly heartbeat: NodeJS.Timeout
  private stuck: NodeJS.Timeout | null = null
  private skipped = 0

  constructor(
    private readonly feed: Feed, private readonly response: ServerResponse,
    private readonly options: EventsOptions,
  ) {
    response.write('retry: 1000\n\n')
    this.cease = feed.listen((envelope, dropped) => this.take(envelope, dropped))
    this.tellPresent()
    this.heartbeat = setInterval(() => this.beat(), options.heartbeatMs ?? heartbeatMs)
    response.on('drain', () => this.drained())
  }

  close(): void {
    this.cease()
    clearInterval(this.heartbeat)
    if (this.stuck !== null) clearTimeout(this.stuck)
  }

  private take(envelope: string, dropped: number): void {
    if (this.stuck !== null) {
      this.skipped += 1
      return
    }
    this.write(envelope)
    this.judge()
    // Not within the feed's own round of its listeners.
    if (dropped > 0) queueMicrotask(() => this.tellPresent())
  }

  private tellPresent(): void {
    if (this.response.destroyed) return
    // Whole, however large: half of it would have to be told again, and again be too large.
    for (const envelope of this.feed.present()) this.write(envelope)
    this.judge()
  }

  private write(envelope: string): void {
    this.response.write(`event: inspection\ndata: ${envelope}\n\n`)
  }

  private judge(): void {
    if (this.stuck !== null || this.response.writableLength <= waitingBytesMax) return
    this.stuck = setTimeout(() => this.response.destroy(), this.options.stuckMs ?? stuckMs)
  }

  private drained(): void {
    if (this.stuck === null) return
    clearTimeout(this.stuck)
    this.stuck = null
    if (this.skipped > 0) this.response.write(`: ${this.skipped} envelopes were left out\n\n`)
    this.skipped = 0
    this.tellPresent()
  }

  private beat(): void {
    if (this.stuck === null) this.response.write(': alive\n\n')
  }
}
