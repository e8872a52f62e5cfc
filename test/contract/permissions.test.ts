/** Each role of nats.conf can do what it is for and nothing else; and the server we start. */
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BusConnectError, ForbiddenError } from '../../actors/ports/bus.js'
import type { Bus, BusConnection } from '../../actors/ports/bus.js'
import type { Logger } from '../../actors/ports/system.js'
import { jetStreamArbiter } from '../../runtime/arbiter/jetstream.js'
import type { NatsConnectError } from '../../runtime/bus/faults.js'
import { natsBus } from '../../runtime/bus/nats.js'
import { passwordVariable, roles } from '../../runtime/bus/roles.js'
import type { Role } from '../../runtime/bus/roles.js'
import { findNatsServer, freePort, installHint, natsServerConfig, NatsServerError,
  startNatsServer } from '../../runtime/cluster/natsServer.js'
import { nodeInboxPrefix } from '../../runtime/config/natsSettings.js'
import { packageRoot, repositoryFile } from '../../runtime/system/paths.js'
import { NatsFixture, rejection, within } from './natsFixture.js'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Awkward on purpose: unquoted, nats-server would take the first for a number. */
const passwords: Record<Role, string> = {
  node: '12k',
  writer: 'with "quotes" and \\',
  reader: '0x10',
  operator: 'true',
}

const x = suite('nats.conf: roles')
const fixture = new NatsFixture()
const denied: Record<string, string[]> = {}
const open = {} as Record<Role, BusConnection>

function busOf(role: Role, password = passwords[role]): Bus {
  const logger: Logger = {
    debug() {},
    info() {},
    warn() {},
    error: (fields, message) => {
      ;(denied[role] ??= []).push(`${message} ${JSON.stringify(fields)}`)
    },
  }
  const inbox = role === 'node' ? { inboxPrefix: nodeInboxPrefix } : {}
  return natsBus({ servers: fixture.server.url, user: role, password, ...inbox }, logger)
}

x.before(async () => {
  await fixture.start({
    config: natsServerConfig({ auth: true, storeDir: fixture.directory }),
    env: Object.fromEntries(roles.map((role) => [passwordVariable(role), passwords[role]])),
  })
  for (const role of roles) open[role] = await busOf(role).connect()
})
x.after(async () => {
  for (const connection of Object.values(open)) await connection.close()
  await fixture.stop()
})

/** True if the server takes what the role publishes there: tried with a listening node. */
async function mayPublish(role: Role, subject: string): Promise<boolean> {
  const before = denied[role]?.length ?? 0
  open[role].publish(subject, bytes('x'))
  await open[role].flush()
  await new Promise((resolve) => setImmediate(resolve))
  const after = (denied[role] ?? []).slice(before)
  return !after.some((line) => line.includes('publish') && line.includes(`"${subject}"`))
}

async function maySubscribe(role: Role, subject: string): Promise<boolean> {
  const before = denied[role]?.length ?? 0
  const subscription = open[role].subscribe(subject, () => {})
  await open[role].flush()
  await new Promise((resolve) => setImmediate(resolve))
  subscription.unsubscribe()
  return (denied[role]?.length ?? 0) === before
}

const record = '$KV.engram.space.demo'
const get = '$JS.API.STREAM.MSG.GET.KV_engram'

const publishing: Record<string, readonly Role[]> = {
  'engram.v1.write.demo': ['node', 'writer'],
  'engram.v1.read.demo': ['node', 'reader', 'operator'],
  'engram.v1.read.demo.any': ['node', 'reader', 'operator'],
  'engram.v1.lookup.demo': ['node', 'writer', 'reader', 'operator'],
  'engram.v1.wal.demo.n1': ['node'],
  'engram.v1.ack.demo.n1': ['node'],
  'engram.v1.heartbeat.n1': ['node'],
  'engram.v1.survey.demo.n1': ['node'],
  'engram.v1.assignment.demo': ['node'],
  'engram.v1.actor.n1.host': ['node'],
  'engram.v1.pingreq.n1': ['node'],
  'engram.v1.status.n1': ['node', 'operator'],
  'engram.v1.admin.n1': ['node', 'operator'],
  'engram.v1.inspect.n1': ['node'],
  'engram.v1.inspect.n1.payloads': ['node'],
  'engram.v1.inspect.n1.start': ['node', 'operator'],
  'engram.v1.inspect._all.start': ['node', 'operator'],
  [record]: ['node'],
  '$KV.engram.node.n1': ['node'],
  '$KV.engram.space': [],
  '$KV.engram.other.demo': [],
  '$KV.other.x': [],
  [get]: ['node', 'operator'],
  '$JS.API.STREAM.INFO.KV_engram': ['node', 'operator'],
  '$JS.API.STREAM.CREATE.KV_engram': ['node'],
  '$JS.API.STREAM.DELETE.KV_engram': [],
  '$JS.API.STREAM.PURGE.KV_engram': [],
  '$JS.API.STREAM.UPDATE.KV_engram': [],
  '$JS.API.STREAM.CREATE.other': [],
  '$SYS.REQ.SERVER.PING': [],
  '_INBOX.somebody.1': ['node'],
  '_INBOX_node.somebody.1': ['node'],
}

