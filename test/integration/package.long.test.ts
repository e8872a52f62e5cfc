/** The package, installed into an empty project: it type-checks, and its command and client work. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { Child, processesNaming } from '../support/child.js'
import { cleanEnvironment } from '../support/environment.js'
import { compile, installInto } from '../support/package.js'
import { scenario, suite } from '../support/scenario.js'
import { directory, ready } from '../support/up.js'
import { waitFor } from '../support/wait.js'

const test = suite('integration: the installed package')

const program = `
import { connect, WriteRefusedError } from 'engram-replication/client'
import { createActorHost, reply } from 'engram-replication/host'
import type { Reply, ReplyTo } from 'engram-replication/host'
import { primaryMachine } from 'engram-replication/machines'
import { checkConfig } from 'engram-replication'
import { emit, setup } from 'xstate'

export const entries = [primaryMachine, checkConfig, WriteRefusedError]

const doubler = setup({
  types: {
    events: {} as { type: 'double'; n: number; replyTo?: ReplyTo }, emitted: {} as Reply,
  },
}).createMachine({
  on: { double: { actions: emit(({ event }) => reply(event, { doubled: event.n * 2 })) } },
})
const host = createActorHost({ node: 'typed' })
host.spawn({ id: 'doubler', logic: doubler, input: () => undefined })
const { doubled } = await host.ref('typed', 'doubler')
  .ask<{ readonly doubled: number }>({ type: 'double', n: 21 })
await host.close()

const client = await connect({ servers: process.argv[2] ?? '' })
const { epoch }: { readonly epoch: number } = await client.write('demo',
  { type: 'StoreNode', node: { id: 'n-1', content: 'as a user' } }, { ack: 'committed' })
const { value } = await client.read('demo', { type: 'GetNode', nodeId: 'n-1' })
console.log(JSON.stringify({ epoch, content: value?.content, doubled }))
await client.close()
`

scenario(test, 'it is installed, checked, started, written to and read', async (stage) => {
  const folder = directory(stage)
  installInto(folder)
  writeFileSync(join(folder, 'program.ts'), program)
  compile(folder)
  const child = stage.child(new Child({
    label: 'npx engram up',
    command: 'sh',
    group: true,
    logFile: join(folder, 'up.log'),
    args: ['-c', 'cd "$0" && exec npx --offline engram up --json --data data --http 127.0.0.1:0 '
      + '--nats-port 0', folder],
  }))
  const { nats } = await ready({ child, data: '' })
  const { stdout } = await promisify(execFile)(process.execPath, ['program.js', nats], {
    cwd: folder,
    env: cleanEnvironment(),
  })
  assert.equal(JSON.parse(stdout), { epoch: 1, content: 'as a user', doubled: 42 })
  const { machines } = JSON.parse(
    (await promisify(execFile)('npx', ['--offline', 'engram', 'machines', 'list', '--json'], {
      cwd: folder,
    })).stdout,
  )
  assert.ok(machines.length > 5)
  // As Ctrl-C does; npx does not wait for what it started.
  child.signalGroup('SIGINT')
  await waitFor('the end of all its processes', () => processesNaming(folder).length === 0)
}, 180)

test.run()
