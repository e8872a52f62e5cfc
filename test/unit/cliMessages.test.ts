/** What the command line says when something is wrong or only in part so: cause and remedy. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runCli } from '../../runtime/cli/program.js'
import { startNatsServer } from '../../runtime/natsServer.js'
import type { NatsServer } from '../../runtime/natsServer.js'
import { Responder } from '../support/responder.js'

const test = suite('cli: messages')
const cwd = mkdtempSync(join(tmpdir(), 'engram-messages-'))
let server: NatsServer
let nats: NatsConnection
let node: Responder

test.before(async () => {
  server = await startNatsServer({ storeDir: join(cwd, 'nats') })
  nats = await natsConnect({ servers: server.url })
})
test.after(async () => {
  await nats.close()
  await server.stop()
  rmSync(cwd, { recursive: true, force: true })
})
test.before.each(async () => {
  node = new Responder(nats).start()
  await nats.flush()
})
test.after.each(() => node.stop())

async function engram(...args: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [out, err]: [string[], string[]] = [[], []]
  stdout.on('data', (chunk) => out.push(String(chunk)))
  stderr.on('data', (chunk) => err.push(String(chunk)))
  const code = await runCli(args, {
    stdin: Readable.from(['']), stdout, stderr, cwd, env: { ENGRAM_NATS_URL: server.url },
  })
  return { code, out: out.join(''), err: err.join('') }
}

test('--all means every space, however many pages they take', async () => {
  const names = ['a', 'b', 'c']
  node.onAdmin = ({ type, space, after }) => {
    if (type !== 'listSpaces') return { ok: true, message: `${space} it is`, changed: true }
    const at = names.findIndex((name) => name === after) + 1
    const isLast = at === names.length - 1
    const goOn = isLast ? {} : { more: true, after: names[at] }
    return { ok: true, spaces: [{ space: names[at] }], ...goOn }
  }
  for (const type of ['pause', 'resume']) {
    const from = node.admins.length
    assert.is((await engram(type, '--all')).code, 0)
    const sent = node.admins.slice(from) as { type: string; space?: string }[]
    assert.equal(sent.filter((order) => order.type === type).map(({ space }) => space), names)
  }
})

test('--all fails for a space whose record cannot be read, and says which', async () => {
  node.onAdmin = ({ type }) => type === 'listSpaces' ? {
    ok: true, spaces: [{ space: 'a' }],
    unreadable: [{ space: 'b', reason: 'the record of b is not valid' }],
  } : { ok: true, message: 'done', changed: true }
  const { code, err } = await engram('pause', '--all')
  assert.is(code, 1)
  assert.match(err, 'the record of b is not valid')
  const json = await engram('pause', '--all', '--json')
  assert.is(json.code, 1)
  assert.equal((JSON.parse(json.out) as { spaces: { space: string; ok: boolean }[] }).spaces
    .map(({ space, ok }) => [space, ok]), [['a', true], ['b', false]])
})

test.run()
