import { createConnection } from 'node:net'
import type { Socket } from 'node:net'

/** The fields of a server's greeting (INFO) that explain why a connection may fail. */
export interface ServerInfo {
  readonly auth_required?: boolean
  readonly tls_required?: boolean
  readonly tls_available?: boolean
  /** It requires a client certificate. */
  readonly tls_verify?: boolean
}

/**
 * `refused`: the server said why it accepts no connection. `silent`: connected, but nothing came.
 * `foreign`: another program than a NATS server answers.
 */
export type Greeting =
  | { readonly kind: 'greeted'; readonly info: ServerInfo }
  | { readonly kind: 'refused' | 'silent' | 'foreign' | 'unreachable'; readonly fault: Error }

const greetingBytesMax = 64 * 1024

/**
 * Checks whether a NATS server greets (sends INFO) at that URL. The nats package never closes the
 * socket of an attempt that timed out before the greeting, so each try against a hung server would
 * leak one. Such servers are found here, on a socket of our own.
 * @param lingerMs how long to listen on for a refusal: a full server greets first
 */
export function greet(server: string, timeoutMs: number, lingerMs = 0): Promise<Greeting> {
  const { host, port } = address(server)
  const at = `${host}:${port}`
  return new Promise((resolve) => {
    const socket = createConnection({ host, port })
    let isConnected = false
    let head = ''
    let linger: NodeJS.Timeout | undefined
    const settle = (greeting: Greeting): void => {
      clearTimeout(timer)
      clearTimeout(linger)
      end(socket)
      resolve(greeting)
    }
    const fail = (
      kind: Exclude<Greeting['kind'], 'greeted'>,
      text: string,
      cause?: Error,
    ): void => settle({ kind, fault: new Error(text, { cause }) })
    const timer = setTimeout(
      () =>
        fail(isConnected ? 'silent' : 'unreachable',
          `no greeting from ${at} within ${timeoutMs} ms`),
      timeoutMs,
    )
    socket.on('connect', () => {
      isConnected = true
    })
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1')
      const refusal = /^-ERR +'(.*)'\r\n/im.exec(head)
      const line = /^INFO +(\{.*\})\s*\r\n/i.exec(head)
      if (refusal) fail('refused', `${at} refuses: ${refusal[1]}`)
      else if (line && !linger) {
        const greeted = { kind: 'greeted', info: infoOf(line[1] ?? '') } as const
        if (lingerMs === 0) return settle(greeted)
        linger = setTimeout(() => settle(greeted), lingerMs)
      } else if (!line && isForeign(head)) fail('foreign', `${at} is not a NATS server`)
    })
    socket.on('error', (error) => fail('unreachable', describe(error, at), error))
    socket.on('close', () => fail('silent', `${at} closed before its greeting`))
  })
}

/** Whether these first bytes are not, and cannot become, a greeting. */
function isForeign(head: string): boolean {
  const begins = head.slice(0, 5).toUpperCase()
  return !('INFO '.startsWith(begins) || '-ERR '.startsWith(begins))
    || head.includes('\n') || head.length > greetingBytesMax
}

function end(socket: Socket): void {
  socket.removeAllListeners()
  socket.on('error', () => {})
  socket.destroy()
}

function infoOf(json: string): ServerInfo {
  try {
    return JSON.parse(json) as ServerInfo
  } catch {
    // The package judges the contents.
    return {}
  }
}

function describe(error: Error, at: string): string {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  switch (code) {
    case 'ECONNREFUSED':
      return `nobody listens at ${at} (${code})`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the host of ${at} is not known (${code})`
    // An AggregateError (several addresses) has an empty message.
    default:
      return `${at}: ${error.message || code || 'unreachable'}`
  }
}

/** Host and port of `nats://host:4222`, `host:4222`, `host`, `[::1]:4222`. */
export function address(server: string): { host: string; port: number } {
  const plain = server.replace(/^[a-z+]+:\/\//i, '').replace(/^[^@/]*@/, '').replace(/\/.*$/, '')
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(plain)
  if (!match) return { host: plain, port: 4222 }
  return { host: match[1] || match[2] || '127.0.0.1', port: Number(match[3] ?? 4222) }
}
