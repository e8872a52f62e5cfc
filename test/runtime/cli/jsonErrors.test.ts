/** Errors of commands with --json: one line on stderr, and nothing on stdout. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runHere } from '../../support/cli.js'
import { ResponderKit } from '../../support/responderKit.js'

const test = suite('cli: errors as JSON')
const kit = new ResponderKit(test)

interface Fault {
  readonly code: string
  readonly message: string
  readonly remedy: string | null
  readonly [field: string]: unknown
}

async function engram(url: string, ...args: string[]) {
  return await runHere(args, { cwd: kit.cwd, env: { ENGRAM_NATS_URL: url } })
}

/** The error of a command that prints nothing else. */
async function faultOf(exitCode: number, ...args: string[]): Promise<Fault> {
  const { code, out, err } = await engram(kit.server.url, ...args, '--json')
  assert.equal([code, out], [exitCode, ''], err)
  assert.match(err, /^[^\n]+\n$/, 'one line')
  const { error, ...rest } = JSON.parse(err) as { error: Fault }
  assert.equal(rest, {})
  return error
}

const hello = '{"type":"StoreNode","node":{"id":"n1","content":"hello"}}'

test('wrong usage: an option, its value, a missing argument, a rule of the command', async () => {
  const wrong: [string[], RegExp][] = [
    [['status', '--whatever'], /^unknown option '--whatever'/],
    [['write', 'demo', hello, '--deadline', 'soon'], /argument 'soon' is invalid/],
    [['write', 'demo', hello, '--ack', 'soon'], /Allowed choices are memory/],
    [['write'], /^missing required argument 'space'/],
    [['writ', 'demo'], /^unknown command 'writ'/],
    [['promote', 'demo', '--force'], /--force needs --to NODE/],
    [['promote', 'a b'], /invalid space name/],
    [['status', '--nats-token', 'secret'], /must not be on the command line/],
    [['up', '--http', 'here'], /an address is HOST:PORT/],
  ]
  for (const [args, message] of wrong) {
    const error = await faultOf(2, ...args)
    assert.is(error.code, args[0] === 'up' ? 'HTTP_ADDRESS' : 'USAGE')
    assert.match(error.message, message)
    assert.ok(!error.message.startsWith('error:'), error.message)
  }
})

test('help and the version are no errors', async () => {
  for (const args of [['status', '--json', '--help'], ['--version']]) {
    const { code, out, err } = await engram(kit.server.url, ...args)
    assert.equal([code, err], [0, ''])
    assert.ok(out.length > 0)
  }
})

test('--json after -- is no option', async () => {
  const { code, err } = await engram(kit.server.url, 'write', '--', 'demo', '--json')
  assert.is(code, 2)
  assert.match(err, /^error: not valid JSON/)
})

test('configuration: each fault with field, value and rule', async () => {
  const file = join(kit.cwd, 'engram.json')
  writeFileSync(file, '{"heartbeatMs": 5000}')
  const error = await faultOf(2, 'node', '--id', 'n1', '--data', join(kit.cwd, 'n1'), '--config',
    file)
  assert.is(error.code, 'CONFIG')
  const [first] = error['faults'] as { field: string; value: unknown; rule: string }[]
  assert.is(first?.field, 'grantMs')
  assert.match(first?.rule ?? '', 'at least 10 x heartbeatMs')
})

test('no server: whether trying again helps, and why there is no connection', async () => {
  const { code, out, err } = await engram('nats://127.0.0.1:1', 'space', 'list', '--json')
  assert.equal([code, out], [1, ''])
  const { error } = JSON.parse(err) as { error: Fault }
  assert.equal([error.code, error['reason'], error['retryable']], ['CONNECT', 'UNREACHABLE', true])
  assert.match(error.remedy ?? '', 'engram up')
})

test('a refused command: the code of the cluster, and its reason', async () => {
  kit.node.onAdmin = () => ({
    ok: false,
    code: 'INVALID_OPERATION',
    reason: 'otherSettings',
    retryable: false,
    message: 'any words: replicas 2',
  })
  const error = await faultOf(1, 'space', 'create', 'demo', '--ack', 'committed')
  assert.equal([error.code, error['reason'], error.message], ['INVALID_OPERATION', 'otherSettings',
    'any words: replicas 2'])
  assert.match(error.remedy ?? '', 'engram space set demo')
  kit.node.onAdmin = () => ({
    ok: false,
    code: 'INVALID_OPERATION',
    reason: 'unfit',
    message: 'any words',
    retryable: true,
  })
  assert.match((await faultOf(1, 'promote', 'demo', '--to', 'n2')).remedy ?? '',
    'engram undrain n2')
})

test('a write: its key, and whether it may have taken effect', async () => {
  const unknown = await faultOf(1, 'write', 'nowhere', hello, '--key', 'k1', '--deadline', '300ms')
  assert.equal([unknown.code, unknown['outcome'], unknown['key'], unknown['retryable']], [
    'NO_RESPONDERS',
    'unknown',
    'k1',
    true,
  ])
  assert.match(unknown.remedy ?? '', '--key k1')
  kit.node.script = () => ({
    ok: false,
    code: 'INVALID_OPERATION',
    message: 'no',
    outcome: 'notTaken',
    retryable: false,
  })
  const refused = await faultOf(1, 'write', 'demo', hello, '--key', 'k2')
  assert.equal([refused.code, refused['outcome'], refused['key'], refused['retryable']], [
    'INVALID_OPERATION',
    'notTaken',
    'k2',
    false,
  ])
  kit.node.script = () => null
})

test('a file: each line that fails, and the tally on stdout', async () => {
  const file = join(kit.cwd, 'ops.ndjson')
  writeFileSync(file, `{"type":\n[1\n`)
  const { code, out, err } = await engram(
    kit.server.url,
    'write',
    'demo',
    '--file',
    file,
    '--keep-going',
    '--json',
  )
  assert.is(code, 1)
  assert.is((JSON.parse(out) as { refused: number }).refused, 2)
  const faults = err.split('\n').filter((line) => line.startsWith('{"error"'))
    .map((line) => (JSON.parse(line) as { error: Fault }).error)
  assert.equal(faults.map(({ line }) => line), [1, 2])
  for (const { message } of faults) assert.match(message, /^not valid JSON/)
})

test.run()
