/** The `engram` command as a user types it, or in this process. */
import { spawn } from 'node:child_process'
import { PassThrough, Readable } from 'node:stream'
import { runCli as runInProcess } from '../../runtime/cli/program.js'
import { atExit, cleanEnvironment, cliFile, patience, root } from './environment.js'
import { within } from './wait.js'

export interface CommandResult {
  readonly line: string
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly input?: string
  readonly seconds?: number
  readonly env?: Record<string, string>
}

const running = new Set<() => void>()
atExit(() => {
  for (const kill of running) kill()
})

/** Never rejects for what the command does: look at `code`. */
export function runCli(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const line = `engram ${args.join(' ')}`
  const seconds = (options.seconds ?? 30) * patience
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cliFile, ...args], {
      cwd: root,
      env: cleanEnvironment(options.env),
      stdio: 'pipe',
    })
    const kill = (): void => {
      child.kill('SIGKILL')
    }
    running.add(kill)
    let stdout = ''
    let stderr = ''
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      kill()
    }, seconds * 1000)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.input ?? '')
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      running.delete(kill)
      const result = { line, code, stdout, stderr }
      if (isLate) reject(new Error(`not done within ${seconds} s: ${showCommand(result)}`))
      else resolve(result)
    })
  })
}

/** For commands that must succeed. */
export async function cli(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return successful(await runCli(args, options))
}

/**
 * The same in this process, for what each test of a cluster needs, and none is about: a process
 * takes a third of a second to start.
 */
export async function cliHere(args: readonly string[]): Promise<CommandResult> {
  const line = `engram ${args.join(' ')}`
  const { code, out: stdout, err: stderr } = await within(30, line, runHere(args, {
    env: cleanEnvironment(),
    cwd: root,
  }))
  return successful({ line, code, stdout, stderr })
}

export interface RunHereOptions {
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly input?: string | Buffer
}

/** Runs a command in this process, whatever comes of it. */
export async function runHere(
  args: readonly string[],
  { cwd, env, input = '' }: RunHereOptions,
): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [captured(), captured()]
  const code = await runInProcess(args, {
    stdin: Readable.from([input]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    env,
    cwd,
  })
  return { code, out: stdout.text(), err: stderr.text() }
}

function captured(): { readonly stream: PassThrough; text(): string } {
  const stream = new PassThrough()
  const chunks: string[] = []
  stream.setEncoding('utf8').on('data', (text: string) => chunks.push(text))
  return { stream, text: () => chunks.join('') }
}

function successful(result: CommandResult): CommandResult {
  if (result.code !== 0) throw new Error(`expected exit code 0: ${showCommand(result)}`)
  return result
}

export function showCommand(result: CommandResult): string {
  return `${result.line}\n  exit code ${result.code}\n  stdout: ${clip(result.stdout)}`
    + `\n  stderr: ${clip(result.stderr)}`
}

function clip(text: string): string {
  const trimmed = text.trim()
  return trimmed.length > 2000 ? `${trimmed.slice(0, 2000)} … (${trimmed.length} chars)` : trimmed
}

/** stdout as JSON: one value, or one value per line. With `--json` nothing else may be there. */
export function jsonOf(result: CommandResult): unknown {
  const text = result.stdout.trim()
  try {
    return JSON.parse(text) as unknown
  } catch {
    try {
      return text.split('\n').map((line) => JSON.parse(line) as unknown)
    } catch {
      throw new Error(`stdout is not JSON: ${showCommand(result)}`)
    }
  }
}

/** Every object within a value that `accept` takes, at whatever depth. */
export function findObjects<T extends object>(
  value: unknown,
  accept: (candidate: Record<string, unknown>) => boolean,
): T[] {
  if (Array.isArray(value)) return value.flatMap((item) => findObjects<T>(item, accept))
  if (typeof value !== 'object' || value === null) return []
  const candidate = value as Record<string, unknown>
  if (accept(candidate)) return [candidate as T]
  return Object.values(candidate).flatMap((item) => findObjects<T>(item, accept))
}
