/** package-lock.json is whole, so that `npm ci` takes it on every platform, and names no host. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../support/environment.js'

const test = suite('lock file')

type Versions = Readonly<Record<string, string>>

interface Manifest {
  readonly version?: string
  readonly dependencies?: Versions
  readonly devDependencies?: Versions
  readonly optionalDependencies?: Versions
  readonly peerDependencies?: Versions
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
}

type Packages = Readonly<Record<string, Manifest>>

const readJson = (file: string): unknown => JSON.parse(readFileSync(join(root, file), 'utf8'))
const { packages } = readJson('package-lock.json') as { readonly packages: Packages }

/** Optional ones, too: those of other platforms have to be there for `npm ci`. */
function namesOf(entry: Manifest): string[] {
  const peers = Object.keys(entry.peerDependencies ?? {})
    .filter((name) => entry.peerDependenciesMeta?.[name]?.optional !== true)
  const { dependencies, devDependencies, optionalDependencies } = entry
  return [dependencies, devDependencies, optionalDependencies]
    .flatMap((group) => Object.keys(group ?? {})).concat(peers)
}

/** The places where Node would look for `name` from the package in the folder `from`. */
function isFound(all: Packages, from: string, name: string): boolean {
  for (let folder = from;; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    const path = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`
    if (all[path] !== undefined) return true
    if (folder === '') return false
  }
}

function missing(all: Packages): string[] {
  return Object.entries(all).flatMap(([path, entry]) =>
    namesOf(entry)
      .filter((name) => !isFound(all, path, name))
      .map((name) => `${name}, which ${path === '' ? 'package.json' : path} names`)
  )
}

test('a package that is missing is noticed', () => {
  const all = {
    '': { dependencies: { a: '1.0.0' } },
    'node_modules/a': { optionalDependencies: { b: '1.0.0' }, dependencies: { c: '1.0.0' } },
    'node_modules/a/node_modules/c': {},
  }
  assert.equal(missing(all), ['b, which node_modules/a names'])
  assert.equal(missing({ ...all, 'node_modules/b': {} }), [])
})

test('every package that one names is in it, those of other platforms included', () => {
  const remedy = 'in a folder with package.json and package-lock.json and without node_modules: '
    + 'npm install --package-lock-only'
  assert.equal(missing(packages), [], remedy)
})

test('it is that of package.json, with the versions pinned there', () => {
  const manifest = readJson('package.json') as Manifest
  for (const key of ['dependencies', 'devDependencies'] as const) {
    assert.equal(packages['']?.[key], manifest[key])
    for (const [name, range] of Object.entries(manifest[key] ?? {})) {
      const { version = '' } = packages[`node_modules/${name}`] ?? {}
      const patch = /^~(\d+\.\d+)\./.exec(range)
      const fits = patch ? version.startsWith(`${patch[1]}.`) : version === range
      assert.ok(fits, `${name}: ${version} is locked, ${range} is asked for`)
    }
  }
})

test('it does not say from which host a package came', () => {
  const named = Object.entries(packages)
    .filter(([, entry]) => 'resolved' in entry).map(([path]) => path)
  assert.equal(named, [], 'write it with omit-lockfile-registry-resolved=true')
})

test.run()
