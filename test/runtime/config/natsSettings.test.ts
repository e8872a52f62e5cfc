/** The address of NATS and the credentials: flags, variables and config fields say the same. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NatsOptions } from '../../../runtime/bus/natsOptions.js'
import type { Role } from '../../../runtime/bus/roles.js'
import { natsSettings } from '../../../runtime/bus/settingNames.js'
import type { NatsSettingName } from '../../../runtime/bus/settingNames.js'
import { connectionOptions } from '../../../runtime/cli/context.js'
import { natsEnvironment, splitUrl } from '../../../runtime/config/natsSettings.js'
import type { Environment } from '../../../runtime/config/natsSettings.js'
import { ConfigError } from '../../../runtime/config/options.js'
import { loadSettings } from '../../../runtime/config/sources.js'
import type { ConnectionFlags } from '../../../runtime/config/sources.js'
import { repositoryFile } from '../../../runtime/system/paths.js'

const test = suite('NATS settings')
const directory = mkdtempSync(join(tmpdir(), 'engram-nats-settings-'))
test.after(() => rmSync(directory, { recursive: true, force: true }))

function file(value: unknown, mode = 0o600): string {
  const path = join(directory, Math.random().toString(36).slice(2))
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value))
  chmodSync(path, mode)
  return path
}

/** As `engram COMMAND …` takes them from a command line. */
function flagsOf(...args: string[]): ConnectionFlags {
  const command = connectionOptions(new Command('x').exitOverride())
  command.configureOutput({ writeErr: () => undefined })
  return command.parse(args, { from: 'user' }).opts()
}

const natsOf = (
  flags: ConnectionFlags,
  env: Environment = {},
  role: Role = 'operator',
): NatsOptions => loadSettings(flags, env, role).nats

function refused(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  throw new Error('it was accepted')
}

const secret = file('of a file\n')
/** The result of each setting; `user` and the pair of certificate and key come together. */
const cases: Record<NatsSettingName, {
  value: string
  beside?: Partial<Record<NatsSettingName, string>>
  makes: Partial<NatsOptions>
}> = {
  servers: { value: 'tls://a:1,nats://b:2', makes: { servers: 'tls://a:1,nats://b:2' } },
  user: { value: 'ann', makes: { user: 'ann', password: '' } },
  password: { value: 'p w', beside: { user: 'ann' }, makes: { user: 'ann', password: 'p w' } },
  passwordFile: {
    value: secret,
    beside: { user: 'ann' },
    makes: { user: 'ann', password: 'of a file' },
  },
  token: { value: 't', makes: { token: 't' } },
  tokenFile: { value: secret, makes: { token: 'of a file' } },
  credsFile: { value: 'a.creds', makes: { credsFile: 'a.creds' } },
  nkeySeedFile: { value: 'a.nk', makes: { nkeySeedFile: 'a.nk' } },
  authFile: {
    value: file('ENGRAM_OPERATOR_PASSWORD=o\nENGRAM_NODE_PASSWORD=n\n'),
    makes: { user: 'operator', password: 'o' },
  },
  caFile: { value: 'ca.pem', makes: { tls: { caFile: 'ca.pem' } } },
  certFile: {
    value: 'c.pem',
    beside: { keyFile: 'k.pem' },
    makes: { tls: { certFile: 'c.pem', keyFile: 'k.pem' } },
  },
  keyFile: {
    value: 'k.pem',
    beside: { certFile: 'c.pem' },
    makes: { tls: { certFile: 'c.pem', keyFile: 'k.pem' } },
  },
  tlsFirst: { value: '1', makes: { tls: { handshakeFirst: true } } },
  inboxPrefix: { value: '_INBOX.team', makes: { inboxPrefix: '_INBOX.team' } },
}
const names = Object.keys(natsSettings) as NatsSettingName[]
const url = 'nats://127.0.0.1:4222'

for (const name of names) {
  const { value, beside, makes } = cases[name]
  const said = Object.entries({ ...beside, [name]: value }) as [NatsSettingName, string][]
  const expected = { servers: url, ...makes }

  test(`${name} as a variable`, () => {
    const env = Object.fromEntries(said.map(([one, text]) => [natsSettings[one].variable, text]))
    assert.equal(natsOf({}, env), expected)
  })

  test(`${name} in the config file`, () => {
    const fields = said.map(([one, text]) => [one, one === 'tlsFirst' ? true : text])
    assert.equal(natsOf({ config: file({ nats: Object.fromEntries(fields) }) }), expected)
  })

  if (natsSettings[name].flag !== null) {
    test(`${name} as a flag`, () => {
      const args = said.flatMap(([one, text]) => {
        const [flag = '', takes] = natsSettings[one].flag?.split(' ') ?? []
        return takes ? [flag, text] : [flag]
      })
      assert.equal(natsOf(flagsOf(...args)), expected)
    })
  }

  test(`${name} reaches a child process`, () => {
    const { servers, ...options } = { servers: url, ...makes }
    const env = natsEnvironment({ servers, ...options })
    assert.equal(natsOf({ nats: servers }, env), expected)
  })
}

test('no secret is taken from a command line', () => {
  for (const name of ['password', 'token'] as const) assert.is(natsSettings[name].flag, null)
  const message = refused(() => natsOf({ nats: 'nats://me:secret@host:4222' }))
  assert.not.match(message, 'secret')
  assert.match(message, 'ENGRAM_NATS_PASSWORD')
})

test('a URL in the environment is taken apart', () => {
  const { servers, user, password } = natsOf(
    {},
    { ENGRAM_NATS_URL: 'nats://me:s%40crt@host:4222,nats://other' },
  )
  assert.equal([servers, user, password], ['nats://host:4222,nats://other', 'me', 's@crt'])
  assert.equal(splitUrl('nats://token@host'), { servers: 'nats://host', token: 'token' })
})

