/** Does the faults of a plan to the world, and takes each back when its time is over. */
import type { SimNode } from '../support/simNode.js'
import { amongNodes, linkOf } from './network.js'
import type { Disturbance } from './network.js'
import { nodeOf, orderMembers } from './memberOrders.js'
import { roles } from './memberPlan.js'
import type { Role } from './memberPlan.js'
import { command, replaceDisk, restoreDisk } from './operator.js'
import { showFault, space } from './plan.js'
import type { Fault } from './plan.js'
import type { World } from './world.js'

/** A lease that began before a clock was set back is over, or renewed, after this long. */
const leaseMs = 3000
/** By then a node that was killed has started again, and has told the arbiter of it. */
const restartsMs = 1000

/** Every fault of the plan, at its time. */
export function scheduleFaults(world: World): void {
  for (const fault of world.plan.faults) {
    world.after(fault.atMs, () => {
      if (world.isPeace) return
      world.note(`fault: ${showFault(fault)}`)
      world.hash.text(fault.kind)
      const [node, other] = [targetOf(world, fault.node), targetOf(world, fault.other)]
      perform(world, { ...fault, node, other })
    })
  }
}

function targetOf(world: World, node: string): string {
  return roles.includes(node as Role) ? nodeOf(world, node as Role) : node
}

function perform(world: World, fault: Fault): void {
  const { cluster, bucket } = world
  const { kind, amount, mode, forMs } = fault
  const node = cluster.node(fault.node)
  const back = (run: () => void): void => world.after(forMs, run)
  switch (kind) {
    case 'kill':
    case 'powerCut':
      return stop(world, node, kind === 'kill' ? 'kill' : mode, forMs)
    case 'crashAt':
      return crashAt(world, node, fault)
    case 'crashInRecovery':
      stop(world, node, 'kill', forMs)
      return back(() => crashAt(world, node, fault))
    case 'strand':
      disturb(world, { ...fault, kind: 'partition', other: fault.node, forMs: amount })
      return world.after(amount - 1, () => stop(world, node, mode, forMs))
    case 'drain':
      return drain(world, node, forMs)
    case 'rollingRestart':
      return world.nodes.forEach((each, index) =>
        world.after(index * forMs, () => drain(world, each, forMs / 2))
      )
    case 'pause':
    case 'suspend':
      return pause(world, node, fault)
    case 'wallJump':
      return jumpWall(world, node, amount)
    case 'brokerOutage':
      cluster.broker.stop()
      return back(() => cluster.broker.start())
    case 'cutConnection':
      if (node.life?.connection) cluster.broker.kill(node.life.connection, 'cut by the broker')
      return
    case 'arbiterDown':
      bucket.available = false
      return back(() => {
        bucket.available = true
      })
    case 'arbiterAnswers':
      for (let i = 0; i < amount; i += 1) bucket.loseAnswers(mode as 'applied' | 'lost' | 'late')
      return back(() => {
        bucket.keepAnswers()
        bucket.release()
      })
    case 'arbiterWipe':
      world.checks.record.wiped()
      return bucket.wipe()
    case 'killActor':
      node.life?.host.kill(mode, 'killed by the simulator')
      return
    case 'handover':
      return command(world, node, { type: 'promote', space, to: fault.other })
    case 'forcePromotion':
      world.checks.record.forced()
      return command(world, node, { type: 'promote', space, to: fault.node, force: true })
    case 'changeMembers':
      return orderMembers(world, fault)
    case 'slowDisk':
    case 'fullDisk':
    case 'failSync':
    case 'loseDisk':
    case 'flipBit':
    case 'restoreDisk':
      return harmDisk(world, node, fault)
    default:
      return disturb(world, fault)
  }
}

function stop(world: World, node: SimNode, how: string, forMs: number): void {
  if (!node.life || world.isPeace) return
  if (how === 'kill') node.kill()
  else {
    const random = world.random.fork(`power cut of ${node.id} at ${world.now}`)
    // Its graphs were not synced: the store throws them away (runtime/store).
    world.checks.logs.storeDiscarded(node)
    node.powerCut(how === 'torn' ? () => random.next() : null)
    node.store.discardGraphs()
  }
  world.after(forMs, () => world.startNode(node))
}

function crashAt(world: World, node: SimNode, { amount, mode, forMs }: Fault): void {
  const [where, moment, how] = mode.split(' ') as [string, 'before', string]
  const [port, operation = null] = where.split(':') as ['disk', string?]
  if (!node.life || world.isPeace) return
  node.crash = {
    port,
    operation,
    moment,
    calls: amount,
    die: () => {
      world.note(`${node.id} dies ${moment} a call of ${where}`)
      stop(world, node, how === 'kill' ? 'kill' : 'torn', forMs)
    },
  }
}

function drain(world: World, node: SimNode, downMs: number): void {
  if (!node.life || node.life.clock.isFrozen || world.isPeace) return
  const { life } = node
  life.actor.drain('the simulator stops it')
  // A stop that takes too long is what the service manager kills.
  world.after(12_000, () => {
    if (node.life === life) stop(world, node, 'kill', downMs)
  })
}

