/** Disks that are full while only a checkpoint would let the oldest segment go. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { notesOf } from '../../../actors/checkpoints/sectionNotes.js'
import type { AlignedImage } from '../../../actors/log/applier.js'
import { FileSystemError } from '../../../actors/ports/fileSystem.js'
import { contentOf, keptBy } from '../../support/checkpointContent.js'
import { filledUp, isFull, journalOf, leaveFree, pinned,
  sameWrites } from '../../support/fullDisk.js'
import { assertSameTables } from '../../support/sameTables.js'
import type { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: full disks')

const MiB = 2 ** 20
/** What checkpoints leave free for writes, and the least that one is expected to need. */
const neededBytes = 65 * MiB

const atOnce = { begin: () => {}, end: () => {}, rest: () => Promise.resolve() }
const baseOf = (node: SimNode): number => node.space().member.log.base
const portsOf = (node: SimNode) => node.actor.context!.ports
const filesOf = (node: SimNode): number[] =>
  portsOf(node).checkpoints.files().map(({ number }) => number)
const kindsOf = (node: SimNode): string[] =>
  node.log.flatMap(({ fields }) => (fields as { kind?: string }).kind ?? [])
const gaveUp = (node: SimNode): boolean => kindsOf(node).includes('checkpointGivenUp')

function rot(node: SimNode, file: number): void {
  const path = node.disk.paths('/data/checkpoints')
    .find((one) => one.includes(`${file}.checkpoint`))!
  node.disk.flipBit(path, 400, 1)
}

/** With room, the cluster goes on as if nothing had been. */
async function goesOn(cluster: SimCluster, node: SimNode): Promise<void> {
  node.disk.capacity = Infinity
  await cluster.run(61_000)
  await sameWrites(cluster, 4)
  await cluster.converged()
  assertSameTables(cluster)
  assert.is(keptBy(node).length, 2)
  for (const kept of keptBy(node)) await contentOf(node, kept)
}

test('the journal takes nothing, and a checkpoint would let go: it goes on by itself', async () => {
  const { cluster, node } = await pinned()
  const [older, newer] = keptBy(node)
  await filledUp(cluster, node)
  const before = baseOf(node)
  await cluster.until('it gives up segments, and takes writes',
    () => baseOf(node) > before && !isFull(node))
  const kept = keptBy(node)
  assert.is(kept.length, 2)
  assert.ok(kept[0]!.position.sequence >= newer!.position.sequence)
  assert.ok(gaveUp(node))
  assert.not.ok(filesOf(node).includes(older!.file))
  await goesOn(cluster, node)
})

test('the journal still takes writes: it never stops', async () => {
  const { cluster, node } = await pinned()
  const [, newer] = keptBy(node)
  await leaveFree(node, 64 * MiB + 100_000)
  await sameWrites(cluster, 8)
  await cluster.run(1000)
  assert.equal(keptBy(node)[1], newer, 'the older one does not make enough room')
  await leaveFree(node, neededBytes - 1000)
  await cluster.until('there is another one', () => keptBy(node)[1]!.file > newer!.file, 61_000)
  assert.is(keptBy(node).length, 2)
  assert.ok(gaveUp(node))
  assert.not.ok(node.log.some(({ message }) => message === 'the journal cannot be written'))
  await goesOn(cluster, node)
})

test('one that found no room beside writes does not delay the one of a full disk', async () => {
  const { cluster, node } = await pinned()
  await leaveFree(node, 30 * MiB)
  node.log.length = 0
  const isInVain = (): boolean =>
    node.log.some(({ message }) => message.startsWith('a checkpoint could not be taken'))
  for (let round = 0; !isInVain(); round += 1) {
    assert.ok(round < 50, 'none is due')
    await sameWrites(cluster, 1)
  }
  const before = baseOf(node)
  await filledUp(cluster, node)
  await cluster.until('it gives up segments, and takes writes',
    () => baseOf(node) > before && !isFull(node), 10_000)
  await goesOn(cluster, node)
})

