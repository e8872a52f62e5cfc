/** Programs in README.md do what it says, and end. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startNatsServer } from '../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../runtime/cluster/natsServer.js'
import { repositoryFile } from '../../runtime/system/paths.js'
import { root } from '../support/environment.js'
import { Responder } from '../support/responder.js'

const test = suite('README.md')
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
function program(begin: string): string {
  const readme = readFileSync(repositoryFile('README.md'), 'utf8')
  const blocks = [...readme.matchAll(/^```(?:js|ts)\n([\s\S]*?)^```/gm)].map(([, text = '']) => text)
  const found = blocks.find((text) => text.startsWith(begin))
  if (!found) throw new Error(`README.md has no program that begins with ${begin}`)
  return found.replaceAll('nats://127.0.0.1:4222', server.url)
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

test('a write and a read with the TypeScript client', async () => {
  const { code, err } = await run(program(`import { connect } from 'engram-replication'`))
  assert.is(code, 0, `it does not end by itself: ${err}`)
  assert.equal(primary.reads.at(-1)?.query, { type: 'GetNode', nodeId: 'n1' })
})

test.run()