const subscribing: Record<string, readonly Role[]> = {
  '>': [],
  'engram.v1.>': ['node'],
  'engram.v1.write.demo': ['node'],
  'engram.v1.wal.*.n1': ['node'],
  'engram.v1.alert.>': ['node', 'operator'],
  'engram.v1.assignment.demo': ['node', 'operator'],
  'engram.v1.inspect.n1': ['node', 'operator'],
  'engram.v1.inspect.n1.payloads': ['node', 'operator'],
  'engram.v1.heartbeat.*': ['node', 'operator'],
  'engram.v1.read.demo': ['node'],
  '$KV.engram.>': [],
  '$JS.>': [],
  '_INBOX_node.>': ['node'],
}

for (const [subject, allowed] of Object.entries(publishing)) {
  x(`publish ${subject}: ${allowed.join(', ') || 'nobody'}`, async () => {
    const found: Role[] = []
    for (const role of roles) if (await mayPublish(role, subject)) found.push(role)
    assert.equal(found.toSorted(), [...allowed].toSorted())
  })
}
for (const [subject, allowed] of Object.entries(subscribing)) {
  x(`subscribe ${subject}: ${allowed.join(', ') || 'nobody'}`, async () => {
    const found: Role[] = []
    for (const role of roles) if (await maySubscribe(role, subject)) found.push(role)
    assert.equal(found.toSorted(), [...allowed].toSorted())
  })
}

x('nodes arbitrate, and answer requests of the clients', async () => {
  const arbiter = jetStreamArbiter()(open.node)
  await arbiter.bucketId()
  // The wildcard test above has put an unconditional record under this very key.
  const before = (await arbiter.read('space.demo'))?.revision ?? 0
  assert.is((await arbiter.compareAndSet('space.demo', bytes('v'), before)).kind, 'applied')
  assert.equal(await arbiter.keys('space.'), ['space.demo'])
  const asked: [Role, string][] = [
    ['writer', 'engram.v1.write.demo'],
    ['reader', 'engram.v1.read.demo'],
    ['operator', 'engram.v1.admin.n1'],
    ['node', 'engram.v1.survey.demo.n1'],
  ]
  for (const [role, subject] of asked) {
    const subscription = open.node.subscribe(
      subject,
      (message) => open.node.publish(message.reply ?? '', bytes('done')),
    )
    await open.node.flush()
    const answer = await open[role].request(subject, bytes('?'), { timeoutMs: 1000 })
    assert.is(new TextDecoder().decode(answer.data), 'done')
    subscription.unsubscribe()
  }
})

x('the operator reads the bucket and cannot change it', async () => {
  const arbiter = jetStreamArbiter({ timeoutMs: 150 })(open.operator)
  const found = await arbiter.read('space.demo')
  assert.ok(found)
  const outcome = await arbiter.compareAndSet('space.demo', bytes('no'), found?.revision ?? 0)
  assert.match(outcome.kind === 'rejected' ? outcome.reason : outcome.kind, /may not publish to/)
  assert.equal(await jetStreamArbiter()(open.node).read('space.demo'), found)
})

x('no password, a wrong one, and no user at all are refused for good', async () => {
  const none = natsBus({ servers: fixture.server.url })
  const buses: [bus: Bus, says: RegExp][] = [
    [busOf('node', 'wrong'), /refuses these credentials \(user node\)/],
    [busOf('writer', ''), /refuses these credentials \(user writer, without a password\)/],
    [none, /requires credentials, and none are given/],
    [natsBus({ servers: fixture.server.url, token: 'x' }), /refuses these credentials \(a token\)/],
  ]
  for (const [bus, says] of buses) {
    const error = await rejection(bus.connect())
    assert.instance(error, BusConnectError)
    assert.match(error.message, says)
    assert.not((error as BusConnectError).retryable)
  }
})

x('a role that may not listen where its answers arrive gets an error with the remedy', async () => {
  const asClient = natsBus(
    { servers: fixture.server.url, user: 'node', password: passwords.node },
  )
  const deaf = await rejection(asClient.connect()) as NatsConnectError
  assert.equal([deaf.fault.reason, deaf.retryable], ['FORBIDDEN', false])
  assert.match(deaf.message, 'may not subscribe to _INBOX.>')
  assert.match(deaf.message, '--nats-inbox-prefix (ENGRAM_NATS_INBOX_PREFIX)')
})

x('a request that is forbidden ends at once, with its subject', async () => {
  const asked = ['engram.v1.admin.n1', 'engram.v1.admin.n1', 'engram.v1.wal.demo.n1']
  const errors = await within(1000, Promise.all(
    asked.map((subject) =>
      rejection(open.writer.request(subject, bytes('?'), { timeoutMs: 60_000 }))
    ),
  ))
  for (const [n, error] of errors.entries()) {
    assert.instance(error, ForbiddenError)
    assert.is((error as ForbiddenError).subject, asked[n])
  }
  const arbiter = jetStreamArbiter({ timeoutMs: 60_000 })(open.reader)
  const { message } = await within(1000, rejection(arbiter.bucketId()))
  assert.match(message, 'may not publish to $JS.API.STREAM.INFO.KV_engram')
})

