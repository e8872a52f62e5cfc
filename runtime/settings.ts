/**
 * Where options come from: defaults < config file < environment < flags. Secrets come from files
 * or the environment only: what is on a command line, every user of the machine can see.
 */
import { readFileSync, statSync } from 'node:fs'
import { z } from 'zod'
import { prefixFault } from '../actors/answers.js'
import type { NatsOptions } from './bus/options.js'
import { checkConfig, ConfigError, listOptions, nearest, options } from './config.js'
import type { Config, OptionName, Unit } from './config.js'
import { mergeModules } from './mergeRules.js'
import type { MergeModule } from './mergeRules.js'
import { passwordVariable } from './natsServer.js'
import type { Role } from './natsServer.js'

export type Environment = Readonly<Record<string, string | undefined>>

/** Flags that every command has. */
export interface ConnectionFlags {
  readonly nats?: string | undefined
  readonly natsCreds?: string | undefined
  readonly natsAuth?: string | undefined
  readonly natsCa?: string | undefined
  readonly config?: string | undefined
}

export const defaultNatsUrl = 'nats://127.0.0.1:4222'

const natsFile = z.strictObject({
  servers: z.string().optional(),
  user: z.string().optional(),
  password: z.string().optional(),
  token: z.string().optional(),
  credsFile: z.string().optional(),
  caFile: z.string().optional(),
  certFile: z.string().optional(),
  keyFile: z.string().optional(),
})
type NatsFile = z.infer<typeof natsFile>

const nodeFile = z.object({
  id: z.string().optional(),
  data: z.string().optional(),
  http: z.string().nullable().optional(),
  nats: natsFile.optional(),
  replyPrefixes: z.array(z.string()).optional(),
})

export interface Settings {
  readonly config: Config
  readonly nats: NatsOptions
  readonly id: string | undefined
  readonly data: string | undefined
  /** host:port; null switches the HTTP server off; undefined when not said. */
  readonly http: string | null | undefined
  /** Where the rules of spaces are that have their own; a node loads them when it starts. */
  readonly merge: readonly MergeModule[]
  readonly replyPrefixes: readonly string[]
}

/**
 * Everything a node or a command needs to know before it connects.
 * @param role whose password to take from a file that holds those of several
 * @throws ConfigError
 */
export function loadSettings(
  flags: ConnectionFlags & {
    readonly options?: Readonly<Record<string, unknown>>
    /** With commas between. */
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
      ([name, value]) => [name, name in options ? quantity(name as OptionName, value) : value]))),
    nats: natsOptions(flags, env, node.nats ?? {}, role),
    id: env['ENGRAM_ID'] ?? node.id,
    data: env['ENGRAM_DATA'] ?? node.data,
    http: httpSetting(env['ENGRAM_HTTP']) ?? node.http,
    merge,
    replyPrefixes: checkedPrefixes(
      (flags.replyPrefixes ?? env['ENGRAM_REPLY_PREFIXES'])?.split(',') ?? node.replyPrefixes),
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
  throw new ConfigError([{ field: 'replyPrefixes', value: '', rule: 'must name one at least' }])
}

/** `off` stands for no HTTP server. */
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
    node: parsed.data, merge: mergeModules(merge, path), options: Object.fromEntries(rest),
  }
}

function refuseReadableSecret(path: string): void {
  if (process.platform === 'win32' || (statSync(path).mode & 0o077) === 0) return
  throw new ConfigError([{
    field: 'config', value: path,
    rule: `holds a secret and can be read by others; run: chmod 600 ${path}`,
  }], path)
}

