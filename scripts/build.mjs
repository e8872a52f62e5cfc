// The one build: tsc, incremental, and Vite when the sources of the page have changed.
// `npm run build` is this file; `npm test` and others get to it by way of preparation.mjs. It
// imports Node's own modules only, and does nothing when dist/ is what the sources would make.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
const sourceFolders = ['machines', 'actors', 'runtime', 'test', 'bench']
/** Built by Vite, into dist/page; the rest by tsc. */
const pageFolder = 'runtime/page/web'
const lockFile = 'package-lock.json'
const codeStampFile = join(dist, '.stamp')
const pageStampFile = join(dist, '.stamp-page')
/** Shared with `npm run dev`: files that it has compiled are not compiled again. */
const incrementalFile = join(dist, '.tsbuildinfo')
/** Kept of a command's output: its end. */
const outputCharsMax = 64 * 1024
/** After the end of a command. */
const lastWordsMs = 50

/**
 * The work that is due: `tools` are the names of tsc and vite, as far as they have to run, and
 * `work` runs them. It resolves with null, or with the output of the tool that failed.
 */
export function plannedBuild() {
  const code = codeState()
  const page = pageState()
  const tools = [...(code.isFresh ? [] : ['tsc']), ...(page.isFresh ? [] : ['vite'])]
  const work = async () => {
    const fault = code.isFresh ? null : await buildCode(code)
    return fault ?? (page.isFresh ? null : await buildPage(page))
  }
  return { tools, work }
}

function codeState() {
  const files = sourceFolders.flatMap(filesIn).filter(isSource).toSorted()
  const stamp = fingerprint(['tsconfig.json', lockFile, ...files])
  const outputs = files.map((file) => join(dist, file.replace(/\.ts$/, '.js')))
  const isWhole = outputs.every((file) => existsSync(file))
  return { files, stamp, isWhole, isFresh: isWhole && isStamped(codeStampFile, stamp) }
}

function pageState() {
  const stamp = fingerprint([lockFile, ...pageSources()])
  const isWhole = existsSync(join(dist, 'page', 'index.html'))
  return { stamp, isFresh: isWhole && isStamped(pageStampFile, stamp) }
}

async function buildCode({ files, stamp, isWhole }) {
  rmSync(codeStampFile, { force: true })
  // tsc does not notice that its output was removed.
  if (!isWhole) rmSync(incrementalFile, { force: true })
  const fault = await tool('typescript/bin/tsc', '-p', 'tsconfig.json')
  if (fault) return fault
  const known = new Set(files)
  for (const folder of sourceFolders) sweep(folder, known)
  writeFileSync(codeStampFile, stamp)
  return null
}

async function buildPage({ stamp }) {
  rmSync(pageStampFile, { force: true })
  const fault = await tool('vite/bin/vite.js', 'build', '--config', `${pageFolder}/vite.config.ts`,
    '--logLevel', 'warn')
  if (!fault) writeFileSync(pageStampFile, stamp)
  return fault
}

function tool(name, ...args) {
  return run(process.execPath, [join(root, 'node_modules', name), ...args])
}

/** Resolves with null when all went well, else with what the command said at its end. */
export function run(command, args, { env, timeout } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      timeout,
    })
    let output = ''
    const take = (text) => {
      output = (output + text).slice(-outputCharsMax)
    }
    child.stdout.setEncoding('utf8').on('data', take)
    child.stderr.setEncoding('utf8').on('data', take)
    child.once('error', (error) => resolve(`${command}: ${error.message}`))
    // A service that was started may hold the pipes: not `close`, but what is in them is read.
    child.once('exit', (code, signal) =>
      setTimeout(() => {
        for (const stream of [child.stdout, child.stderr]) stream.destroy()
        if (code === 0) resolve(null)
        else resolve(`${output.trimEnd()}\n${command} ended with ${signal ?? `exit code ${code}`}`)
      }, lastWordsMs))
  })
}

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

/** The files of the page, and what they import from elsewhere, directly or not. */
function pageSources() {
  const sources = new Set(filesIn(pageFolder).toSorted())
  // A Set can grow while it is walked.
  for (const file of sources) {
    if (!/\.tsx?$/.test(file)) continue
    const text = readFileSync(join(root, file), 'utf8')
    for (const [, target] of text.matchAll(/\bfrom '(\.[^']+)'/g)) {
      const path = posix.join(posix.dirname(file), target).replace(/\.js$/, '')
      const found = [`${path}.ts`, `${path}.tsx`, path].find((name) => existsSync(join(root, name)))
      if (found !== undefined) sources.add(found)
    }
  }
  return sources
}

/** By content: a checkout changes times, and an unchanged tree needs no build. */
function fingerprint(files) {
  const hash = createHash('sha256')
  for (const file of files) {
    hash.update(`${file}\0`).update(readFileSync(join(root, file))).update('\0')
  }
  return hash.digest('hex')
}

function isStamped(file, stamp) {
  return existsSync(file) && readFileSync(file, 'utf8') === stamp
}

/** Removes the outputs of sources that are gone: they would still be run as tests. */
function sweep(folder, files) {
  const path = join(dist, folder)
  if (!existsSync(path)) return
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const name = `${folder}/${entry.name}`
    if (entry.isDirectory()) sweep(name, files)
    else if (!entry.name.startsWith('.')
      && !files.has(name.replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts')))
    {
      rmSync(join(dist, name))
    }
  }
}

const [, program] = process.argv
if (program !== undefined && realpathSync(program) === fileURLToPath(import.meta.url)) {
  const fault = await plannedBuild().work()
  if (fault) console.error(fault)
  process.exitCode = fault ? 1 : 0
}
