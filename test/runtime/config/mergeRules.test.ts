import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Contender, MergeRule } from '../../../machines/forks/merge.js'
import type { Operation } from '../../../machines/graph/graph.js'
import { loadMergeRules, mergeModules } from '../../../runtime/config/mergeRules.js'
import type { MergeRules } from '../../../runtime/config/mergeRules.js'
import { ConfigError } from '../../../runtime/config/options.js'
import { loadSettings } from '../../../runtime/config/sources.js'
import { runHere } from '../../support/cli.js'

const test = suite('merge rules')
const directory = mkdtempSync(join(tmpdir(), 'engram-merge-'))
const configFile = join(directory, 'engram.json')
test.after(() => rmSync(directory, { recursive: true, force: true }))

/** The package as a deployment has it installed beside its modules. */
test.before(() => {
  let root = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(root, 'package.json'))) root = dirname(root)
  mkdirSync(join(directory, 'node_modules'))
  symlinkSync(root, join(directory, 'node_modules', 'engram-replication'))
})

/** Each has a name of its own: a module is loaded once per process. */
let count = 0
function module(text: string): string {
  const name = `rule${++count}.mjs`
  writeFileSync(join(directory, name), text)
  return `./${name}`
}

function load(merge: Record<string, string>, withinMs?: number): Promise<MergeRules> {
  return loadMergeRules(mergeModules(merge, configFile), withinMs)
}

async function faultsOf(merge: Record<string, string>, withinMs?: number) {
  try {
    await load(merge, withinMs)
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  throw new Error('it was accepted')
}

function ruleOf(rules: MergeRules, space: string): MergeRule {
  const rule = rules[space]
  if (!rule) throw new Error(`${space} has no rule`)
  return rule
}

const written = (operation: Operation, epoch: number, timestamp = 1000): Contender => ({ operation,
  origin: { epoch, sequence: 7 }, timestamp })
const node = (content: string, metadata: Record<string, string> = {}): Operation => ({
  type: 'StoreNode',
  node: { id: 'a', content, metadata },
})
const activation = (value: number): Operation => ({ type: 'UpdateActivation', nodeId: 'a',
  activation: value })

const longer = `
import { defaultRule } from 'engram-replication'

const length = ({ operation }) =>
  operation.type === 'StoreNode' ? operation.node.content?.length ?? 0 : 0

export default (standing, incoming) => {
  const order = length(standing) - length(incoming)
  if (order === 0) return defaultRule(standing, incoming)
  return order > 0 ? 'standing' : 'incoming'
}
`

const both = `
export default function (standing, incoming) {
  if (incoming.operation.type !== 'StoreNode') return 'incoming'
  const [a, b] = [standing.operation.node, incoming.operation.node]
  return { type: 'StoreNode', node: { ...b, metadata: { ...a.metadata, ...b.metadata } } }
}
`

test('without modules no space has a rule of its own, whatever its name', async () => {
  const rules = await load({})
  for (const name of ['demo', 'constructor', 'toString', '__proto__']) {
    assert.is(rules[name], undefined, name)
  }
})

test('the longer content wins, and what is alike goes by the default rule', async () => {
  const rule = ruleOf(await load({ notes: module(longer) }), 'notes')
  const [short, long] = [written(node('ab'), 9, 2000), written(node('abc'), 3)]
  assert.is(rule(short, long), 'incoming')
  assert.is(rule(long, short), 'standing')
  assert.is(rule(written(node('abc'), 2), written(node('xyz'), 3)), 'incoming')
  assert.is(rule(written(activation(1), 3), written(activation(0), 2)), 'standing')
})

test('a rule may give the result of both', async () => {
  const rule = ruleOf(await load({ notes: module(both) }), 'notes')
  const result = rule(written(node('x', { a: '1', b: '1' }), 2),
    written(node('y', { b: '2', c: '2' }), 3))
  assert.equal(result, node('y', { a: '1', b: '2', c: '2' }))
})

test('each space has its own rule; two may share a module', async () => {
  const [one, two] = [module(longer), module(both)]
  const rules = await load({ a: one, b: two, c: one, constructor: two, ['__proto__']: one })
  assert.equal(Object.keys(rules), ['a', 'b', 'c', 'constructor', '__proto__'])
  assert.is(rules['a'], rules['c'])
  assert.is(rules['__proto__'], rules['a'])
  assert.is(rules['constructor'], rules['b'])
  assert.is.not(rules['a'], rules['b'])
})

test('paths are relative to the config file', async () => {
  mkdirSync(join(directory, 'deep'))
  const path = join(directory, 'deep', 'engram.json')
  writeFileSync(path, JSON.stringify({ merge: { notes: `.${module(both)}` } }))
  const { merge } = loadSettings({ config: path }, {})
  assert.type(ruleOf(await loadMergeRules(merge), 'notes'), 'function')
})

const unusable: [what: string, text: string | null, says: string][] = [
  ['is missing', null, 'there is no file'],
  ['exports nothing', 'export const rule = () => "standing"', 'has none'],
  ['exports no function', 'export default "standing"', 'has a string'],
  ['throws while loading', 'throw new Error("no good"); export default () => "standing"',
    'fails with Error: no good'],
  ['is no JavaScript', 'export default (standing', 'fails with SyntaxError'],
  ['imports what is not there', 'import "./nowhere.mjs"; export default () => "standing"',
    'nowhere.mjs'],
  ['makes one wait', 'export default async () => "standing"', 'returns at once'],
]
for (const [what, text, says] of unusable) {
  test(`a module that ${what} is refused with field, value and rule`, async () => {
    const given = text === null ? './missing.mjs' : module(text)
    const [fault, ...others] = await faultsOf({ notes: given })
    assert.equal(others, [])
    assert.equal([fault?.field, fault?.value], ['merge.notes', given])
    assert.match(fault?.rule ?? '', says)
    assert.match(fault?.rule ?? '', directory)
  })
}

test('a directory is no module', async () => {
  assert.match((await faultsOf({ notes: '.' }))[0]?.rule ?? '', 'there is no file')
})

test('all modules that cannot be used are named at once', async () => {
  const faults = await faultsOf({
    a: './missing.mjs',
    b: module(longer),
    c: module('export default 1'),
  })
  assert.equal(faults.map(({ field }) => field), ['merge.a', 'merge.c'])
})

test('a module that never finishes loading is refused', async () => {
  const given = module('await new Promise(() => {}); export default () => "standing"')
  assert.is((await faultsOf({ notes: given }, 20))[0]?.rule, 'must load within 20 ms')
})

async function engram(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return await runHere(args, { cwd: directory, env: {} })
}

test('a node does not start with a rule that it cannot load', async () => {
  const given = module('throw new Error("no good")')
  writeFileSync(configFile, JSON.stringify({ merge: { notes: given } }))
  const data = join(directory, 'n1')
  const { code, out, err } = await engram(
    'node',
    '--id',
    'n1',
    '--data',
    data,
    '--config',
    configFile,
  )
  assert.equal([code, out, existsSync(data)], [2, '', false])
  assert.match(err, `merge.notes = "${given}": must load without an error`)
  assert.match(err, 'no good')
})

test('the list of options has it, and says that all nodes need the same module', async () => {
  const { out } = await engram('node', '--help-config')
  assert.match(out, /^merge .*config file only.*use the same module on all nodes of a space/m)
  const { fileOptions } = JSON.parse((await engram('node', '--help-config', '--json')).out) as {
    fileOptions: { merge: { doc: string } }
  }
  assert.match(fileOptions.merge.doc, 'Only the primary calls it')
})

test.run()
