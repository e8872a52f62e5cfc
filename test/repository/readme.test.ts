/** Programs in README.md and docs/ do what they say, and end. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startNatsServer } from '../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../runtime/cluster/natsServer.js'
import { blockOf } from '../support/documents.js'
import { root } from '../support/environment.js'
import { Responder } from '../support/responder.js'

const test = suite('programs in documents')
const storeDir = mkdtempSync(join(tmpdir(), 'engram-readme-'))
let server: NatsServer
let nats: NatsConnection
let primary: Responder

test.before(async () => {
  server = await startNatsServer({ storeDir })
  nats = await natsConnect({ servers: server.url })
  primary = new Responder(nats).start()
  await nats.flush()
})
test.after(async () => {
  await nats.close()
  await server.stop()
  rmSync(storeDir, { recursive: true, force: true })
})

/** The block of code that begins so, with the address of this test's server. */
function program(begin: string, document = 'README.md'): string {
  return blockOf(document, begin).replaceAll('nats://127.0.0.1:4222', server.url)
}

/** Ends by itself within ten seconds, or fails. */
async function run(text: string): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], { cwd: root })
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  const [out, err]: [string[], string[]] = [[], []]
  child.stdout.on('data', (chunk) => out.push(String(chunk)))
  child.stderr.on('data', (chunk) => err.push(String(chunk)))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  return { code, out: out.join(''), err: err.join('') }
}

test('a write with the plain nats package', async () => {
  const { code, out, err } = await run(program(`import { connect, headers } from 'nats'`))
  assert.is(code, 0, `it does not end by itself: ${err}`)
  assert.match(out, /ok: true/)
  assert.is(primary.received.at(-1)?.key, 'my-key-1')
})

for (const document of ['README.md', 'docs/client.md']) {
  test(`a write and a read with the TypeScript client, in ${document}`, async () => {
    const { code, err } = await run(
      program(`import { connect } from 'engram-replication'`, document),
    )
    assert.is(code, 0, `it does not end by itself: ${err}`)
    assert.equal(primary.reads.at(-1)?.query, { type: 'GetNode', nodeId: 'n1' })
  })
}

test('docs/client.md: a client that keeps its writes, and resends what a failover left behind', async () => {
  const text = program('const engram = await connect({', 'docs/client.md')
  primary.safe = 0
  primary.script = () => {
    // Once it is answered, there is a new primary that lacks it.
    if (primary.epoch === 1) {
      setImmediate(() => {
        primary.failOver(2, 0)
        primary.safe = null
        primary.announce(2)
      })
    }
    return null
  }
  const { code, out, err } = await run(`import { connect } from 'engram-replication'\n${text}`)
  primary.script = () => null
  assert.is(code, 0, err)
  assert.match(out, /: 1\/\d+ is 2\/\d+ now/)
})

test('docs/forks.md: the merge rule decides alike, whichever write comes first', async () => {
  const source = blockOf('docs/forks.md', '/** The longer content stays.')
  const { default: rule } = await import(`data:text/javascript,${encodeURIComponent(source)}`) as {
    default: (standing: object, incoming: object) => string
  }
  const contender = (content: string, sequence: number) => ({
    operation: { type: 'StoreNode', node: { id: 'a', content } },
    timestamp: 5,
    origin: { epoch: 1, sequence },
  })
  const [long, short, later] = [contender('longer', 1), contender('short', 2),
    contender('short', 3)]
  assert.equal([rule(long, short), rule(short, long)], ['standing', 'incoming'])
  assert.equal([rule(short, later), rule(later, short)], ['incoming', 'standing'])
})

test.run()
