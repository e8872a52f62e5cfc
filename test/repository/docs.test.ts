/** Documents agree with the repository: links, paths, commands, codes, options, invariants. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { errorAnswer } from '../../actors/messaging/answers.js'
import type { ErrorCode } from '../../actors/ports/clientApi.js'
import { invariants } from '../../machines/log/invariants.js'
import { natsSettings } from '../../runtime/bus/settingNames.js'
import { catalogue } from '../../runtime/charts/catalogue.js'
import { flatten } from '../../runtime/charts/chart.js'
import { runCli } from '../../runtime/cli/program.js'
import { createClientCodec } from '../../runtime/codec/clientCodec.js'
import { listOptions, options, wordOptions } from '../../runtime/config/options.js'
import { createMetrics } from '../../runtime/http/metrics.js'
import { anchorsOf, blocksOf, documents, linksOf, sources, textOf,
  withoutBlocks } from '../support/documents.js'
import { root } from '../support/environment.js'
import { Responder } from '../support/responder.js'

const test = suite('documents')
const all = documents()
const codec = createClientCodec()
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function none(offences: readonly string[]): void {
  assert.equal(offences, [])
}

function linesOf(path: string): string[] {
  return textOf(path).trimEnd().split('\n')
}

test('there are documents to look at', () => {
  for (const path of ['README.md', 'docs/glossary.md', 'docs/statecharts/node.md']) {
    assert.ok(all.includes(path), path)
  }
  assert.ok(all.flatMap((path) => linksOf(textOf(path))).length > 150, 'links are found')
  assert.equal(anchorsOf('# NATS: TLS and `x`\n## A, *b*\n## A b'), ['nats-tls-and-x', 'a-b',
    'a-b-1'])
})

test('the first pages are short', () => {
  assert.ok(linesOf('README.md').length <= 200, `README.md: ${linesOf('README.md').length} lines`)
  const { length } = linesOf('ARCHITECTURE.md')
  assert.ok(length <= 250, `ARCHITECTURE.md: ${length} lines`)
})

test('every link leads to a file, and to a section that it has', () => {
  none(all.flatMap((path) =>
    linksOf(textOf(path)).flatMap((link) => {
      const [target = '', anchor] = link.split('#')
      const file = target === '' ? path : posix.join(posix.dirname(path), target)
      if (!existsSync(join(root, file))) return [`${path}: ${link}`]
      if (anchor === undefined || anchorsOf(textOf(file)).includes(anchor)) return []
      return [`${path}: no such section: ${link}`]
    })
  ))
})

test('every document is in the index', () => {
  const linked = new Set(
    ['docs/README.md', 'docs/statecharts/README.md', 'docs/decisions/README.md']
      .flatMap((path) =>
        linksOf(textOf(path)).map((link) =>
          posix.join(posix.dirname(path), link.split('#')[0] ?? '')
        )
      ),
  )
  none(all.filter((path) =>
    path.startsWith('docs/') && !linked.has(path)
    && path !== 'docs/README.md'
  ))
})

test('every path of a file that a document names is there', () => {
  const path = /`((?:actors|machines|runtime|test|bench|deploy|scripts)\/[\w./-]+\.\w+)`/g
  none(
    all.filter((name) => name !== 'CHANGELOG.md').flatMap((name) =>
      [...textOf(name).matchAll(path)].map(([, file = '']) => file)
        .filter((file) => !existsSync(join(root, file))).map((file) => `${name}: ${file}`)
    ),
  )
})

test('prose has at most 120 columns', () => {
  none(
    all.filter((path) => !/^(?:docs\/statecharts|test)\//.test(path)).flatMap((path) =>
      withoutBlocks(textOf(path)).split('\n').flatMap((line, index) =>
        line.length <= 120 || /^\s*(\||!\[|\{| {4})/.test(line)
          ? []
          : [`${path}:${index + 1}: ${line.length} columns`]
      )
    ),
  )
})

test('no document refers to what is not in the repository, or in words of its own', () => {
  const words = [
    /\bDESIGN\b/,
    /\bSTYLE\b/,
    /\bFAULTS\b/,
    /\(sections? [0-9.]+\)/,
    /\bthe design\b/,
    /\breigns?\b/,
    /\breigned\b/,
    /\bcom(?:es|ing) home\b/,
    /\bhomecoming\b/,
  ]
  none(
    all.filter((path) => !path.startsWith('test/')).flatMap((path) =>
      textOf(path).split('\n').flatMap((line, index) =>
        // What is in code is a name: the changelog tells which ones have changed.
        words.some((word) => word.test(line.replace(/`[^`]*`/g, '')))
          ? [`${path}:${index + 1}: ${line.trim()}`]
          : []
      )
    ),
  )
})

test('no sentence begins with Of, What or Who', () => {
  const begin = /(?:^|[.!?] )(?:[-*] |\d+\. )?(?:\*\*)?(?:Of|What|Who|Whoever) (?![^.]*\?)/
  none(
    all.filter((path) => path !== 'CHANGELOG.md' && !path.startsWith('test/')).flatMap((path) =>
      withoutBlocks(textOf(path)).split('\n').flatMap((line, index) =>
        begin.test(line) ? [`${path}:${index + 1}: ${line}`] : []
      )
    ),
  )
})

/** Words that end a name of a command in running text. */
const noCommands = new Set(['COMMAND', 'help'])

