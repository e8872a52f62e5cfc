/** engram node list */
import type { Command } from 'commander'
import type { SpaceList } from '../client/operator.js'
import type { ConnectionFlags } from '../config/sources.js'
import { byName } from '../status/names.js'
import type { ClusterNode } from '../status/status.js'
import { connectionOptions, jsonOption, noNodes } from './context.js'
import type { Context } from './context.js'
import { table } from './text.js'

interface NodeListFlags extends ConnectionFlags {
  readonly json?: boolean
}

/** `engram node list --json`. */
export interface ListedNode {
  readonly id: string
  readonly zone: string | null
  readonly state: string
  /** Null: it does not answer. */
  readonly version: string | null
  /** Spaces of which it is a member, and those of which it is primary, by their records. */
  readonly spaces: number
  readonly primaries: number
}

/** State of a node that is no reason to keep members from it. */
export const fitState = 'running'

/** @param node the command `engram node` */
export function addNodeList(node: Command, context: Context): void {
  connectionOptions(node.command('list'))
    .summary('list the nodes of the cluster')
    .description('Lists the nodes that answer, and those that do not, but are members of spaces '
      + '(away).')
    .addOption(jsonOption())
    .addHelpText('after', `
Example:
  engram node list --nats nats://10.0.0.5:4222`)
    // `engram node` has these options, too, and takes them first.
    .action(
      context.act((_flags: NodeListFlags, command: Command) =>
        list(context, command.optsWithGlobals())
      ),
    )
}

async function list(context: Context, flags: NodeListFlags): Promise<void> {
  await context.withClient(flags, async (client) => {
    const spaces = await client.listSpaces()
    // The records say who holds what: of the status, the nodes are enough.
    const [one] = spaces.spaces
    const { nodes } = await client.status(one ? { space: one.space } : {})
    if (!nodes.some(({ pid }) => pid !== null)) throw noNodes(client)
    const listed = listedNodes(nodes, spaces)
    if (flags.json) context.printJson({ nodes: listed, unreadable: spaces.unreadable })
    else context.print(showNodes(listed))
    if (flags.json) return
    for (const { space, reason } of spaces.unreadable) {
      context.note(`${space} is not counted: ${reason}`)
    }
  })
}

/** running, drained, evacuating, full; away: it does not answer; or the state of its start. */
export function stateOf(node: ClusterNode): string {
  if (node.pid === null) return 'away'
  if (node.state !== 'running') return node.state
  if (node.evacuates) return 'evacuating'
  if (node.drained) return 'drained'
  return node.journalReadOnly ? 'full' : fitState
}

export function listedNodes(
  nodes: readonly ClusterNode[],
  { spaces }: Pick<SpaceList, 'spaces'>,
): ListedNode[] {
  const [held, led] = [new Map<string, number>(), new Map<string, number>()]
  for (const { members, primary } of spaces) {
    for (const id of members) held.set(id, (held.get(id) ?? 0) + 1)
    if (primary !== null) led.set(primary, (led.get(primary) ?? 0) + 1)
  }
  const present = new Map(nodes.filter(({ pid }) => pid !== null).map((node) => [node.id, node]))
  return [...new Set([...present.keys(), ...held.keys()])].toSorted(byName).map((id) => {
    const node = present.get(id)
    return {
      id,
      zone: node?.zone ?? null,
      state: node ? stateOf(node) : 'away',
      version: node?.version ?? null,
      spaces: held.get(id) ?? 0,
      primaries: led.get(id) ?? 0,
    }
  })
}

export function showNodes(nodes: readonly ListedNode[]): string {
  return table(['NODE', 'ZONE', 'STATE', 'VERSION', 'SPACES', 'PRIMARIES'], nodes.map((
    { id, zone, state, version, spaces, primaries },
  ) => [id, zone ?? '-', state, version ?? '-', String(spaces), String(primaries)]))
}