test('nothing is kept for want of a checkpoint: both stay', async () => {
  const { cluster, node } = await pinned(1e9)
  const kept = keptBy(node)
  await leaveFree(node, 64 * MiB + 100_000)
  await sameWrites(cluster, 8)
  await cluster.run(1000)
  await leaveFree(node, neededBytes - 1000)
  await cluster.run(130_000)
  assert.equal([keptBy(node), gaveUp(node)], [kept, false])
  assert.ok(kindsOf(node).includes('checkpointFailed'))
  await goesOn(cluster, node)
})

test('both are damaged: neither goes', async () => {
  const { cluster, node } = await pinned()
  const kept = keptBy(node)
  for (const { file } of kept) rot(node, file)
  await filledUp(cluster, node)
  await cluster.run(70_000)
  assert.equal([keptBy(node), gaveUp(node)], [kept, false])
  assert.equal(filesOf(node).slice(0, 2), kept.map(({ file }) => file))
  await goesOn(cluster, node)
})

test('one does not make enough room: both stay, and the alert says what to do', async () => {
  const { cluster, node } = await pinned()
  await cluster.writes(200, 'durable')
  await cluster.until('the newest one is larger', () => {
    const [older, newer] = keptBy(node).map((one) =>
      portsOf(node).checkpoints.find(node.space().member.uuid, one)!.bytes
    )
    return newer! > older! + 2000
  })
  const kept = keptBy(node)
  await filledUp(cluster, node)
  await cluster.until('what both have is gone', () => !isFull(node))
  await filledUp(cluster, node)
  await cluster.run(70_000)
  assert.equal([keptBy(node), gaveUp(node)], [kept, false])
  const alert = node.log.find(({ fields }) =>
    (fields as { kind?: string }).kind === 'checkpointFailed'
  )!
  assert.match(alert.message, /its disk has \d.* free, and \d.* are needed: enlarge the disk, or/)
  await goesOn(cluster, node)
})

test('there is room again while the other one is read: both stay', async () => {
  const { cluster, node } = await pinned()
  const { checkpoints } = portsOf(node)
  const { verify } = checkpoints
  checkpoints.verify = async (section, pace) => {
    node.disk.capacity = Infinity
    await verify.call(checkpoints, section, pace)
  }
  await filledUp(cluster, node)
  await cluster.until('it takes writes', () => !isFull(node), 10_000)
  assert.not.ok(gaveUp(node))
  checkpoints.verify = verify
  await goesOn(cluster, node)
})

test('the next one fails all the same: one stays, nothing goes for it, and it is not hurried',
  async () => {
    const { cluster, node } = await pinned()
    const [, newer] = keptBy(node)
    const { checkpoints } = portsOf(node)
    const { write } = checkpoints
    let tries = 0
    checkpoints.write = async (sources) => {
      tries += 1
      for await (const { image } of sources) image.close()
      throw new FileSystemError('ENOSPC', 'no space left')
    }
    await filledUp(cluster, node)
    const { covered } = journalOf(node).log(node.space().member.uuid)!.covers
    const before = baseOf(node)
    await cluster.run(130_000)
    assert.equal(keptBy(node), [newer])
    assert.equal(journalOf(node).log(node.space().member.uuid)!.covers.covered, covered)
    assert.is(baseOf(node), before, 'with one checkpoint nothing goes')
    assert.ok(tries >= 2 && tries <= 3, `${tries} tries in 130 s`)
    checkpoints.write = write
    await goesOn(cluster, node)
  })

/** One of two was given up, and the next one cannot be written; then the other one rots. */
async function rottenAlone(): Promise<{ cluster: SimCluster; node: SimNode }> {
  const { cluster, node } = await pinned()
  const { checkpoints } = portsOf(node)
  checkpoints.write = async (sources) => {
    for await (const { image } of sources) image.close()
    throw new FileSystemError('EIO', 'a bad sector')
  }
  await filledUp(cluster, node)
  await cluster.until('one is left', () => keptBy(node).length === 1)
  const { base, covers } = journalOf(node).log(node.space().member.uuid)!
  assert.ok(base.sequence <= covers.covered.sequence, 'all above is in the journal')
  rot(node, keptBy(node)[0]!.file)
  return { cluster, node }
}

