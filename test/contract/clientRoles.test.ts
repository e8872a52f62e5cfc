/**
 * The client as users of nats.conf: as `writer` it may write, and neither read nor listen; and what
 * it says of what it may not do.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { passwordVariable, roles } from '../../runtime/bus/roles.js'
import type { Role } from '../../runtime/bus/roles.js'
import { runCli } from '../../runtime/cli/program.js'
import { connect } from '../../runtime/client/client.js'
import type { EngramClient } from '../../runtime/client/client.js'
import type { ClientOptions } from '../../runtime/client/options.js'
import type { DeniedError } from '../../runtime/client/denials.js'
import type { EngramError } from '../../runtime/client/errors.js'
import type { Resent } from '../../runtime/client/spaceOutbox.js'
import { natsServerConfig } from '../../runtime/cluster/natsServer.js'
import { Responder } from '../support/responder.js'
import { NatsFixture, rejection, within } from './natsFixture.js'

const test = suite('client: the role writer')
const fixture = new NatsFixture()
let nodes: NatsConnection
let primary: Responder
let it: EngramClient
let resent: Resent[]

test.before(async () => {
  await fixture.start({
    config: natsServerConfig({ auth: true, storeDir: fixture.directory }),
    env: Object.fromEntries(roles.map((role) => [passwordVariable(role), `of ${role}`])),
  })
  nodes = await natsConnect({ servers: fixture.server.url, user: 'node', pass: 'of node' })
})
test.after(async () => {
  await nodes.close()
  await fixture.stop()
})
test.before.each(async () => {
  primary = new Responder(nodes).start()
  primary.safe = 0
  await nodes.flush()
  resent = []
  it = await connect({
    servers: fixture.server.url,
    user: 'writer',
    password: 'of writer',
    onResent: (one) => resent.push(one),
  })
})
test.after.each(async () => {
  primary.stop()
  await it.close()
})

const write = (key: string) => it.write('demo', { type: 'StoreNode', node: { id: key } }, { key })

test('idle, it learns by repeating a write that all is safe', async () => {
  await write('a')
  await write('b')
  setTimeout(() => {
    primary.safe = 2
  }, 60)
  await it.flush('demo', { timeoutMs: 5000 })
  assert.equal(primary.log, ['a', 'b'])
  assert.equal(primary.reads, [])
})

test('a failover that it did not hear of: all goes again, in order, before what is newer', async () => {
  await write('a')
  await write('b')
  await write('c')
  primary.failOver(2, 1)
  await write('d')
  assert.equal(primary.log, ['a', 'b', 'c', 'd'])
  assert.equal(resent.map(({ key, duplicate }) => [key, duplicate]), [['a', true], ['b', false], [
    'c',
    false,
  ]])
})

test('idle over a failover: found by the repeated write, which is not taken out of turn', async () => {
  await write('a')
  await write('b')
  // From here on it looks by repeating the latest write.
  const from = primary.received.length
  while (primary.received.length < from + 2) await new Promise((go) => setTimeout(go, 10))
  primary.failOver(2, 0)
  while (resent.length < 2) await new Promise((go) => setTimeout(go, 10))
  assert.equal(primary.log, ['a', 'b'])
})

const roleOf = (role: Role, more: object = {}) => ({ servers: fixture.server.url, user: role,
  password: `of ${role}`, ...more })

async function failureOf(options: ClientOptions, run: (client: EngramClient) => Promise<unknown>) {
  const client = await connect(options)
  try {
    return await within(2000, rejection(run(client))) as EngramError
  } finally {
    await client.close()
  }
}

test('a request beyond the permissions ends at once, with the subject', async () => {
  const hello = { type: 'StoreNode', node: { id: 'n1' } } as const
  const denied: [role: Role, subject: string, run: (client: EngramClient) => Promise<unknown>][] = [
    ['reader', 'engram.v1.write.demo', (client) => client.write('demo', hello)],
    ['writer', 'engram.v1.read.demo',
      (client) => client.read('demo', { type: 'GetNode', nodeId: 'n1' })],
    ['writer', 'engram.v1.read.demo.any',
      (client) => client.read('demo', { type: 'GetNode', nodeId: 'n1' }, { from: 'any' })],
    ['writer', 'engram.v1.status._all', (client) => client.status()],
    ['reader', 'engram.v1.admin.n1', (client) => client.admin({ type: 'drain' }, { node: 'n1' })],
  ]
  for (const [role, subject, run] of denied) {
    const { code, message, retryable, cause } = await failureOf(roleOf(role), run)
    assert.equal([code, retryable], ['FORBIDDEN', false], message)
    assert.match(message, `may not publish to ${subject}`)
    assert.equal([(cause as DeniedError).operation, (cause as DeniedError).subject], ['publish',
      subject])
  }
})

test('a client that may not listen where its answers arrive gets an error at once', async () => {
  const elsewhere = roleOf('operator', { inboxPrefix: '_INBOX_elsewhere' })
  const runs: ((client: EngramClient) => Promise<unknown>)[] = [
    (client) => client.read('demo', { type: 'GetNode', nodeId: 'n1' }),
    (client) => client.status(),
    (client) => client.admin({ type: 'drain' }, { node: 'n1' }),
  ]
  for (const run of runs) {
    const { code, message } = await failureOf(elsewhere, run)
    assert.is(code, 'FORBIDDEN', message)
    assert.match(message, /may not subscribe to _INBOX_elsewhere\./)
  }
  // And so is whoever asks again.
  const second = await failureOf(elsewhere, async (client) => {
    await rejection(runs[0]!(client))
    return await runs[0]!(client)
  })
  assert.is(second.code, 'FORBIDDEN')
})

test('every role may ask whether there is a space; where it may not, that is said', async () => {
  const hello = { type: 'StoreNode', node: { id: 'n1' } } as const
  const query = { type: 'GetNode', nodeId: 'n1' } as const
  const runs = (deadlineMs: number): [Role, (client: EngramClient) => Promise<unknown>][] => [
    ['writer', (client) => client.write('nowhere', hello, { deadlineMs })],
    ['reader', (client) => client.read('nowhere', query, { deadlineMs })],
    ['operator', (client) => client.read('nowhere', query, { deadlineMs })],
  ]
  const unknown = { ok: false, code: 'UNKNOWN_SPACE', message: '', outcome: 'notTaken' }
  nodes.subscribe('engram.v1.lookup.*', {
    callback: (_, message) => {
      message.respond(Buffer.from(JSON.stringify(unknown)))
    },
  })
  await nodes.flush()
  for (const [role, run] of runs(60_000)) {
    assert.is((await failureOf(roleOf(role), run)).code, 'UNKNOWN_SPACE', role)
  }
  const older = new NatsFixture()
  await older.start({
    config: natsServerConfig({ auth: true, storeDir: older.directory })
      .replaceAll(/"engram\.v1\.lookup\.\*",?/g, '"none",'),
    env: Object.fromEntries(roles.map((role) => [passwordVariable(role), `of ${role}`])),
  })
  try {
    for (const [role, run] of runs(300)) {
      const error = await failureOf({ ...roleOf(role), servers: older.server.url }, run)
      assert.is(error.code, 'NO_RESPONDERS')
      assert.match(error.message, 'may not ask which (engram.v1.lookup.nowhere)')
    }
  } finally {
    await older.stop()
  }
})

test('a client that is refused for good says why it does nothing any more', async () => {
  const changing = new NatsFixture()
  const users = (name: string): string =>
    'jetstream { store_dir: $ENGRAM_NATS_STORE }\n'
    + `authorization { users: [ { user: ${name}, password: secret } ] }\n`
  await changing.start({ config: users('ann') })
  try {
    const error = await failureOf(
      { servers: changing.server.url, user: 'ann', password: 'secret' },
      async (client) => {
        writeFileSync(join(changing.directory, 'nats-server.conf'), users('bob'))
        changing.server.kill('SIGHUP')
        await client.connection.closed()
        return await client.read('demo', { type: 'GetNode', nodeId: 'n1' })
      },
    )
    assert.is(error.code, 'CLOSED')
    assert.match(error.message, /closed for good: Authorization Violation/)
  } finally {
    await changing.stop()
  }
})

test('on the command line it comes with what helps', async () => {
  const lines: [args: string[], env: Record<string, string>, says: RegExp, remedy: string][] = [
    [['write', 'demo', '{"type":"StoreNode","node":{"id":"n1"}}'], {},
      /may not publish to engram\.v1\.write\.demo .*\[FORBIDDEN\]/, '--nats-auth'],
    [['status'], { ENGRAM_NATS_INBOX_PREFIX: '_INBOX_x' }, /may not subscribe to _INBOX_x\./,
      '--nats-inbox-prefix (ENGRAM_NATS_INBOX_PREFIX)'],
  ]
  for (const [args, env, says, remedy] of lines) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const code = await within(3000, runCli(args, {
      stdin: Readable.from([]),
      stdout,
      stderr,
      cwd: fixture.directory,
      env: {
        ENGRAM_NATS_URL: fixture.server.url,
        ENGRAM_NATS_USER: 'reader',
        ENGRAM_NATS_PASSWORD: 'of reader',
        ...env,
      },
    }))
    const shown = String(stderr.read() ?? '')
    assert.is(code, 1)
    assert.match(shown, says)
    assert.ok(shown.includes(remedy), shown)
  }
})

test.run()
