/** A node of `engram up`: a child process of its own, or one that somebody started by hand. */
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
  /** Credentials among it: they are never on the command line. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly config: string | undefined
  /** What else a person has to say of the NATS server, for `command`. */
  readonly natsFlags: readonly string[]
}

export interface NodeDeath {
  readonly pid: number
  /** "exit code 1", "SIGKILL"; "ended" where nobody tells. */
  readonly how: string
}

/** `adopted`: it runs, and was started by hand (`engram node`). */
export type NodeProcessState = 'running' | 'adopted' | 'stopped'

/** A process from its start to its end. */
interface Life {
  readonly pid: number
  readonly isAdopted: boolean
  /** Resolves with how it ended. */
  readonly ended: Promise<string>
  /** To this very process; one that has ended is not signalled. */
  signal(name: NodeJS.Signals): void
}

const main = commandFile()
const restartFirstMs = 500
const restartMaxMs = 10_000
/** A node that ran longer is started again at once, as if for the first time. */
const settledMs = 30_000
/** How often a process that is no child is looked at. */
const lookMs = 100

export class NodeProcess {
  readonly id: string
  readonly log: string
  /** Of its last life; null while it runs. */
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

  /** What a person types to start this node again, with the same address for HTTP. */
  get command(): string {
    const { id, url, data, config, natsFlags } = this.options
    const http = this.http ? ` --http ${this.http.replace('http://', '')}` : ''
    return `npx engram node --id ${id} --nats ${url} --data ${shellWord(here(data))}${http}`
      + (config ? ` --config ${shellWord(config)}` : '')
      + natsFlags.map((word) => ` ${shellWord(word)}`).join('')
  }

  /** Does nothing where it runs. */
  start(onDeath: (death: NodeDeath) => void): void {
    if (this.#life) return
    const http = this.http?.replace('http://', '') ?? '127.0.0.1:0'
    this.#startedAt = performance.now()
    this.#live(child(this.options, http), onDeath)
  }

  /** Takes a process that runs this node already for its own. */
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

  /** SIGTERM, and SIGKILL when that takes too long. Resolves when the process is gone. */
  async stop(withinMs: number): Promise<void> {
    const life = this.#life
    if (!life) return
    life.signal('SIGTERM')
    // One that was stopped (SIGSTOP) sees no SIGTERM before it goes on.
    life.signal('SIGCONT')
    const timer = setTimeout(() => life.signal('SIGKILL'), withinMs)
    await life.ended
    clearTimeout(timer)
  }

  /** SIGKILL. Resolves when the process is gone. */
  async end(): Promise<void> {
    this.kill()
    await this.#life?.ended
  }

  /** SIGSTOP for that time: the process stands still, and neither end of its connection knows. */
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

  /** Doubled each time, until it has run for a while. */
  restartPauseMs(): number {
    if (performance.now() - this.#startedAt > settledMs) this.#restarts = 0
    return Math.min(restartFirstMs * 2 ** this.#restarts++, restartMaxMs)
  }

  /** Of the log: why it died, most likely. */
  lastWords(): string {
    return lastWords(this.log)
  }
}

function child({ id, url, data, config, env, log }: NodeProcessOptions, http: string): Life {
  const out = opened(log)
  const process_ = spawn(process.execPath, [
    ...process.execArgv, main, 'node', '--id', id, '--nats', url, '--data', data, '--http', http,
    ...(config ? ['--config', config] : []),
  ], {
    // The pipe is never written to: it ends when this process does, however that happens.
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
    // The child object refuses to signal a process that has ended: no other one is hit.
    signal: (name) => void process_.kill(name),
  }
}

/** A node runs without a log rather than not at all. */
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
        // It went between the look and the signal, or belongs to somebody else.
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
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
