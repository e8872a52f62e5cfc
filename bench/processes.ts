/** Child processes, ports and temporary directories of a benchmark: all gone when it ends. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const living = new Set<Proc>()
const directories = new Set<string>()
const endings: (() => void)[] = []
const stderrLinesMax = 60

export interface ProcOptions {
  readonly label: string
  /** `engram up` stops its nodes itself, so it is asked before it is killed. Default 500. */
  readonly graceMs?: number
}

export class Proc {
  readonly exited: Promise<void>
  hasExited = false
  readonly #process: ChildProcess
  readonly #lines: string[] = []
  readonly #waiting: (() => void)[] = []
  readonly #errors: string[] = []

  constructor(command: string, args: readonly string[], readonly options: ProcOptions) {
    this.#process = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: cleanEnvironment(),
    })
    living.add(this)
    this.exited = new Promise((resolve) => {
      const end = (): void => {
        living.delete(this)
        this.hasExited = true
        this.#wake()
        resolve()
      }
      this.#process.once('error', (error) => {
        this.#errors.push(error.message)
        end()
      })
      // `close`, not `exit`: what it said last has been read by then.
      this.#process.once('close', end)
    })
    const { stdout, stderr } = this.#process
    if (stdout) createInterface(stdout).on('line', (line) => this.#said(line))
    if (stderr)
      createInterface(stderr).on('line', (line) => {
        this.#errors.push(line)
        if (this.#errors.length > stderrLinesMax) this.#errors.shift()
      })
  }

  get pid(): number {
    return this.#process.pid ?? -1
  }

  /** The next line on stdout; rejects when the process ends or the time is over. */
  async line(timeoutMs: number): Promise<string> {
    const deadline = performance.now() + timeoutMs
    while (this.#lines.length === 0) {
      const leftMs = deadline - performance.now()
      if (this.hasExited || leftMs <= 0) {
        const what = this.hasExited ? 'ended without a word' : `said nothing in ${timeoutMs} ms`
        throw new Error(`${this.options.label} ${what}\n${this.errors()}`)
      }
      const stop = new AbortController()
      const woken = new Promise<void>((resolve) => this.#waiting.push(resolve))
      await Promise.race([woken, delay(leftMs, undefined, { signal: stop.signal }).catch(() => {})])
      stop.abort()
    }
    return this.#lines.shift() ?? ''
  }

  /** The last lines on stderr. */
  errors(): string {
    return this.#errors.join('\n')
  }

  /** To this very process, by its own pid; false when it has ended. */
  signal(signal: NodeJS.Signals): boolean {
    return !this.hasExited && this.#process.kill(signal)
  }

  /** SIGTERM, and SIGKILL if it takes longer than its grace. */
  async stop(): Promise<void> {
    if (!this.signal('SIGTERM')) return
    this.signal('SIGCONT')
    const stop = new AbortController()
    const grace = delay(this.options.graceMs ?? 500, false, { signal: stop.signal })
    const ended = await Promise.race([this.exited.then(() => true), grace.catch(() => true)])
    stop.abort()
    if (!ended) this.signal('SIGKILL')
    await this.exited
  }

  #said(line: string): void {
    this.#lines.push(line)
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

/** Runs a compiled script of this directory with one JSON argument. */
export function startScript(name: string, argument: object): Proc {
  const file = fileURLToPath(new URL(`./${name}.js`, import.meta.url))
  return new Proc(process.execPath, [file, JSON.stringify(argument)], { label: name })
}

/** Done at the end, however it ends, before the temporary directories go. */
export function atEnd(work: () => void): void {
  endings.push(work)
}

export function temporaryDirectory(label: string): string {
  const directory = mkdtempSync(join(tmpdir(), `engram-bench-${label}-`))
  directories.add(directory)
  return directory
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/**
 * Keeps the caller's own settings of Engram out of a benchmark. Primaries stay where it has them:
 * a handover in the middle would be measured.
 */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return {
    ...Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith('ENGRAM_')),
    ),
    ENGRAM_AUTO_BALANCE: 'off',
  }
}

function removeDirectories(): void {
  for (const work of endings.splice(0).toReversed()) work()
  for (const directory of directories) {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  }
  directories.clear()
}

export async function cleanUp(): Promise<void> {
  // Latest first: nodes before the broker they talk to.
  for (const child of [...living].toReversed()) await child.stop()
  removeDirectories()
}

/** Runs a program to its end; however it ends, nothing it started stays behind. */
export function runProgram(main: () => Promise<number>): void {
  let ending = false
  const end = async (code: number): Promise<void> => {
    if (ending) return
    ending = true
    await cleanUp()
    process.exit(code)
  }
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) {
    process.on(signal, () => void end(code))
  }
  // Only when something called process.exit: no time to wait then.
  process.on('exit', () => {
    for (const child of living) child.signal(child.options.graceMs ? 'SIGTERM' : 'SIGKILL')
    removeDirectories()
  })
  const fail = (error: unknown): Promise<void> => {
    if (!ending) console.error(error instanceof Error ? error.stack ?? error.message : error)
    return end(1)
  }
  // Work in the background that fails, also because its processes are being stopped.
  process.on('unhandledRejection', (error) => void fail(error))
  process.on('uncaughtException', (error) => void fail(error))
  main().then(end, fail)
}
