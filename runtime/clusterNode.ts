/** A node as a child process of `engram up`. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface NodeProcessOptions {
  readonly id: string
  readonly data: string
  readonly log: string
  readonly url: string
  /** Credentials among it: they are never on the command line. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly config: string | undefined
  /** Flags that lead a person to the credentials, for `command`. */
  readonly authFlags?: string
}

export interface NodeDeath {
  readonly pid: number
  /** "exit code 1", "SIGKILL". */
  readonly how: string
}

const main = fileURLToPath(new URL('./cli/main.js', import.meta.url))
const restartFirstMs = 500
const restartMaxMs = 10_000
/** A node that ran longer is started again at once, as if for the first time. */
const settledMs = 30_000

export class NodeProcess {
  readonly id: string
  readonly log: string
  /** Of its last life; null while it runs. */
  death: NodeDeath | null = null
  http: string | null = null
  #child: ChildProcess | null = null
  #exited: Promise<void> = Promise.resolve()
  #startedAt = 0
  #restarts = 0

  constructor(readonly options: NodeProcessOptions) {
    this.id = options.id
    this.log = options.log
  }

  get pid(): number | null {
    return this.death ? null : this.#child?.pid ?? null
  }

  /** What a person types to start this node again, with the same address for HTTP. */
  get command(): string {
    const { id, url, data, config, authFlags } = this.options
    const http = this.http ? ` --http ${this.http.replace('http://', '')}` : ''
    return `npx engram node --id ${id} --nats ${url} --data ${shellWord(here(data))}${http}`
      + (config ? ` --config ${shellWord(config)}` : '') + (authFlags ? ` ${authFlags}` : '')
  }

  start(onDeath: (death: NodeDeath) => void): void {
    const { id, url, data, config, env, log } = this.options
    const out = openSync(log, 'a', 0o600)
    const http = this.http?.replace('http://', '') ?? '127.0.0.1:0'
    const child = spawn(process.execPath, [
      ...process.execArgv, main, 'node', '--id', id, '--nats', url, '--data', data, '--http', http,
      ...(config ? ['--config', config] : []),
    ], {
      // The pipe is never written to: it ends when this process does, however that happens.
      stdio: ['pipe', out, out],
      env: { ...env, ENGRAM_LIFELINE: 'stdin' },
      // A group of its own, or Ctrl-C in the terminal would stop all nodes at once.
      detached: true,
    })
    closeSync(out)
    child.stdin?.on('error', () => {})
    this.#child = child
    this.#startedAt = Date.now()
    this.death = null
    this.#exited = new Promise((resolve) => {
      const over = (how: string): void => {
        if (this.death) return
        this.death = { pid: child.pid ?? 0, how }
        resolve()
        onDeath(this.death)
      }
      child.once('error', (error) => over(error.message))
      child.once('exit', (code, signal) => over(signal ?? `exit code ${code}`))
    })
  }

  /** SIGTERM, and SIGKILL when that takes too long. Resolves when the process is gone. */
  async stop(withinMs: number): Promise<void> {
    if (this.death || !this.#child) return
    this.#child.kill('SIGTERM')
    // One that was stopped (SIGSTOP) sees no SIGTERM before it goes on.
    this.#child.kill('SIGCONT')
    const timer = setTimeout(() => this.kill(), withinMs)
    await this.#exited
    clearTimeout(timer)
  }

  /** SIGKILL. Resolves when the process is gone. */
  async end(): Promise<void> {
    this.kill()
    await this.#exited
  }

  /** SIGSTOP for that time: the process stands still, and neither end of its connection knows. */
  async pause(forMs: number): Promise<void> {
    const child = this.#child
    if (this.death || !child) return
    child.kill('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, forMs))
    // The child object refuses to signal a process that has ended: no other one is hit.
    child.kill('SIGCONT')
  }

  kill(): void {
    if (!this.death) this.#child?.kill('SIGKILL')
  }

  /** Doubled each time, until it has run for a while. */
  restartPauseMs(): number {
    if (Date.now() - this.#startedAt > settledMs) this.#restarts = 0
    return Math.min(restartFirstMs * 2 ** this.#restarts++, restartMaxMs)
  }

  /** Of the log: why it died, most likely. */
  lastLines(count = 5): string {
    try {
      const lines = readFileSync(this.log, 'utf8').trimEnd().split('\n')
      return lines.slice(-count).map((line) => `  ${line.slice(0, 400)}`).join('\n')
    } catch {
      return ''
    }
  }
}

/** A path as a person in the working directory would write it. */
export function here(path: string): string {
  const short = relative(process.cwd(), path)
  return short === '' || short.startsWith('..') ? path : short
}

export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
