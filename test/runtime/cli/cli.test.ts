import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DataInUseError, readUpRecord, releaseData,
  takeData } from '../../../runtime/cluster/clusterFile.js'
import { runHere } from '../../support/cli.js'
import { cliFile } from '../../support/environment.js'
import { Responder } from '../../support/responder.js'
import { ResponderKit } from '../../support/responderKit.js'

const cli = suite('cli')
const kit = new ResponderKit(cli)

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs a command line against the test's NATS server, unless the environment is given. */
async function engram(
  args: readonly string[],
  given: { env?: Record<string, string>; stdin?: string | Buffer } = {},
): Promise<Ran> {
  const { env = kit.surroundings.env, stdin: input = '' } = given
  return await runHere(args, { cwd: kit.cwd, env, input })
}

const hello = '{"type":"StoreNode","node":{"id":"n1","content":"hello"}}'

cli('wrong usage exits 2, says what is wrong on stderr, and nothing on stdout', async () => {
  const wrong: [args: string[], says: string][] = [
    [['wriet', 'demo'], 'Did you mean write?'],
    [['write'], 'missing required argument \'space\''],
    [['write', 'demo'], 'nothing to write'],
    [['write', 'demo', '{'], 'not valid JSON'],
    [['write', 'de.mo', hello], 'invalid space name'],
    [['write', 'demo', hello, '--ack', 'all'], 'memory, durable, committed'],
    [['write', 'demo', hello, '--file', 'x'], 'both'],
    [['read', 'demo', 'get'], 'needs the id'],
    [['read', 'demo', 'nodes'], 'Use get, edges, list, entries or history'],
    [['status', '--jsn'], '--json'],
    [['up', '--replicas', '3'], '--nodes 4'],
    [['up', '--nodes', 'many'], 'whole number'],
    [['up', '--http', '7432'], 'HOST:PORT'],
    [['node', '--data', 'x'], '--id n1'],
    [['node', '--id', '_all', '--data', 'x'], 'does not begin with _'],
    [['node', '--id', 'n1', '--data', 'x', '--set', 'grantMs=500'], 'at least 10 x heartbeatMs'],
    [['space', 'create', 'demo', '--replicas', '1', '--min-in-sync', '3'], 'can never be met'],
    [['promote', 'demo', '--force'], '--to NODE'],
    [['pause'], 'pause needs a space or --all'],
    [['resume', 'demo', '--all'], 'resume needs a space or --all'],
    [['journal', 'verify', join(kit.cwd, 'none')], 'does not exist'],
    [['status', '--nats', 'nats://u:pw@127.0.0.1'], 'ENGRAM_NATS_PASSWORD'],
    [['status', '--nats-password', 'pw'], '--nats-password-file FILE'],
    [['status', '--nats-token', 'pw'], 'ENGRAM_NATS_TOKEN'],
    [['status', '--nats-creds', 'a', '--nats-nkey', 'b'], 'two ways to authenticate'],
  ]
  for (const [args, says] of wrong) {
    const { code, out, err } = await engram(args)
    assert.is(code, 2, `${args.join(' ')}: ${err}`)
    assert.is(out, '', args.join(' '))
    assert.not.ok(args.includes('pw') && err.includes('pw'), 'a secret is not repeated')
    assert.ok(err.includes(says), `${args.join(' ')}: ${err}`)
  }
})

cli('help is no error, and shows every command', async () => {
  const { code, out } = await engram(['--help'])
  assert.is(code, 0)
  for (const name of ['up', 'node', 'space', 'write', 'read', 'status', 'promote', 'drain',
    'undrain', 'pause', 'resume', 'journal', 'salvage', 'checkpoint'])
  {
    assert.match(out, new RegExp(`^ {2}${name} `, 'm'))
    assert.is((await engram([name, '--help'])).code, 0)
  }
  assert.match((await engram(['--version'])).out, /^\d+\.\d+\.\d+\n$/)
})

