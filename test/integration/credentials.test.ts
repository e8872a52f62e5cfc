/**
 * Nodes and commands with every kind of credentials, against servers that ask for them; always with
 * the permissions of nats.conf, and never with the names that it gives its users.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nkeys } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { roles } from '../../runtime/bus/roles.js'
import type { Role } from '../../runtime/bus/roles.js'
import { natsServerConfig, startNatsServer } from '../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../runtime/cluster/natsServer.js'
import { repositoryFile } from '../../runtime/system/paths.js'
import { Child } from '../support/child.js'
import { cli, jsonOf, runCli, showCommand } from '../support/cli.js'
import { cliFile, removeTemporary, temporaryDirectory } from '../support/environment.js'
import { JwtOperator, shippedPermissions } from '../support/jwt.js'
import { Pki } from '../support/pki.js'
import { waitFor } from '../support/wait.js'

const test = suite('integration: credentials')

type Files = Record<Role, string>

interface Secured {
  readonly directory: string
  /** The server's configuration. */
  readonly config: string
  readonly scheme: 'nats' | 'tls'
  /** The credentials of the role: a command's flags, or its environment. */
  flags?(role: Role): string[]
  env?(role: Role): Record<string, string>
  /** The field `nats` of a node's config file. */
  readonly file?: object
}

/** Two nodes and every role at work; then the server goes, and comes back. */
async function works(it: Secured): Promise<void> {
  const server = await startNatsServer({ storeDir: join(it.directory, 'nats'), config: it.config })
  const url = `${it.scheme}://localhost:${server.port}`
  const nodes: Child[] = []
  try {
    for (const id of ['n1', 'n2']) nodes.push(await startNode(it, id, url))
    await everyRole(it, url)
  } catch (error) {
    const logs = nodes.map((node) => node.logTail(15)).join('\n')
    throw new Error(`${(error as Error).message}\n${logs}`, { cause: error })
  } finally {
    for (const node of nodes) await node.kill()
    await server.stop()
    removeTemporary(it.directory)
  }
}

async function startNode(it: Secured, id: string, url: string): Promise<Child> {
  const config = join(it.directory, `${id}.json`)
  if (it.file) writeFileSync(config, JSON.stringify({ nats: it.file }), { mode: 0o600 })
  const node = new Child({
    label: id,
    command: process.execPath,
    logFile: join(it.directory, `${id}.log`),
    args: [cliFile, 'node', '--id', id, '--nats', url, '--data', join(it.directory, id), '--http',
      'off', ...(it.file ? ['--config', config] : it.flags?.('node') ?? [])],
    env: it.env?.('node') ?? {},
  })
  await node.firstLine((line) => line || undefined, 30)
  return node
}

async function everyRole(it: Secured, url: string): Promise<void> {
  const as = (role: Role, ...args: string[]) =>
    [[...args, '--nats', url, ...it.flags?.(role) ?? []], { env: it.env?.(role) ?? {} }] as const
  await waitFor('both nodes to know each other', async () => {
    const made = await runCli(...as('operator', 'space', 'create', 'demo', '--replicas', '1'))
    return made.code === 0 || null
  })
  const hello = '{"type":"StoreNode","node":{"id":"n1","content":"hello"}}'
  await cli(...as('writer', 'write', 'demo', hello, '--ack', 'committed'))
  const got = await cli(...as('reader', 'read', 'demo', 'get', 'n1', '--json'))
  assert.is((jsonOf(got) as { value: { content: string } }).value.content, 'hello')
  const status = jsonOf(await cli(...as('operator', 'status', '--json'))) as {
    nodes: { state: string }[]
    spaces: { inSync: string[] }[]
  }
  assert.equal(status.nodes.map(({ state }) => state), ['running', 'running'])
  assert.equal(status.spaces[0]?.inSync.toSorted(), ['n1', 'n2'])
  await cli(...as('operator', 'promote', 'demo'))
  const unknown = await runCli(...as('writer', 'write', 'nowhere', hello))
  assert.match(unknown.stderr, 'UNKNOWN_SPACE', showCommand(unknown))
  const denied = await runCli(...as('reader', 'write', 'demo', hello))
  assert.is(denied.code, 1)
  assert.match(denied.stderr, 'may not publish to engram.v1.write.demo', showCommand(denied))
}