test('the one that stayed rots: the store is what counts', async () => {
  const { cluster, node } = await rottenAlone()
  node.kill()
  node.disk.capacity = Infinity
  node.start()
  await cluster.until('it follows',
    () => node.life?.actor.spaces.get('teams')?.member.following.isFollowing ?? false)
  assert.is(node.space().member.damage, null)
  // It is found when the next one is to be covered by it.
  await goesOn(cluster, node)
  assert.is(node.counts.get('installs'), undefined)
})

test('the one that stayed rots, and the store is gone: it is installed by the others', async () => {
  const { cluster, node } = await rottenAlone()
  node.powerCut()
  node.store.discardGraphs()
  node.disk.capacity = Infinity
  node.start()
  await cluster.until('it is installed', () => node.counts.get('installs') === 1, 30_000)
  await goesOn(cluster, node)
})

test('writes do not get the room before the checkpoint is there', async () => {
  const { cluster, node } = await pinned()
  await filledUp(cluster, node)
  node.diskDelayMs = (operation) => (operation === 'write' ? 200 : 0)
  node.log.length = 0
  await cluster.until('the next one is there',
    () => node.log.some(({ message }) => message.startsWith('a checkpoint holds')), 10_000)
  const since = node.log.slice(
    node.log.findIndex(({ fields }) => (fields as { kind?: string }).kind === 'checkpointGivenUp'),
  )
  assert.not.ok(since.some(({ message }) => message === 'the journal can be written again'))
  node.diskDelayMs = null
  await goesOn(cluster, node)
})

test('files that nobody needs go first', async () => {
  const { cluster, node } = await pinned()
  const kept = keptBy(node)
  const { checkpoints } = portsOf(node)
  const { member } = node.space()
  const left = async (): Promise<number> => {
    const aligned = await new Promise<AlignedImage>((taken) => member.applier.takeImage(taken))
    const notes = await notesOf(member, aligned)
    return (await checkpoints.write([{ notes, image: aligned.image }], atOnce))[0]!.file
  }
  const unnamed = await cluster.wait(left())
  const uuid = '11111111-0000-4000-8000-000000000001'
  const part = await checkpoints.receive({ uuid, id: uuid, totalBytes: 1000 })
  await part.append(new Uint8Array(500))
  await part.close()
  await filledUp(cluster, node)
  await cluster.until('they are gone', () => !filesOf(node).includes(unnamed), 10_000)
  assert.equal([...await checkpoints.spacesOfParts()], [])
  await cluster.until('there is another one', () => keptBy(node)[1]!.file > unnamed, 10_000)
  assert.equal(keptBy(node)[0], kept[1])
  assert.not.ok(gaveUp(node))
  await goesOn(cluster, node)
})

test('the power fails at any call to the disk: what counts is there, and it goes on', async () => {
  let cut = 0
  let alone = 0
  for (let calls = 1; calls <= 40; calls += 3) {
    const { cluster, node } = await pinned()
    await filledUp(cluster, node)
    const { uuid } = node.space().member
    node.crash = {
      port: 'disk',
      operation: null,
      moment: calls % 2 ? 'before' : 'after',
      calls,
      die: () => node.powerCut(),
    }
    await cluster.run(3000)
    if (node.life) continue
    cut += 1
    node.store.discardGraphs()
    node.start()
    await cluster.until('it is back', () => node.life?.actor.spaces.get('teams') !== undefined)
    const { damage, covers } = journalOf(node).log(uuid)!
    assert.is(damage, null)
    if (covers.kept.length === 1) alone += 1
    for (const kept of covers.kept) await contentOf(node, kept)
    await cluster.until('it takes writes, and two count', () =>
      !isFull(node) && keptBy(node).length === 2, 130_000)
    await goesOn(cluster, node)
  }
  assert.ok(cut > 8 && alone > 0, `${cut} power cuts, ${alone} with one checkpoint`)
})

test.run()
