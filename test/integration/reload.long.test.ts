/** A NATS server that loads its users, permissions and limits anew under running nodes. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'nats'
import * as assert from 'uvu/assert'
import { Broker } from '../support/broker.js'
import { Child } from '../support/child.js'
import { cli } from '../support/cli.js'
import { Client } from '../support/client.js'
import { cliFile, removeTemporary, temporaryDirectory } from '../support/environment.js'
import { scenario, suite, type Stage } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const test = suite('integration: a NATS server loads its configuration anew')

const users = (password: string, permissions = ''): string =>
  'authorization { users: ['
  + `{ user: node, password: "${password}" ${permissions} }, `
  + '{ user: client, password: "client" } ] }'

interface Setting {
  readonly nodes: readonly Child[]
  readonly client: Client
  /** Appended to the configuration: replaces what it said before. */
  load(lines: string): Promise<void>
}

async function setUp(stage: Stage): Promise<Setting> {
  const files = temporaryDirectory('reload')
  stage.onEnd(() => removeTemporary(files))
  const included = join(files, 'users.conf')
  writeFileSync(included, users('one'))
  const broker = await Broker.start(join(files, 'broker'), '', [`include "../users.conf"`])
  stage.onEnd(() => broker.kill())
  const nodes = await Promise.all(['n1', 'n2'].map(async (id) => {
    const child = stage.child(new Child({
      label: id,
      command: process.execPath,
      logFile: join(files, `${id}.log`),
      args: [cliFile, 'node', '--id', id, '--nats', broker.url, '--data', join(files, id)],
      env: { ENGRAM_NATS_USER: 'node', ENGRAM_NATS_PASSWORD: 'one' },
    }))
    await child.firstLine((line) => line || undefined)
    return child
  }))
  const url = broker.url.replace('//', '//client:client@')
  await cli(['space', 'create', 'demo', '--replicas', '1'], { env: { ENGRAM_NATS_URL: url } })
  const nc = await connect({
    servers: broker.url,
    user: 'client',
    pass: 'client',
    maxReconnectAttempts: -1,
  })
  stage.onEnd(() => nc.close())
  return {
    nodes,
    client: new Client(nc, 'demo'),
    load: async (lines) => {
      writeFileSync(included, lines)
      process.kill(broker.pid, 'SIGHUP')
    },
  }
}

async function serves({ client, nodes }: Setting): Promise<void> {
  await waitFor('a write to be committed', async () => {
    for (const node of nodes) assert.is(node.exit, null, node.logTail(10))
    const body = { type: 'StoreNode' as const, node: { id: 'x', content: 'y' } }
    const reply = await client.write(body, { ack: 'committed' })
    return reply.ok || notYet(JSON.stringify(reply))
  })
}

/** Loads the lines, waits until every node says so, loads what was before: all goes on. */
async function refusedFor(setting: Setting, lines: string, said: RegExp): Promise<void> {
  const before = setting.nodes.map((node) => node.log().length)
  await setting.load(lines)
  for (const [n, node] of setting.nodes.entries()) {
    await waitFor(`${node.options.label} to say what is refused`, () =>
      said.test(node.log().slice(before[n])))
  }
  await setting.load(users('one'))
  await serves(setting)
}

scenario(test, 'other credentials: nodes dial until theirs are taken again', async (stage) => {
  const setting = await setUp(stage)
  await serves(setting)
  await refusedFor(setting, users('two'), /the server refuses these credentials/)
})

scenario(test, 'a user loses its permissions for a while: subscriptions come back',
  async (stage) => {
    const setting = await setUp(stage)
    await serves(setting)
    const nothing = ', permissions: { publish: "nothing", subscribe: "nothing" }'
    await refusedFor(setting, users('one', nothing),
      /Permissions Violation for Subscription.*engram\.v1\.heartbeat/)
  })

scenario(test, 'lower limits: nodes dial until there is room for them', async (stage) => {
  const setting = await setUp(stage)
  await serves(setting)
  await refusedFor(setting, `${users('one')}\nmax_control_line: 64`, /cannot be used yet/)
})

scenario(test, 'credentials refused at the very first connect end the node', async (stage) => {
  const setting = await setUp(stage)
  const { options } = setting.nodes[0]!
  const args = options.args.map((arg) => arg === 'n1' ? 'n3' : arg.replace(/n1$/, 'n3'))
  const child = stage.child(new Child({
    ...options,
    label: 'n3',
    args,
    logFile: options.logFile.replace(/n1\.log$/, 'n3.log'),
    env: { ENGRAM_NATS_USER: 'node', ENGRAM_NATS_PASSWORD: 'wrong' },
  }))
  assert.is((await child.exited).code, 1)
  assert.match(child.log(), /error: .*the server refuses these credentials/)
})

test.run()
