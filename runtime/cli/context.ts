/** Shared by all commands: input and output, errors with a remedy, the connection. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { Help, InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import type { Role } from '../bus/roles.js'
import { natsSettings } from '../bus/settingNames.js'
import { connect } from '../client/client.js'
import type { EngramClient } from '../client/client.js'
import { AdminError } from '../client/errors.js'
import type { EngramError } from '../client/errors.js'
import { readUpRecord } from '../cluster/clusterFile.js'
import { defaultNatsUrl, nameCredentials } from '../config/natsSettings.js'
import { amountIn, loadSettings } from '../config/sources.js'
import type { ConnectionFlags, Environment, Settings } from '../config/sources.js'

export interface CliIo {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable
  readonly env: Environment
  readonly cwd: string
}

export const processIo = (): CliIo => ({
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
})

export const exit = { ok: 0, failed: 1, usage: 2 } as const

/** Ends the command with a message, a remedy and an exit code. */
export class CliError extends Error {
  constructor(
    message: string,
    readonly remedy: string | null = null,
    readonly exitCode: number = exit.failed,
    /** In the error that --json prints. */
    readonly code = exitCode === exit.usage ? 'USAGE' : 'FAILED',
  ) {
    super(message)
    this.name = 'CliError'
  }
}

/** Nobody answers a request to all nodes. */
export const noNodes = ({ connection }: EngramClient): AdminError =>
  new AdminError('NO_NODES', `no Engram node answers on ${connection.getServer()}`, true)

/** An error of the client with another remedy, which only this command knows. */
export class RemediedError extends Error {
  constructor(override readonly cause: EngramError, readonly remedy: string) {
    super(cause.message)
    this.name = 'RemediedError'
  }
}

export const usage = (message: string, remedy: string): CliError =>
  new CliError(message, remedy, exit.usage)

/** Limit of unread notes, bytes. */
const unreadBytesMax = 1024 * 1024

/** Exit code of a command that did its work. 0 if it returns none. */
export type Action = number | void

/** Environment of a command, made once per run. */
export class Context {
  /** Exit code of the action that ran. */
  exitCode: number = exit.ok

  /** `json`: the command was given --json. */
  constructor(readonly io: CliIo, readonly json = false) {}

  print(line: string): void {
    this.io.stdout.write(`${line}\n`)
  }

  /** Prints one JSON document. With --json nothing else goes to stdout. */
  printJson(value: unknown): void {
    this.io.stdout.write(`${JSON.stringify(value)}\n`)
  }

  /** Prints a note for people on stderr, or drops it if too much waits for a slow reader. */
  note(line: string): void {
    if (this.io.stderr.writableLength < unreadBytesMax) this.io.stderr.write(`${line}\n`)
  }

  /** Runs an action, keeping its exit code. */
  act<T extends unknown[]>(run: (...args: T) => Promise<Action>): (...args: T) => Promise<void> {
    return async (...args) => {
      this.exitCode = (await run(...args)) ?? exit.ok
    }
  }

  settings(flags: ConnectionFlags, role: Role = 'operator'): Settings {
    return loadSettings(this.#discovered(flags), this.io.env, role)
  }

  /** Connects, runs, closes. The role selects the password in `--nats-auth`. */
  async withClient<T>(
    flags: ConnectionFlags,
    run: (client: EngramClient) => Promise<T>,
    role: Role = 'operator',
  ): Promise<T> {
    const { nats } = this.settings(flags, role)
    const client = await connect({ ...nats, name: 'engram-cli' })
    try {
      return await run(client)
    } finally {
      await client.close()
    }
  }

  /** If no NATS address is given, uses that of the `engram up` that runs in `.engram`. */
  #discovered(flags: ConnectionFlags): ConnectionFlags {
    const { env } = this.io
    if (flags.nats ?? flags.config ?? env['ENGRAM_NATS_URL'] ?? env['ENGRAM_CONFIG']) return flags
    const found = readUpRecord(join(this.io.cwd, defaultData))
    if (!found?.nats) return flags
    const isAuth = found.auth && existsSync(found.auth) && !nameCredentials(flags)
    const auth = isAuth ? { natsAuth: found.auth! } : {}
    return { nats: found.nats, ...auth, ...flags }
  }
}

