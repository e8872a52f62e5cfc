/** Dropping spaces: commands and their answers, and members in every state. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { giveUp } from '../../support/giveUp.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: dropping')

const serving = () => SimCluster.serving({ writes: 3 })

const drop = (cluster: SimCluster, node = 'n1', more: object = {}) =>
  cluster.command(node, { type: 'dropSpace', space: 'teams', by: 'ann', ...more })

function holds(node: SimNode, uuid: string): boolean {
  const { journal, store } = node.actor.context!.ports
  return journal.log(uuid) !== undefined || store.has(uuid)
    || node.actor.spaces.get('teams')?.member.uuid === uuid
}

async function gone(cluster: SimCluster, uuid: string, nodes = cluster.running): Promise<void> {
  await cluster.until('its data is gone', () => nodes.every((node) => !holds(node, uuid)))
}

const replicas = (cluster: SimCluster): SimNode[] =>
  cluster.running.filter((node) => node !== cluster.primary())

test('what is said of a space that was dropped, by whatever is asked', async () => {
  const cluster = await serving()
  const { uuid, epoch, members } = cluster.record()!
  const other = await drop(cluster, 'n1', { uuid: 'another' })
  assert.equal([other['ok'], other['code']], [false, 'INVALID_OPERATION'])
  assert.match(String(other['message']), /is another space by now/)
  const answer = await drop(cluster, 'n2', { uuid })
  assert.equal([answer['ok'], answer['changed'], answer['uuid']], [true, true, uuid])
  const { state, dropped, primary, inSync, ...rest } = cluster.record()!
  assert.equal([state, primary, inSync], ['dropped', null, []])
  assert.equal([rest.uuid, rest.epoch, rest.members], [uuid, epoch, members])
  assert.is(dropped?.by, 'ann')
  await gone(cluster, uuid)
  for (const command of [
    { type: 'pause' },
    { type: 'promote', to: 'n1' },
    { type: 'setSpace', settings: { ack: 'memory' } },
    { type: 'closeFork', epoch: 1 },
  ]) {
    const refused = await cluster.command('n2', { space: 'teams', ...command })
    assert.is(refused['code'], 'UNKNOWN_SPACE', JSON.stringify({ command, refused }))
    assert.match(String(refused['message']), /no space teams: it was dropped at 20\d\d-.*Z by ann/)
  }
  const looked = await cluster.wait(
    cluster.client.request(subjects.lookup('teams'), new Uint8Array(), { timeoutMs: 1000 }),
  )
  assert.match(Buffer.from(looked.data).toString(), /UNKNOWN_SPACE.*was dropped at/)
  const list = await cluster.command('n1', { type: 'listSpaces' })
  assert.equal(list['spaces'], [])
  const again = await drop(cluster, 'n3')
  assert.equal([again['ok'], again['changed']], [true, false])
  const unknown = await cluster.command('n1', { type: 'dropSpace', space: 'nowhere' })
  assert.is(unknown['code'], 'UNKNOWN_SPACE')
  assert.is(await cluster.write(), null, 'nobody takes a write')
})

test('the name is used again, in a later epoch, for another space', async () => {
  const cluster = await serving()
  const { uuid, epoch } = cluster.record()!
  await drop(cluster)
  cluster.acknowledged.length = 0
  await cluster.createSpace()
  assert.is.not(cluster.record()!.uuid, uuid)
  assert.ok(cluster.record()!.epoch > epoch)
  assert.equal(cluster.record()!.formerly, [uuid])
  await gone(cluster, uuid)
  await cluster.writes(3, 'committed')
  await cluster.check()
  await cluster.command('n1', { type: 'setSpace', space: 'teams', settings: { ack: 'committed' } })
  assert.equal(cluster.record()!.formerly, [uuid], 'changes of the record keep it')
})

test('a drop that the arbiter refuses: the space goes on, in another epoch', async () => {
  const cluster = await serving()
  const { uuid } = cluster.record()!
  cluster.bucket.rejects = 'no room'
  const answer = await drop(cluster, cluster.primary()!.id)
  assert.is(answer['code'], 'ARBITER_REFUSED')
  cluster.bucket.rejects = null
  await cluster.until('it serves', () => cluster.primary() !== null, 3000)
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  assert.is(cluster.record()!.uuid, uuid)
  await cluster.writes(3, 'committed')
  await cluster.check()
})

test('while the arbiter is away the command fails, and the epoch goes on', async () => {
  const cluster = await serving()
  const { epoch } = cluster.record()!
  const primary = cluster.primary()!
  cluster.bucket.available = false
  const answer = await drop(cluster, primary.id)
  assert.equal([answer['code'], answer['retryable']], ['ARBITER_UNAVAILABLE', true])
  await cluster.writes(3, 'durable')
  cluster.bucket.available = true
  await cluster.run(1000)
  assert.equal([cluster.primary()?.id, cluster.record()!.epoch], [primary.id, epoch])
  await cluster.check()
})

test('a drop whose outcome is not known may come late, and never upon a later epoch', async () => {
  const cluster = await serving()
  const { uuid } = cluster.record()!
  cluster.bucket.loseAnswers('late', ...Array.from({ length: 200 }, () => 'lost' as const))
  const answer = await drop(cluster, cluster.primary()!.id)
  assert.is(answer['code'], 'ARBITER_UNAVAILABLE')
  assert.match(String(answer['message']), /may still be applied/)
  cluster.bucket.keepAnswers()
  await cluster.until('it serves', () => cluster.primary() !== null, 3000)
  const answers = await cluster.writes(3, 'durable')
  cluster.bucket.release()
  await cluster.run(1000)
  assert.is(cluster.record()!.state, 'open', 'what was acknowledged since stays')
  assert.ok(answers.every((write) => write.epoch > 1))
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.check()
  await drop(cluster)
  await gone(cluster, uuid)
})

test('a primary that does not answer is not waited for', async () => {
  const cluster = await serving()
  const { uuid } = cluster.record()!
  const primary = cluster.primary()!
  const others = replicas(cluster)
  primary.freeze()
  const answer = await drop(cluster, others[0]!.id)
  assert.is(answer['ok'], true, JSON.stringify(answer))
  await gone(cluster, uuid, others)
  primary.thaw()
  await gone(cluster, uuid)
})

test('a blocked space, and a paused one, can be dropped', async () => {
  const cluster = await serving()
  const { uuid } = cluster.record()!
  await cluster.command('n1', { type: 'pause', space: 'teams' })
  const [left, ...dead] = [...cluster.running]
  for (const node of dead) node.kill()
  await cluster.run(3000)
  const answer = await drop(cluster, left!.id)
  assert.is(answer['ok'], true, JSON.stringify(answer))
  await gone(cluster, uuid, [left!])
  for (const node of dead) node.start()
  await cluster.run(1000)
  await gone(cluster, uuid)
})

test('during a handover', async () => {
  const cluster = await serving()
  const { uuid } = cluster.record()!
  const primary = cluster.primary()!
  const [to] = replicas(cluster)
  cluster.weather = (from, at) => (from === to!.id && at === primary.id ? 60 : 0.2)
  void cluster.command(primary.id, { type: 'promote', space: 'teams', to: to!.id })
    .catch(() => undefined)
  await cluster.until('it is given away',
    () => primary.space().primaryRole?.isTransferring ?? false)
  const answer = await drop(cluster, primary.id)
  assert.is(answer['ok'], true, JSON.stringify(answer))
  cluster.weather = () => 0.2
  await gone(cluster, uuid)
  await cluster.run(2000)
  assert.is(cluster.primary(), null)
})

test('a damaged member, with its mark', async () => {
  const cluster = await serving()
  const { uuid } = cluster.record()!
  const [node] = replicas(cluster)
  node!.space().member.damaged('a bit flipped')
  await cluster.run(100)
  assert.is(node!.store.markedDamaged(uuid)?.reason, 'a bit flipped')
  await drop(cluster)
  await gone(cluster, uuid)
  assert.is(node!.store.markedDamaged(uuid), null)
})

test('a full disk: the data goes once the journal takes the record', async () => {
  const cluster = await serving()
  const { uuid } = cluster.record()!
  const [node] = replicas(cluster)
  node!.disk.capacity = 0
  await drop(cluster)
  await cluster.run(5000)
  assert.ok(node!.actor.context!.ports.journal.log(uuid), 'not without the record')
  assert.not(node!.actor.spaces.has('teams'), 'and it has no role')
  node!.disk.capacity = Infinity
  await gone(cluster, uuid)
})

test('a fork that is being given up when the tombstone comes', async () => {
  const cluster = await serving()
  const { uuid } = cluster.record()!
  const old = cluster.primary()!
  cluster.weather = (from,
    at) => ([from, at].includes(old.id) && from !== 'client' && at !== 'client'
      ? 'lost'
      : 0.2)
  void cluster.send()
  await cluster.run(20)
  old.kill()
  cluster.weather = () => 0.2
  await cluster.until('another', () => (cluster.primary() ?? old) !== old)
  old.diskDelayMs = (operation) => (operation === 'datasync' ? 1 : 20)
  old.start()
  await cluster.until('it gives up its fork',
    () => old.life?.actor.spaces.get('teams')?.member.following.isTruncating ?? false)
  await drop(cluster)
  await gone(cluster, uuid)
  await cluster.run(1000)
  assert.equal(await cluster.wait(old.salvageFiles.names()), [])
  assert.is(old.exitCode, null)
})

test('an arbiter that goes back to a space that had the name before', async () => {
  const cluster = await serving()
  const living = cluster.bucket.snapshot()
  await drop(cluster)
  const dropped = cluster.bucket.snapshot()
  cluster.acknowledged.length = 0
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  const { uuid } = cluster.record()!
  for (const before of [living, dropped]) {
    await cluster.writes(3, 'committed')
    cluster.bucket.restore(before)
    assert.is.not(cluster.record()!.uuid === uuid && cluster.record()!.state === 'open', true)
    await cluster.until('its record is written again', () => cluster.record()?.uuid === uuid)
    await cluster.until('it serves', () => cluster.primary() !== null)
    await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
    await cluster.check()
  }
})

test('twenty spaces at once, and a restart in the midst of it', async () => {
  const cluster = await serving()
  const names = Array.from({ length: 20 }, (_, index) => `s${index}`)
  for (const name of names) await cluster.createSpace({}, name)
  const uuids = names.map((name) => cluster.record(name)!.uuid)
  const answers = Promise.all(
    names.map((space) => cluster.command('n1', { type: 'dropSpace', space })),
  )
  await cluster.run(3)
  cluster.node('n3').kill()
  await answers
  cluster.node('n3').start()
  await cluster.run(500)
  for (const uuid of uuids) await gone(cluster, uuid)
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.check()
})

test('its checkpoints go, too, also one that was being written', async () => {
  const cluster = await SimCluster.start({ settings: { checkpointBytes: 4096 } })
  await cluster.createSpace()
  const files = () =>
    cluster.running.map((node) => node.actor.context!.ports.checkpoints.files().length)
  for (let round = 0; round < 100 && files().some((count) => count === 0); round += 1) {
    await cluster.writes(10, 'committed')
    await cluster.run(100)
  }
  assert.ok(files().every((count) => count > 0), 'each has one')
  for (let n = 0; n < 10; n += 1) await cluster.writes(10, 'committed')
  const { uuid } = cluster.record()!
  await drop(cluster)
  await gone(cluster, uuid)
  await cluster.run(15_000)
  assert.equal(files(), [0, 0, 0])
})

test('what cannot be removed is tried again after a start, when its segment has gone', async () => {
  const cluster = await SimCluster.start({ segmentBytes: 4096 })
  await cluster.createSpace()
  await cluster.createSpace({}, 'other')
  await cluster.until('all in sync', () => cluster.record('other')!.inSync.length === 3)
  await cluster.until('teams has a primary', () => cluster.primary() !== null)
  const { uuid } = cluster.record()!
  const [node] = replicas(cluster)
  await cluster.run(1000)
  const path = `/data/salvage/teams.${uuid.slice(0, 8)}.1-1.1-2.checkpoint`
  const files = node!.disk.process()
  await cluster.wait(files.makeDirectory('/data/salvage'))
  await cluster.wait(files.open(path, 'create').then((handle) => handle.close()))
  const { salvages } = node!.actor.context!.ports
  const { remove } = salvages
  salvages.remove = async () => {
    throw new Error('EPERM')
  }
  await drop(cluster)
  await gone(cluster, uuid)
  await cluster.run(1000)
  for (let n = 0; n < 100; n += 1) await cluster.wait(cluster.send({}, 1, 'other'))
  await cluster.run(1000)
  await giveUp(cluster, node!, ['other'])
  assert.ok(node!.disk.paths('/data/salvage').includes(path))
  salvages.remove = remove
  node!.kill()
  await cluster.run(500)
  node!.start()
  await cluster.until('the file is gone', () => node!.disk.paths('/data/salvage').length === 0)
})

test('a node that was away when the space was dropped remembers it, over a restart too', async () => {
  const cluster = await serving()
  const { uuid } = cluster.record()!
  const [away] = replicas(cluster) as [SimNode]
  away.kill()
  assert.is((await drop(cluster, cluster.primary()!.id))['ok'], true)
  away.start()
  await cluster.until('it is up', () => away.life?.actor.state === 'running')
  await gone(cluster, uuid)
  await cluster.run(500)
  cluster.bucket.available = false
  away.kill()
  away.start()
  await cluster.until('it is up again', () => away.life?.actor.state === 'running')
  await cluster.run(3000)
  assert.not(holds(away, uuid), 'it does not come back while the arbiter is away')
  const remembered = away.actor.context!.records.remembered('teams')
  assert.is(remembered?.assignment.state, 'dropped', 'the tombstone is what it remembers')
  const errors = away.log.filter(({ level }) => level === 'error')
  assert.equal(errors, [], 'it does not try to hold it')
})

test.run()