test('every command that a document shows exists, and operating.md lists them all', async () => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const help: string[] = []
  stdout.on('data', (chunk) => help.push(String(chunk)))
  await runCli(['--help'], { stdin: Readable.from(['']), stdout, stderr, cwd: root, env: {} })
  const known = [...help.join('').matchAll(/^ {2}([a-z]+) .*(?:\[|<| {2})/gm)]
    .map(([, name = '']) => name).filter((name) => name !== 'engram' && name !== 'help')
  assert.ok(known.includes('quarantine') && known.length >= 20, known.join())
  none(
    all.filter((path) => path !== 'CHANGELOG.md').flatMap((path) =>
      [...textOf(path).matchAll(/(?:`|\$ |npx )engram ([a-zA-Z]+)/g)]
        .map(([, name = '']) => name).filter((name) =>
          !known.includes(name) && !noCommands.has(name)
        )
        .map((name) => `${path}: engram ${name}`)
    ),
  )
  const table = textOf('docs/operating.md').split('## Starting')[0] ?? ''
  none(known.filter((name) => !table.includes(`engram ${name}`)))
})

/** Flags of other programs: docker, nsc, node. */
const foreignFlags = new Set(['--build', '--detach', '--wait', '--allow-pub', '--allow-sub',
  '--cpu-prof'])

test('every flag that a document shows exists', () => {
  const texts = ['runtime/cli', 'runtime/config', 'scripts', 'test/sim', 'bench'].flatMap(sources)
  const ofNats = Object.values(natsSettings).map(({ flag }) => flag ?? '')
  const known = new Set(
    [...texts, textOf('test/run.ts'), ...ofNats].flatMap((text) =>
      [...text.matchAll(/--[a-z][a-z-]*[a-z]/g)].map(([flag]) => flag)
    ),
  )
  none(
    all.filter((path) => path !== 'CHANGELOG.md').flatMap((path) =>
      [...textOf(path).matchAll(/(?<![\w-])--[a-z][a-z-]*[a-z]/g)].map(([flag]) => flag)
        .filter((flag) => !known.has(flag) && !foreignFlags.has(flag))
        .map((flag) => `${path}: ${flag}`)
    ),
  )
})

test('every metric that a document names is exposed', () => {
  const report = new Responder(null as never).report()
  const { registry } = createMetrics(() => report, { processMetrics: false })
  const known = registry.getMetricsAsArray().map(({ name }) => name)
  none(
    all.filter((path) => path !== 'CHANGELOG.md').flatMap((path) =>
      [...textOf(path).matchAll(/`(engram_[a-z_]+)`/g)].map(([, name = '']) => name)
        .filter((name) => !known.includes(name)).map((name) => `${path}: ${name}`)
    ),
  )
})

test('ARCHITECTURE.md: the states of each chart are its states', () => {
  const rows = [...textOf('ARCHITECTURE.md')
    .matchAll(/^\| \[\w+\]\(docs\/statecharts\/(\w+)\.md\) \| ([^|]+) \| `([^`]+)` \|$/gm)]
  assert.equal(rows.map(([, id]) => id).toSorted(),
    catalogue().map(({ chart }) => chart.id).toSorted())
  none(rows.flatMap(([, id = '', states = '', actor = '']) => {
    const chart = catalogue().find((entry) => entry.chart.id === id)?.chart
    const known = new Set(chart && flatten(chart.root).map(({ key }) => key))
    const wrong = (states.match(/\w+/g) ?? []).filter((state) => !known.has(state))
    return [...wrong.map((state) => `${id}: ${state}`),
      ...existsSync(join(root, actor)) ? [] : [actor]]
  }))
})

test('every npm script that a document names exists', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
  none(
    all.filter((path) => path !== 'CHANGELOG.md').flatMap((path) =>
      [...textOf(path).matchAll(/npm run ([a-z]+(?::[a-z]+)*)/g)].map(([, name = '']) => name)
        .filter((name) => !(name in scripts)).map((name) => `${path}: npm run ${name}`)
    ),
  )
})

test('write-and-read.md has every code with its outcome', () => {
  const rows = [...textOf('docs/write-and-read.md')
    .matchAll(/^\| ([A-Z_]+(?:, [A-Z_]+)*) \| `(\w+)` \|/gm)]
  const shown = rows.flatMap(([, codes = '', outcome = '']) =>
    codes.split(', ').map((code) => [code, outcome] as const)
  )
  for (const [code, outcome] of shown) {
    assert.is(errorAnswer(code as ErrorCode, '').outcome, outcome, code)
  }
  const source = /export type ErrorCode =([\s\S]*?)\n\n/
    .exec(textOf('actors/ports/clientApi.ts'))?.[1] ?? ''
  const codes = [...source.matchAll(/'([A-Z_]+)'/g)].map(([, code = '']) => code)
  assert.equal(shown.map(([code]) => code).toSorted(), codes.toSorted())
})

test('write-and-read.md: its operations and queries are accepted', () => {
  const operations = (blocksOf('docs/write-and-read.md', 'json')[0] ?? '').split('\n')
    .filter((line) => line.startsWith('{"type"'))
  assert.is(operations.length, 3)
  for (const line of operations) assert.ok(codec.write(bytes(line), undefined, undefined).ok, line)
  const queries = [
    ...textOf('docs/write-and-read.md').matchAll(/`(\{"type":"Get[^`]*|\{"type":"List[^`]*)`/g),
  ]
    .map(([, query = '']) => query)
  assert.ok(queries.length >= 8)
  for (const query of queries) assert.ok(codec.query(bytes(query), undefined).ok, query)
})

test('configuration.md: its options exist, with their defaults', () => {
  const rows = [...textOf('docs/configuration.md').matchAll(/^\| (`[^|]+) \| ([^|]+) \|/gm)]
    .filter(([, names = '']) => !names.startsWith('`--'))
  const shown = rows.flatMap(([, names = '', value = '']) =>
    names.split(', ').map((name, index) =>
      [name.replaceAll('`', ''), value.split(', ')[index] ?? value] as const
    )
  )
  assert.ok(shown.length >= 10)
  for (const [name, value] of shown) {
    if (name in listOptions || name === 'merge' || name === 'memoryBytes') continue
    if (name in wordOptions) {
      assert.is(value.replaceAll('`', ''), wordOptions[name as keyof typeof wordOptions].default)
      continue
    }
    const option = options[name as keyof typeof options]
    assert.ok(option, name)
    assert.is(amount(value), option.default, name)
  }
})

/** "16 MiB", "5 s", "2000". */
function amount(text: string): number {
  const [, number = '', unit = ''] = /^([\d,.]+) ?(\w*)$/.exec(text.trim()) ?? []
  const factors: Record<string, number> = { '': 1, s: 1000, MB: 1e6, MiB: 1024 * 1024 }
  return Number(number.replaceAll(',', '')) * (factors[unit] ?? NaN)
}

test('operating.md has every kind of alert', () => {
  const table = textOf('docs/operating.md').split('## Alerts')[1] ?? ''
  const sent = sources('actors').flatMap((text) => [
    ...text.matchAll(/\b(?:alert\(|sendAlert\([^,]+, [^,]+, )([^,]+),/g),
    ...text.matchAll(/\bconst (kind = [^\n]+'replicaLag[^\n]+)/g),
  ]).flatMap(([, argument = '']) => [...argument.matchAll(/'([a-zA-Z]+)'/g)])
    .map(([, kind = '']) => kind).filter((kind) => kind !== 'lagRaised')
  assert.ok(new Set(sent).size > 20, [...new Set(sent)].join())
  none([...new Set(sent)].filter((kind) => !table.includes(`\`${kind}\``)))
})

test('ARCHITECTURE.md names every folder of the layers', () => {
  const tree = blocksOf('ARCHITECTURE.md', '').find((block) => block.startsWith('machines/')) ?? ''
  none(['machines', 'actors', 'runtime'].flatMap((layer) => {
    const rest = tree.split(`\n${layer}/`)[1] ?? tree
    const own = rest.split(/\n(?=\w)/)[0] ?? ''
    return readdirSync(join(root, layer), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !own.includes(`${entry.name}/`))
      .map(({ name }) => `${layer}/${name}/`)
  }))
})

const [begin, end] = ['<!-- invariants: begin -->', '<!-- invariants: end -->']

test('ARCHITECTURE.md has the invariants as they are (UPDATE_GOLDEN=1 writes them anew)', () => {
  const file = 'ARCHITECTURE.md'
  const document = textOf(file)
  const [before = '', after = ''] = [document.split(begin)[0], document.split(end)[1]]
  assert.ok(before.length < document.length && after !== '', 'it has both markers')
  const rows = Object.entries(invariants).map(([name, text]) => `| ${name} | ${text} |`)
  const list = ['| | |', '|---|---|', ...rows].join('\n')
  const current = `${before}${begin}\n\n${list}\n\n${end}${after}`
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(join(root, file), current)
  else assert.ok(document === current, 'run it with UPDATE_GOLDEN=1, and read what has changed')
  none(
    Object.keys(invariants).filter((name) => !new RegExp(`^\\| ${name} \\|`, 'm').test(after)).map((
      name,
    ) => `${name}: who keeps it?`),
  )
})

test.run()