/** nats.conf with the part that begins so no longer commented out, and what replaces parts of it. */
function shipped(begin: RegExp, replaced: Record<string, string>): string {
  let isPart = false
  const lines = readFileSync(repositoryFile('nats.conf'), 'utf8').split('\n').map((line) => {
    if (begin.test(line)) isPart = true
    const shown = isPart ? line.replace(/^(\s*)# ?/, '$1') : line
    if (/^\s*# [\]}]$/.test(line)) isPart = false
    return shown
  })
  return Object.entries(replaced).reduce(
    (text, [from, to]) => text.replaceAll(`"${from}"`, `"${to}"`),
    lines.join('\n'),
  )
}

function configOf(directory: string, base: string): string {
  return natsServerConfig({ auth: true, storeDir: join(directory, 'nats'), base })
}

function nkeyFiles(directory: string): { files: Files; keys: Record<string, string> } {
  const made = roles.map((role) => {
    const user = nkeys.createUser()
    const path = join(directory, `${role}.nk`)
    writeFileSync(path, `${Buffer.from(user.getSeed()).toString()}\n`, { mode: 0o600 })
    return { role, path, key: user.getPublicKey() }
  })
  return {
    files: Object.fromEntries(made.map(({ role, path }) => [role, path])) as Files,
    keys: Object.fromEntries(made.map(({ role, key }) => [`U${role.toUpperCase()}`, key])),
  }
}

test('mutual TLS and nkeys, by flags, from what nats.conf has commented out', async () => {
  const directory = temporaryDirectory('mtls')
  const pki = new Pki()
  try {
    const authority = pki.selfSigned('authority')
    const server = pki.signed(authority, 'server', 'DNS:localhost')
    const client = pki.signed(authority, 'client', 'DNS:client')
    const { files, keys } = nkeyFiles(directory)
    const withTls = shipped(/^# tls \{/, {
      '/etc/nats/server.pem': server.certFile,
      '/etc/nats/server-key.pem': server.keyFile,
      '/etc/nats/ca.pem': authority.certFile,
    })
    const withNkeys = shipped(/^ {2}# users: \[/, keys)
    // Both parts at once.
    const tls = /^tls \{[\s\S]*?^\}/m.exec(withTls)?.[0] ?? assert.unreachable('no tls block')
    await works({
      directory,
      scheme: 'tls',
      config: configOf(directory, `${withNkeys}\n${String(tls)}`),
      flags: (
        role,
      ) => ['--nats-ca', authority.certFile, '--nats-cert', client.certFile, '--nats-key',
        client.keyFile, '--nats-nkey', files[role]],
    })
  } finally {
    pki.remove()
  }
})

test('.creds of an operator that hands out JWTs, by config file and flags', async () => {
  const directory = temporaryDirectory('jwt')
  const operator = new JwtOperator()
  const files = Object.fromEntries(roles.map((role) => {
    const path = join(directory, `${role}.creds`)
    writeFileSync(path, operator.creds(shippedPermissions(role)), { mode: 0o600 })
    return [role, path]
  })) as Files
  await works({
    directory,
    scheme: 'nats',
    file: { credsFile: files.node },
    config: `jetstream { store_dir: $ENGRAM_NATS_STORE }\n${operator.config()}`,
    flags: (role) => ['--nats-creds', files[role]],
  })
})

test('users of other names, by variables, with TLS and passwords in files', async () => {
  const directory = temporaryDirectory('users')
  const pki = new Pki()
  try {
    const authority = pki.selfSigned('authority')
    const server = pki.signed(authority, 'server', 'DNS:localhost')
    const conf = readFileSync(repositoryFile('nats.conf'), 'utf8')
    const renamed = roles.reduce(
      (text, role) => text.replace(`user: ${role},`, `user: "prod ${role}",`),
      conf,
    )
    const { certFile, keyFile } = server
    mkdirSync(join(directory, 'secrets'))
    const secret = (role: Role) => join(directory, 'secrets', role)
    for (const role of roles) writeFileSync(secret(role), `of ${role}\n`, { mode: 0o600 })
    await works({
      directory,
      scheme: 'nats',
      config: configOf(directory, roles.reduce((text, role) =>
        text.replace(`$ENGRAM_${role.toUpperCase()}_PASSWORD`, `"of ${role}"`), renamed))
        + `\ntls { cert_file: "${certFile}", key_file: "${keyFile}" }\n`,
      env: (role) => ({
        ENGRAM_NATS_USER: `prod ${role}`,
        ENGRAM_NATS_PASSWORD_FILE: secret(role),
        ENGRAM_NATS_CA: authority.certFile,
      }),
    })
  } finally {
    pki.remove()
  }
})

test('a node says why it cannot start, and what helps', async () => {
  const directory = temporaryDirectory('refused')
  let server: NatsServer | null = null
  try {
    server = await startNatsServer({
      storeDir: join(directory, 'nats'),
      config: configOf(directory, readFileSync(repositoryFile('nats.conf'), 'utf8')),
      env: Object.fromEntries(roles.map((role) => [`ENGRAM_${role.toUpperCase()}_PASSWORD`, role])),
    })
    const none = join(directory, 'none.pem')
    const cases: [flags: string[], env: Record<string, string>, says: RegExp[]][] = [
      [['--nats-ca', none], {}, [/none\.pem does not exist/, /Correct the path/]],
      [[], {}, [/requires credentials, and none are given/, /--nats-creds \(ENGRAM_NATS_CREDS\)/]],
      [['--nats-user', 'node'], { ENGRAM_NATS_PASSWORD: 'wrong' }, [
        /refuses these credentials \(user node\)/,
        /authorization/,
      ]],
      [['--nats-user', 'reader'], { ENGRAM_NATS_PASSWORD: 'reader' }, [
        /may not subscribe to _INBOX_node\.>/,
        /--nats-inbox-prefix/,
      ]],
    ]
    for (const [flags, env, says] of cases) {
      const result = await runCli(['node', '--id', 'n1', '--data', join(directory, 'n1'), '--http',
        'off', '--nats', server.url, ...flags], { env })
      assert.is(result.code, 1, showCommand(result))
      const last = result.stderr.trim().split('\n').filter((line) => !line.startsWith('{')).join(
        '\n',
      )
      for (const said of says) assert.match(last, said, showCommand(result))
    }
  } finally {
    await server?.stop()
    removeTemporary(directory)
  }
})

test.run()
