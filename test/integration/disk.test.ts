/** Disks that fill up, tear, or rot. */
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { fill, removeBallast } from '../../runtime/chaos/ballast.js'
import { assertAllTaken, audit } from '../support/audit.js'
import { cli } from '../support/cli.js'
import { positive } from '../support/client.js'
import { space, type Cluster } from '../support/cluster.js'
import { flipBit, mountRefusal, mountSmallDisk, tearTail, unmount } from '../support/disk.js'
import { removeTemporary, temporaryDirectory } from '../support/environment.js'
import { note, scenario, suite, type Body, type Stage } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const disk = suite('integration: disk')

const refusal = mountRefusal()

/** A scenario that needs a small disk; skipped by name where none can be mounted. */
function smallDiskScenario(name: string, body: Body): void {
  if (refusal === null) return scenario(disk, name, body)
  note(`SKIPPED "${name}": no tmpfs can be mounted here (${refusal})`)
  disk.skip(name)
}

/** A cluster whose n1 has a disk of its own that can be filled. */
async function smallDisk(stage: Stage): Promise<{ cluster: Cluster; mount: string }> {
  const directory = temporaryDirectory('disk')
  stage.onEnd(() => removeTemporary(directory))
  const mount = mountSmallDisk(join(directory, 'small'), 192)
  stage.onEnd(() => unmount(mount))
  const cluster = await stage.cluster({ data: { n1: join(mount, 'n1') } })
  return { cluster, mount }
}

async function makePrimary(cluster: Cluster, id: string): Promise<void> {
  if ((await cluster.primary()).node === id) return
  await cli(['promote', space, '--to', id, '--nats', cluster.broker.url])
  await cluster.primary({ by: id })
  await cluster.inSync(3)
}

smallDiskScenario('full disk of the primary: READ_ONLY, then it heals by itself', async (stage) => {
  const { cluster, mount } = await smallDisk(stage)
  await makePrimary(cluster, 'n1')
  const { pid } = cluster.node('n1')
  const writer = await stage.writer(cluster, { contentBytes: 20_000, ratePerSecond: 200 })
  await writer.taken(100)
  note(`ballast of ${fill(mount)} bytes`)
  await waitFor('READ_ONLY answers of the primary',
    () => writer.history.failures().has('READ_ONLY') || notYet(writer.history.summary()), {
    seconds: 30,
  })
  // Reads go on, and what was answered before is still there.
  const read = await cluster.client.read({ type: 'GetNode', nodeId: 'w1-0' })
  if (!read.ok) note(`read while the disk is full: ${JSON.stringify(read)}`)
  removeBallast(mount)
  await writer.taken(100, 30)
  const history = await writer.stop()
  note(history.summary())
  assertAllTaken(history)
  await cluster.inSync(3)
  await audit(cluster, history)
  assert.is(cluster.node('n1').pid, pid)
  assert.ok(cluster.node('n1').isRunning, 'it healed without a restart')
})

smallDiskScenario('full disk of a replica: the others go on, it returns', async (stage) => {
  const { cluster, mount } = await smallDisk(stage)
  await makePrimary(cluster, 'n2')
  const writer = await stage.writer(cluster, { contentBytes: 20_000, ratePerSecond: 200 })
  await writer.taken(100)
  fill(mount)
  await cluster.inSync(['n2', 'n3'], 40)
  await writer.taken(50)
  removeBallast(mount)
  await cluster.inSync(3, 40)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(disk, 'torn tail: it is cut, logged, and caught up', async (stage) => {
  const cluster = await stage.cluster()
  const primary = await cluster.primary()
  const writer = await stage.writer(cluster)
  for (const victim of cluster.others(primary.node)) {
    await writer.taken(200)
    await victim.kill()
    note(tearTail(victim.data, 7))
    const logged = victim.child?.log().length ?? 0
    await victim.start()
    await cluster.inSync(3)
    const said = victim.child?.log().slice(logged) ?? ''
    // Not "torn":null, which a whole journal says of itself.
    assert.match(said, /torn write|"torn":\{/i,
      `${victim.id} says in its log that a torn tail was cut`)
  }
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(disk,
  'a flipped bit in the middle: damaged, serves nothing, and is replaced by the others',
  async (stage) => {
    const cluster = await stage.cluster()
    const primary = await cluster.primary()
    const [victim, other] = cluster.others(primary.node)
    assert.ok(victim && other)
    const marker = 'bytes-that-rot-on-one-disk'
    const write = async (id: string, content: string): Promise<void> => {
      const body = { type: 'StoreNode' as const, node: { id, content } }
      positive(await cluster.client.write(body, { ack: 'committed' }), id)
    }
    for (let n = 0; n < 50; n += 1) await write(`before-${n}`, 'x')
    await write('rotten', marker)
    for (let n = 0; n < 50; n += 1) await write(`after-${n}`, 'x')
    await cluster.converged()
    await victim.kill()
    note(`flipped: ${flipBit(victim.data, marker)}`)
    await other.kill()
    await cluster.node(primary.node).kill()

    const logged = victim.child?.log().length ?? 0
    await victim.start({ awaitReady: false })
    await waitFor(`${victim.id} to say that ${space} is damaged`, async () => {
      if (/is damaged/i.test(victim.child?.log().slice(logged) ?? '')) return true
      return notYet('it says nothing')
    })
    await waitFor(`${victim.id} to report its role`, async () => {
      const member = await cluster.member(victim.id).catch(() => null)
      return member?.role === 'damaged' || notYet(`role ${member?.role ?? 'unknown'}`)
    })
    await waitFor(`${victim.id} to see that the others are gone`, async () => {
      const { peers } = (await cluster.report(victim.id)).node
      return [primary.node, other.id].every((id) =>
        !['alive', 'suspect', 'probing']
          .includes(peers[id]?.state ?? 'dead')
      ) || notYet(JSON.stringify(peers))
    })
    for (const read of [{}, { any: true }]) {
      const alone = await cluster.client.read({ type: 'GetNode', nodeId: 'rotten' }, read)
      assert.not.ok(alone.ok, `a damaged member serves: ${JSON.stringify(alone)}`)
    }
    assert.is((await cluster.member(victim.id)).role, 'damaged')

    await other.start()
    await cluster.node(primary.node).start()
    await cluster.inSync(3, 40)
    assert.is.not((await cluster.member(victim.id)).role, 'damaged')
    await write('meanwhile', 'x')
    // Level, with one digest. Its log begins after the state that it got: no audit of entries.
    await cluster.converged()
    // It is a member like any other: it may be the only one left.
    await makePrimary(cluster, victim.id)
    const rotten = positive(
      await cluster.client.read({ type: 'GetNode', nodeId: 'rotten' }),
      'read of the rotten node',
    )
    assert.match(JSON.stringify(rotten.value), marker)
    await write('after-all', 'x')
    await cluster.converged()
  })

disk.run()
