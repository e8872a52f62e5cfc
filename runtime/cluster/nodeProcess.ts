/** A node of `engram up`: a child process, or a process that was started by hand. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { relative } from 'node:path'
import { commandFile } from '../system/paths.js'
import { lastWords } from './logFiles.js'
import { lives } from './processes.js'
import type { ProcessId } from './processes.js'

export interface NodeProcessOptions {
  readonly id: string
  readonly data: string
  readonly log: string
  readonly url: string
  /** Includes credentials, which are never on the command line. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly config: string | undefined
  /** Flags about the NATS server that a person has to add, for `command`. */
  readonly natsFlags: readonly string[]
}

export interface NodeDeath {
  readonly pid: number
  /** For example "exit code 1", "SIGKILL"; "ended" if the cause is unknown. */
  readonly how: string
}

/** `adopted`: it runs, and was started by hand (`engram node`). */
export type NodeProcessState = 'running' | 'adopted' | 'stopped'

/** A process from its start to its end. */
interface Life {
  readonly pid: number
  readonly isAdopted: boolean
  /** Resolves with the way in which it ended. */
  readonly ended: Promise<string>
  /** Signals this very process; does nothing if it has ended. */
  signal(name: NodeJS.Signals): void
}

const main = commandFile()
const restartFirstMs = 500
const restartMaxMs = 10_000
/** A node that ran longer is restarted at once, as if for the first time. */
const settledMs = 30_000
/** Interval of checks of a process that is no child. */
const lookMs = 100

export class NodeProcess {
  readonly id: string
  readonly log: string
  /** End of its last life; null while it runs. */
  death: NodeDeath | null = null
  http: string | null = null
  #life: Life | null = null
  #startedAt = 0
  #restarts = 0

  constructor(readonly options: NodeProcessOptions) {
    this.id = options.id
    this.log = options.log
  }

  get state(): NodeProcessState {
    return this.#life === null ? 'stopped' : this.#life.isAdopted ? 'adopted' : 'running'
  }

  get pid(): number | null {
    return this.#life?.pid ?? null
  }

  /** The command that starts this node again, with the same address for HTTP. */
  get command(): string {
    const { id, url, data, config, natsFlags } = this.options
    const http = this.http ? ` --http ${this.http.replace('http://', '')}` : ''
    return `npx engram node --id ${id} --nats ${url} --data ${shellWord(here(data))}${http}`
      + (config ? ` --config ${shellWord(config)}` : '')
      + natsFlags.map((word) => ` ${shellWord(word)}`).join('')
  }

  /** Does nothing if it runs. */
  start(onDeath: (death: NodeDeath) => void): void {
    if (this.#life) return
    const http = this.http?.replace('http://', '') ?? '127.0.0.1:0'
    this.#startedAt = performance.now()
    this.#live(child(this.options, http), onDeath)
  }

  /** Takes over a process that already runs this node. */
  adopt(holder: ProcessId, onDeath: (death: NodeDeath) => void): void {
    if (!this.#life) this.#live(adopted(holder), onDeath)
  }

  #live(life: Life, onDeath: (death: NodeDeath) => void): void {
    this.#life = life
    this.death = null
    void life.ended.then((how) => {
      this.#life = null
      this.death = { pid: life.pid, how }
      onDeath(this.death)
    })
  }

  /** Sends SIGTERM, and SIGKILL if that takes too long. Resolves when the process is gone. */
  async stop(withinMs: number): Promise<void> {
    const life = this.#life
    if (!life) return
    life.signal('SIGTERM')
    // A stopped process (SIGSTOP) gets SIGTERM only when it goes on.
    life.signal('SIGCONT')
    const timer = setTimeout(() => life.signal('SIGKILL'), withinMs)
    await life.ended
    clearTimeout(timer)
  }

  /** Sends SIGKILL. Resolves when the process is gone. */
  async end(): Promise<void> {
    this.kill()
    await this.#life?.ended
  }

  /** Sends SIGSTOP for that time: neither end of the connection notices. */
  async pause(forMs: number): Promise<void> {
    const life = this.#life
    if (!life) return
    life.signal('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, forMs))
    life.signal('SIGCONT')
  }

  kill(): void {
    this.#life?.signal('SIGKILL')
  }

  /** Doubled with each restart, until the node has run for a while. */
  restartPauseMs(): number {
    if (performance.now() - this.#startedAt > settledMs) this.#restarts = 0
    return Math.min(restartFirstMs * 2 ** this.#restarts++, restartMaxMs)
  }

  /** From the log: the most likely cause of its end. */
  lastWords(): string {
    return lastWords(this.log)
  }
}

function child({ id, url, data, config, env, log }: NodeProcessOptions, http: string): Life {
  const out = opened(log)
  const process_ = spawn(process.execPath, [
    ...process.execArgv,
    main,
    'node',
    '--id',
    id,
    '--nats',
    url,
    '--data',
    data,
    '--http',
    http,
    ...(config ? ['--config', config] : []),
  ], {
    // Nothing is written to the pipe: it ends when this process does, however that happens.
    stdio: ['pipe', 'ignore', out],
    env: { ...env, ENGRAM_LIFELINE: 'stdin' },
    // A group of its own, or Ctrl-C in the terminal would stop all nodes at once.
    detached: true,
  })
  if (typeof out === 'number') closeSync(out)
  process_.stdin?.on('error', () => {})
  return {
    pid: process_.pid ?? 0,
    isAdopted: false,
    ended: new Promise((resolve) => {
      process_.once('error', (error) => resolve(error.message))
      process_.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
    }),
    // The child object does not signal a process that has ended, so no other one is hit.
    signal: (name) => void process_.kill(name),
  }
}

/** A node runs even if its log cannot be written. */
function opened(log: string): number | 'ignore' {
  try {
    return openSync(log, 'a', 0o600)
  } catch {
    return 'ignore'
  }
}

function adopted(holder: ProcessId): Life {
  return {
    pid: holder.pid,
    isAdopted: true,
    ended: new Promise((resolve) => {
      const timer = setInterval(() => {
        if (lives(holder)) return
        clearInterval(timer)
        resolve('ended')
      }, lookMs)
      timer.unref()
    }),
    signal: (name) => {
      try {
        if (lives(holder)) process.kill(holder.pid, name)
      } catch {
        // It ended before the signal, or belongs to another user.
      }
    },
  }
}

/** A path as a person in the working directory would write it. */
export function here(path: string): string {
  const short = relative(process.cwd(), path)
  return short === '' || short.startsWith('..') ? path : short
}

export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll('\'', `'\\''`)}'`
}