cli('write prints the answer; with --json as it came', async () => {
  const { code, out } = await engram(['write', 'demo', hello, '--json', '--key', 'k1'])
  assert.is(code, 0)
  assert.equal(JSON.parse(out), kit.node.taken.get('k1'))
  const again = await engram(['write', 'demo', hello, '--key', 'k1'])
  assert.match(again.out, /^already written: demo sequence 1, epoch 1, durable at n1 \(safe\)\n$/)
})

cli('write reads lines from a file and from stdin', async () => {
  const lines = Array.from({ length: 500 }, (_, i) => hello.replace('n1', `n${i}`))
  const path = join(kit.cwd, 'ops.ndjson')
  writeFileSync(path, `${lines.join('\n')}\n\n{"operations":[${hello},${hello}]}\n`)
  const { code, out } = await engram(['write', 'demo', '--file', path, '--key', 'load', '--json'])
  assert.is(code, 0)
  const { ok, operations, written, firstSequence, lastSequence } = JSON.parse(out) as Record<string,
    unknown>
  assert.equal([ok, operations, written, firstSequence, lastSequence], [true, 502, 501, 1, 502])
  assert.ok(kit.node.taken.has('load-1') && kit.node.taken.has('load-502'))
  const piped = await engram(['write', 'demo', '-'], { stdin: `${lines.slice(0, 3).join('\n')}\n` })
  assert.match(piped.out, '3 operations written')
})

cli('a line that fails is named, and ends the command with 1', async () => {
  const stdin = `${hello}\nnonsense\n${hello}\n`
  const stopped = await engram(['write', 'demo', '-'], { stdin })
  assert.is(stopped.code, 1)
  assert.match(stopped.err, 'line 2: not valid JSON')
  const before = kit.node.sequence
  const kept = await engram(['write', 'demo', '-', '--keep-going', '--json'], { stdin })
  assert.is(kept.code, 1)
  assert.is(kit.node.sequence, before + 2)
  assert.equal((JSON.parse(kept.out) as { refused: number }).refused, 1)
})

const sent = (index: number) =>
  (kit.node.received[index]!.body as { node: { content?: string } }).node

cli('lines end at LF and nowhere else; a byte order mark and CR are no part of them', async () => {
  const content = 'one\u2028two\u2029three\u0085four\u000bfive'
  const odd = JSON.stringify({ type: 'StoreNode', node: { id: 'a', content } })
  const path = join(kit.cwd, 'odd.ndjson')
  writeFileSync(path, `\ufeff${odd}\r\n\n${odd}\r\n\ufeff${odd}`)
  for (const [args, stdin] of [[['--file', path], ''], [['-'], readFileSync(path)]] as const) {
    kit.node.received.length = 0
    const { code, out, err } = await engram(['write', 'demo', ...args, '--json'], { stdin })
    assert.is(code, 0, err)
    const { lines, written } = JSON.parse(out) as { lines: number; written: number }
    assert.equal([lines, written], [4, 3])
    for (const index of [0, 1, 2]) assert.is(sent(index).content, content)
  }
})

cli('what would not be stored as the file has it is refused, with its line', async () => {
  const part = (text: string) => Buffer.from(text)
  const bad: [line: Buffer, says: RegExp][] = [
    [
      Buffer.concat([part('{"type":"StoreNode","node":{"id":"u","content":"'),
        Buffer.from([0xc3, 0x28, 0xff]), part('"}}')]),
      /line 2: not UTF-8 from byte 49 on/,
    ],
    [Buffer.concat([part(hello), Buffer.from([0xe2, 0x82])]), /line 2: not UTF-8/],
    [part('{"type":"StoreNode","node":{"id":"n","metadata":{"at":9007199254740993}}}'),
      /line 2: node\.metadata\.at must not be an integer beyond 2\^53/],
    [part(`{"type":"StoreNode","node":{"id":"n","content":"${'x'.repeat(1024 * 1024)}"}}`),
      /line 2: longer than 1048576 bytes/],
  ]
  for (const [line, says] of bad) {
    kit.node.received.length = 0
    const stdin = Buffer.concat([part(`${hello}\n`), line, part(`\n${hello}\n`)])
    const { code, err } = await engram(['write', 'demo', '-', '--keep-going'], { stdin })
    assert.is(code, 1)
    assert.match(err, says)
    assert.is(kit.node.received.length, 2)
  }
  const one = await engram(['write', 'demo', bad[2]![0].toString()])
  assert.is(one.code, 2)
  assert.match(one.err, 'node.metadata.at must not be an integer')
})

