import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import promises, { mkdtemp, rm } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DirectoryOwnedError, DirectoryUnusableError, ownDirectory, unusable,
  type DirectoryOwner } from '../../../runtime/journal/directoryOwner.js'

const owner = suite<{ directory: string; children: ChildProcess[] }>('data directory owner')
const module_ = new URL('../../../runtime/journal/directoryOwner.js', import.meta.url).href

owner.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-owner-'))
  context.children = []
})
owner.after.each(async ({ directory, children }) => {
  for (const child of children) child.kill('SIGKILL')
  await rm(directory, { recursive: true, force: true })
})

/** Takes the directory, says so and stays; or says why not, and ends with 3. */
const script = (directory: string): string =>
  `const m = await import(${JSON.stringify(module_)})
  try {
    await m.ownDirectory(${JSON.stringify(directory)}, 'n1')
    console.log('owned'); setInterval(() => 0, 1e6)
  } catch (error) { console.log(error.message); process.exitCode = 3 }`

const args = (directory: string): string[] => ['--input-type=module', '-e', script(directory)]

/** Network namespaces of their own need root, and a kernel that lets a sandbox have them. */
const canUnshare = process.platform === 'linux'
  && spawnSync('unshare', ['--net', 'true']).status === 0

function start(children: ChildProcess[], directory: string, isApart: boolean): Promise<string> {
  const [command, ...rest] = isApart
    ? ['unshare', '--net', process.execPath, ...args(directory)]
    : [process.execPath, ...args(directory)]
  const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return new Promise((resolve, reject) => {
    child.stdout.once('data', (said: Buffer) => resolve(said.toString().trim()))
    child.once('error', reject)
    // Not at its exit: what it said may lie in the pipe still.
    child.once('close', (code) => reject(new Error(`it ended with ${code} and said nothing`)))
  })
}

async function refused(attempt: Promise<DirectoryOwner>): Promise<DirectoryOwnedError> {
  const error = await attempt.then(() => null, (e: unknown) => e)
  assert.instance(error, DirectoryOwnedError)
  return error as DirectoryOwnedError
}

function killed(child: ChildProcess): Promise<unknown> {
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  return gone
}

owner('held by another process until it is killed', async ({ directory, children }) => {
  assert.is(await start(children, directory, false), 'owned')
  const error = await refused(ownDirectory(directory, 'n1'))
  assert.is(error.code, 'DIRECTORY_OWNED')
  assert.is(error.owner?.pid, children[0]!.pid)
  assert.match(error.message, `process ${children[0]!.pid}`)
  assert.match(error.message, /Stop that process first, or use another data directory/)
  await killed(children[0]!)
  await (await ownDirectory(directory, 'n1')).release()
})

owner('not permitted, even to root: both causes are named', ({ directory }) => {
  const error = Object.assign(new Error('EPERM: operation not permitted'), { code: 'EPERM' })
  const { message } = unusable(directory, error)
  assert.match(message, /immutable.*lsattr/)
  assert.match(message, /file system.*sockets/)
})

owner('once within a process, and again after release', async ({ directory }) => {
  const first = await ownDirectory(directory, 'n1')
  assert.ok(first.isConfirmed)
  assert.is((await refused(ownDirectory(directory, 'n1'))).owner?.pid, process.pid)
  await first.release()
  await first.release()
  const second = await ownDirectory(directory, 'n1')
  await refused(ownDirectory(directory, 'n1'))
  await second.release()
})

owner('nothing but a socket is written, and nothing of it stays', async ({ directory }) => {
  for (let start = 0; start < 3; start++) {
    const held = await ownDirectory(directory, 'n1')
    assert.equal(readdirSync(directory), ['owner.1.sock'])
    await held.release()
    assert.equal(readdirSync(directory), [])
  }
})

owner('what a killed process left is taken over, and swept', async ({ directory, children }) => {
  for (const number of [1, 2]) {
    assert.is(await start(children, directory, false), 'owned')
    assert.equal(readdirSync(directory), [`owner.${number}.sock`])
    await killed(children.at(-1)!)
  }
  const held = await ownDirectory(directory, 'n1')
  assert.equal(readdirSync(directory), ['owner.3.sock'])
  await held.release()
})

owner('a process that is stopped owns it, and is reported without its name', async (
  { directory, children },
) => {
  assert.is(await start(children, directory, false), 'owned')
  children[0]!.kill('SIGSTOP')
  const error = await refused(ownDirectory(directory, 'n1'))
  assert.is(error.owner, null)
  assert.match(error.message, /another process: it does not answer/)
})

