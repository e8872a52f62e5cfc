/**
 * Sources of options: defaults < config file < environment < flags. Secrets come from files or the
 * environment only, since every user of the machine can see a command line.
 */
import { readFileSync, statSync } from 'node:fs'
import { z } from 'zod'
import { prefixFault } from '../../actors/messaging/answers.js'
import type { NatsOptions } from '../bus/natsOptions.js'
import type { Role } from '../bus/roles.js'
import { natsSettings } from '../bus/settingNames.js'
import type { NatsSettingName } from '../bus/settingNames.js'
import { mergeModules } from './mergeRules.js'
import type { MergeModule } from './mergeRules.js'
import { natsOptions } from './natsSettings.js'
import type { Environment, NatsFlags } from './natsSettings.js'
import { checkConfig, ConfigError, listOptions, nearest, options, wordOptions } from './options.js'
import type { Config, OptionName, Unit } from './options.js'

export { readAuthFile } from './natsSettings.js'
export type { Environment } from './natsSettings.js'

/** Flags that every command has. */
export interface ConnectionFlags extends NatsFlags {
  readonly config?: string | undefined
}

/** All fields are strings, except `tlsFirst`, which is a boolean. */
const natsFile = z.strictObject(Object.fromEntries(Object.keys(natsSettings).map((name) => [
  name,
  name === 'tlsFirst'
    ? z.boolean().optional().transform((on) => on ? '1' : undefined)
    : z.string().optional(),
])) as Record<NatsSettingName, z.ZodOptional<z.ZodString>>)

const nodeFile = z.object({
  id: z.string().optional(),
  data: z.string().optional(),
  zone: z.string().optional(),
  http: z.string().nullable().optional(),
  nats: natsFile.optional(),
  replyPrefixes: z.array(z.string()).optional(),
})

export interface Settings {
  readonly config: Config
  readonly nats: NatsOptions
  readonly id: string | undefined
  readonly data: string | undefined
  readonly zone: string | undefined
  /** host:port; null switches the HTTP server off; undefined when not said. */
  readonly http: string | null | undefined
  /** Modules of the spaces with a merge rule of their own. A node loads them when it starts. */
  readonly merge: readonly MergeModule[]
  readonly replyPrefixes: readonly string[]
}

/**
 * Everything that a node or a command needs before it connects.
 * @param role whose password to take from a file that holds those of several
 * @throws ConfigError
 */
export function loadSettings(
  flags: ConnectionFlags & {
    readonly options?: Readonly<Record<string, unknown>>
    /** Separated by commas. */
    readonly replyPrefixes?: string | undefined
  },
  env: Environment = process.env,
  role: Role = 'node',
): Settings {
  const file = flags.config ?? env['ENGRAM_CONFIG']
  const { node, merge, options: fromFile } = file ? readConfigFile(file) : nothingSaid
  const given = { ...fromFile, ...fromEnvironment(env), ...flags.options }
  return {
    config: checkConfig(Object.fromEntries(Object.entries(given).map(
      ([name, value]) => [name, name in options ? quantity(name as OptionName, value) : value],
    ))),
    nats: natsOptions(flags, env, node.nats ?? {}, role),
    id: env['ENGRAM_ID'] ?? node.id,
    data: env['ENGRAM_DATA'] ?? node.data,
    zone: env['ENGRAM_ZONE'] ?? node.zone,
    http: httpSetting(env['ENGRAM_HTTP']) ?? node.http,
    merge,
    replyPrefixes: checkedPrefixes(
      (flags.replyPrefixes ?? env['ENGRAM_REPLY_PREFIXES'])?.split(',') ?? node.replyPrefixes,
    ),
  }
}

function checkedPrefixes(
  given: readonly string[] = listOptions.replyPrefixes.default,
): readonly string[] {
  const prefixes = given.map((prefix) => prefix.trim().replace(/\.>?$/, ''))
  for (const prefix of prefixes) {
    const fault = prefixFault(prefix)
    if (fault === null) continue
    throw new ConfigError([{ field: 'replyPrefixes', value: prefix, rule: fault }])
  }
  if (prefixes.length > 0) return prefixes
  throw new ConfigError([{ field: 'replyPrefixes', value: '', rule: 'must name at least one' }])
}

/** `off` means no HTTP server. */
export function httpSetting(text: string | undefined): string | null | undefined {
  return text === 'off' ? null : text
}

