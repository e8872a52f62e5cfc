import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { lockDirectory } from '../../runtime/journal/lock.js'
import { holderOf, lives, startedAt } from '../../runtime/processes.js'

const test = suite<{ directory: string }>('processes')

test.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-processes-'))
})
test.after.each(({ directory }) => rm(directory, { recursive: true, force: true }))

const me = { pid: process.pid, started: startedAt(process.pid) }

test('a process lives until it has ended; another one with its pid is another one', async () => {
  assert.ok(lives(me))
  if (existsSync('/proc/self')) assert.not.ok(lives({ ...me, started: 'another time' }))
  const child = spawn(process.execPath, ['-e', 'setInterval(() => 0, 1e6)'], { stdio: 'ignore' })
  const theirs = { pid: child.pid!, started: startedAt(child.pid!) }
  assert.ok(lives(theirs))
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
  assert.not.ok(lives(theirs))
  for (const pid of [0, -1, 1.5, Number.NaN]) assert.not.ok(lives({ pid, started: null }))
})

test('who holds a data directory is told by its lock, as long as he lives', async ({ directory }) => {
  assert.is(holderOf(directory), null)
  const lock = await lockDirectory(directory)
  assert.equal(holderOf(directory), me)
  await lock.release()
  assert.is(holderOf(directory), null)
  const file = join(directory, 'engram.lock')
  const holder = { pid: process.pid, host: hostname(), started: startedAt(process.pid) }
  writeFileSync(file, JSON.stringify(holder))
  assert.equal(holderOf(directory), me)
  writeFileSync(file, JSON.stringify({ ...holder, host: 'another machine' }))
  assert.is(holderOf(directory), null, 'its pids mean nothing here')
  if (me.started !== null) {
    writeFileSync(file, JSON.stringify({ ...holder, started: 'another time' }))
    assert.is(holderOf(directory), null, 'the pid has come again')
  }
  writeFileSync(file, '{"pid":')
  assert.is(holderOf(directory), null)
})

test.run()
