/** The client as the user `writer` of nats.conf: it may write, and neither read nor listen. */
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { connect } from '../../runtime/client/client.js'
import type { EngramClient } from '../../runtime/client/client.js'
import type { Resent } from '../../runtime/client/guard.js'
import { natsServerConfig, passwordVariable, roles } from '../../runtime/natsServer.js'
import { Responder } from '../support/responder.js'
import { NatsFixture } from './natsFixture.js'

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
    servers: fixture.server.url, user: 'writer', password: 'of writer',
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
  assert.equal(resent.map(({ key, duplicate }) => [key, duplicate]),
    [['a', true], ['b', false], ['c', false]])
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

test.run()
