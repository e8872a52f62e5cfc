/** Rules that reviewers would otherwise have to check: boundaries, sizes, names that leak. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join, posix } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../support/environment.js'

const test = suite('tidy')

const linesMax = 400
const functionLinesMax = 70
const columnsMax = 100

function files(folder: string, extension: string): string[] {
  const path = join(root, folder)
  if (!existsSync(path)) return []
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (['node_modules', 'dist', '.git', '.engram'].includes(entry.name)) return []
    if (entry.isDirectory()) return files(name, extension)
    return entry.isFile() && entry.name.endsWith(extension) ? [name] : []
  })
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

const product = ['machines', 'actors', 'runtime']
  .flatMap((folder) => [...files(folder, '.ts'), ...files(folder, '.tsx')])
/** What the limits of sizes are for. */
const sized = [...product, ...files('bench', '.ts')]

interface Import {
  readonly from: string
  readonly isTypeOnly: boolean
}

function imports(file: string): Import[] {
  const text = withoutComments(read(file))
  const statement = /^\s*(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]/gm
  const dynamic = /\bimport\(\s*['"]([^'"]+)['"]/g
  return [
    ...[...text.matchAll(statement)].map((match) => ({
      from: resolved(file, match[2] ?? ''),
      isTypeOnly: match[1] !== undefined,
    })),
    ...[...text.matchAll(dynamic)].map((match) => ({
      from: resolved(file, match[1] ?? ''),
      isTypeOnly: false,
    })),
  ]
}

function resolved(file: string, target: string): string {
  return target.startsWith('.') ? posix.join(posix.dirname(file), target) : target
}

/** Comments go, lines stay. A `//` within a string is kept when a colon or quote precedes it. */
function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ''))
    .replace(/(^|[\s;{}(),])\/\/.*$/gm, '$1')
}

function none(offences: string[]): void {
  assert.equal(offences, [])
}

function offending(list: string[], isFine: (imported: Import, file: string) => boolean): string[] {
  return list.flatMap((file) =>
    imports(file)
      .filter((imported) => !isFine(imported, file))
      .map(({ from }) => `${file} imports ${from}`)
  )
}

test('there is something to look at', () => {
  assert.ok(product.length > 10)
  assert.ok(
    imports('actors/host/actorHost.ts').some(({ from, isTypeOnly }) =>
      from === 'xstate' && isTypeOnly
    ),
  )
})

test('machines/ imports xstate and its siblings only', () => {
  none(
    offending(files('machines', '.ts'),
      ({ from }) =>
        from === 'xstate' || from.startsWith('xstate/') || from.startsWith('machines/')),
  )
})

test('actors/ imports machines/, actors/ and xstate only', () => {
  none(
    offending(files('actors', '.ts'),
      ({ from }) => /^(xstate$|xstate\/|machines\/|actors\/)/.test(from)),
  )
})

test('runtime/ imports no tests and no benchmarks', () => {
  none(offending(files('runtime', '.ts'), ({ from }) => !/^(test|bench)\//.test(from)))
})

/** Folders by layer: each may import from those before it, and from itself. */
const layers: Readonly<Record<string, readonly string[]>> = {
  machines: ['base', 'graph', 'log', 'forks', 'protocol', 'election', '', 'rehearsal'],
  actors: [
    'host',
    'ports',
    'structures',
    'messaging',
    'arbiter',
    'overlay',
    'log',
    'membership',
    'member',
    'checkpoints',
    'forks',
    'install',
    'promotion',
    'primary',
    'replica',
    'reads',
    'space',
    'node',
  ],
  runtime: [
    'arbiter',
    'bus',
    'charts',
    'codec',
    'host',
    'status',
    'system',
    'client',
    'config',
    'http',
    'journal',
    'store',
    'checkpoint',
    'cluster',
    'inspect',
    'standalone',
    '',
    'chaos',
    'page',
    'node',
    'cli',
  ],
}

/** `actors/log/applier.ts` is in `log`; what lies on top is in ''. */
function folderOf(file: string): string {
  const [, folder = '', ...below] = file.split('/')
  return below.length > 0 ? folder : ''
}

test('folders import from those below them only', () => {
  for (const [top, order] of Object.entries(layers)) {
    const own = product.filter((file) => file.startsWith(`${top}/`))
    none([...new Set(own.map(folderOf))].filter((folder) => !order.includes(folder)))
    none(offending(own, ({ from }, file) =>
      !from.startsWith(`${top}/`)
      || order.indexOf(folderOf(from)) <= order.indexOf(folderOf(file))))
  }
})

test('no file imports itself by way of others, types included', () => {
  const sources = [...product, ...files('bench', '.ts'), ...files('test', '.ts')]
  const known = new Set(sources)
  const fileOf = (from: string): string | undefined =>
    [from.replace(/\.js$/, '.ts'), from.replace(/\.js$/, '.tsx'), `${from}.ts`, `${from}.tsx`]
      .find((file) => known.has(file))
  const graph = new Map(
    sources.map((
      file,
    ) => [file, imports(file).map(({ from }) => fileOf(from)).filter((at) => at !== undefined)]),
  )
  assert.ok([...graph.values()].flat().length > 500, 'imports are found')
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' > '))
    if (path.includes(file) || done.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of sources) visit(file, [])
  none(circles)
})

