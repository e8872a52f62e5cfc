/** engram inspect and engram events: usage, and what they say when nobody is there. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { connect as natsConnect } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runCli } from '../../runtime/cli/program.js'
import { Inspector } from '../../runtime/inspect/inspector.js'
import type { Told } from '../../runtime/inspect/story.js'
import { startNatsServer } from '../../runtime/natsServer.js'
import type { NatsServer } from '../../runtime/natsServer.js'
import { Responder } from '../support/responder.js'
import { waitFor } from '../support/wait.js'

const test = suite('inspect and events on the command line')
const cwd = mkdtempSync(join(tmpdir(), 'engram-inspect-'))
let server: NatsServer

test.before(async () => {
  server = await startNatsServer({ storeDir: join(cwd, 'nats') })
})
test.after(async () => {
  await server.stop()
  rmSync(cwd, { recursive: true, force: true })
})

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

test('wrong usage exits 2, and says what is right', async () => {
  const wrong: [args: string[], says: RegExp][] = [
    [['inspect', '--node', 'a.b'], /--node: a name is/],
    [['inspect', '--port', '99999'], /from 0 to 65535/],
    [['inspect', '--inspector', 'javascript:1'], /is no URL/],
    [['events', 'a b'], /the space: a name is/],
  ]
  for (const [args, says] of wrong) {
    const { code, out, err } = await engram(...args)
    assert.is(code, 2, args.join(' '))
    assert.is(out, '')
    assert.match(err, says)
  }
})

test('a port in use is told, with what to do', async () => {
  const busy = createServer()
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve))
  const { port } = busy.address() as AddressInfo
  const { code, err } = await engram('inspect', '--port', String(port))
  assert.is(code, 1)
  assert.match(err, new RegExp(`${port} is in use`))
  assert.match(err, /--port 0/)
  busy.close()
})

test('an inspector says so once when no node answers, and goes on asking', async () => {
  const nats = await natsConnect({ servers: server.url })
  const faults: string[] = []
  const inspector = new Inspector({
    connection: nats, inboxPrefix: '_INBOX', leaseMs: 60, node: 'n7', onEnvelope: () => {},
    onFault: (message) => faults.push(message),
  })
  let asked = 0
  await inspector.start()
  await waitFor('the fault', () => faults.length > 0)
  nats.subscribe('engram.v1.inspect.n7.start', { callback: () => { asked += 1 } })
  await waitFor('further questions', () => asked > 2)
  assert.equal(faults, ['n7 does not answer yet: it is asked again until it does'])
  inspector.stop()
  await nats.close()
})

test('without a node, events says so; with one it tells how things stand', async () => {
  const none = await engram('events')
  assert.is(none.code, 1)
  assert.match(none.err, /no Engram node answers/)
  const nats = await natsConnect({ servers: server.url })
  const responder = new Responder(nats).start()
  await nats.flush()
  const some = await engram('events', '--json')
  assert.is(some.code, 0)
  const lines = some.out.trim().split('\n').map((line) => JSON.parse(line) as Told)
  assert.ok(lines.every(({ kind, at }) => kind === 'situation' && !Number.isNaN(Date.parse(at))))
  assert.ok(lines.some(({ space }) => space === 'demo'))
  responder.stop()
  await nats.close()
})

test.run()
