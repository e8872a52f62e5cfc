/** `/api/stream`: the viewers of a page, and the frames that they get. */
import { catalogue } from '../../charts/catalogue.js'
import { EventStream, eventStreamHeaders, isSameOrigin,
  readersMax } from '../../http/eventStream.js'
import type { EventStreamLimits } from '../../http/eventStream.js'
import { text } from '../../http/server.js'
import type { Route } from '../../http/server.js'
import { version } from '../../system/version.js'
import { recordingFormat } from '../protocol.js'
import type { ChartsFrame, Frame, StartFrame } from '../protocol.js'
import { FrameFeed } from './frameFeed.js'

/** A source of frames that runs until it is stopped. */
export interface Link {
  stop(): Promise<void>
}

export interface HubOptions extends EventStreamLimits {
  readonly start: Omit<StartFrame, 'kind' | 'atMs' | 'format' | 'version'>
  /** Called when the first viewer connects. */
  readonly link: (feed: FrameFeed) => Link
  readonly viewersMax?: number
  /** Called when a frame was dropped for one viewer. */
  readonly onSkipped?: () => void
  /** Time to keep the link after the last viewer has left, for a reload. Default 5,000 ms. */
  readonly lingerMs?: number
}

const lingerDefaultMs = 5_000

/** First frame of a page and of a recording. */
export function startFrame(start: HubOptions['start'], atMs: number): StartFrame {
  return { kind: 'start', atMs, format: recordingFormat, version, ...start }
}

/** All charts of this process. */
export function chartsFrame(atMs: number): ChartsFrame {
  const charts = Object.fromEntries(catalogue().map(({ chart }) => [chart.id, chart]))
  return { kind: 'charts', atMs, charts }
}

/** Holds a link to the cluster while there are viewers. */
export class PageHub {
  private readonly viewers = new Set<EventStream>()
  private feed: FrameFeed | null = null
  private link: Link | null = null
  private linger: NodeJS.Timeout | null = null
  private lastViewerAtMs = performance.now()
  private charts: ChartsFrame | null = null

  /** Number of frames dropped because viewers were too slow. */
  skipped = 0

  constructor(private readonly options: HubOptions) {}

  /** Time without a viewer, ms. 0 while there is one. */
  get idleMs(): number {
    return this.viewers.size > 0 ? 0 : performance.now() - this.lastViewerAtMs
  }

  readonly route: Route = (request, response) => {
    if (!isSameOrigin(request)) return text(403, 'only pages of this server may read the stream')
    if (request.method === 'HEAD') {
      response.writeHead(200, eventStreamHeaders).end()
      return null
    }
    if (this.viewers.size >= (this.options.viewersMax ?? readersMax)) {
      return text(503, `${this.viewers.size} viewers are connected, which is the limit: close one`)
    }
    const feed = this.begin()
    const stream = new EventStream(response, {
      ...this.options,
      event: 'frame',
      onResumed: (frames) =>
        stream.sendAll(
          texts([{ kind: 'gap', atMs: Date.now(), frames }, ...feed.present()]),
        ),
    })
    const atMs = Date.now()
    this.charts ??= chartsFrame(atMs)
    stream.sendAll(texts([
      startFrame(this.options.start, atMs),
      { ...this.charts, atMs },
      ...feed.present(),
    ]))
    this.viewers.add(stream)
    response.once('close', () => this.left(stream))
    return null
  }

  /** Sends a frame to all viewers. */
  send(frame: Frame): void {
    if (this.viewers.size === 0) return
    const data = JSON.stringify(frame)
    for (const viewer of this.viewers) {
      if (viewer.send(data)) continue
      this.skipped += 1
      this.options.onSkipped?.()
    }
  }

  /** Ends the link to the cluster. The streams end with the server. */
  async close(): Promise<void> {
    if (this.linger !== null) clearTimeout(this.linger)
    this.linger = null
    await this.end()
  }

  private begin(): FrameFeed {
    if (this.linger !== null) clearTimeout(this.linger)
    this.linger = null
    this.feed ??= new FrameFeed({
      wallMs: () => Date.now(),
      monotonicMs: () => performance.now(),
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
    // The timer does not keep the process running.
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
