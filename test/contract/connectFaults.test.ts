/**
 * Messages of nodes, programs and the command line when NATS cannot be used: the true cause,
 * and what helps. Against real servers.
 */
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { createServer as createTlsServer } from 'node:tls'
import { nkeys } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ArbiterUnavailableError } from '../../actors/ports/arbiter.js'
import { BusConnectError } from '../../actors/ports/bus.js'
import { jetStreamArbiter } from '../../runtime/arbiter/jetstream.js'
import { connectReasons, NatsConnectError } from '../../runtime/bus/faults.js'
import type { ConnectReason } from '../../runtime/bus/faults.js'
import { natsBus } from '../../runtime/bus/nats.js'
import type { NatsOptions } from '../../runtime/bus/natsOptions.js'
import { runCli } from '../../runtime/cli/program.js'
import { connect } from '../../runtime/client/client.js'
import { ConnectError } from '../../runtime/client/errors.js'
import { findNatsServer, freePort } from '../../runtime/cluster/natsServer.js'
import { natsEnvironment } from '../../runtime/config/natsSettings.js'
import { JwtOperator } from '../support/jwt.js'
import { Pki, tlsBlock } from '../support/pki.js'
import { NatsFixture, rejection, within } from './natsFixture.js'

const test = suite('connecting: faults and remedies')
const pki = new Pki()
const here = 'DNS:localhost,IP:127.0.0.1'
const authority = pki.selfSigned('authority')
const stranger = pki.selfSigned('stranger')
const certificates = {
  good: pki.signed(authority, 'good', here),
  ended: pki.signed(authority, 'ended', here, true),
  named: pki.signed(authority, 'named', 'DNS:nats.example.org'),
  self: pki.selfSigned('self', here),
}
const client = pki.signed(authority, 'client', 'DNS:client')
const foreign = pki.signed(stranger, 'foreign', 'DNS:foreign')
const late = pki.signed(authority, 'late', 'DNS:late', true)

const operator = new JwtOperator()
const everything = { publish: ['>'], subscribe: ['>'] }
const yesterday = Math.floor(Date.now() / 1000) - 86_400

const jetstream = 'jetstream { store_dir: $ENGRAM_NATS_STORE }\n'
const ann = 'authorization { users: [ { user: ann, password: secret } ] }\n'
const configurations = {
  plain: '',
  good: tlsBlock(certificates.good),
  ended: tlsBlock(certificates.ended),
  named: tlsBlock(certificates.named),
  self: tlsBlock(certificates.self),
  verifying: tlsBlock(certificates.good, authority),
  ann,
  full: 'max_connections: 1\n',
  operator: operator.config(),
}
type ServerName = keyof typeof configurations
const fixtures = {} as Record<ServerName, NatsFixture>

test.before(async () => {
  for (const [name, config] of Object.entries(configurations)) {
    const fixture = new NatsFixture()
    fixtures[name as ServerName] = fixture
    await fixture.start({ config: jetstream + config })
  }
})
test.after(async () => {
  for (const fixture of Object.values(fixtures)) await fixture.stop()
  pki.remove()
})

function file(name: string, text: string): string {
  const path = join(pki.directory, name)
  writeFileSync(path, text)
  return path
}

const trusting = { caFile: authority.certFile }
const none = join(pki.directory, 'none.pem')
const account = Buffer.from(nkeys.createAccount().getSeed()).toString()

interface Case {
  readonly what: string
  readonly server: ServerName | (() => string)
  readonly options?: Omit<NatsOptions, 'servers'>
  readonly host?: string
  readonly reason: ConnectReason
  readonly says: RegExp
  /** In the words of the command line, and of a program. */
  readonly remedy: readonly [cli: string, program: string]
}

const caRemedy = ['--nats-ca (ENGRAM_NATS_CA)', 'tls.caFile'] as const
const certRemedy = ['--nats-cert (ENGRAM_NATS_CERT)', 'tls.certFile'] as const
const pathRemedy = (flag: string, option: string) =>
  [`Correct the path, permissions or contents of the file: ${flag} (`, option] as const