x('the passwords are in no file but in the environment', () => {
  const conf = readFileSync(join(fixture.directory, 'nats-server.conf'), 'utf8')
  for (const password of ['with "quotes"', '0x10']) assert.not(conf.includes(password))
})

x.run()

const s = suite('nats-server as a child')

s('without auth everybody may do everything, under any name', async () => {
  const plain = new NatsFixture()
  try {
    const { url } = await plain.start()
    for (const user of [{}, { user: 'node', password: 'any' }, { user: 'nobody' }]) {
      const connection = await natsBus({ servers: url, ...user }).connect()
      const arbiter = jetStreamArbiter()(connection)
      assert.ok(await arbiter.bucketId())
      await connection.close()
    }
  } finally {
    await plain.stop()
  }
})

const onlyUser = (name: string): string =>
  'jetstream { store_dir: $ENGRAM_NATS_STORE }\n'
  + `authorization { users: [ { user: ${name}, password: secret } ] }\n`

s('a user that is removed while connected is cut off', async () => {
  const changing = new NatsFixture()
  try {
    const { url } = await changing.start({ config: onlyUser('ann') })
    const bus = natsBus({ servers: url, user: 'ann', password: 'secret' })
    const connection = await bus.connect()
    writeFileSync(join(changing.directory, 'nats-server.conf'), onlyUser('bob'))
    changing.server.kill('SIGHUP')
    // nats-server 2.9 closes without a word; only the next connection learns why.
    assert.ok((await within(3000, connection.closed)).length > 0)
    assert.match((await rejection(bus.connect())).message, /refuses these credentials/)
  } finally {
    await changing.stop()
  }
})

s('a busy port is stepped over', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  assert.ok(await freePort(port) > port)
  await new Promise((resolve) => other.close(resolve))
})

s('a wrong configuration is reported in the words of the server', async () => {
  const broken = new NatsFixture()
  const error = await rejection(broken.start({ config: 'jetstream { nonsense: 1 }' }))
  assert.instance(error, NatsServerError)
  await broken.stop()
  assert.match(error.message, /ended with code 1[\s\S]*nonsense/)
})

s('a server that is not installed is reported with the command that installs it', () => {
  assert.match(findNatsServer(), /nats-server$/)
  assert.is(findNatsServer({ ENGRAM_NATS_SERVER: '/opt/x' }), '/opt/x')
  assert.match(installHint('darwin', ''), /brew install nats-server/)
  assert.match(installHint('linux', 'ID=debian\n'), /apt-get install -y nats-server/)
  assert.match(installHint('linux', 'ID=linuxmint\nID_LIKE="ubuntu debian"\n'), /apt-get/)
  assert.match(installHint('linux', 'ID=alpine\n'), /releases page/)
  assert.match(installHint('win32', ''), /releases page/)
})

s('a server that ends by itself, and one that is paused, are stopped', async () => {
  const paused = new NatsFixture()
  const server = await paused.start()
  server.kill('SIGSTOP')
  await within(4000, paused.stop())
  assert.match(await server.exited, /nats-server ended/)
  await server.stop()
  server.kill('SIGTERM')
})

const modules = new URL('../../runtime/cluster/natsServer.js', import.meta.url).href

/** Runs a parent that starts a server and then ends in the way asked for. */
async function orphan(how: string): Promise<void> {
  const fixtureOf = new NatsFixture()
  const script = `
    import { startNatsServer } from ${JSON.stringify(modules)}
    const server = await startNatsServer({ storeDir: ${JSON.stringify(fixtureOf.directory)} })
    console.log(server.pid)
    ${how}`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const pid = await within(10_000,
    new Promise<number>((resolve) =>
      parent.stdout.once('data', (data: Buffer) => resolve(Number(data.toString())))
    ))
  assert.ok(pid > 0)
  for (const end = Date.now() + 4000; alive(pid);) {
    if (Date.now() > end) {
      process.kill(pid, 'SIGKILL')
      throw new Error('nats-server outlived its parent')
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await fixtureOf.stop()
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // A zombie that nobody reaps yet is as good as gone.
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

s('it dies with its parent: exit', () => orphan('process.exit(3)'))
s('it dies with its parent: uncaught exception', () => orphan('throw new Error("as planned")'))
s('it dies with its parent: SIGKILL', () => orphan('process.kill(process.pid, "SIGKILL")'))
s('it dies with its parent: SIGKILL while paused itself',
  () => orphan('server.kill("SIGSTOP"); process.kill(process.pid, "SIGKILL")'))

s('files of the repository are found from the compiled code', () => {
  assert.match(readFileSync(repositoryFile('nats.conf'), 'utf8'), /ENGRAM_NODE_PASSWORD/)
  assert.throws(() => repositoryFile('no-such-file.conf'), /not found/)
  assert.ok(packageRoot('/') === null)
  assert.type(startNatsServer, 'function')
})

s.run()
