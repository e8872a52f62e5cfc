/** Small spaces of a node whose checkpoints share files. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { keptBy } from '../../support/checkpointContent.js'
import { check, checkpointsOf, filesOf, inSync, newestOf, shared, spaces, started,
  write } from '../../support/sharedSpaces.js'

const test = suite('cluster: shared checkpoint files')
test('spaces that are due together are in one file, each with its own state', async () => {
  const cluster = await started()
  await shared(cluster)
  await check(cluster)
  for (const node of cluster.running) {
    const named = new Set(spaces.flatMap((space) => keptBy(node, space).map(({ file }) => file)))
    assert.equal(filesOf(node), [...named].toSorted((a, b) => a - b), 'and no others')
    assert.ok(named.size < 2 * spaces.length)
  }
})

test('one goes on alone: what is left of shared files is written anew, and they go', async () => {
  const cluster = await started()
  await shared(cluster)
  const before = new Map(cluster.running.map((node) => [node, filesOf(node)]))
  await write(cluster, ['a', 'b'], 60)
  await cluster.run(5000)
  for (const node of cluster.running) {
    assert.ok(keptBy(node, 'c').every(({ file }) => !before.get(node)!.includes(file)), node.id)
    assert.equal(filesOf(node).filter((file) => before.get(node)!.includes(file)), [])
  }
  await check(cluster)
})

test('nothing is written anew while at least half of each file counts', async () => {
  const cluster = await started()
  await shared(cluster)
  await cluster.run(5000)
  const before = cluster.running.map(filesOf)
  await cluster.run(60_000)
  assert.equal(cluster.running.map(filesOf), before)
})

test('a space is dropped: its file stays for the others, and goes with the last one', async () => {
  const cluster = await started()
  await shared(cluster)
  for (const [index, space] of spaces.entries()) {
    const { uuid } = cluster.record(space)!
    const answer = await cluster.command('n1', { type: 'dropSpace', space, by: 'ann' })
    assert.is(answer['ok'], true)
    await cluster.run(5000)
    for (const node of cluster.running) {
      assert.is(node.actor.context!.ports.journal.log(uuid), undefined)
    }
    await check(cluster, spaces.slice(index + 1))
  }
  assert.equal(cluster.running.map(filesOf), [[], [], []])
})

test('one section rots: that space is loaded from its older one, the others are not', async () => {
  const cluster = await started()
  await shared(cluster)
  for (const space of spaces) await cluster.converged(space)
  const [node] = cluster.running
  const kept = new Map(spaces.map((space) => [space, keptBy(node!, space)]))
  const { uuid } = node!.space('b').member
  const section = checkpointsOf(node!).find(uuid, kept.get('b')!.at(-1)!)!
  const name = `${String(section.file).padStart(10, '0')}.checkpoint`
  node!.powerCut()
  node!.store.discardGraphs()
  node!.disk.flipBit(`/data/checkpoints/${name}`, section.offset + 40, 1)
  await cluster.run(50)
  node!.start()
  await cluster.until('it is back',
    () => spaces.every((space) => node!.life?.actor.spaces.get(space)?.member.rebuilding === null))
  const unusable = node!.log.filter(({ fields }) =>
    (fields as { kind?: string }).kind === 'checkpointUnusable'
  )
  assert.equal(unusable.map(({ fields }) => (fields as { space?: string }).space), ['b'])
  assert.is(node!.exitCode, null)
  await inSync(cluster)
  await shared(cluster)
  await check(cluster)
})

test('a disk that takes no file: one alert for all, and one end of it', async () => {
  const cluster = await started()
  await shared(cluster)
  const [node] = cluster.running
  const checkpoints = checkpointsOf(node!)
  const { write: written } = checkpoints
  checkpoints.write = () =>
    Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }))
  const before = spaces.map((space) => keptBy(node!, space))
  for (let minute = 0; minute < 3; minute += 1) {
    await write(cluster, spaces, 20)
    await cluster.run(61_000)
  }
  assert.equal(spaces.map((space) => keptBy(node!, space)), before)
  const alerts = () =>
    node!.log.map(({ fields }) => (fields as { kind?: string }).kind)
      .filter((kind) => kind?.startsWith('checkpoint'))
  assert.equal(alerts(), ['checkpointFailed'])
  checkpoints.write = written
  await cluster.run(61_000)
  assert.equal(alerts(), ['checkpointFailed', 'checkpointFailedCleared'])
  assert.ok(spaces.every((space, at) => newestOf(node!, space) > before[at]!.at(-1)!.file))
  await check(cluster)
})

for (const moment of ['written', 'named'] as const) {
  test(`dropped before the file is ${moment}: the others count`, async () => {
    const cluster = await started()
    await shared(cluster)
    const [node] = cluster.running
    const checkpoints = checkpointsOf(node!)
    const { write: written, open } = checkpoints
    let release: () => void = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    let held: readonly string[] = []
    // The file is there, and no record names it. With `named`, the older ones were looked up.
    checkpoints.write = async (...args) => {
      const sections = await written.apply(checkpoints, args)
      if (sections.length < spaces.length) return sections
      held = sections.map(({ space }) => space)
      checkpoints.write = written
      if (moment === 'written') await gate
      else {
        checkpoints.open = async (section) => {
          if (section.space === held.at(-1)) await gate
          return await open.call(checkpoints, section)
        }
      }
      return sections
    }
    for (let round = 0; round < 300 && held.length === 0; round += 1) await write(cluster, spaces)
    assert.is(held.length, 3)
    const [space] = held
    const { uuid } = cluster.record(space)!
    const answer = await cluster.command('n1', { type: 'dropSpace', space, by: 'ann' })
    assert.is(answer['ok'], true)
    await cluster.run(3000)
    checkpoints.open = open
    release()
    await cluster.run(3000)
    assert.is(node!.exitCode, null)
    assert.is(node!.actor.context!.ports.journal.log(uuid), undefined)
    const others = spaces.filter((one) => one !== space)
    await check(cluster, others)
    for (const other of others) {
      const { uuid: left } = node!.space(other).member
      for (const kept of keptBy(node!, other)) assert.ok(checkpoints.find(left, kept), other)
    }
  })
}

test('killed at any call to the disk: old or new count, for each space by itself', async () => {
  let deaths = 0
  for (let calls = 1; calls <= 60; calls += 5) {
    const cluster = await started(calls)
    await shared(cluster)
    const [node] = cluster.running.filter((one) => one !== cluster.primary('a'))
    node!.crash = {
      port: 'disk',
      operation: null,
      moment: calls % 2 ? 'before' : 'after',
      calls: 20 + calls,
      die: () => node!.powerCut(),
    }
    for (let round = 0; round < 60 && node!.life; round += 1) {
      await write(cluster, spaces).catch(() => undefined)
    }
    if (node!.life) continue
    deaths += 1
    node!.store.discardGraphs()
    node!.start()
    await cluster.until('it is back', () =>
      spaces.every((space) => node!.life?.actor.spaces.get(space) !== undefined))
    await check(cluster)
    await inSync(cluster)
    await shared(cluster)
    await check(cluster)
  }
  assert.ok(deaths > 6, `${deaths} deaths`)
})

test.run()