/** Data directory of `engram up`, below the working directory. */
export const defaultData = '.engram'

/** The options of every command that talks to NATS. */
export function connectionOptions(command: Command): Command {
  for (const [name, { flag, variable, doc }] of Object.entries(natsSettings)) {
    if (flag === null) {
      command.addOption(secretOption(name, variable))
      continue
    }
    const otherwise = name === 'servers'
      ? ` (default: the running \`engram up\` here, else ${defaultNatsUrl})`
      : ''
    command.addOption(new Option(flag, `${doc} [${variable}]${otherwise}`)
      .helpGroup(connectionGroup))
  }
  return command.addOption(new Option('--config <file>', 'JSON file of options [ENGRAM_CONFIG]')
    .helpGroup(connectionGroup))
}

/** Rejects a secret on the command line, without repeating it. */
function secretOption(name: string, variable: string): Option {
  return new Option(`--nats-${name} <secret>`).hideHelp().argParser(() => {
    throw usage(`a ${name} must not be on the command line, where ps shows it to other users`,
      `Put it into ${variable}, or into a file: --nats-${name}-file FILE`)
  })
}

const connectionGroup = 'Connection (password and token: ENGRAM_NATS_PASSWORD, ENGRAM_NATS_TOKEN):'

/** Puts a command's own options before those of the connection. */
export const connectionLast: Help['groupItems'] = (unsorted, visible, groupOf) => {
  const groups = new Help().groupItems(unsorted, visible, groupOf)
  const connection = groups.get(connectionGroup)
  if (connection && groups.delete(connectionGroup)) groups.set(connectionGroup, connection)
  return groups
}

/** Whether --json is among the arguments. A command line that is wrong has no options yet. */
export function hasJsonFlag(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return args.slice(0, end === -1 ? args.length : end).includes('--json')
}

export const jsonOption = (): Option =>
  new Option('--json', 'print JSON on stdout and nothing else, and errors as JSON on stderr')

/** Resolves when the user ends a command, by a signal or by closing its output. */
export function untilStopped(context: Context): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, stop)
      resolve()
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
    // The reader of the pipe has ended, such as head or a failed jq.
    context.io.stdout.once('error', stop)
  })
}

/** Parser of a whole number option. */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^[0-9]+$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

/** Parser of a number of bytes from 1 on. */
export function wholeBytes(text: string): number {
  const bytes = amountIn('bytes', text)
  if (bytes !== null && Number.isSafeInteger(bytes) && bytes > 0) return bytes
  throw new InvalidArgumentError('It must be a number of bytes, like 500MB or 10GiB.')
}

/** Units of a duration, for help texts. */
export const durationUnits = 'like 500ms, 5s, 2m or 1h; a number without a unit is ms'

/** An option that takes a duration. Help shows its default with the unit. */
export function durationOption(flags: string, text: string, defaultMs?: number): Option {
  const option = new Option(flags, `${text}: ${durationUnits}`).argParser(duration)
  if (defaultMs === undefined) return option
  const shown = defaultMs % 60_000 === 0
    ? `${defaultMs / 60_000}m`
    : defaultMs % 1000 === 0
    ? `${defaultMs / 1000}s`
    : `${defaultMs}ms`
  return option.default(defaultMs, shown)
}

/** Parser of a duration in whole ms, for settings that are stored as such. */
export function wholeDuration(text: string): number {
  const ms = duration(text)
  if (Number.isSafeInteger(ms)) return ms
  throw new InvalidArgumentError('It must be a whole number of milliseconds.')
}

/** Parser of a duration such as 250, 250ms, 5s or 2m. Returns ms. */
function duration(text: string): number {
  const ms = amountIn('ms', text)
  if (ms !== null && ms > 0) return ms
  throw new InvalidArgumentError('It must be a duration longer than 0, like 250ms, 5s or 2m.')
}
