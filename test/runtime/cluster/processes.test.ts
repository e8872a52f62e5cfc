import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { lives, runnerOf, startedAt } from '../../../runtime/cluster/processes.js'
import { ownDirectory } from '../../../runtime/journal/directoryOwner.js'

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

test('the owner of a directory names the process of its node, as long as it lives',
  async ({ directory }) => {
    assert.is(await runnerOf('n1', directory), null)
    assert.is(await runnerOf('n1', join(directory, 'none')), null)
    const owner = await ownDirectory(directory, 'n1')
    assert.equal(await runnerOf('n1', directory), me)
    assert.is(await runnerOf('n2', directory), null, 'that is another node')
    await owner.release()
    assert.is(await runnerOf('n1', directory), null)
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.end(JSON.stringify({ pid: process.pid, host: 'elsewhere', node: 'n1', since: '' }))
    })
    const socket = join(directory, 'owner.1.sock')
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    assert.is(await runnerOf('n1', directory), null, 'its pids mean nothing here')
    await new Promise((resolve) => server.close(resolve))
  })

test.run()
