import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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
import { DataInUseError, readUpRecord, releaseData, takeData } from '../../runtime/upRecord.js'
import { Responder } from '../support/responder.js'

const cli = suite('cli')
const cwd = mkdtempSync(join(tmpdir(), 'engram-cli-'))
let server: NatsServer
let nats: NatsConnection
let primary: Responder

cli.before(async () => {
  server = await startNatsServer({ storeDir: join(cwd, 'nats') })
  nats = await natsConnect({ servers: server.url })
})
cli.after(async () => {
  await nats.close()
  await server.stop()
  rmSync(cwd, { recursive: true, force: true })
})
cli.before.each(async () => {
  primary = new Responder(nats).start()
  await nats.flush()
})
cli.after.each(() => primary.stop())

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs a command line against the test's NATS server, unless the environment is given. */
async function engram(
  args: readonly string[], given: { env?: Record<string, string>; stdin?: string } = {},
): Promise<Ran> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [out, err]: [string[], string[]] = [[], []]
  stdout.on('data', (chunk) => out.push(String(chunk)))
  stderr.on('data', (chunk) => err.push(String(chunk)))
  const code = await runCli(args, {
    stdin: Readable.from([given.stdin ?? '']), stdout, stderr, cwd,
    env: given.env ?? { ENGRAM_NATS_URL: server.url },
  })
  return { code, out: out.join(''), err: err.join('') }
}

const hello = '{"type":"StoreNode","node":{"id":"n1","content":"hello"}}'

cli('wrong usage exits 2, says what is wrong on stderr, and nothing on stdout', async () => {
  const wrong: [args: string[], says: string][] = [
    [['wriet', 'demo'], 'Did you mean write?'],
    [['write'], "missing required argument 'space'"],
    [['write', 'demo'], 'nothing to write'],
    [['write', 'demo', '{'], 'not valid JSON'],
    [['write', 'de.mo', hello], 'cannot name a space'],
    [['write', 'demo', hello, '--ack', 'all'], 'memory, durable, committed'],
    [['write', 'demo', hello, '--file', 'x'], 'both'],
    [['read', 'demo', 'get'], 'needs the id'],
    [['read', 'demo', 'nodes'], 'Read get, edges, list, entries or history'],
    [['status', '--jsn'], '--json'],
    [['up', '--replicas', '3'], '--nodes 4'],
    [['up', '--nodes', 'many'], 'whole number'],
    [['up', '--http', '7432'], 'HOST:PORT'],
    [['node', '--data', 'x'], '--id n1'],
    [['node', '--id', '_all', '--data', 'x'], 'does not begin with _'],
    [['node', '--id', 'n1', '--data', 'x', '--set', 'grantMs=500'], 'at least 10 x heartbeatMs'],
    [['space', 'create', 'demo', '--replicas', '1', '--min-in-sync', '3'], 'can never hold'],
    [['promote', 'demo', '--force'], '--to NODE'],
    [['journal', 'verify', join(cwd, 'none')], 'there is no'],
    [['status', '--nats', 'nats://u:pw@127.0.0.1'], 'ENGRAM_NATS_PASSWORD'],
  ]
  for (const [args, says] of wrong) {
    const { code, out, err } = await engram(args)
    assert.is(code, 2, `${args.join(' ')}: ${err}`)
    assert.is(out, '', args.join(' '))
    assert.ok(err.includes(says), `${args.join(' ')}: ${err}`)
  }
})

cli('help is no error, and shows every command', async () => {
  const { code, out } = await engram(['--help'])
  assert.is(code, 0)
  for (const name of ['up', 'node', 'space', 'write', 'read', 'status', 'promote', 'drain',
    'journal', 'salvage']) {
    assert.match(out, new RegExp(`^ {2}${name} `, 'm'))
    assert.is((await engram([name, '--help'])).code, 0)
  }
  assert.match((await engram(['--version'])).out, /^\d+\.\d+\.\d+\n$/)
})

cli('write prints the answer; with --json as it came', async () => {
  const { code, out } = await engram(['write', 'demo', hello, '--json', '--key', 'k1'])
  assert.is(code, 0)
  assert.equal(JSON.parse(out), primary.taken.get('k1'))
  const again = await engram(['write', 'demo', hello, '--key', 'k1'])
  assert.match(again.out, /^already written: demo sequence 1, epoch 1, durable at n1 \(safe\)\n$/)
})

cli('write reads lines from a file and from stdin', async () => {
  const lines = Array.from({ length: 500 }, (_, i) => hello.replace('n1', `n${i}`))
  const path = join(cwd, 'ops.ndjson')
  writeFileSync(path, `${lines.join('\n')}\n\n{"operations":[${hello},${hello}]}\n`)
  const { code, out } = await engram(['write', 'demo', '--file', path, '--key', 'load', '--json'])
  assert.is(code, 0)
  const { ok, operations, written, firstSequence, lastSequence } = JSON.parse(out) as
    Record<string, unknown>
  assert.equal([ok, operations, written, firstSequence, lastSequence], [true, 502, 501, 1, 502])
  assert.ok(primary.taken.has('load-1') && primary.taken.has('load-502'))
  const piped = await engram(['write', 'demo', '-'], { stdin: `${lines.slice(0, 3).join('\n')}\n` })
  assert.match(piped.out, '3 operations written')
})

