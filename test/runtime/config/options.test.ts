import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultTimes } from '../../../machines/protocol/defaultTimes.js'
import { checkAgainstServer, checkConfig, ConfigError, defaultConfig, fileOptions, options,
  relations, wordOptions } from '../../../runtime/config/options.js'
import { loadSettings, suspectVariables } from '../../../runtime/config/sources.js'

const config = suite('config')
const directory = mkdtempSync(join(tmpdir(), 'engram-config-'))
config.after(() => rmSync(directory, { recursive: true, force: true }))

function file(value: unknown, mode = 0o600): string {
  const path = join(directory, `${Math.random().toString(36).slice(2)}.json`)
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value))
  chmodSync(path, mode)
  return path
}

function faultsOf(run: () => unknown): ConfigError {
  try {
    run()
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('it was accepted')
}

config('the defaults hold together, and are those of the protocol', () => {
  for (const [name, value] of Object.entries(defaultTimes)) {
    assert.is(defaultConfig[name as keyof typeof defaultTimes], value, name)
  }
  checkAgainstServer(defaultConfig, 1024 * 1024)
})

config('every option has a doc, a unit and a default within its bounds', () => {
  for (const [name, info] of Object.entries({ ...options, ...wordOptions, ...fileOptions })) {
    assert.ok(info.doc.endsWith('.') && info.doc.length > 15, name)
  }
  for (const [name, info] of Object.entries(options)) {
    assert.ok(info.min <= info.default && info.default <= info.max, name)
  }
})

config('an option that is a word is one of a few', () => {
  assert.is(defaultConfig.autoBalance, 'primaries')
  assert.is(loadSettings({}, { ENGRAM_AUTO_BALANCE: 'all' }).config.autoBalance, 'all')
  const [fault] = faultsOf(() => checkConfig({ autoBalance: 'on' })).faults
  const rule = 'must be one of off, primaries, all'
  assert.equal(fault, { field: 'autoBalance', value: 'on', rule })
  const [unknown] = faultsOf(() => checkConfig({ autoBalanc: 'all' })).faults
  assert.match(unknown?.rule ?? '', 'did you mean autoBalance?')
})

config('a fault names the field, the value and the rule', () => {
  const [fault] = faultsOf(() => checkConfig({ heartbeatMs: 0 })).faults
  const rule = 'must be from 10 to 10000, whole, in ms'
  assert.equal(fault, { field: 'heartbeatMs', value: 0, rule })
})

config('all relations are checked, with the values they speak of', () => {
  const error = faultsOf(() => checkConfig({ grantMs: 900, stallMs: 250 }))
  assert.equal(error.faults.map((fault) => fault.field), ['grantMs', 'stallMs'])
  assert.match(error.message,
    'grantMs = 900: must be at least 10 x heartbeatMs (heartbeatMs = 100)')
})

config('each relation can be broken', () => {
  const breaking: Record<string, Record<string, number>> = {
    grantMs: { grantMs: 500 },
    probeMs: { probeMs: 200 },
    surveyMs: { surveyMs: 3000, standByMs: 3000 },
    standByMs: { standByMs: 100 },
    stallMs: { stallMs: 300 },
    inSyncLagMs: { inSyncLagMs: 1000 },
    streamWindowBytes: { streamWindowBytes: 65_536 },
    segmentBytes: { segmentBytes: 65_536 },
    checkpointBytes: { checkpointBytes: 65_536 },
    retainBytes: { retainBytes: 128 * 1024 },
    unflushedBytesMax: { unflushedBytesMax: 1024 * 1024 },
    overlayBytesMax: { overlayBytesMax: 1024 * 1024 },
  }
  for (const { field } of relations) {
    const error = faultsOf(() => checkConfig(breaking[field] ?? {}))
    assert.ok(error.faults.some((fault) => fault.field === field), field)
  }
})

config('an unknown option is refused, with the one that was meant', () => {
  const [fault] = faultsOf(() => checkConfig({ heartBeatMs: 100 })).faults
  assert.is(fault?.rule, 'is no option; did you mean heartbeatMs?')
})

config('merge rules are of the config file, beside the numbers', () => {
  const path = file({ heartbeatMs: 110, merge: { notes: './rules/a.mjs', other: '/etc/b.mjs' } })
  const { config: made, merge } = loadSettings({ config: path }, { ENGRAM_MERGE: 'x' })
  assert.is(made.heartbeatMs, 110)
  assert.equal(Object.keys(made).toSorted(), Object.keys({ ...options, ...wordOptions }).toSorted())
  assert.equal(merge, [
    { space: 'notes', given: './rules/a.mjs', path: join(dirname(path), 'rules/a.mjs') },
    { space: 'other', given: '/etc/b.mjs', path: '/etc/b.mjs' },
  ])
  assert.equal(loadSettings({}, {}).merge, [])
})

config('merge rules that nothing can be made of are refused, all of them', () => {
  for (const merge of ['a.mjs', ['a.mjs'], null, 5]) {
    const [fault] = faultsOf(() => loadSettings({ config: file({ merge }) }, {})).faults
    assert.equal([fault?.field, fault?.value], ['merge', merge])
    assert.match(fault?.rule ?? '', 'must be an object')
  }
  const path = file({ merge: { 'a b': './a.mjs', fine: './a.mjs', empty: '', number: 1 } })
  const error = faultsOf(() => loadSettings({ config: path }, {}))
  assert.equal(error.faults.map(({ field, value }) => [field, value]), [['merge.a b', './a.mjs'], [
    'merge.empty',
    '',
  ], ['merge.number', 1]])
  assert.match(error.faults[0]?.rule ?? '', 'a name must be 1 to 64 characters')
  assert.match(error.faults[1]?.rule ?? '', 'must be the path of an ES module')
  assert.is(error.source, path)
})

config('where merge belongs is said, also when it is misspelt', () => {
  const misspelt = faultsOf(() => loadSettings({ config: file({ merg: {} }) }, {}))
  assert.is(misspelt.faults[0]?.rule, 'is no option; did you mean merge?')
  const flag = faultsOf(() => loadSettings({ options: { merge: 'a.mjs' } }, {}))
  assert.equal(flag.faults, [{
    field: 'merge',
    value: 'a.mjs',
    rule: 'belongs in the config file (--config FILE)',
  }])
})

config('a frame must fit a message of the server', () => {
  const error = faultsOf(() => checkAgainstServer(defaultConfig, 262_144))
  assert.match(error.message, 'frameBytesMax = 524288')
  assert.match(error.message, '262144')
})

config('flags win over environment over file over defaults', () => {
  const path = file({ heartbeatMs: 110, probeMs: 40, readWaitMs: '5ms', http: null })
  const { config: made, http } = loadSettings(
    { config: path, options: { heartbeatMs: '130' } },
    { ENGRAM_HEARTBEAT_MS: '120', ENGRAM_PROBE_MS: '45', ENGRAM_SEGMENT_BYTES: '32MiB' },
  )
  assert.equal([made.heartbeatMs, made.probeMs, made.readWaitMs, made.surveyMs, made.segmentBytes],
    [130, 45, 5, 150, 32 * 1024 ** 2])
  assert.is(http, null)
})

config('prefixes of replies: flag, variable, file, default; what nobody could use is refused',
  () => {
    const path = file({ replyPrefixes: ['_INBOX', 'team.replies'] })
    const of = (flag: string | undefined, variable: string | undefined, config?: string) =>
      loadSettings({ replyPrefixes: flag, config }, { ENGRAM_REPLY_PREFIXES: variable })
        .replyPrefixes
    assert.equal(of('a', 'b', path), ['a'])
    assert.equal(of(undefined, 'b, c.d.>', path), ['b', 'c.d'])
    assert.equal(of(undefined, undefined, path), ['_INBOX', 'team.replies'])
    assert.equal(of(undefined, undefined), ['_INBOX'])
    for (const bad of ['$KV.engram', '$JS', 'engram.v1', 'engram', '*', 'a.*.b', '>', '', 'a..b',
      'a b'])
    {
      const [fault] = faultsOf(() => of(`_INBOX,${bad}`, undefined)).faults
      assert.is(fault?.field, 'replyPrefixes', bad)
    }
    assert.is(faultsOf(() => of(undefined, undefined, file({ replyPrefixes: [] }))).faults.length,
      1)
    faultsOf(() => of(undefined, undefined, file({ replyPrefixes: 'a' })))
    assert.equal(suspectVariables({ ENGRAM_REPLY_PREFIXES: 'a' }), [])
  })

config('a unit that does not fit the option is refused', () => {
  const error = faultsOf(() => loadSettings({ options: { heartbeatMs: '1MiB' } }, {}))
  assert.is(error.faults[0]?.field, 'heartbeatMs')
})

config('a file that cannot be read as JSON is refused with its path', () => {
  const path = file('{')
  assert.match(faultsOf(() => loadSettings({ config: path }, {})).message, path)
  faultsOf(() => loadSettings({ config: join(directory, 'none.json') }, {}))
})

config('a file with a secret that others can read is refused', () => {
  const path = file({ nats: { user: 'u', password: 'p' } }, 0o644)
  assert.match(faultsOf(() => loadSettings({ config: path }, {})).message, 'chmod 600')
})

config('a misspelt variable is noticed', () => {
  assert.equal(suspectVariables({ ENGRAM_HEARTBEET_MS: '1', ENGRAM_NATS_URL: 'x', PATH: '' }), [
    'ENGRAM_HEARTBEET_MS is no option; did you mean ENGRAM_HEARTBEAT_MS?',
  ])
})

config.run()