owner('seen from another network namespace, where abstract sockets are not', async (
  { directory, children },
) => {
  if (!canUnshare) return
  assert.is(await start(children, directory, true), 'owned')
  const error = await refused(ownDirectory(directory, 'n1'))
  assert.type(error.owner?.pid, 'number')
  await killed(children[0]!)
  await (await ownDirectory(directory, 'n1')).release()
})

owner('of fifty starts at once, in two network namespaces, exactly one runs', async (
  { directory, children },
) => {
  // A stale socket to take over, which is where they could step on each other.
  await start(children, directory, false)
  await killed(children[0]!)
  const said = await Promise.all(
    Array.from({ length: 50 },
      (_, index) => start(children, directory, canUnshare && index % 2 === 1)),
  )
  assert.is(said.filter((line) => line === 'owned').length, 1)
  for (const line of said) if (line !== 'owned') assert.match(line, /is in use by/)
})

owner('a socket that appears late is left to its living process', async ({ directory }) => {
  const { readdir } = promises
  const late = createServer()
  let isLinked = false
  promises.readdir = (async (path: string) => {
    isLinked ||= existsSync(join(directory, 'owner.1.sock'))
    const names = await readdir(path)
    // Whoever looked has seen nobody else: the next look is for what is to be swept.
    if (!isLinked || names.includes('owner.2.sock')) return names
    await new Promise<void>((resolve) => late.listen(join(directory, 'owner.2.sock'), resolve))
    return names
  }) as typeof readdir
  syncBuiltinESMExports()
  try {
    const held = await ownDirectory(directory, 'n1')
    assert.equal(readdirSync(directory).toSorted(), ['owner.1.sock', 'owner.2.sock'])
    await held.release()
  } finally {
    promises.readdir = readdir
    syncBuiltinESMExports()
    await new Promise((resolve) => late.close(resolve))
  }
})

owner('a path longer than a socket may have', async ({ directory }) => {
  const deep = join(directory, 'x'.repeat(100), 'y'.repeat(100))
  const held = await ownDirectory(deep, 'n1')
  assert.equal(readdirSync(deep), ['owner.1.sock'])
  await refused(ownDirectory(deep, 'n1'))
  await held.release()
})

owner('a process of the release before is seen', async ({ directory }) => {
  if (process.platform !== 'linux') return
  const { dev, ino } = (await import('node:fs')).statSync(directory, { bigint: true })
  const former = createServer((socket) => socket.end(JSON.stringify({ pid: 77, host: 'here' })))
  await new Promise<void>((resolve) => former.listen(`\0engram-data-${dev}-${ino}`, resolve))
  assert.is((await refused(ownDirectory(directory, 'n1'))).owner?.pid, 77)
  assert.equal(readdirSync(directory), [])
  await new Promise((resolve) => former.close(resolve))
})

owner('what cannot be a data directory is refused with cause and remedy', async ({ directory }) => {
  const file = join(directory, 'file')
  writeFileSync(file, 'kept')
  const cases: [string, RegExp][] = [
    [file, /cannot be used.*Use/s],
    [join(file, 'below'), /cannot be used: .*ENOTDIR.*Use the path of a directory/s],
    ...(process.platform === 'linux'
      ? [['/proc/engram', /cannot be used: .*ENOENT/s] as [string, RegExp]]
      : []),
  ]
  for (const [path, wanted] of cases) {
    const error = await ownDirectory(path, 'n1').then(() => null, (e: unknown) => e)
    assert.instance(error, DirectoryUnusableError, path)
    assert.match((error as Error).message, wanted)
  }
  assert.is(readFileSync(file, 'utf8'), 'kept')
})

owner('a socket that is none, and other files, are left alone', async ({ directory }) => {
  mkdirSync(join(directory, 'journal'))
  writeFileSync(join(directory, 'owner.txt'), '')
  const held = await ownDirectory(directory, 'n1')
  assert.equal(readdirSync(directory).toSorted(), ['journal', 'owner.1.sock', 'owner.txt'])
  await held.release()
})

owner('does not keep its process alive', ({ directory }) => {
  const code = script(directory).replace('setInterval(() => 0, 1e6)', '')
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', code], { timeout: 5000 })
  assert.is(ended.status, 0, String(ended.stderr))
})

owner.run()
