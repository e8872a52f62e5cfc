/**
 * Everything about where NATS is and how to log in: one row per setting, with its flag, its
 * environment variable and its field of the config file. Help and parsing come from here.
 */
import { readFileSync } from 'node:fs'
import type { NatsOptions } from '../bus/natsOptions.js'
import { passwordVariable } from '../bus/roles.js'
import type { Role } from '../bus/roles.js'
import { natsSettings, shownName } from '../bus/settingNames.js'
import type { NatsSettingName } from '../bus/settingNames.js'
import { ConfigError } from './options.js'

export type Environment = Readonly<Record<string, string | undefined>>

const names = Object.keys(natsSettings) as NatsSettingName[]

/** The settings of one source. `tlsFirst` is `true` or `1` where it is on. */
type Said = Partial<Record<NatsSettingName, string>>

/** Flags as commander names them: `--nats-ca` is `natsCa`. */
export interface NatsFlags {
  readonly nats?: string | undefined
  readonly natsUser?: string | undefined
  readonly natsPasswordFile?: string | undefined
  readonly natsTokenFile?: string | undefined
  readonly natsCreds?: string | undefined
  readonly natsNkey?: string | undefined
  readonly natsAuth?: string | undefined
  readonly natsCa?: string | undefined
  readonly natsCert?: string | undefined
  readonly natsKey?: string | undefined
  readonly natsTlsFirst?: boolean | undefined
  readonly natsInboxPrefix?: string | undefined
}

/** Source that faults of these settings name. */
export const natsSource = 'NATS settings'

export const defaultNatsUrl = 'nats://127.0.0.1:4222'

/** nats.conf gives nodes an inbox of their own, where clients cannot listen. */
export const nodeInboxPrefix = '_INBOX_node'

/** The ways to authenticate. `user` has a password beside it. */
const ways = ['user', 'token', 'tokenFile', 'credsFile', 'nkeySeedFile', 'authFile'] as const
const credentialNames: readonly NatsSettingName[] = [...ways, 'password', 'passwordFile']

/** Whether a flag names credentials. Credentials of other sources are ignored then. */
export function nameCredentials(flags: NatsFlags): boolean {
  const said = saidByFlags(flags)
  return credentialNames.some((name) => said[name])
}

/**
 * Flags win over environment over file. Credentials come as a whole from the nearest source that
 * has any, since halves of two would fit nobody. So does the pair of certificate and key.
 * @param role whose password to take from a file of several, and whose inbox is the default
 * @throws ConfigError
 */
export function natsOptions(
  flags: NatsFlags,
  env: Environment,
  file: Said,
  role: Role,
): NatsOptions {
  if (flags.nats !== undefined) refuseSecretInUrl(flags.nats)
  const sources = [saidByFlags(flags), saidBy(env), file]
  const url = sources.find(({ servers }) => servers)
  const { servers, ...fromUrl } = splitUrl(url?.servers ?? defaultNatsUrl)
  const nearest = (name: NatsSettingName): string | undefined =>
    sources.find((source) => source[name])?.[name]
  const inboxPrefix = nearest('inboxPrefix') ?? (role === 'node' ? nodeInboxPrefix : undefined)
  if (inboxPrefix !== undefined) checkInboxPrefix(inboxPrefix)
  const tls = tlsOptions(sources, nearest)
  return {
    servers,
    ...credentials(sources, (source) => source === url ? fromUrl : {}, role),
    ...(Object.keys(tls).length > 0 ? { tls } : {}),
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
  }
}

/** The same as variables of a child process. Empty: not set, whatever this process has. */
export function natsEnvironment(options: NatsOptions): Record<string, string> {
  const { servers: _, tls, ...rest } = options
  const { caFile, certFile, keyFile, handshakeFirst } = tls ?? {}
  const said: Said = {
    ...rest,
    caFile,
    certFile,
    keyFile,
    ...(handshakeFirst ? { tlsFirst: '1' } : {}),
  } as Said
  return Object.fromEntries(names.filter((name) => name !== 'servers')
    .map((name) => [natsSettings[name].variable, said[name] ?? '']))
}

/** `--nats-ca <file>` is `natsCa` in commander. */
function attributeOf(flag: string): keyof NatsFlags {
  const [word = ''] = flag.replace(/^--/, '').split(' ')
  return word.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()) as keyof NatsFlags
}

function saidByFlags(flags: NatsFlags): Said {
  return Object.fromEntries(names.flatMap((name) => {
    const { flag } = natsSettings[name]
    const value = flag === null ? undefined : flags[attributeOf(flag)]
    return value === undefined || value === false ? [] : [[name, String(value)]]
  })) as Said
}

/** All given flags except `--nats`, as words of another command line. */
export function flagWords(flags: NatsFlags): string[] {
  return names.flatMap((name) => {
    const { flag } = natsSettings[name]
    if (flag === null || name === 'servers') return []
    const [value, [word = '']] = [flags[attributeOf(flag)], flag.split(' ')]
    return typeof value === 'string' ? [word, value] : value === true ? [word] : []
  })
}

function saidBy(env: Environment): Said {
  return Object.fromEntries(names.flatMap((name) => {
    const value = env[natsSettings[name].variable]
    return value ? [[name, value]] : []
  })) as Said
}

