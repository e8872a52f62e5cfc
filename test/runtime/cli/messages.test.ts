/** Errors of the command line: cause and remedy. */
import { existsSync, mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { natsServerConfig, startNatsServer } from '../../../runtime/cluster/natsServer.js'
import { createSalvageFiles } from '../../../runtime/journal/salvage.js'
import { NodeFileSystem } from '../../../runtime/system/fileSystem.js'
import { runHere } from '../../support/cli.js'
import { A, frameOf, quiet } from '../../support/journalKit.js'
import { ResponderKit } from '../../support/responderKit.js'

const test = suite('cli: messages')
const kit = new ResponderKit(test)
const engram = (...args: string[]) => runHere(args, kit.surroundings)

const hello = '{"type":"StoreNode","node":{"id":"n1","content":"hello"}}'

test('--all means every space, however many pages they take', async () => {
  const names = ['a', 'b', 'c']
  kit.node.onAdmin = ({ type, space, after }) => {
    if (type !== 'listSpaces') return { ok: true, message: `${space} it is`, changed: true }
    const at = names.findIndex((name) => name === after) + 1
    const isLast = at === names.length - 1
    const goOn = isLast ? {} : { more: true, after: names[at] }
    return { ok: true, spaces: [{ space: names[at] }], ...goOn }
  }
  for (const type of ['pause', 'resume']) {
    const from = kit.node.admins.length
    assert.is((await engram(type, '--all')).code, 0)
    const sent = kit.node.admins.slice(from) as { type: string; space?: string }[]
    assert.equal(sent.filter((order) => order.type === type).map(({ space }) => space), names)
  }
})

test('--all fails for a space whose record cannot be read, and says which', async () => {
  kit.node.onAdmin = ({ type }) =>
    type === 'listSpaces'
      ? {
        ok: true,
        spaces: [{ space: 'a' }],
        unreadable: [{ space: 'b', reason: 'the record of b is not valid' }],
      }
      : { ok: true, message: 'done', changed: true }
  const { code, err } = await engram('pause', '--all')
  assert.is(code, 1)
  assert.match(err, 'the record of b is not valid')
  const json = await engram('pause', '--all', '--json')
  assert.is(json.code, 1)
  assert.equal((JSON.parse(json.out) as { spaces: { space: string; ok: boolean }[] }).spaces
    .map(({ space, ok }) => [space, ok]), [['a', true], ['b', false]])
})

test('an unknown space is an error, not a silent one', async () => {
  const lookup = kit.nats.subscribe(subjects.lookup('nope'), { callback: (_, message) => {
    message.respond(Buffer.from('{"ok":false,"code":"UNKNOWN_SPACE"}'))
  } })
  await kit.nats.flush()
  for (const args of [['events', 'nope'], ['events', 'nope', '--follow'], ['history', 'nope']]) {
    const { code, out, err } = await engram(...args)
    assert.equal([code, out], [1, ''], args.join(' '))
    assert.match(err, 'there is no space nope [UNKNOWN_SPACE]')
    assert.match(err, 'engram space list')
  }
  lookup.unsubscribe()
})

test('a name that cannot be one is said once, and shortened', async () => {
  const name = 'x'.repeat(3000)
  for (const args of [['write', name, hello], ['read', name, 'list'], ['history', name], ['events',
    name], ['promote', name], ['node', '--id', name, '--data', 'x']])
  {
    const { code, err } = await engram(...args)
    assert.is(code, 2, args[0])
    assert.ok(err.length < 300, `${args[0]}: ${err.length}`)
  }
  const { err } = await engram('write', 'de.mo', hello)
  assert.is(err.split('de.mo').length - 1, 1, err)
})

test('a key that cannot be one: the remedy is about keys', async () => {
  const { code, err } = await engram('write', 'demo', hello, '--key', 'zwei Worte')
  assert.is(code, 2)
  assert.match(err, '1 to 256 visible ASCII characters')
  assert.not.match(err, 'An operation looks like')
})

test('options that a read would ignore are refused', async () => {
  for (const [args, says] of [
    [['get', 'n1', '--min-sequence', '5'], '--any'],
    [['get', 'n1', '--max-staleness', '5s'], '--any'],
    [['list', 'n1'], '--after n1'],
  ] as const) {
    const { code, err } = await engram('read', 'demo', ...args)
    assert.is(code, 2, args.join(' '))
    assert.match(err, says)
  }
})

test('a duration of nothing is refused', async () => {
  for (const args of [['write', 'demo', hello, '--deadline', '0s'], ['read', 'demo', 'get', 'n1',
    '--deadline', '0']])
  {
    const { code, err } = await engram(...args)
    assert.is(code, 2)
    assert.match(err, 'longer than 0')
  }
})

test('durations: a unit or ms, in settings as well, and every help says so', async () => {
  const settings = ['--max-loss-ms', '2s', '--keys-ms', '90m', '--retain-ms', '168h',
    '--retain-bytes', '20GiB']
  await engram('space', 'create', 'demo', ...settings)
  await engram('space', 'set', 'demo', ...settings)
  await engram('space', 'set', 'demo', '--max-loss-ms', '250', '--keys-ms', 'none',
    '--retain-bytes', 'none')
  const [created, set, plain] = kit.node.admins as Record<string, unknown>[]
  const given = { maxLoss: { ms: 2000 }, keys: { ms: 5_400_000 },
    retain: { bytes: 20 * 2 ** 30, ms: 604_800_000 } }
  const { maxLoss, keys, retain } = created!
  assert.equal({ maxLoss, keys, retain }, given)
  assert.equal(set!['settings'], given)
  assert.equal(plain!['settings'], { maxLoss: { ms: 250 }, keys: { ms: null },
    retain: { bytes: null } })
  for (const wrong of ['0', '1.5', '5s', 'much']) {
    const { code, err } = await engram('space', 'set', 'demo', '--retain-bytes', wrong)
    assert.is(code, 2, wrong)
    assert.match(err, 'number of bytes, like 500MB or 10GiB')
  }
  const { code, err } = await engram('space', 'set', 'demo', '--max-loss-ms', '0.5ms')
  assert.is(code, 2)
  assert.match(err, 'whole number of milliseconds')
  for (const command of ['write', 'read', 'fate', 'forks', 'chaos', 'status', 'space create',
    'space set', 'quarantine list', 'quarantine show'])
  {
    const { out } = await engram(...command.split(' '), '--help')
    const options = out.split(/\n(?= +-)/).filter((option) => /<duration/.test(option))
    assert.ok(options.length > 0, command)
    for (const option of options) {
      assert.match(option.replace(/\s+/g, ' '), 'a number without a unit is ms')
    }
  }
})

test('a node that is drained, and one that is not in sync: what to do first', async () => {
  kit.node.onAdmin = () => ({
    ok: false,
    code: 'INVALID_OPERATION',
    reason: 'unfit',
    retryable: false,
    message: 'n2 is drained since 2026-11-30T01:44:30Z by ann',
  })
  assert.match((await engram('promote', 'demo', '--to', 'n2')).err, 'engram undrain n2')
  kit.node.onAdmin = () => ({
    ok: false,
    code: 'NOT_ENOUGH_IN_SYNC',
    message: 'n2 is not in sync',
    retryable: true,
  })
  assert.match((await engram('promote', 'demo', '--to', 'n2')).err, 'engram status')
})

test('a read for which no member is far enough: the error says so', async () => {
  let count = 0
  const behind = kit.nats.subscribe(subjects.readAny('held'), { callback: (_, message) => {
    count += 1
    if (count > 1) return
    message.respond(Buffer.from('{"ok":false,"code":"STALE_READ","outcome":"notTaken",'
      + '"retryable":true,"message":"this member is at 2, 9 is asked for"}'))
  } })
  await kit.nats.flush()
  const { code, err } = await engram('read', 'held', 'list', '--any', '--min-sequence', '9',
    '--deadline', '700ms')
  behind.unsubscribe()
  assert.is(code, 1)
  assert.match(err, /this member is at 2, 9 is asked for .*\[STALE_READ\]/)
  assert.match(err, 'leave out --any')
  assert.ok(count > 1)
})

test('credentials without permission for events: the error says so', async () => {
  const storeDir = join(kit.cwd, 'strict')
  const strict = await startNatsServer({ storeDir, config: natsServerConfig({
    auth: true,
    storeDir,
    base: `authorization { users: [ { user: ann, password: pw,
      permissions: { publish: { deny: "engram.v1.status.>" } } } ] }`,
  }) })
  const answers = await Promise.all(
    ['history', 'events'].map((command) =>
      engram(command, '--nats', strict.url, '--nats-user', 'ann', '--nats-password-file',
        passwordFile())
    ),
  )
  await strict.stop()
  for (const { code, err } of answers) {
    assert.is(code, 1)
    assert.match(err, /may not publish to engram\.v1\.status.*\[FORBIDDEN\]/)
    assert.match(err, 'Allow it in the permissions')
  }
})

function passwordFile(): string {
  const path = join(kit.cwd, 'password')
  writeFileSync(path, 'pw')
  return path
}

test('up --nats where nodes of these names run already: nothing is started', async () => {
  const data = join(kit.cwd, 'twins')
  const { code, out, err } = await engram('up', '--nats', kit.server.url, '--data', data)
  assert.equal([code, out], [1, ''])
  assert.match(err, 'n1 runs on that NATS server already')
  assert.match(err, 'engram node --id')
  assert.not(existsSync(join(data, 'n1')))
})

test('up: refuses a config file that configures another NATS server', async () => {
  const config = join(kit.cwd, 'config.json')
  writeFileSync(config, '{"nats":{"servers":"nats://127.0.0.1:1","caFile":"/ca.pem"}}')
  const { code, out, err } = await engram('up', '--config', config, '--data', join(kit.cwd, 'none'))
  assert.equal([code, out], [2, ''])
  assert.match(err, `${config} configures the connection to a NATS server (tls)`)
  assert.match(err, '--nats URL')
})

test('files of a node are not looked for where there is none', async () => {
  const up = join(kit.cwd, 'up')
  mkdirSync(join(up, 'n1', 'journal'), { recursive: true })
  for (const command of ['list', 'show']) {
    const { code, out, err } = await engram('salvage', command, up)
    assert.equal([code, out], [2, ''], command)
    assert.match(err, join(up, 'n1'))
  }
  const file = join(kit.cwd, 'file')
  writeFileSync(file, '')
  assert.match((await engram('salvage', 'list', file)).err, 'is not the data directory of a node')
})

test('a salvage that breaks off is a whole document all the same', async () => {
  const data = join(kit.cwd, 'n9')
  const directory = join(data, 'salvage')
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(data, 'identity.json'), '{}')
  const files = createSalvageFiles({ directory, fileSystem: new NodeFileSystem(), logger: quiet })
  const name = await files.save({
    space: 'demo',
    uuid: A,
    node: 'n9',
    common: { epoch: 1, sequence: 2 },
    end: { epoch: 1, sequence: 4 },
    joinedEpoch: 2,
    savedAtMs: 0,
  }, (async function* frames() {
    yield [frameOf(A, 3), frameOf(A, 4)]
  })())
  const whole = await engram('salvage', 'show', data, '--json')
  assert.is(whole.code, 0, whole.err)
  assert.equal(Object.keys(JSON.parse(whole.out) as object), ['header', 'entries'])
  const path = join(directory, name)
  truncateSync(path, statSync(path).size - 20)
  const { code, out, err } = await engram('salvage', 'show', data, name, '--json')
  assert.is(code, 1)
  assert.match(err, 'cut off')
  const said = JSON.parse(out) as { entries: unknown[]; error: string }
  assert.is(said.entries.length, 1)
  assert.match(said.error, 'cut off')
})

test.run()
