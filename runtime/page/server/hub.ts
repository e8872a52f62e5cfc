/** `/api/stream`: the viewers of a page, and what they are told. */
import { catalogue } from '../../charts/catalogue.js'
import {
  EventStream, eventStreamHeaders, isSameOrigin, readersMax,
} from '../../http/eventStream.js'
import type { EventStreamLimits } from '../../http/eventStream.js'
import { text } from '../../http/server.js'
import type { Route } from '../../http/server.js'
import { version } from '../../system/version.js'
import { recordingFormat } from '../protocol.js'
import type { ChartsFrame, Frame, StartFrame } from '../protocol.js'
import { FrameFeed } from './frameFeed.js'

/** Something that tells as long as it is not stopped. */
export interface Link {
  stop(): Promise<void>
}

export interface HubOptions extends EventStreamLimits {
  readonly start: Omit<StartFrame, 'kind' | 'atMs' | 'format' | 'version'>
  /** Called for the first viewer. */
  readonly link: (feed: FrameFeed) => Link
  readonly viewersMax?: number
  /** A frame was left out, for one viewer. */
  readonly onSkipped?: () => void
  /** After the last viewer has gone, for one that reloads. Default 5,000. */
  readonly lingerMs?: number
}

const lingerDefaultMs = 5_000

/** What a page, and a recording, begins with. */
export function startFrame(start: HubOptions['start'], atMs: number): StartFrame {
  return { kind: 'start', atMs, format: recordingFormat, version, ...start }
}

/** All charts, as they run in this process. */
export function chartsFrame(atMs: number): ChartsFrame {
  const charts = Object.fromEntries(catalogue().map(({ chart }) => [chart.id, chart]))
  return { kind: 'charts', atMs, charts }
}

/** Holds a link to the cluster while somebody looks, and no longer. */
export class PageHub {
  private readonly viewers = new Set<EventStream>()
  private feed: FrameFeed | null = null
  private link: Link | null = null
  private linger: NodeJS.Timeout | null = null
  private lastViewerAtMs = performance.now()
  private charts: ChartsFrame | null = null

  /** Frames left out since viewers were too slow, over all of them. */
  skipped = 0

  constructor(private readonly options: HubOptions) {}

  /** How long nobody has looked; 0 while somebody does. ms */
  get idleMs(): number {
    return this.viewers.size > 0 ? 0 : performance.now() - this.lastViewerAtMs
  }

  readonly route: Route = (request, response) => {
    if (!isSameOrigin(request)) return text(403, 'the stream is for pages of this server')
    if (request.method === 'HEAD') {
      response.writeHead(200, eventStreamHeaders).end()
      return null
    }
    if (this.viewers.size >= (this.options.viewersMax ?? readersMax)) {
      return text(503, `${this.viewers.size} viewers are connected; close one`)
    }
    const feed = this.begin()
    const stream = new EventStream(response, {
      ...this.options, event: 'frame',
      onResumed: (frames) => stream.sendAll(
        texts([{ kind: 'gap', atMs: Date.now(), frames }, ...feed.present()])),
    })
    const atMs = Date.now()
    this.charts ??= chartsFrame(atMs)
    stream.sendAll(texts([
      startFrame(this.options.start, atMs), { ...this.charts, atMs }, ...feed.present(),
    ]))
    this.viewers.add(stream)
    response.once('close', () => this.left(stream))
    return null
  }

  /** To all viewers. */
  send(frame: Frame): void {
    if (this.viewers.size === 0) return
    const data = JSON.stringify(frame)
    for (const viewer of this.viewers) {
      if (viewer.send(data)) continue
      this.skipped += 1
      this.options.onSkipped?.()
    }
  }

  /** Lets go of the cluster; the streams end with the server. */
  async close(): Promise<void> {
    if (this.linger !== null) clearTimeout(this.linger)
    this.linger = null
    await this.end()
  }

  private begin(): FrameFeed {
    if (this.linger !== null) clearTimeout(this.linger)
    this.linger = null
    this.feed ??= new FrameFeed({
      wallMs: () => Date.now(), monotonicMs: () => performance.now(),
      emit: (frame) => this.send(frame),
    })
    this.link ??= this.options.link(this.feed)
    return this.feed
  }

  private left(stream: EventStream): void {
    this.viewers.delete(stream)
    this.lastViewerAtMs = performance.now()
    if (this.viewers.size > 0 || this.linger !== null) return
    const lingerMs = this.options.lingerMs ?? lingerDefaultMs
    this.linger = setTimeout(() => void this.end(), lingerMs)
    // A process that has nothing else to do need not wait for a viewer.
    this.linger.unref()
  }

  private async end(): Promise<void> {
    const { link } = this
    this.link = null
    this.feed = null
    this.linger = null
    await link?.stop()
  }
}

function texts(frames: readonly Frame[]): string[] {
  return frames.map((frame) => JSON.stringify(frame))
}
