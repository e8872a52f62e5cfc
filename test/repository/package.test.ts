/** The package that `npm pack` makes: its files, and what its entries load. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../support/environment.js'

const test = suite('package')

interface Manifest {
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest

test('it holds the build and what the build reads, and no tests', () => {
  const { stdout, stderr } = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  })
  const [packed] = JSON.parse(stdout) as { readonly files: readonly { readonly path: string }[] }[]
  assert.ok(packed, stderr)
  const paths = packed.files.map(({ path }) => path)
  const named = [...Object.values(manifest.bin), ...Object.values(manifest.exports)
    .flatMap((entry) => typeof entry === 'string' ? entry : Object.values(entry))]
    .map((path) => path.replace('./', ''))
  for (const path of [...named, 'dist/page/index.html', 'dist/runtime/cli/main.js', 'nats.conf',
    'LICENSE', 'README.md']) assert.ok(paths.includes(path), `${path} is missing`)
  const allowed = /^(dist\/(machines|actors|runtime|page)\/|[A-Za-z.]+$|scripts\/engram\.mjs$)/
  assert.equal(paths.filter((path) =>
    !allowed.test(path) || /\.map$|\.tsx?$/.test(
      path.replace(/\.d\.ts$/, ''),
    )
  ), [])
})

/** Names of the packages and files that an entry loads. */
function loadedBy(entry: string): string[] {
  const hooks = `data:text/javascript,${
    encodeURIComponent(`
    import { writeSync } from 'node:fs'
    export const resolve = async (name, context, next) => {
      const found = await next(name, context)
      writeSync(1, found.url + '\\n')
      return found
    }`)
  }`
  const script = `
    import { register } from 'node:module'
    register(${JSON.stringify(hooks)})
    await import('engram-replication${entry}')`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '--eval',
    script], { cwd: root, encoding: 'utf8', timeout: 60_000 })
  assert.is(status, 0, stderr)
  return stdout.split('\n')
}

const matching = (lines: readonly string[], ...words: string[]): string[] =>
  words.filter((word) => lines.some((line) => line.includes(word)))

test('the client loads nothing of a server', () => {
  const lines = loadedBy('/client')
  assert.equal(matching(lines, '/node_modules/nats/', '/dist/runtime/client/index.js').length, 2)
  assert.equal(
    matching(lines, '/lmdb/', '/pino/', '/prom-client/', '/xstate/', '/commander/', '/ws/',
      '/runtime/host/', '/runtime/store/', '/runtime/journal/', '/actors/node/'),
    [],
  )
})

test('the charts load XState, and nothing else', () => {
  const lines = loadedBy('/machines')
  assert.equal(matching(lines, '/node_modules/xstate/', '/dist/machines/index.js').length, 2)
  assert.equal(matching(lines, '/dist/actors/', '/dist/runtime/', '/nats/', '/lmdb/'), [])
})

test('the actor host loads no store', () => {
  const lines = loadedBy('/host')
  assert.equal(matching(lines, '/node_modules/xstate/', '/dist/runtime/standalone/index.js').length,
    2)
  assert.equal(matching(lines, '/lmdb/', '/prom-client/', '/runtime/store/', '/runtime/client/'),
    [])
})

test('its commands are there', () => {
  for (const file of Object.values(manifest.bin)) assert.ok(existsSync(join(root, file)))
})

test.run()
