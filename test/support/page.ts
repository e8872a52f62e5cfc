/** A viewer of a page's server, as a browser is one, and who orders. */
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { CommandAnswer, Frame, PageCommand } from '../../runtime/page/protocol.js'

export type FrameOf<K extends Frame['kind']> = Extract<Frame, { kind: K }>

export interface Viewer {
  readonly response: IncomingMessage
  /** The frames so far. */
  readonly frames: readonly Frame[]
  of<K extends Frame['kind']>(kind: K): FrameOf<K>[]
  /** Raw text, comments included. */
  text(): string
  /** Stops and resumes reading: what a hanging viewer does. */
  pause(): void
  resume(): void
  close(): void
}

export function view(
  base: string,
  headers: Record<string, string> = {},
  path = '/api/stream',
): Promise<Viewer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(new URL(path, base), { headers }, (response) => {
      const frames: Frame[] = []
      let text = ''
      let rest = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        const events = (rest + chunk).split('\n\n')
        rest = events.pop() ?? ''
        for (const event of events) {
          const data = /^event: frame\ndata: (.*)$/.exec(event)?.[1]
          if (data !== undefined) frames.push(JSON.parse(data) as Frame)
        }
      })
      response.on('error', () => undefined)
      resolve({
        response,
        frames,
        of: (kind) => frames.filter((frame) => frame.kind === kind) as never,
        text: () => text,
        pause: () => response.pause(),
        resume: () => response.resume(),
        close: () => request.destroy(),
      })
    })
    request.on('error', reject)
    request.end()
  })
}

export interface Got {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** Any request; unlike fetch, with whatever Host and Origin is to be tried. */
export function ask(
  base: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Got> {
  const { method = 'GET', headers = {}, body } = options
  return new Promise((resolve, reject) => {
    // Not through a URL: it would tidy `..` away.
    const { hostname, port } = new URL(base)
    const request = httpRequest({ host: hostname, port, path, method, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end',
        () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }))
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** An order, as the page sends it. */
export async function order(
  base: string,
  what: PageCommand | object,
  headers: Record<string, string> = {},
): Promise<{ status: number; answer: CommandAnswer }> {
  const { status, body } = await ask(base, '/api/orders', {
    method: 'POST',
    body: JSON.stringify(what),
    headers: { 'Content-Type': 'application/json', ...headers },
  })
  return { status, answer: JSON.parse(body) as CommandAnswer }
}