const cases: readonly Case[] = [
  { what: 'nobody listens', server: () => 'nats://127.0.0.1:1', reason: 'UNREACHABLE',
    says: /nobody listens at 127\.0\.0\.1:1 \(ECONNREFUSED\)/,
    remedy: ['--nats (ENGRAM_NATS_URL)', 'servers'] },
  { what: 'no such host', server: () => 'nats://nowhere.invalid:4222', reason: 'UNREACHABLE',
    says: /the host of nowhere\.invalid:4222 is not known/,
    remedy: ['--nats (ENGRAM_NATS_URL)', 'servers'] },
  { what: 'too many connections', server: 'full', reason: 'SERVER_REFUSES',
    says: /maximum connections exceeded/, remedy: ['configuration', 'configuration'] },
  { what: 'no credentials', server: 'ann', reason: 'CREDENTIALS_MISSING',
    says: /requires credentials, and none are given/,
    remedy: ['--nats-creds (ENGRAM_NATS_CREDS)', 'credsFile'] },
  { what: 'a wrong password', server: 'ann', options: { user: 'ann', password: 'x' },
    reason: 'CREDENTIALS_REFUSED', says: /refuses these credentials \(user ann\)/,
    remedy: ['authorization', 'authorization'] },
  { what: 'no password', server: 'ann', options: { user: 'ann' }, reason: 'CREDENTIALS_REFUSED',
    says: /user ann, without a password/, remedy: ['authorization', 'authorization'] },
  { what: 'a token nobody knows', server: 'ann', options: { token: 'secret' },
    reason: 'CREDENTIALS_REFUSED', says: /refuses these credentials \(a token\)/,
    remedy: ['authorization', 'authorization'] },
  { what: 'a server of an unknown authority', server: 'good', reason: 'TLS_UNTRUSTED',
    says: /signed by no authority that this machine knows/, remedy: caRemedy },
  { what: 'a server of another authority', server: 'good',
    options: { tls: { caFile: stranger.certFile } }, reason: 'TLS_UNTRUSTED',
    says: /signed by no authority in .*stranger\.pem/, remedy: caRemedy },
  { what: 'a self-signed server', server: 'self', options: { tls: trusting },
    reason: 'TLS_UNTRUSTED', says: /self-signed/, remedy: caRemedy },
  { what: 'a server whose certificate has expired', server: 'ended', options: { tls: trusting },
    reason: 'TLS_EXPIRED', says: /has expired/, remedy: ['Renew it', 'Renew it'] },
  { what: 'a server of another name', server: 'named', options: { tls: trusting },
    host: 'localhost', reason: 'TLS_NAME',
    says: /is not for localhost, but for DNS:nats\.example\.org/,
    remedy: ['--nats (ENGRAM_NATS_URL)', 'servers'] },
  { what: 'a server of another address', server: 'named', options: { tls: trusting },
    reason: 'TLS_NAME', says: /is not for /, remedy: ['--nats', 'servers'] },
  { what: 'no client certificate where one is asked for', server: 'verifying',
    options: { tls: trusting }, reason: 'TLS_CLIENT_CERTIFICATE',
    says: /requires a client certificate, and none is given/, remedy: certRemedy },
  { what: 'a client certificate of another authority', server: 'verifying',
    options: { tls: { ...trusting, ...foreign } }, reason: 'TLS_CLIENT_CERTIFICATE',
    says: /does not accept the client certificate .*foreign\.pem/, remedy: certRemedy },
  { what: 'a client certificate that has expired', server: 'verifying',
    options: { tls: { ...trusting, ...late } }, reason: 'TLS_CLIENT_CERTIFICATE',
    says: /late\.pem, which expired on 2020-12-31/, remedy: certRemedy },
  { what: 'TLS to a plain server', server: 'plain', options: { tls: trusting },
    reason: 'TLS_NOT_OFFERED', says: /TLS is required, but the server has none/,
    remedy: ['omit tls://, --nats-ca', 'omit tls://, tls.caFile'] },
  { what: 'TLS first to a plain server', server: 'plain',
    options: { tls: { ...trusting, handshakeFirst: true } }, reason: 'TLS_NOT_OFFERED',
    says: /TLS is required/, remedy: ['--nats-tls-first', 'tls.handshakeFirst'] },
  { what: 'an authority that is not there, nor the server', server: () => 'nats://127.0.0.1:1',
    options: { tls: { caFile: none } }, reason: 'CREDENTIALS_FILE',
    says: /none\.pem does not exist/, remedy: pathRemedy('--nats-ca', 'tls.caFile') },
  { what: 'an authority that is not there', server: 'good', options: { tls: { caFile: none } },
    reason: 'CREDENTIALS_FILE', says: /none\.pem does not exist/,
    remedy: pathRemedy('--nats-ca', 'tls.caFile') },
  { what: 'an authority that is a directory', server: 'good',
    options: { tls: { caFile: pki.directory } }, reason: 'CREDENTIALS_FILE', says: /is a directory/,
    remedy: pathRemedy('--nats-ca', 'tls.caFile') },
  { what: 'an authority that is none', server: 'good',
    options: { tls: { caFile: file('text.pem', 'no certificate') } }, reason: 'CREDENTIALS_FILE',
    says: /text\.pem holds no certificate in PEM/, remedy: pathRemedy('--nats-ca', 'tls.caFile') },
  { what: 'a certificate that is not there', server: 'verifying',
    options: { tls: { ...trusting, ...client, certFile: none } }, reason: 'CREDENTIALS_FILE',
    says: /none\.pem does not exist/, remedy: pathRemedy('--nats-cert', 'tls.certFile') },
  { what: 'a key of another certificate', server: 'verifying',
    options: { tls: { ...trusting, ...client, keyFile: foreign.keyFile } },
    reason: 'CREDENTIALS_FILE', says: /foreign\.key is not the key of .*client\.pem/,
    remedy: pathRemedy('--nats-key', 'tls.keyFile') },
  { what: 'a key with a passphrase', server: 'verifying',
    options: { tls: { ...trusting, ...client, keyFile: pki.locked(client) } },
    reason: 'CREDENTIALS_FILE', says: /is encrypted/,
    remedy: pathRemedy('--nats-key', 'tls.keyFile') },
  { what: 'credentials that are not there', server: 'ann', options: { credsFile: none },
    reason: 'CREDENTIALS_FILE', says: /none\.pem does not exist/,
    remedy: pathRemedy('--nats-creds', 'credsFile') },
  { what: 'credentials that are none', server: 'ann',
    options: { credsFile: file('bad.creds', 'not much') }, reason: 'CREDENTIALS_FILE',
    says: /bad\.creds does not hold a JWT and a seed/,
    remedy: pathRemedy('--nats-creds', 'credsFile') },
  { what: 'an nkey that is none', server: 'ann',
    options: { nkeySeedFile: file('bad.nk', 'SUnonsense\n') }, reason: 'CREDENTIALS_FILE',
    says: /bad\.nk does not hold an nkey seed/, remedy: pathRemedy('--nats-nkey', 'nkeySeedFile') },
  { what: 'a JWT that has expired', server: 'operator',
    options: { credsFile: file('late.creds', operator.creds(everything, yesterday)) },
    reason: 'CREDENTIALS_EXPIRED', says: /late\.creds expired on 20|authentication expired/i,
    remedy: ['have not expired', 'have not expired'] },
  { what: 'a JWT of another operator', server: 'operator',
    options: { credsFile: file('other.creds', new JwtOperator().creds(everything)) },
    reason: 'CREDENTIALS_REFUSED', says: /refuses these credentials \(.*other\.creds\)/,
    remedy: ['accounts', 'accounts'] },
  { what: 'an nkey that the server does not know', server: 'ann',
    options: { nkeySeedFile: file('new.nk', Buffer.from(nkeys.createUser().getSeed()).toString()) },
    reason: 'CREDENTIALS_REFUSED', says: /refuses these credentials \(.*new\.nk\)/,
    remedy: ['authorization', 'authorization'] },
  { what: 'the nkey of an account', server: 'ann',
    options: { nkeySeedFile: file('account.nk', account) }, reason: 'CREDENTIALS_FILE',
    says: /account\.nk holds a seed that is not of a user/,
    remedy: pathRemedy('--nats-nkey', 'nkeySeedFile') },
]