cli('a line that fails is named, and ends the command with 1', async () => {
  const stdin = `${hello}\nnonsense\n${hello}\n`
  const stopped = await engram(['write', 'demo', '-'], { stdin })
  assert.is(stopped.code, 1)
  assert.match(stopped.err, 'line 2: not valid JSON')
  const before = primary.sequence
  const kept = await engram(['write', 'demo', '-', '--keep-going', '--json'], { stdin })
  assert.is(kept.code, 1)
  assert.is(primary.sequence, before + 2)
  assert.equal((JSON.parse(kept.out) as { refused: number }).refused, 1)
})

cli('read gets, and exits 1 for what is not there', async () => {
  await engram(['write', 'demo', hello])
  const { code, out } = await engram(['read', 'demo', 'get', 'n1'])
  assert.is(code, 0)
  assert.equal(JSON.parse(out), { id: 'n1', content: 'hello' })
  const none = await engram(['read', 'demo', 'get', 'n9'])
  assert.equal([none.code, none.out], [1, ''])
  const any = await engram(['read', 'demo', 'get', 'n1', '--any', '--json'])
  assert.is((JSON.parse(any.out) as { role: string }).role, 'replica')
})

function has(value: object | undefined, names: string): void {
  for (const name of names.split(' ')) assert.ok(value && name in value, name)
}

cli('read goes from page to page, and says how to go on where a limit ends it', async () => {
  const ids = ["it's", 'n2', 'n3', 'n4', 'n5']
  primary.onRead = () => {
    const { after = '', limit = 100 } = primary.reads.at(-1)!.query as
      { after?: string; limit?: number }
    const later = ids.filter((id) => id > after)
    const some = later.slice(0, Math.min(2, limit))
    return {
      ok: true, value: some.map((id) => ({ id })), sequence: primary.reads.length, epoch: 1,
      node: 'n1', role: 'primary', stalenessMs: 0,
      ...(later.length > some.length && { more: true, after: some.at(-1) }),
    }
  }
  const all = await engram(['read', 'demo', 'list', '--json'])
  const answer = JSON.parse(all.out) as { value: { id: string }[]; more?: true; sequence: number }
  assert.equal(answer.value.map(({ id }) => id), ids)
  assert.equal([answer.more, answer.sequence, primary.reads.length], [undefined, 3, 3])
  const some = await engram(['read', 'demo', 'list', '--limit', '3'])
  assert.equal([some.code, some.out.split('\n').length - 1], [0, 4])
  assert.match(some.err, 'there are more: --after n3')
  const first = await engram(['read', 'demo', 'list', '--limit', '1'])
  assert.match(first.err, `there are more: --after 'it'\\''s'`)
})

cli('status has the fields of the contract, and a table for people', async () => {
  const { out } = await engram(['status', '--json'])
  const { nodes, spaces } = JSON.parse(out) as {
    nodes: Record<string, unknown>[]
    spaces: (Record<string, unknown> & { members: Record<string, unknown>[] })[]
  }
  has(nodes[0], 'id state pid incarnation natsServer http data')
  has(spaces[0], 'id epoch primary inSync commitSequence safeSequence lossWindow members')
  has(spaces[0]?.members[0],
    'node role state epoch durableSequence appliedSequence lagBytes lagMs digest')
  const shown = await engram(['status'])
  assert.match(shown.out, 'SPACE demo   epoch 1   primary n1   in sync n1 (1 of 2, fewer than')
  assert.match(shown.out, /n2 +dead/)
})

cli('administration: requests as sent, errors with a remedy', async () => {
  await engram(['space', 'create', 'demo', '--replicas', '1', '--json'])
  assert.equal(primary.admins[0],
    { type: 'createSpace', space: 'demo', replicas: 1, ack: 'durable', minInSync: 2 })
  const { code, out, err } = await engram(['promote', 'nope', '--json'])
  assert.equal([code, out], [1, ''])
  assert.match(err, 'UNKNOWN_SPACE')
  assert.match(err, 'engram space list')
  const drained = await engram(['drain', 'n7'])
  assert.is(drained.code, 1)
  assert.match(drained.err, 'n7 does not run')
})

cli('without a server the remedy says how to get one', async () => {
  const { code, out, err } = await engram(['status', '--json'],
    { env: { ENGRAM_NATS_URL: 'nats://127.0.0.1:1' } })
  assert.equal([code, out], [1, ''])
  assert.match(err, 'engram up')
})

cli('a space without a primary: unknown outcome, with the key to find out', async () => {
  const { code, err } = await engram(['write', 'other', hello, '--deadline', '200ms'])
  assert.is(code, 1)
  assert.match(err, 'NO_RESPONDERS')
  assert.match(err, '--key ')
})

cli('all options are listed with their meaning', async () => {
  const { code, out } = await engram(['node', '--help-config', '--json'])
  assert.is(code, 0)
  assert.is((JSON.parse(out) as { options: { grantMs: { default: number } } })
    .options.grantMs.default, 2000)
  assert.match((await engram(['node', '--help-config'])).out, 'ENGRAM_HEARTBEAT_MS')
})

cli('a data directory has one engram up; one that died holds nothing', () => {
  const data = join(cwd, 'data')
  takeData(data)
  assert.throws(() => takeData(data), (error: unknown) => error instanceof DataInUseError)
  releaseData(data)
  assert.is(readUpRecord(data), null)
  writeFileSync(join(data, 'up.json'), JSON.stringify({ pid: process.pid, started: '1' }))
  takeData(data)
  assert.is(readUpRecord(data)?.pid, process.pid)
  releaseData(data)
})

cli.run()