cli('an argument that is not UTF-8 is refused where that can be detected', () => {
  if (process.platform !== 'linux') return
  // A shell hands bytes on; Node's spawn would write them as UTF-8.
  const argument = '{"type":"StoreNode","node":{"id":"n","content":"\\303\\050"}}'
  const { status, stderr } = spawnSync('sh', ['-c',
    `exec "$0" "$1" write demo "$(printf '${argument}')"`, process.execPath, cliFile], {
    encoding: 'utf8',
  })
  assert.is(status, 2, stderr)
  assert.match(stderr, 'the argument is not UTF-8')
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
  const ids = ['it\'s', 'n2', 'n3', 'n4', 'n5']
  kit.node.onRead = () => {
    const { after = '', limit = 100 } = kit.node.reads.at(-1)!.query as { after?: string;
      limit?: number }
    const later = ids.filter((id) => id > after)
    const some = later.slice(0, Math.min(2, limit))
    return {
      ok: true,
      value: some.map((id) => ({ id })),
      sequence: kit.node.reads.length,
      epoch: 1,
      node: 'n1',
      role: 'primary',
      stalenessMs: 0,
      ...(later.length > some.length && { more: true, after: some.at(-1) }),
    }
  }
  const all = await engram(['read', 'demo', 'list', '--json'])
  const answer = JSON.parse(all.out) as { value: { id: string }[]; more?: true; sequence: number }
  assert.equal(answer.value.map(({ id }) => id), ids)
  assert.equal([answer.more, answer.sequence, kit.node.reads.length], [undefined, 3, 3])
  const some = await engram(['read', 'demo', 'list', '--limit', '3'])
  assert.equal([some.code, some.out.split('\n').length - 1], [0, 4])
  assert.match(some.err, 'more items exist; continue with --after n3')
  const first = await engram(['read', 'demo', 'list', '--limit', '1'])
  assert.match(first.err, `more items exist; continue with --after 'it'\\''s'`)
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

cli('status of chosen spaces and of one node, as text and as JSON', async () => {
  const second = new Responder(kit.nats, 'second', 'n3').start()
  await kit.nats.flush()
  try {
    const shown = async (...args: string[]) => {
      const { spaces, nodes } = JSON.parse((await engram(['status', '--json', ...args])).out) as {
        spaces: { id: string }[]
        nodes: { id: string }[]
      }
      return [spaces.map(({ id }) => id).join(' '), nodes.map(({ id }) => id).join(' ')]
    }
    assert.equal(await shown(), ['demo second', 'n1 n2 n3'])
    assert.equal(await shown('demo'), ['demo', 'n1 n2 n3'])
    assert.equal(await shown('second', 'demo'), ['demo second', 'n1 n2 n3'])
    assert.equal(await shown('--node', 'n1'), ['demo', 'n1'])
    assert.equal(await shown('demo', '--node', 'n3'), ['', 'n3'])
    const text = (await engram(['status', 'second'])).out
    assert.match(text, 'SPACE second')
    assert.not.match(text, 'SPACE demo')
    for (const line of text.split('\n')) assert.ok([...line].length <= 80, line)
    assert.match((await engram(['status', '--wide'])).out, 'DIGEST')
  } finally {
    second.stop()
  }
  const wrong: [args: string[], says: string][] = [
    [['nope'], 'engram space list'],
    [['--node', 'n9'], 'Known nodes: n1, n2'],
  ]
  for (const [args, says] of wrong) {
    const { code, out, err } = await engram(['status', ...args])
    assert.equal([code, out], [1, ''])
    assert.match(err, says)
  }
})

cli('help shows the unit of each duration', async () => {
  const help = await Promise.all(
    [['status'], ['write'], ['read'], ['fate'], ['forks'], ['chaos'], ['quarantine', 'list'], [
      'quarantine',
      'show',
    ]].map((args) => engram([...args, '--help'])),
  )
  for (const { code, out } of help) {
    assert.is(code, 0)
    const durations = out.replaceAll(/\s+/g, ' ').match(/--\S+ <duration>.*?(?= --|$)/g) ?? []
    assert.ok(durations.length > 0, out)
    for (const text of durations) assert.not.match(text, /\(default: [0-9]+\)/)
  }
})

cli('administration: requests as sent, errors with a remedy', async () => {
  await engram(['space', 'create', 'demo', '--replicas', '1', '--json'])
  assert.equal(kit.node.admins[0], { type: 'createSpace', space: 'demo', replicas: 1,
    ack: 'durable', minInSync: 2 })
  const { code, out, err } = await engram(['promote', 'nope', '--json'])
  assert.equal([code, out], [1, ''])
  assert.match(err, 'UNKNOWN_SPACE')
  assert.match(err, 'engram space list')
  const drained = await engram(['drain', 'n7'])
  assert.is(drained.code, 1)
  assert.match(drained.err, 'n7 is not running')
})

cli('a space that exists with other settings: the command that changes them', async () => {
  kit.node.onAdmin = () => ({
    ok: false,
    code: 'INVALID_OPERATION',
    reason: 'otherSettings',
    retryable: false,
    message: 'the space demo exists with other settings: replicas 2, ack durable, minInSync 2',
  })
  const { code, err } = await engram(['space', 'create', 'demo', '--replicas', '1', '--ack',
    'committed', '--max-loss-entries', '10', '--when-under-replicated', 'wait'])
  assert.is(code, 1)
  assert.match(err, 'exists with other settings: replicas 2, ack durable')
  assert.match(err, '(except the replicas) with: engram space set demo --ack committed '
    + '--max-loss-entries 10 --when-under-replicated wait --min-in-sync 2')
})

cli('a primary of an earlier release does not retain more: the command fails', async () => {
  const settings = { replicas: 2, ack: 'durable', minInSync: 2 }
  kit.node.onAdmin = () => ({ ok: true, settings })
  const set = ['space', 'set', 'demo', '--retain-ms']
  const { code, err } = await engram([...set, '1h'])
  assert.is(code, 1)
  assert.match(err, 'demo does not retain more: its primary runs an earlier release')
  assert.is((await engram([...set, 'none'])).code, 0)
  kit.node.onAdmin = () => ({ ok: true, settings: { ...settings, retain: { ms: 3_600_000 } } })
  assert.is((await engram([...set, '1h'])).code, 0)
})

cli('maintenance: the request names the user', async () => {
  const from = kit.node.admins.length
  assert.is((await engram(['pause', 'demo'])).code, 0)
  assert.is((await engram(['resume', 'demo', '--json'])).code, 0)
  assert.is((await engram(['pause', '--all'])).code, 0)
  const sent = kit.node.admins.slice(from) as { type: string; space?: string; by?: string }[]
  assert.equal(sent.map(({ type, space }) => [type, space]), [['pause', 'demo'], ['resume', 'demo'],
    ['listSpaces', undefined]])
  assert.match(sent[0]!.by ?? '', /./)
})

cli('without a server the remedy says how to get one', async () => {
  const { code, out, err } = await engram(['status', '--json'], {
    env: { ENGRAM_NATS_URL: 'nats://127.0.0.1:1' },
  })
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

cli('a data directory has one engram up; one that died holds nothing', async () => {
  const data = join(kit.cwd, 'data')
  await takeData(data)
  assert.instance(await takeData(data).catch((error: unknown) => error), DataInUseError)
  releaseData(data)
  assert.is(readUpRecord(data), null)
  writeFileSync(join(data, 'up.json'), JSON.stringify({ pid: process.pid, started: '1' }))
  await takeData(data)
  assert.is(readUpRecord(data)?.pid, process.pid)
  releaseData(data)
})

cli.run()