function urlOf({ server, host = '127.0.0.1' }: Case): string {
  return typeof server === 'function'
    ? server()
    : `nats://${host}:${fixtures[server].server.port}`
}

async function status(options: NatsOptions): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const code = await runCli(['status', '--json'], {
    stdin: Readable.from([]),
    stdout,
    stderr,
    cwd: pki.directory,
    env: { ...natsEnvironment(options), ENGRAM_NATS_URL: options.servers },
  })
  return { code, out: String(stdout.read() ?? ''), err: String(stderr.read() ?? '') }
}

for (const one of cases) {
  const { what, options, reason, says, remedy: [forCli, forProgram] } = one

  test(`${what}: ${reason}`, async () => {
    const full = await occupied(one)
    try {
      const given = { servers: urlOf(one), ...options }
      const ofBus = await rejection(natsBus(given).connect())
      assert.instance(ofBus, NatsConnectError)
      assert.instance(ofBus, BusConnectError)
      const { fault, retryable, message } = ofBus as NatsConnectError
      assert.is(fault.reason, reason, message)
      assert.is(retryable, connectReasons[reason].retryable)
      assert.match(message, says)
      assert.ok(message.includes(forCli), message)

      // One that is cut off after the handshake waits until then.
      const soon = { ...given, connectTimeoutMs: 300 }
      const ofClient = await rejection(connect(soon)) as ConnectError
      assert.instance(ofClient, ConnectError)
      assert.equal([ofClient.code, ofClient.reason], ['CONNECT', reason], ofClient.message)
      assert.match(ofClient.message, says)
      assert.ok(ofClient.remedy.includes(forProgram), ofClient.remedy)
      assert.ok(ofClient.cause instanceof Error)

      const shown = await status(given)
      assert.equal([shown.code, shown.out], [1, ''], shown.err)
      assert.match(shown.err, says)
      assert.ok(shown.err.includes(forCli), shown.err)
    } finally {
      await full()
    }
  })
}

