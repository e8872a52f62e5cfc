// Runs before `npm start`, `npm test` and `npm run bench`: installs, builds, and finds nats-server,
// each only when needed. On a fresh clone nothing is installed: this file imports nothing else.
// It writes to stderr only, because stdout belongs to `--json`.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync, constants, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync,
} from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const sourceFolders = ['machines', 'actors', 'runtime', 'test', 'bench']
/** Built by Vite, into dist/page; the rest by tsc. */
const pageFolder = 'runtime/page/web'
const stampFile = join(root, 'dist', '.stamp')

function say(line) {
  process.stderr.write(`engram: ${line}\n`)
}

function give(up) {
  say(up)
  process.exit(1)
}

function run(command, args) {
  // Its stdout goes to our stderr.
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (error !== undefined) say(`${command}: ${error.message}`)
  return error === undefined && status === 0
}

// ---------------------------------------------------------------- Node

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  give(`Node ${process.versions.node} is too old: 20.19 or later is needed (https://nodejs.org)`)
}

// ---------------------------------------------------------------- dependencies

/** npm keeps what it installed in node_modules/.package-lock.json, written last. */
function isInstalled() {
  const wanted = packagesOf(join(root, 'package-lock.json'))
  if (wanted === null) give('package-lock.json is missing or broken: restore it, e.g. from git')
  const found = packagesOf(join(root, 'node_modules', '.package-lock.json'))
  if (found === null) return false
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === '') return true
    // Optional ones are installed where the platform fits.
    const there = found[path]
    return there === undefined ? optional === true : there.version === version
  })
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? null
  } catch {
    return null
  }
}

function npm(args) {
  const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }
  const further = ['--include=dev', '--no-audit', '--no-fund']
  const script = process.env.npm_execpath
  const isScript = script !== undefined && /\.c?js$/.test(script)
  const { status, error, stdout, stderr } = isScript
    ? spawnSync(process.execPath, [script, ...args, ...further], options)
    : spawnSync('npm', [...args, ...further], options)
  return { isDone: status === 0, output: `${error?.message ?? ''}${stdout ?? ''}${stderr ?? ''}` }
}

function install() {
  if (isInstalled()) return
  say('installing dependencies (npm ci)')
  if (npm(['ci']).isDone) return
  // `npm ci` insists that the lock file lists the optional packages of all platforms, and one
  // that was written where only some of them can be had does not. The same versions otherwise.
  say('npm ci refused; installing with npm install --no-save')
  const { isDone, output } = npm(['install', '--no-save'])
  if (!isDone) give(`${output}\nnpm install failed, see above`)
}

// ---------------------------------------------------------------- build

function filesIn(folder) {
  const path = join(root, folder)
  if (!existsSync(path)) return []
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`
    return entry.isDirectory() ? filesIn(name) : [name]
  })
}

function isSource(file) {
  return file.endsWith('.ts') && !file.endsWith('.d.ts') && !file.startsWith(`${pageFolder}/`)
}

/** By content: a checkout changes times, and an unchanged tree needs no build. */
function fingerprint(files) {
  const hash = createHash('sha256')
  for (const file of ['tsconfig.json', 'package-lock.json', ...files, ...filesIn(pageFolder)]) {
    hash.update(`${file}\0`).update(readFileSync(join(root, file))).update('\0')
  }
  return hash.digest('hex')
}

function outputOf(source) {
  return join(root, 'dist', source.replace(/\.ts$/, '.js'))
}

/** What a removed or renamed source left behind would still be run as a test. */
function sweep(folder, files) {
  const path = join(root, 'dist', folder)
  if (!existsSync(path)) return
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const name = `${folder}/${entry.name}`
    if (entry.isDirectory()) sweep(name, files)
    else if (!files.has(name.replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts'))) rmSync(join(root, 'dist', name))
  }
}

function compile() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  if (!run(process.execPath, [tsc, '-p', 'tsconfig.json'])) give('the build failed, see above')
}

function buildPage() {
  const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js')
  const args = ['build', '--config', `${pageFolder}/vite.config.ts`, '--logLevel', 'warn']
  if (!run(process.execPath, [vite, ...args])) give('the build of the page failed, see above')
}

function build() {
  const files = sourceFolders.flatMap(filesIn).filter(isSource).toSorted()
  const wanted = fingerprint(files)
  const built = existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : ''
  const isThere = [...files.map(outputOf), join(root, 'dist', 'page', 'index.html')]
    .every((file) => existsSync(file))
  if (built === wanted && isThere) return
  say('building (tsc, vite)')
  rmSync(stampFile, { force: true })
  compile()
  buildPage()
  const known = new Set(files)
  for (const folder of sourceFolders) sweep(folder, known)
  writeFileSync(stampFile, wanted)
}

// ---------------------------------------------------------------- nats-server

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

function hasCommand(name, further = []) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return [...folders, ...further].some((folder) => isExecutable(join(folder, name)))
}

function hasNats() {
  return hasCommand('nats-server', ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin'])
}

function remedy() {
  if (process.platform === 'darwin') return 'brew install nats-server'
  if (process.platform === 'win32') return 'choco install nats-server'
  if (hasCommand('apt-get')) return 'sudo apt-get update && sudo apt-get install -y nats-server'
  return 'see https://docs.nats.io/running-a-nats-service/introduction/installation'
}

function findNats() {
  if (hasNats()) return
  const isStart = process.env.npm_lifecycle_event === 'prestart'
  if (isStart && process.env.ENGRAM_NATS_URL) return
  if (process.getuid?.() === 0 && hasCommand('apt-get')) {
    say("installing nats-server (Debian's package)")
    process.env.DEBIAN_FRONTEND ??= 'noninteractive'
    // A failed update may still leave a usable list.
    run('apt-get', ['update'])
    run('apt-get', ['install', '-y', '--no-install-recommends', 'nats-server'])
    if (hasNats()) return
  }
  give(`nats-server was not found. Install it: ${remedy()}`)
}

checkNode()
install()
build()
findNats()