test('the nearest source wins as a whole', () => {
  const env = { ENGRAM_NATS_USER: 'env', ENGRAM_NATS_PASSWORD: 'p' }
  const config = file({ nats: { user: 'file', password: 'f', servers: 'nats://file:1' } })
  const { servers, user, password } = natsOf({ config }, env)
  assert.equal([servers, user, password], ['nats://file:1', 'env', 'p'])
  assert.equal(natsOf({ config, natsCreds: 'x.creds' }, env), { servers: 'nats://file:1',
    credsFile: 'x.creds' })
  // A pair, too: the key of another source would not fit.
  const pair = { ENGRAM_NATS_CERT: 'e.pem', ENGRAM_NATS_KEY: 'e.key' }
  const { tls } = natsOf({ natsCert: 'f.pem', natsKey: 'f.key' }, pair)
  assert.equal(tls, { certFile: 'f.pem', keyFile: 'f.key' })
})

test('a user of the command line has a password from where secrets may be', () => {
  const passwordOf = (env: Environment, flags: ConnectionFlags = {}) =>
    natsOf({ natsUser: 'ann', ...flags }, env).password
  assert.is(passwordOf({ ENGRAM_NATS_PASSWORD: 'p' }), 'p')
  assert.is(passwordOf({ ENGRAM_NATS_PASSWORD_FILE: secret }), 'of a file')
  assert.is(passwordOf({ ENGRAM_NATS_PASSWORD: 'p' }, { natsPasswordFile: secret }), 'of a file')
  assert.is(passwordOf({}, { config: file({ nats: { user: 'bob', password: 'f' } }) }), 'f')
})

test('two ways to authenticate, and half a pair, are refused with the names of both', () => {
  const both = refused(() => natsOf({ natsCreds: 'a', natsNkey: 'b' }))
  assert.match(both, '--nats-creds (ENGRAM_NATS_CREDS) and --nats-nkey (ENGRAM_NATS_NKEY)')
  assert.match(refused(() => natsOf({ natsCert: 'c.pem' })), 'needs --nats-key (ENGRAM_NATS_KEY)')
  assert.match(refused(() => natsOf({}, { ENGRAM_NATS_KEY: 'k' })), 'needs --nats-cert')
})

test('each role takes its own from a file of passwords', () => {
  const natsAuth = file('ENGRAM_WRITER_PASSWORD=w\nENGRAM_READER_PASSWORD=r\n')
  const { user, password } = natsOf({ natsAuth }, {}, 'reader')
  assert.equal([user, password], ['reader', 'r'])
  assert.match(refused(() => natsOf({ natsAuth }, {}, 'node')), 'ENGRAM_NODE_PASSWORD')
})

test('the role decides where answers arrive, whatever the user is called', () => {
  const env = { ENGRAM_NATS_USER: 'engram-prod', ENGRAM_NATS_PASSWORD: 'p' }
  assert.is(natsOf({}, env, 'node').inboxPrefix, '_INBOX_node')
  assert.is(natsOf({ natsNkey: 'a.nk' }, {}, 'node').inboxPrefix, '_INBOX_node')
  for (const role of ['writer', 'reader', 'operator'] as const) {
    assert.is(natsOf({}, { ...env, ENGRAM_NATS_USER: 'node' }, role).inboxPrefix, undefined)
  }
  assert.is(natsOf({ natsInboxPrefix: '_INBOX.x' }, env, 'node').inboxPrefix, '_INBOX.x')
  for (const prefix of ['a b', '_INBOX.>', '*', '_INBOX.', '.x']) {
    assert.match(refused(() => natsOf({ natsInboxPrefix: prefix })), '--nats-inbox-prefix')
  }
})

test('a file that cannot be read, or holds no secret, is named with its flag', () => {
  const none = join(directory, 'none')
  const wrong: [flags: ConnectionFlags, says: string][] = [
    [{ natsTokenFile: none }, '--nats-token-file (ENGRAM_NATS_TOKEN_FILE) = '],
    [{ natsAuth: none }, '--nats-auth (ENGRAM_NATS_AUTH) = '],
    [{ natsUser: 'ann', natsPasswordFile: none }, '--nats-password-file'],
    [{ natsTokenFile: file('') }, 'is empty'],
    [{ natsTokenFile: file('a\nb\n') }, 'must hold one line'],
    [{ natsAuth: file('nonsense') }, 'must have lines ENGRAM_NATS_USER='],
  ]
  for (const [flags, says] of wrong) {
    const message = refused(() => natsOf(flags))
    assert.ok(message.includes(says), message)
    if (Object.values(flags).includes(none)) assert.match(message, none)
  }
})

test('docs/configuration.md lists each as it is', () => {
  const document = readFileSync(repositoryFile('docs/configuration.md'), 'utf8')
  for (const [name, { flag, variable, doc }] of Object.entries(natsSettings)) {
    const shown = flag === null
      ? ''
      : `\`${flag.replace(/<(.*)>/, (_, word: string) => word.toUpperCase())}\``
    const row = `| ${shown} | \`${variable}\` | \`${name}\` | ${doc} |`
    assert.ok(document.includes(`${row}\n`), row)
  }
})

test('the environment of a parent does not reach a child that has its own', () => {
  const env = {
    ENGRAM_NATS_TOKEN: 't',
    ENGRAM_NATS_CA: 'ca.pem',
    ...natsEnvironment({ servers: url, user: 'node', password: 'p' }),
  }
  assert.equal(natsOf({ nats: url }, env), { servers: url, user: 'node', password: 'p' })
})

test.run()
