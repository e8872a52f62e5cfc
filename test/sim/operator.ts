/**
 * The operator after the faults: a damaged disk is replaced, and a space whose in-sync
 * members are all gone is given to the best member that is left, as by `--force`.
 */
import { comparePositions } from '../../machines/log/positions.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { MemoryFileSystem } from '../fakes/memoryFileSystem.js'
import type { SimNode } from '../support/simNode.js'
import { space } from './plan.js'
import type { World } from './world.js'

/** Starting a node, and reading its journal. */
const bootMs = 1500
/** On an empty disk incarnations count from the present second: the last life's is over by then. */
export const freshDiskMs = 2500

/** Only runs that lost or damaged disks need it. */
export async function repair(world: World): Promise<void> {
  const { logs } = world.checks
  if (logs.disksLost.size === 0 && logs.disksFlipped.size === 0
    && !world.checks.record.mayLoseCommitted) return
  await world.run(bootMs)
  for (const node of world.nodes) if (logs.disksFlipped.has(node.id)) await readAll(world, node)
  await world.run(bootMs)
  for (const node of world.nodes) if (isDamaged(world, node)) replaceDisk(world, node)
  await world.run(freshDiskMs + bootMs)
  const { record } = world.checks
  const members = record.last?.members ?? []
  if (record.current === null && members.every(({ node }) => logs.disksLost.has(node))) {
    record.excuse ??= 'the bucket and the disks of all members were lost: nothing is left'
  }
  if (isBlocked(world)) force(world)
  // Such a space takes no write while the others wait for a snapshot after a forced epoch.
  if (world.plan.whenUnderReplicated === 'accept') return
  await world.run(bootMs)
  replaceStranded(world)
  await world.run(freshDiskMs + bootMs)
}

/** A bit that flipped in a closed segment is found by who reads it; the member hears of it. */
async function readAll(world: World, node: SimNode): Promise<void> {
  const member = memberOf(node)
  if (!member || member.damage !== null) return
  try {
    await world.outcome('reading a log', world.cluster.entries(node.id, space))
  } catch (error) {
    if ((error as { code?: string }).code !== 'JOURNAL_DAMAGED') throw error
    member.damaged(String(error))
  }
}

/** Called while members are to become level: one that needs a snapshot gets an empty disk instead. */
export function replaceStranded(world: World): void {
  for (const node of world.nodes) {
    const actor = node.life?.actor.spaces.get(space)
    if (isDamaged(world, node) || /snapshot/.test(actor?.roleState.reason ?? '')) {
      replaceDisk(world, node)
    }
  }
}

export function replaceDisk(world: World, node: SimNode): void {
  world.note(`the disk of ${node.id} is replaced`)
  world.checks.logs.diskLost(node)
  world.excused.add(node.id)
  if (node.life) node.kill()
  node.replaceDisk()
  world.notBefore.set(node.id, world.now + freshDiskMs)
  world.after(freshDiskMs, () => world.startNode(node))
}

/** The directory is put back as it was: the node takes that for another disk, as it must. */
export function restoreDisk(world: World, node: SimNode, copy: MemoryFileSystem): void {
  world.note(`the directory of ${node.id} is restored from a copy`)
  world.checks.logs.diskLost(node)
  world.excused.add(node.id)
  if (node.life) node.kill()
  node.restoreDirectory(copy)
  world.notBefore.set(node.id, world.now + freshDiskMs)
  world.after(freshDiskMs, () => world.startNode(node))
}

/**
 * Its journal says so, or cannot be read at all, so that the process does not come up, or that the
 * member does not: what is left of its journal says that its data was removed.
 */
function isDamaged(world: World, node: SimNode): boolean {
  const { record, logs } = world.checks
  const isUp = node.life?.actor.state === 'running'
  const isListed = record.last?.members.some((member) => member.node === node.id) === true
  if (isUp && (memberOf(node) || !isListed)) return Boolean(memberOf(node)?.damage)
  return logs.disksFlipped.has(node.id)
}

function memberOf(node: SimNode) {
  return node.life?.actor.spaces.get(space)?.member
}

/** No in-sync member is left with the disk that the record names. */
function isBlocked(world: World): boolean {
  const record = world.checks.record.last
  return record !== null && !record.inSync.some((name) => {
    const disk = record.members.find((member) => member.node === name)?.disk
    const node = world.cluster.node(name)
    return node.life?.actor.disk === disk && !memberOf(node)?.damage
  })
}

function force(world: World): void {
  const members = new Set(world.checks.record.last?.members.map(({ node }) => node))
  const [best] = world.nodes
    .filter((node) => members.has(node.id) && memberOf(node) && !memberOf(node)!.damage)
    .toSorted((a, b) => comparePositions(memberOf(b)!.position(), memberOf(a)!.position()))
  if (!best) return
  world.checks.record.forced()
  command(world, best, { type: 'promote', space, to: best.id, force: true })
}

/** Sends an operator's command, and does not wait for its outcome. */
export function command(world: World, node: SimNode, what: object): void {
  const connection = world.operator.current
  if (!connection) return
  const data = Buffer.from(JSON.stringify(what))
  const note = (text: string): void => world.note(`command: ${text}`)
  note(`${node.id} ${JSON.stringify(what)}`)
  connection.request(subjects.admin(node.id), data, { timeoutMs: 10_000 })
    .then((answer) => note(Buffer.from(answer.data).toString()))
    .catch((error: Error) => note(error.message))
}
