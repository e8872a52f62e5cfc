import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  DataDirectoryLockedError, lockByFile, lockDirectory, type DirectoryLock,
} from '../../runtime/journal/lock.js'

const lock = suite<{ directory: string }>('data directory lock')
const module_ = new URL('../../runtime/journal/lock.js', import.meta.url).href

lock.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-lock-'))
})
lock.after.each(({ directory }) => rm(directory, { recursive: true, force: true }))

/** A process that takes the lock, says so, and stays. */
async function holder(directory: string, take: string): Promise<ChildProcess> {
  const code = `const m = await import(${JSON.stringify(module_)})
    await m.${take}(${JSON.stringify(directory)}); console.log('held'); setInterval(() => 0, 1e6)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code],
    { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once('data', () => resolve())
    child.once('exit', () => reject(new Error('the holder is gone')))
  })
  return child
}

async function refused(attempt: Promise<DirectoryLock>): Promise<DataDirectoryLockedError> {
  const error = await attempt.then(() => null, (e: unknown) => e)
  assert.instance(error, DataDirectoryLockedError)
  return error as DataDirectoryLockedError
}

for (const [name, take] of Object.entries({ lockDirectory, lockByFile })) {
  lock(`${name}: held by another process until it is killed`, async ({ directory }) => {
    const child = await holder(directory, name)
    const error = await refused(take(directory))
    assert.is(error.code, 'DATA_DIRECTORY_LOCKED')
    assert.is(error.holder?.pid, child.pid)
    assert.match(error.message, `process ${child.pid}`)
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
    await (await take(directory)).release()
  })

  lock(`${name}: once within a process, and again after release`, async ({ directory }) => {
    const first = await take(directory)
    assert.is((await refused(take(directory))).holder?.pid, process.pid)
    await first.release()
    await first.release()
    const second = await take(directory)
    await refused(take(directory))
    await second.release()
  })
}

lock('a lock file of a pid that another process has now is taken over', async ({ directory }) => {
  const first = await lockByFile(directory)
  const path = join(directory, 'engram.lock')
  const holder = JSON.parse(readFileSync(path, 'utf8')) as { started: string }
  writeFileSync(path, JSON.stringify({ ...holder, started: 'another time' }))
  const second = await lockByFile(directory)
  await first.release()
  assert.ok(existsSync(path), 'a late release leaves the new holder alone')
  await second.release()
})

lock('an unreadable lock file is taken over', async ({ directory }) => {
  writeFileSync(join(directory, 'engram.lock'), '{"pid":')
  await (await lockByFile(directory)).release()
})

lock('does not keep its process alive', ({ directory }) => {
  const code = `const m = await import(${JSON.stringify(module_)})
    await m.lockDirectory(${JSON.stringify(directory)})`
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', code], { timeout: 5000 })
  assert.is(ended.status, 0, String(ended.stderr))
})

lock.run()