type Credentials = Pick<
  NatsOptions,
  'user' | 'password' | 'token' | 'credsFile' | 'nkeySeedFile'
>

function credentials(
  sources: readonly Said[],
  inUrl: (source: Said) => Credentials,
  role: Role,
): Credentials {
  for (const source of sources) {
    const url = inUrl(source)
    const given: Said = Object.keys(url).length > 0 ? url : source
    const said = ways.filter((way) => given[way])
    if (said.length > 1) {
      throw new ConfigError([{
        field: said.map(shownName).join(' and '),
        value: 'both',
        rule: 'are two ways to authenticate; give one of them',
      }], natsSource)
    }
    const [way] = said
    const value = way && given[way]
    if (!way || !value) continue
    switch (way) {
      case 'user':
        return { user: value, password: passwordOf(given, source, sources) }
      case 'tokenFile':
        return { token: readSecret(value, 'tokenFile') }
      case 'authFile':
        return readAuthFile(value, role)
      default:
        return { [way]: value }
    }
  }
  return {}
}

/** Password of a user. If the user is a flag, it may come from the environment or the file. */
function passwordOf(given: Said, source: Said, sources: readonly Said[]): string {
  const places = source === sources[0] ? [given, ...sources.slice(1)] : [given]
  const { password, passwordFile } = places.find((one) => one.password ?? one.passwordFile) ?? {}
  return password ?? (passwordFile ? readSecret(passwordFile, 'passwordFile') : '')
}

function tlsOptions(
  sources: readonly Said[],
  nearest: (name: NatsSettingName) => string | undefined,
): NonNullable<NatsOptions['tls']> {
  const caFile = nearest('caFile')
  const { certFile, keyFile } = sources.find((source) => source.certFile ?? source.keyFile) ?? {}
  if (!certFile !== !keyFile) {
    const given = certFile ? 'certFile' : 'keyFile'
    throw new ConfigError([{
      field: shownName(given),
      value: certFile ?? keyFile,
      rule: `needs ${shownName(certFile ? 'keyFile' : 'certFile')} beside it`,
    }], natsSource)
  }
  const tlsFirst = /^(1|true|yes)$/i.test(nearest('tlsFirst') ?? '')
  return {
    ...(caFile ? { caFile } : {}),
    ...(certFile ? { certFile, keyFile } : {}),
    ...(tlsFirst ? { handshakeFirst: true } : {}),
  }
}

/** Checks a prefix that becomes a part of subjects. */
function checkInboxPrefix(prefix: string): void {
  if (/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(prefix)) return
  throw new ConfigError([{
    field: shownName('inboxPrefix'),
    value: prefix,
    rule: 'must be tokens of A-Z a-z 0-9 _ -, separated by dots, such as _INBOX.team',
  }], natsSource)
}

function refuseSecretInUrl(url: string): void {
  if (!/^[^?#]*@/.test(url)) return
  throw new ConfigError([{
    field: '--nats',
    value: url.replace(/\/\/[^@]*@/g, '//***@'),
    rule: 'must not hold credentials, since ps shows them to every user; '
      + 'use ENGRAM_NATS_URL, ENGRAM_NATS_USER and ENGRAM_NATS_PASSWORD, or --nats-creds FILE',
  }], 'flags')
}

/** Takes the credentials out of the first URL that has any: `nats://user:password@host:4222`. */
export function splitUrl(urls: string): { servers: string } & Credentials {
  let found: Credentials = {}
  const servers = urls.split(',').map((url) => url.trim()).filter(Boolean).map((url) => {
    const match = /^([a-z]+:\/\/)?([^@/]*)@(.*)$/i.exec(url)
    if (!match) return url
    const [, scheme = '', secret = '', rest = ''] = match
    const [user = '', ...password] = secret.split(':')
    const parts = password.length === 0
      ? { token: decodeURIComponent(user) }
      : { user: decodeURIComponent(user), password: decodeURIComponent(password.join(':')) }
    found = Object.keys(found).length === 0 ? parts : found
    return scheme + rest
  })
  return { servers: servers.join(','), ...found }
}

/** A file of one line, without the line end that editors add. */
function readSecret(path: string, name: NatsSettingName): string {
  const secret = readText(path, name).replace(/\r?\n$/, '')
  if (secret !== '' && !/[\r\n]/.test(secret)) return secret
  throw fileFault(path, name, secret === '' ? 'is empty' : 'must hold one line with the secret')
}

function readText(path: string, name: NatsSettingName): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw fileFault(path, name, `cannot be read: ${(error as Error).message}`)
  }
}

const fileFault = (path: string, name: NatsSettingName, rule: string): ConfigError =>
  new ConfigError([{ field: shownName(name), value: path, rule }], natsSource)

/**
 * A file of `NAME=value` lines: `ENGRAM_NATS_USER` and `ENGRAM_NATS_PASSWORD`, or the passwords of
 * several roles (`ENGRAM_WRITER_PASSWORD` …), as `engram up --auth` writes.
 * @throws ConfigError
 */
export function readAuthFile(path: string, role: Role): Credentials {
  const lines = new Map(readText(path, 'authFile').split('\n').flatMap((line) => {
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
  throw fileFault(path, 'authFile', 'must have lines ENGRAM_NATS_USER=… and '
    + `ENGRAM_NATS_PASSWORD=…, or ${passwordVariable(role)}=…`)
}
