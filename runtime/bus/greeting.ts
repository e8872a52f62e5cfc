import { createConnection } from 'node:net'

/**
 * Whether a NATS server greets (sends INFO) at that URL. The nats package never closes the socket
 * of an attempt that timed out before the greeting, so each try against a hung server would leak
 * one: such servers are sorted out here, on a socket of our own.
 * @returns null, or what went wrong
 */
export function greetingFault(server: string, timeoutMs: number): Promise<Error | null> {
  const { host, port } = address(server)
  return new Promise((resolve) => {
    const socket = createConnection({ host, port })
    const settle = (fault: Error | null): void => {
      clearTimeout(timer)
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.destroy()
      resolve(fault)
    }
    const timer = setTimeout(
      () => settle(new Error(`no greeting from ${host}:${port} within ${timeoutMs} ms`)), timeoutMs)
    let head = ''
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1')
      if (/^INFO /i.test(head)) settle(null)
      else if (head.length >= 5) settle(new Error(`${host}:${port} is no NATS server`))
    })
    socket.on('error', (error) => settle(describe(error, host, port)))
    socket.on('close', () => settle(new Error(`${host}:${port} closed before its greeting`)))
  })
}

function describe(error: Error, host: string, port: number): Error {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  // An AggregateError (several addresses, all refused) has an empty message.
  return new Error(`${host}:${port}: ${error.message || code || 'unreachable'}`, { cause: error })
}

/** Host and port of `nats://host:4222`, `host:4222`, `host`, `[::1]:4222`. */
export function address(server: string): { host: string; port: number } {
  const plain = server.replace(/^[a-z+]+:\/\//i, '').replace(/^[^@/]*@/, '').replace(/\/.*$/, '')
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(plain)
  if (!match) return { host: plain, port: 4222 }
  return { host: match[1] || match[2] || '127.0.0.1', port: Number(match[3] ?? 4222) }
}