/** Takes the one connection that the server has to give. */
async function occupied({ server }: Case): Promise<() => Promise<void>> {
  if (server !== 'full') return () => Promise.resolve()
  const connection = await natsBus({ servers: fixtures.full.server.url }).connect()
  return () => connection.close()
}

test('valid settings work: TLS by name and by address, and a client certificate', async () => {
  const { good, verifying, self, plain } = fixtures
  const fine: NatsOptions[] = [
    { servers: `nats://localhost:${good.server.port}`, tls: trusting },
    { servers: `tls://127.0.0.1:${good.server.port}`, tls: trusting },
    { servers: self.server.url, tls: { caFile: certificates.self.certFile } },
    { servers: verifying.server.url, tls: { ...trusting, ...client } },
    { servers: plain.server.url },
    { servers: fixtures.operator.server.url,
      credsFile: file('good.creds', operator.creds(everything)) },
  ]
  for (const options of fine) {
    await (await natsBus(options).connect()).close()
    await (await connect(options)).close()
  }
})

test('a server that was dialled by its address must be certified for that address', async () => {
  const fixture = new NatsFixture()
  const byAddress = pki.signed(authority, 'byAddress', 'IP:127.0.0.1')
  await fixture.start({ config: jetstream + tlsBlock(byAddress) })
  try {
    await (await natsBus({ servers: fixture.server.url, tls: trusting }).connect()).close()
    await (await connect({ servers: fixture.server.url, tls: trusting })).close()
    const byName = { servers: `nats://localhost:${fixture.server.port}`, tls: trusting }
    assert.is((await rejection(connect(byName)) as ConnectError).reason, 'TLS_NAME')
  } finally {
    await fixture.stop()
  }
})

test('credentials that are renewed in their file are taken at the next reconnect', async () => {
  const users = [nkeys.createUser(), nkeys.createUser()] as const
  const seedOf = (user: typeof users[0]) => Buffer.from(user.getSeed()).toString()
  const config = (user: typeof users[0]) =>
    jetstream
    + `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }\n`
  const fixture = new NatsFixture()
  await fixture.start({ config: config(users[0]) })
  const nkeySeedFile = file('renewed.nk', seedOf(users[0]))
  const program = await connect({ servers: fixture.server.url, nkeySeedFile })
  try {
    file('renewed.nk', seedOf(users[1]))
    const back = within(5000, (async () => {
      for await (const { type } of program.connection.status()) if (type === 'reconnect') return
    })(), 'the reconnect')
    writeFileSync(join(fixture.directory, 'nats-server.conf'), config(users[1]))
    fixture.server.kill('SIGHUP')
    await back
  } finally {
    await program.close()
    await fixture.stop()
  }
})

