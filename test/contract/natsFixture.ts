/** A nats-server of a test's own, and promises with a deadline (uvu has no timeouts). */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startNatsServer } from '../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../runtime/cluster/natsServer.js'

export class NatsFixture {
  readonly directory = mkdtempSync(join(tmpdir(), 'engram-nats-'))
  #server: NatsServer | null = null

  async start(
    options: { config?: string; env?: Record<string, string> } = {},
  ): Promise<NatsServer> {
    const port = this.#server?.port ?? 0
    this.#server = await startNatsServer({ ...options, port, storeDir: this.directory })
    return this.#server
  }

  get server(): NatsServer {
    if (!this.#server) throw new Error('the fixture was not started')
    return this.#server
  }

  async stop(): Promise<void> {
    await this.#server?.stop()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/**
 * SIGSTOP, and until the process has really stopped: its threads go on until the kernel gets to
 * each of them, and a server that is just answering still does.
 */
export async function pauseServer(server: NatsServer): Promise<void> {
  server.kill('SIGSTOP')
  const tasks = `/proc/${server.pid}/task`
  if (!existsSync(tasks)) return
  const isStopped = (task: string) =>
    /^\d+ \(.*\) [Tt] /s.test(readFileSync(join(tasks, task, 'stat'), 'latin1'))
  while (!readdirSync(tasks).every(isStopped)) {
    await new Promise<void>((resolve) => setTimeout(resolve, 1))
  }
}

export async function within<T>(ms: number, promise: Promise<T>, what = 'it'): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The error that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  const result = await promise.then(() => null, (error: unknown) => error)
  if (result instanceof Error) return result
  throw new Error('it did not reject')
}
