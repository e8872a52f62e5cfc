/** A simulated cluster with a member whose disk is empty, and that has to be installed. */
import { SimCluster } from './simCluster.js'
import type { SimNode } from './simNode.js'
import { takeCheckpoint } from './takeCheckpoint.js'

/** So that a checkpoint of some KiB has some chunks. */
export const maxPayload = 4096

export interface PreparedInstall {
  readonly cluster: SimCluster
  readonly source: SimNode
  /** Its disk is empty, and it does not run. */
  readonly one: SimNode
}

/** A primary whose log begins after a checkpoint, so that an emptied disk has to be installed. */
export async function preparedInstall(): Promise<PreparedInstall> {
  const cluster = await SimCluster.start({ maxPayload })
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  const [n1, n2, n3] = ['n1', 'n2', 'n3'].map((id) => cluster.node(id)) as [SimNode, SimNode,
    SimNode]
  for (let count = 0; count < 10; count += 1) await cluster.writes(20, 'committed')
  await cluster.converged()
  const primary = cluster.primary()!
  const others = [n1, n2, n3].filter((node) => node !== primary)
  await takeCheckpoint(cluster, primary)
  const [second, one] = others as [SimNode, SimNode]
  second.space().member.damaged('a bad record')
  await cluster.until('it is installed',
    () =>
      second.space().roleState.role === 'replica' && cluster.record()!.inSync.includes(second.id))
  await cluster.command(primary.id, { type: 'promote', space: 'teams', to: second.id })
  await cluster.until('it is primary', () => cluster.primary() === second)
  await cluster.writes(5, 'committed')
  one.kill()
  one.replaceDisk()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(one.id))
  return { cluster, source: primary, one }
}

export function stateOf(node: SimNode): string | undefined {
  return node.life?.actor.spaces.get('teams')?.roleState.state
}