/** heartbeatMs → ENGRAM_HEARTBEAT_MS */
export function environmentName(option: string): string {
  return `ENGRAM_${option.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

/** Those that are no options of a node but mean something to some command. */
const otherVariables = [
  'ENGRAM_CONFIG', 'ENGRAM_ID', 'ENGRAM_DATA', 'ENGRAM_HTTP', 'ENGRAM_HTTP_TOKEN_FILE',
  'ENGRAM_NATS_URL',
  'ENGRAM_NATS_CREDS', 'ENGRAM_NATS_USER', 'ENGRAM_NATS_PASSWORD', 'ENGRAM_NATS_TOKEN',
  'ENGRAM_NATS_AUTH', 'ENGRAM_NATS_CA', 'ENGRAM_NATS_CERT', 'ENGRAM_NATS_KEY',
  'ENGRAM_NATS_PORT', 'ENGRAM_LOG_LEVEL', 'ENGRAM_LIFELINE', 'ENGRAM_NATS_SERVER',
  'ENGRAM_NATS_STORE', 'ENGRAM_CHAOS', 'ENGRAM_NODE_PASSWORD', 'ENGRAM_WRITER_PASSWORD',
  'ENGRAM_READER_PASSWORD', 'ENGRAM_OPERATOR_PASSWORD', 'ENGRAM_REPLY_PREFIXES',
]

function fromEnvironment(env: Environment): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of Object.keys(options)) {
    const value = env[environmentName(name)]
    if (value !== undefined && value !== '') found[name] = value
  }
  return found
}

/** Variables that look like a misspelt option: a warning, since others may use the prefix. */
export function suspectVariables(env: Environment = process.env): string[] {
  const known = [...Object.keys(options).map(environmentName), ...otherVariables]
  return Object.keys(env)
    .filter((name) => name.startsWith('ENGRAM_') && !known.includes(name))
    .flatMap((name) => {
      const near = nearest(name, known)
      return near ? [`${name} is no option; did you mean ${near}?`] : []
    })
}

const factors: Readonly<Record<string, readonly [unit: Unit, factor: number]>> = {
  ms: ['ms', 1], s: ['ms', 1000], m: ['ms', 60_000], min: ['ms', 60_000], h: ['ms', 3_600_000],
  b: ['bytes', 1], kb: ['bytes', 1e3], mb: ['bytes', 1e6], gb: ['bytes', 1e9],
  kib: ['bytes', 1024], mib: ['bytes', 1024 ** 2], gib: ['bytes', 1024 ** 3],
}

/** "5s", "64MiB" or a plain number, in the unit of the option; else the value as it came. */
function quantity(name: OptionName, value: unknown): unknown {
  if (typeof value !== 'string') return value
  const match = /^\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*$/i.exec(value)
  if (!match) return value
  const [, digits = '', suffix = ''] = match
  if (suffix === '') return Number(digits)
  const [unit, factor] = factors[suffix.toLowerCase()] ?? []
  return unit === options[name].unit ? Number(digits) * (factor ?? 1) : value
}

interface Credentials {
  user?: string
  password?: string
  token?: string
  credsFile?: string
}

function natsOptions(
  flags: ConnectionFlags, env: Environment, file: NatsFile, role: Role,
): NatsOptions {
  if (flags.nats !== undefined) refuseSecretInUrl(flags.nats)
  const { servers, ...fromUrl } = splitUrl(
    flags.nats ?? env['ENGRAM_NATS_URL'] ?? file.servers ?? defaultNatsUrl)
  const { caFile, certFile, keyFile } = tlsFiles(flags, env, file)
  const tls = caFile || certFile || keyFile ? { tls: { caFile, certFile, keyFile } } : {}
  return { servers, ...credentials(flags, env, file, fromUrl, role), ...tls }
}

/** The nearest source that says anything wins as a whole: halves of two would fit nobody. */
function credentials(
  flags: ConnectionFlags, env: Environment, file: NatsFile, fromUrl: Credentials, role: Role,
): Credentials {
  if (flags.natsCreds) return { credsFile: flags.natsCreds }
  if (flags.natsAuth) return readAuthFile(flags.natsAuth, role)
  if (fromUrl.user || fromUrl.token) return fromUrl
  if (env['ENGRAM_NATS_CREDS']) return { credsFile: env['ENGRAM_NATS_CREDS'] }
  if (env['ENGRAM_NATS_TOKEN']) return { token: env['ENGRAM_NATS_TOKEN'] }
  if (env['ENGRAM_NATS_USER']) {
    return { user: env['ENGRAM_NATS_USER'], password: env['ENGRAM_NATS_PASSWORD'] ?? '' }
  }
  if (env['ENGRAM_NATS_AUTH']) return readAuthFile(env['ENGRAM_NATS_AUTH'], role)
  const { user, password, token, credsFile } = file
  return {
    ...(user ? { user } : {}), ...(password ? { password } : {}),
    ...(token ? { token } : {}), ...(credsFile ? { credsFile } : {}),
  }
}

function tlsFiles(
  flags: ConnectionFlags, env: Environment, file: NatsFile,
): { caFile?: string; certFile?: string; keyFile?: string } {
  const caFile = flags.natsCa ?? env['ENGRAM_NATS_CA'] ?? file.caFile
  const certFile = env['ENGRAM_NATS_CERT'] ?? file.certFile
  const keyFile = env['ENGRAM_NATS_KEY'] ?? file.keyFile
  return {
    ...(caFile ? { caFile } : {}), ...(certFile ? { certFile } : {}),
    ...(keyFile ? { keyFile } : {}),
  }
}

function refuseSecretInUrl(url: string): void {
  if (!/^[^?#]*@/.test(url)) return
  throw new ConfigError([{
    field: '--nats', value: url.replace(/\/\/[^@]*@/g, '//***@'),
    rule: 'must not hold credentials, since ps shows them to everybody; '
      + 'use ENGRAM_NATS_URL, ENGRAM_NATS_USER and ENGRAM_NATS_PASSWORD, or --nats-creds FILE',
  }], 'flags')
}

/** Takes the credentials out of the first URL that has some: `nats://user:password@host:4222`. */
export function splitUrl(urls: string): { servers: string } & Credentials {
  let found: Credentials = {}
  const servers = urls.split(',').map((url) => url.trim()).filter(Boolean).map((url) => {
    const match = /^([a-z]+:\/\/)?([^@/]*)@(.*)$/i.exec(url)
    if (!match) return url
    const [, scheme = '', secret = '', rest = ''] = match
    const [user = '', ...password] = secret.split(':')
    const parts = password.length === 0 ? { token: decodeURIComponent(user) }
      : { user: decodeURIComponent(user), password: decodeURIComponent(password.join(':')) }
    found = Object.keys(found).length === 0 ? parts : found
    return scheme + rest
  })
  return { servers: servers.join(','), ...found }
}

/**
 * A file of `NAME=value` lines: `ENGRAM_NATS_USER` and `ENGRAM_NATS_PASSWORD`, or the passwords of
 * several roles (`ENGRAM_WRITER_PASSWORD` …), as `engram up --auth` makes.
 * @throws ConfigError
 */
export function readAuthFile(path: string, role: Role): Credentials {
  const fault = (rule: string): ConfigError =>
    new ConfigError([{ field: '--nats-auth', value: path, rule }], path)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw fault(`cannot be read: ${(error as Error).message}`)
  }
  const lines = new Map(text.split('\n').flatMap((line) => {
    const match = /^\s*(ENGRAM_[A-Z_]+)\s*=\s*(.*?)\s*$/.exec(line)
    return match ? [[match[1] ?? '', match[2] ?? ''] as const] : []
  }))
  const own = lines.get(passwordVariable(role))
  if (own) return { user: role, password: own }
  const token = lines.get('ENGRAM_NATS_TOKEN')
  if (token) return { token }
  const user = lines.get('ENGRAM_NATS_USER')
  const password = lines.get('ENGRAM_NATS_PASSWORD')
  if (user && password) return { user, password }
  throw fault('must have lines ENGRAM_NATS_USER=… and ENGRAM_NATS_PASSWORD=…, or '
    + `${passwordVariable(role)}=…`)
}