test('tls:// never becomes a connection without TLS, wherever it is in the list', async () => {
  const { url, port } = fixtures.plain.server
  for (const servers of [`tls://127.0.0.1:${port}`, `${url},tls://127.0.0.1:${port}`]) {
    assert.is((await rejection(connect({ servers })) as ConnectError).reason, 'TLS_NOT_OFFERED')
  }
})

test('among several servers the usable one is taken; else the error has a cause', async () => {
  const { ann: withUser, plain } = fixtures
  const mixed = `nats://127.0.0.1:1,${plain.server.url}`
  for (let i = 0; i < 4; i += 1) await (await connect({ servers: mixed })).close()
  const refused = { servers: `nats://127.0.0.1:1,${withUser.server.url}`, user: 'ann' }
  for (let i = 0; i < 4; i += 1) {
    const error = await rejection(connect(refused)) as ConnectError
    assert.is(error.reason, 'CREDENTIALS_REFUSED', error.message)
  }
})

test('a port that listens and does not greet is not taken for NATS', async () => {
  const greetings: [text: string, reason: ConnectReason][] = [
    ['SSH-2.0-OpenSSH_9\r\n', 'NOT_NATS'],
    ['', 'UNREACHABLE'],
    ['INFO {"server_id":"X","max_payload":1}', 'UNREACHABLE'],
  ]
  for (const [text, reason] of greetings) {
    const other = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.write(text)
    })
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const servers = `nats://127.0.0.1:${(other.address() as AddressInfo).port}`
    const error = await rejection(natsBus({ servers, connectTimeoutMs: 150 }).connect())
    assert.is((error as NatsConnectError).fault.reason, reason, error.message)
    if (reason === 'UNREACHABLE') assert.match(error.message, '--nats-tls-first')
    other.close()
  }
})

test('TLS first, as with handshake_first or before a proxy that speaks it', async () => {
  const { good, plain } = fixtures
  assert.is((await rejection(connect({
    servers: good.server.url,
    tls: { ...trusting, handshakeFirst: true },
  })) as ConnectError).reason, 'TLS_NOT_OFFERED')
  const { certFile, keyFile } = certificates.good
  const front = createTlsServer({
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
  }, (socket) => {
    const behind = createConnection(plain.server.port, '127.0.0.1')
    // As such a server greets.
    behind.once('data', (chunk: Buffer) => {
      socket.write(chunk.toString().replace('INFO {', 'INFO {"tls_required":true,'))
      behind.pipe(socket)
    })
    socket.pipe(behind)
    for (const end of [socket, behind]) end.on('error', () => end.destroy())
  })
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  const servers = `nats://127.0.0.1:${(front.address() as AddressInfo).port}`
  const options = { servers, tls: { ...trusting, handshakeFirst: true } }
  await (await natsBus(options).connect()).close()
  await (await connect(options)).close()
  const untrusted = { servers, tls: { handshakeFirst: true } }
  assert.is((await rejection(connect(untrusted)) as ConnectError).reason, 'TLS_UNTRUSTED')
  front.close()
})

test('a server, and an account, without JetStream: the error says what to do', async () => {
  const ofAccount = new NatsFixture()
  await ofAccount.start({
    config: `${jetstream}accounts { A: { users: [ { user: ann, password: secret } ] } }\n`,
  })
  const port = await freePort(0)
  const without = spawn(findNatsServer(), ['-a', '127.0.0.1', '-p', String(port)])
  try {
    const said = await lastLine(without.stderr, /Server is ready/)
    assert.match(said, 'Server is ready')
    const options: NatsOptions[] = [
      { servers: ofAccount.server.url, user: 'ann', password: 'secret' },
      { servers: `nats://127.0.0.1:${port}` },
    ]
    for (const one of options) {
      const connection = await natsBus(one).connect()
      const error = await rejection(jetStreamArbiter({ timeoutMs: 500 })(connection).bucketId())
      assert.instance(error, ArbiterUnavailableError)
      assert.match(error.message, /JetStream.* not enabled.*give the server `jetstream`/)
      await connection.close()
    }
  } finally {
    without.kill('SIGKILL')
    await ofAccount.stop()
  }
})

/** Resolves with what a process has written once it holds that. */
function lastLine(stream: NodeJS.ReadableStream, expected: RegExp): Promise<string> {
  let text = ''
  return within(5000, new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (expected.test(text)) resolve(text)
    })
  }))
}

test.run()