test('time and chance reach machines/ and actors/ through ports only', () => {
  const banned = [
    /\bDate\.now\b/,
    /\bnew Date\b/,
    /\bMath\.random\b/,
    /\bperformance\b/,
    /\bprocess\./,
    /(?<![.\w])(setTimeout|setInterval|setImmediate|clearTimeout)\s*\((?!\w+:)/,
    /\bconsole\./,
  ]
  const sources = [...files('machines', '.ts'), ...files('actors', '.ts')]
  none(
    sources.flatMap((file) =>
      withoutComments(read(file)).split('\n').flatMap((line, index) =>
        banned.some((pattern) => pattern.test(line)) ? [`${file}:${index + 1}: ${line.trim()}`] : []
      )
    ),
  )
})

test(`files have at most ${linesMax} lines`, () => {
  none(sized.filter((file) => read(file).trimEnd().split('\n').length > linesMax))
})

test(`lines have at most ${columnsMax} columns`, () => {
  none(
    sized.flatMap((file) =>
      read(file).split('\n').flatMap((line, index) =>
        line.length > columnsMax ? [`${file}:${index + 1}: ${line.length} columns`] : []
      )
    ),
  )
})

/** Lines of code, comments included, in which a pattern is found. */
function linesWith(pattern: RegExp, without = /(?!)/g, sources = product): string[] {
  return sources.flatMap((file) =>
    read(file).split('\n').flatMap((line, index) =>
      pattern.test(line.replace(without, '')) ? [`${file}:${index + 1}: ${line.trim()}`] : []
    )
  )
}

test('no banners: a file with parts that need them is two files', () => {
  none(linesWith(/^\s*\/\/ ?[-=*#]{4,}/))
})

/** Code that is no product: it may name words that are checked for here. */
const beside = ['test', 'bench', 'scripts', 'examples']
  .flatMap((folder) => ['.ts', '.tsx', '.mjs'].flatMap((extension) => files(folder, extension)))
  .filter((file) => !file.startsWith('test/repository/'))

test('an epoch is called an epoch, and a primary a primary', () => {
  // The state of a chart keeps its name: outside tests know it.
  none(
    linesWith(/\breign(?:s|ed|ing)?\b/i, /'reigning'|primary\.reigning|^\s+reigning(?=: \{)/g, [
      ...product,
      ...beside,
    ]),
  )
})

test('forks are reconciled, and nothing comes home', () => {
  none(linesWith(/homecoming|\bcom(?:es|ing) home\b/i, undefined, [...product, ...beside]))
})

test('code refers to nothing that is not in the repository', () => {
  none(
    linesWith(/\b(?:DESIGN|STYLE|FAULTS)\b|\bthe design\b|\bissue \d|\(sections? [\d.]+\)/,
      undefined, [...product, ...beside]),
  )
})

test('examples import packages and their neighbours only, as from an installed package', () => {
  const outside = files('examples', '.mjs').flatMap((file) =>
    imports(file)
      .map(({ from }) => from)
      .filter((from) =>
        from.startsWith('..') || /^(?:actors|machines|runtime|test|bench|dist)\//.test(from)
      )
      .map((from) => `${file} imports ${from}`)
  )
  assert.ok(files('examples', '.mjs').flatMap(imports).length > 5, 'imports are found')
  none(outside)
})

/** Begins of functions and methods, in code that is indented as this project's is. */
const functionBegin = new RegExp([
  String.raw`\bfunction\b.*\{$`,
  String.raw`=>\s*\{$`,
  String.raw`^\s+(?:(?:private|public|protected|static|override|async|get|set)\s+)*`
  + String.raw`(?!if\b|for\b|while\b|switch\b|catch\b|with\b)[\w#$]+(?:<.*>)?\(.*\{$`,
  String.raw`^\s*\)(?::[^{]*)?\s*(?:=>\s*)?\{$`,
].join('|'))

interface Span {
  readonly line: number
  readonly lines: number
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length
}

function functionSpans(text: string): Span[] {
  const lines = text.split('\n')
  return lines.flatMap((line, index) => {
    if (!functionBegin.test(line)) return []
    const indent = indentOf(line)
    let begin = index
    // A signature over several lines begins where its indentation does.
    while (begin > 0 && /^\s*\)/.test(lines[begin] ?? '')) {
      begin -= 1
      while (begin > 0 && indentOf(lines[begin] ?? '') > indent) begin -= 1
    }
    const end = lines.findIndex((next, at) =>
      at > index && indentOf(next) <= indent && /^\s*[}\])]/.test(next)
    )
    return end === -1 ? [] : [{ line: begin + 1, lines: end - begin + 1 }]
  })
}

test('the measure of functions finds their ends', () => {
  const sample = [
    'export function one(',
    '  a: number,',
    '): void {',
    '  if (a) {',
    '  }',
    '}',
    'class Two {',
    '  private three(): void {',
    '    four(() => {',
    '      x()',
    '    })',
    '  }',
    '}',
  ].join('\n')
  assert.equal(functionSpans(sample), [
    { line: 1, lines: 6 },
    { line: 8, lines: 5 },
    { line: 9, lines: 3 },
  ])
})

test(`functions have at most ${functionLinesMax} lines`, () => {
  none(sized.flatMap((file) =>
    functionSpans(read(file))
      .filter(({ lines }) => lines > functionLinesMax)
      .map(({ line, lines }) => `${file}:${line}: ${lines} lines`)
  ))
})

/** Fields and setters of classes that whoever has the object could assign to. */
function writableFields(text: string): string[] {
  let name: string | undefined
  return withoutComments(text).split('\n').flatMap((line) => {
    name = line === '}'
      ? undefined
      : /^(?:export )?(?:abstract )?class (\w+)/.exec(line)?.[1] ?? name
    const hidden = String.raw`(?:private|protected|readonly)\b|static readonly\b|#`
    const field =
      new RegExp(String.raw`^ {2}(?!${hidden})(?:\w+ )*?(\w+)[!?]?(?::| =)`).exec(line)?.[1]
        ?? /^ {2}set (\w+)\(/.exec(line)?.[1] ?? /^ {4}public (?!readonly\b)(\w+)/.exec(line)?.[1]
    return name !== undefined && field !== undefined ? [`${name}.${field}`] : []
  })
}

test('the search for writable fields finds them all, and nothing else', () => {
  const sample = [
    'export class One {',
    '  a = 1',
    '  b: string | null = null',
    '  declare c?: number',
    '  static d = 0',
    '  set e(value: number) {',
    '    this.f = value',
    '  }',
    '  constructor(',
    '    public g: number,',
    '  ) {',
    '    h.i = 1',
    '  }',
    '  readonly j = 1',
    '  private k = 1',
    '  #l = 1',
    '  static readonly m = 1',
    '  get n(): number {',
    '    return this.a',
    '  }',
    '  private async o(): Promise<void> {',
    '  }',
    '  protected readonly p: number',
    '}',
    'interface Two {',
    '  q: number',
    '}',
    'const r = {',
    '  s: 1,',
    '}',
  ].join('\n')
  assert.equal(writableFields(sample), ['One.a', 'One.b', 'One.c', 'One.d', 'One.e', 'One.g'])
})

test('nobody assigns to the fields of another: an actor\'s fields are private or readonly', () => {
  none(
    files('actors', '.ts').flatMap((file) =>
      writableFields(read(file)).map((field) => `${file}: ${field}`)
    ),
  )
})

test('nothing in the repository names a machine or a package registry', () => {
  const extensions = ['.ts', '.mjs', '.js', '.json', '.md', '.conf', '.yml', '.yaml', '.sh',
    '.html']
  const texts = files('', '').filter((file) =>
    extensions.includes(extname(file)) || file === '.ci/run' || file.endsWith('Dockerfile')
  )
  // In pieces, or this file would offend. A lock file names where packages come from.
  const words = [
    `registry.${'npmjs'}.org`,
    `deb.${'debian'}.org`,
    `proxy.${'golang'}.org`,
    `/${'root'}/`,
    `/${'home'}/`,
    `/${'work'}/${'main'}`,
    `/${'work'}/${'shared'}`,
    `/${'Users'}/`,
  ]
  none(texts.filter((file) => file !== 'package-lock.json').flatMap((file) => {
    const text = read(file)
    return words.filter((word) => text.includes(word)).map((word) => `${file} names ${word}`)
  }))
})

test.run()
