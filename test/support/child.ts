/** Child processes under test: own pid, logs in files, killed at the latest when this one ends. */
import { spawn, type ChildProcess } from 'node:child_process'
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { atExit, cleanEnvironment } from './environment.js'
import { Hopeless, waitFor, within } from './wait.js'

export interface ChildOptions {
  readonly label: string
  readonly command: string
  readonly args: readonly string[]
  /** stderr goes there untouched, stdout with a mark before each line. Appended to. */
  readonly logFile: string
  readonly env?: Record<string, string>
  /** A descriptor for its stderr, in place of the log file. */
  readonly stderr?: number
  /** A process group of its own, so that Ctrl-C can be played. */
  readonly group?: boolean
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const living = new Set<Child>()
atExit(() => {
  for (const child of living) {
    if (child.options.group) child.signalGroup('SIGKILL')
    else child.signal('SIGKILL')
  }
})

const stdoutLinesMax = 10_000

export class Child {
  readonly stdout: string[] = []
  readonly exited: Promise<Exit>
  exit: Exit | null = null
  readonly #process: ChildProcess

  constructor(readonly options: ChildOptions) {
    const log = openSync(options.logFile, 'a')
    const line = `--- ${new Date().toISOString()} ${options.command} ${options.args.join(' ')}\n`
    appendFileSync(options.logFile, line)
    this.#process = spawn(options.command, options.args, {
      stdio: ['ignore', 'pipe', options.stderr ?? log],
      env: cleanEnvironment(options.env),
      detached: options.group ?? false,
    })
    closeSync(log)
    living.add(this)
    this.exited = new Promise((resolve) => {
      const end = (exit: Exit, note: string): void => {
        living.delete(this)
        this.exit = exit
        appendIfThere(options.logFile, `--- ${options.label} ${note}\n`)
        resolve(exit)
      }
      this.#process.once('error', (error) => {
        end({ code: -1, signal: null }, `could not start: ${error.message}`)
      })
      this.#process.once('exit', (code, signal) => {
        end({ code, signal }, `ended: ${showExit({ code, signal })}`)
      })
    })
    if (this.#process.stdout) {
      createInterface(this.#process.stdout).on('line', (text) => {
        if (this.stdout.length < stdoutLinesMax) this.stdout.push(text)
        appendIfThere(options.logFile, `[stdout] ${text}\n`)
      })
    }
  }

  get pid(): number {
    return this.#process.pid ?? -1
  }

  /** To this very process only; false when it has ended already. */
  signal(signal: NodeJS.Signals): boolean {
    return this.exit === null && this.#process.pid !== undefined && this.#process.kill(signal)
  }

  /** To its process group, as a terminal does on Ctrl-C. Needs `group`. */
  signalGroup(signal: NodeJS.Signals): void {
    if (!this.options.group) throw new Error(`${this.options.label} has no group of its own`)
    if (this.exit === null && this.pid > 0) process.kill(-this.pid, signal)
  }

  /** kill -9, and wait until the system has buried it. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await within(10, `end of ${this.options.label} after SIGKILL`, this.exited)
  }

  /** First line on stdout that `accept` takes; fails when the process ends before. */
  firstLine<T>(accept: (line: string) => T | undefined, seconds = 20): Promise<NonNullable<T>> {
    return waitFor(`a ready line of ${this.options.label} on stdout`, () => {
      for (const line of this.stdout) {
        const found = accept(line)
        if (found !== undefined) return found
      }
      if (this.exit) {
        throw new Hopeless(`${this.options.label} ended before it was ready: `
          + `${showExit(this.exit)}\n${this.logTail(30)}`)
      }
      return undefined
    }, { seconds }) as Promise<NonNullable<T>>
  }

  log(): string {
    return existsSync(this.options.logFile) ? readFileSync(this.options.logFile, 'utf8') : ''
  }

  logTail(lines: number): string {
    return this.log().trimEnd().split('\n').slice(-lines).join('\n')
  }
}

/** Environment in which a Node process writes `hears` to stdout once it listens for that signal. */
export function tellingOf(signal: NodeJS.Signals): Record<string, string> {
  const code = `process.on('newListener',(name)=>{if(name==='${signal}')`
    + `setImmediate(()=>process.stdout.write('hears\\n'))})`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` }
}

export function showExit(exit: Exit): string {
  return exit.signal ? `by ${exit.signal}` : `exit code ${exit.code}`
}

/** The log's directory may be gone already when the last words of a killed child arrive. */
function appendIfThere(file: string, text: string): void {
  if (existsSync(file)) appendFileSync(file, text)
}

/** A zombie that nobody waits for has ended, too. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z'
  } catch (error) {
    // No /proc (macOS): what the signal says counts.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && !existsSync('/proc')
  }
}

/** Processes whose command line names `text`: "pid command line". Linux only, else empty. */
export function processesNaming(text: string): string[] {
  if (!existsSync('/proc')) return []
  const found: string[] = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue
    try {
      const line = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ')
      if (line.includes(text) && isAlive(Number(entry))) found.push(`${entry} ${line}`)
    } catch {
      // Ended while we looked.
    }
  }
  return found
}
