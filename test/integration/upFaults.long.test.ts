/** `engram up` that is interrupted while it starts, or runs on a full disk. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { fill, removeBallast } from '../../runtime/chaos/ballast.js'
import { isAlive, processesNaming, tellingOf } from '../support/child.js'
import { cli, runCli } from '../support/cli.js'
import { mountRefusal, mountSmallDisk, unmount } from '../support/disk.js'
import { scenario, skipped, suite } from '../support/scenario.js'
import { directory, ends, ready, spawnUp, statusAt } from '../support/up.js'
import type { Up } from '../support/up.js'
import { notYet, waitFor } from '../support/wait.js'

const test = suite('integration: engram up in trouble')

scenario(test, 'interrupted while it starts: nothing is left', async (stage) => {
  const moments: [string, (up: Up) => boolean][] = [
    ['it hears signals', ({ child }) => child.stdout.includes('hears')],
    ['it holds its directory', ({ data }) => existsSync(join(data, 'up.json'))],
    ['its NATS server starts', ({ data }) => existsSync(join(data, 'logs', 'nats.log'))],
    ['its nodes start', ({ data }) => existsSync(join(data, 'n2'))],
    ['its nodes run', ({ data }) => existsSync(join(data, 'n3', 'store'))],
  ]
  for (const [moment, isThere] of moments) {
    const up = spawnUp(stage, { env: tellingOf('SIGINT') })
    await waitFor(moment, () => isThere(up), { everyMs: 1 })
    up.child.signalGroup('SIGINT')
    await ends(up.child, 10)
    assert.equal(processesNaming(up.data), [], moment)
    assert.not.ok(existsSync(join(up.data, 'up.json')), moment)
  }
}, 120)

const refusal = mountRefusal()
const onFullDisk = 'its file system is full: it keeps its nodes, and all goes on when there is room'
if (refusal !== null) skipped(test, onFullDisk, `nothing can be mounted here (${refusal})`)
else scenario(test, onFullDisk, async (stage) => {
    const files = directory(stage)
    const mount = mountSmallDisk(join(files, 'disk'), 320)
    stage.onEnd(() => unmount(mount))
    const up = spawnUp(stage, { data: join(mount, 'data') })
    const { nats, nodes } = await ready(up)
    fill(mount)
    await waitFor('it to say that the file system is full',
      () => up.child.log().includes('is full: make room'))
    // Lines for the logs, and changes for the arbiter: both have no room.
    for (let n = 0; n < 20; n += 1)
      await runCli(['promote', 'none', '--nats', nats], { seconds: 20 })
        .catch(() => null)
    removeBallast(mount)
    await waitFor('a write to be committed', async () => {
      const write = ['write', 'demo', '--ack', 'committed', '--deadline', '2s', '--nats', nats,
        '{"type":"StoreNode","node":{"id":"n1","content":"there is room"}}']
      const { code, stderr } = await runCli(write)
      return code === 0 || notYet(stderr)
    }, { seconds: 40 })
    const { primary } = (await statusAt(nats)).spaces[0]!
    const to = ['n1', 'n2', 'n3'].find((id) => id !== primary)!
    await cli(['promote', 'demo', '--to', to, '--nats', nats])
    for (const { id, pid } of nodes) assert.ok(isAlive(pid), `${id} has died`)
    assert.ok(readdirSync(join(up.data, 'logs')).includes('n1.log'))
    up.child.signal('SIGTERM')
    await ends(up.child)
  }, 150)

test.run()