/**
 * A lease trusts the longer of two clocks. On a machine that is suspended while its wall clock is
 * set back both are wrong, and nothing is promised.
 */
function jumpWall(world: World, node: SimNode, ms: number): void {
  if (ms < 0 && node.life?.clock.isFrozen) return
  node.life?.clock.jumpWall(ms)
  if (ms < 0) world.setBackAtMs.set(node.id, world.now)
}

function pause(world: World, node: SimNode, { kind, forMs }: Fault): void {
  const clock = node.life?.clock
  if (!clock || clock.isFrozen) return
  const wasSetBack = world.now - (world.setBackAtMs.get(node.id) ?? -Infinity) < leaseMs
  clock.freeze(kind === 'suspend' && !wasSetBack)
  world.after(forMs, () => clock.thaw())
}

function harmDisk(world: World, node: SimNode, { kind, amount, forMs }: Fault): void {
  if (kind === 'slowDisk') {
    node.diskDelayMs = (
      operation,
    ) => (operation === 'datasync' || operation === 'write' ? amount : 0)
    return world.after(forMs, () => {
      node.diskDelayMs = null
    })
  }
  if (kind === 'fullDisk') {
    world.excused.add(node.id)
    const { disk } = node
    disk.capacity = 0
    return world.after(forMs, () => {
      disk.capacity = Number.POSITIVE_INFINITY
    })
  }
  if (kind === 'failSync') {
    world.excused.add(node.id)
    if (node.life) node.disk.failNext('datasync')
    return
  }
  if (kind === 'flipBit') return flipBit(world, node, forMs)
  if (kind === 'restoreDisk') return restoreLater(world, node, forMs)
  replaceDisk(world, node)
}

/**
 * A copy of the directory is made, and put back in its place later. That is seen if the arbiter has
 * heard of a start in between, and still knows it: else it is taken for what the node had.
 */
function restoreLater(world: World, node: SimNode, forMs: number): void {
  const { disk } = node
  const startsAt = () => world.bucket.snapshot().get(`node.${node.id}`)?.revision ?? 0
  const [copy, copiedAt] = [node.copyDirectory(), startsAt()]
  const isFlipped = world.checks.logs.isFlipped(node)
  stop(world, node, 'kill', forMs / 2)
  world.after(forMs + restartsMs, () => {
    const forgets = world.plan.faults.some(({ kind }) => kind === 'arbiterWipe')
    const isSeen = startsAt() > copiedAt && !forgets
    if (isSeen && !world.isPeace && node.disk === disk) {
      restoreDisk(world, node, copy)
      if (isFlipped) world.checks.logs.bitFlipped(node)
    }
  })
}

/** At rest: while the node is down. */
function flipBit(world: World, node: SimNode, forMs: number): void {
  if (node.life) node.kill()
  const random = world.random.fork(`bit of ${node.id} at ${world.now}`)
  const files = node.disk.paths('/data/journal').filter((path) => node.disk.bytesOf(path).length)
  if (files.length > 0) {
    const path = random.pick(files)
    node.disk.flipBit(path, random.integer(node.disk.bytesOf(path).length), random.integer(8))
    world.excused.add(node.id)
    world.checks.logs.bitFlipped(node)
  }
  world.after(forMs, () => world.startNode(node))
}

function disturb(world: World, fault: Fault): void {
  const { network, plan } = world
  const { kind, node, other, amount, mode, forMs } = fault
  const scope = amongNodes(plan.nodes, mode === 'node' ? node : undefined)
  let disturbance: Disturbance
  if (kind === 'isolate') disturbance = { touches: linkOf(node, mode), lost: 1 }
  else if (kind === 'cut') {
    disturbance = { touches: (from, to) => from === node && to === other, lost: 1 }
  } else if (kind === 'partition') {
    const apart = new Set(plan.nodes.length > 3 ? [node, other] : [node])
    const between = amongNodes(plan.nodes)
    disturbance = {
      touches: (from, to) => between(from, to) && apart.has(from) !== apart.has(to),
      lost: 1,
    }
  } else if (kind === 'delay') {
    disturbance = {
      touches: mode === 'node' ? linkOf(node, 'both') : () => true,
      delayMs: amount,
    }
  } else if (kind === 'arbiterSlow') {
    disturbance = {
      touches: (from, to) => from === 'arbiter' || to === 'arbiter',
      delayMs: amount,
    }
  } else if (kind === 'drop') disturbance = { touches: scope, lost: amount }
  else disturbance = { touches: scope, twice: amount }
  network.disturb(disturbance)
  world.after(forMs, () => network.calm(disturbance))
}

/** Everything works again; nodes that are down are started. */
export function heal(world: World): void {
  const { cluster, bucket } = world
  world.note('the faults are over')
  world.isPeace = true
  world.network.calmAll()
  bucket.available = true
  bucket.keepAnswers()
  bucket.release()
  cluster.broker.start()
  for (const node of world.nodes) {
    node.crash = null
    node.diskDelayMs = null
    node.disk.capacity = Number.POSITIVE_INFINITY
    node.disk.failNone()
    if (node.life?.clock.isFrozen) node.life.clock.thaw()
    world.startNode(node)
  }
}