interface ConfigFile {
  readonly node: z.infer<typeof nodeFile>
  readonly merge: readonly MergeModule[]
  readonly options: Readonly<Record<string, unknown>>
}

const nothingSaid: ConfigFile = { node: {}, merge: [], options: {} }

function readConfigFile(path: string): ConfigFile {
  const fault = (rule: string): ConfigError =>
    new ConfigError([{ field: 'config', value: path, rule }], path)
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw fault(`cannot be read as JSON: ${(error as Error).message}`)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw fault('must hold one JSON object of options')
  }
  const parsed = nodeFile.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw fault(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`)
  }
  const { nats } = parsed.data
  if (nats?.password || nats?.token) refuseReadableSecret(path)
  const { merge, ...others } = json as Record<string, unknown>
  const rest = Object.entries(others).filter(([name]) => !(name in nodeFile.shape))
  return {
    node: parsed.data,
    merge: mergeModules(merge, path),
    options: Object.fromEntries(rest),
  }
}

function refuseReadableSecret(path: string): void {
  if (process.platform === 'win32' || (statSync(path).mode & 0o077) === 0) return
  throw new ConfigError([{
    field: 'config',
    value: path,
    rule: `holds a secret and can be read by others; run: chmod 600 ${path}`,
  }], path)
}

/** heartbeatMs → ENGRAM_HEARTBEAT_MS */
export function environmentName(option: string): string {
  return `ENGRAM_${option.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

/** Variables that are not options of a node but that some command uses. */
const otherVariables = [
  'ENGRAM_CONFIG',
  'ENGRAM_ID',
  'ENGRAM_DATA',
  'ENGRAM_ZONE',
  'ENGRAM_HTTP',
  'ENGRAM_HTTP_TOKEN_FILE',
  ...Object.values(natsSettings).map(({ variable }) => variable),
  'ENGRAM_NATS_PORT',
  'ENGRAM_LOG_LEVEL',
  'ENGRAM_LIFELINE',
  'ENGRAM_NATS_SERVER',
  'ENGRAM_NATS_STORE',
  'ENGRAM_CHAOS',
  'ENGRAM_NODE_PASSWORD',
  'ENGRAM_WRITER_PASSWORD',
  'ENGRAM_READER_PASSWORD',
  'ENGRAM_OPERATOR_PASSWORD',
  'ENGRAM_REPLY_PREFIXES',
]

function fromEnvironment(env: Environment): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of Object.keys({ ...options, ...wordOptions })) {
    const value = env[environmentName(name)]
    if (value !== undefined && value !== '') found[name] = value
  }
  return found
}

/** Warnings about variables that look like misspelt options; others may use the prefix, too. */
export function suspectVariables(env: Environment = process.env): string[] {
  const names = Object.keys({ ...options, ...wordOptions })
  const known = [...names.map(environmentName), ...otherVariables]
  return Object.keys(env)
    .filter((name) => name.startsWith('ENGRAM_') && !known.includes(name))
    .flatMap((name) => {
      const near = nearest(name, known)
      return near ? [`${name} is no option; did you mean ${near}?`] : []
    })
}

const factors: Readonly<Record<string, readonly [unit: Unit, factor: number]>> = {
  ms: ['ms', 1],
  s: ['ms', 1000],
  m: ['ms', 60_000],
  min: ['ms', 60_000],
  h: ['ms', 3_600_000],
  b: ['bytes', 1],
  kb: ['bytes', 1e3],
  mb: ['bytes', 1e6],
  gb: ['bytes', 1e9],
  kib: ['bytes', 1024],
  mib: ['bytes', 1024 ** 2],
  gib: ['bytes', 1024 ** 3],
}

/** "5s", "64MiB" or a plain number, in the unit of the option. Other values pass unchanged. */
function quantity(name: OptionName, value: unknown): unknown {
  if (typeof value !== 'string') return value
  return amountIn(options[name].unit, value) ?? value
}

/** "5s", "64MiB" or a plain number; null: it is no amount of that unit. */
export function amountIn(unit: Unit, text: string): number | null {
  const match = /^\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*$/i.exec(text)
  if (!match) return null
  const [, digits = '', suffix = ''] = match
  if (suffix === '') return Number(digits)
  const [own, factor] = factors[suffix.toLowerCase()] ?? []
  return own === unit ? Number(digits) * (factor ?? 1) : null
}
