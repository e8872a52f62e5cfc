/** engram space set --replicas: one change of the members after the other. */
import { amountText } from '../../machines/base/units.js'
import { nextResize } from '../../machines/protocol/resizing.js'
import type { ResizedSpace } from '../../machines/protocol/resizing.js'
import type { EngramClient } from '../client/client.js'
import { AdminError } from '../client/errors.js'
import { changeName } from '../status/memberChange.js'
import { byName } from '../status/names.js'
import type { ClusterNode } from '../status/status.js'
import { ClusterSite } from './clusterSite.js'
import { CliError, RemediedError, usage } from './context.js'
import type { Context } from './context.js'
import { namesOf } from './membersText.js'
import type { MembersListing } from './membersText.js'
import { fitState, stateOf } from './nodeList.js'
import { ordered, untilDone, vacantMs } from './rebalanceRun.js'
import type { Site } from './rebalanceRun.js'
import { checkSpaceExists } from './space.js'

export interface ResizeSite extends Site {
  /** Nodes of the cluster, with their states. */
  nodes(): Promise<readonly ClusterNode[]>
  /** Lowers minInSync, if it is higher. Returns whether it was. */
  boundMinInSync(most: number): Promise<boolean>
}

/** The members afterwards. */
export interface Resized {
  readonly space: string
  readonly replicas: number
  readonly members: readonly string[]
  readonly inSync: readonly string[]
}

export interface ResizeOptions {
  readonly space: string
  readonly replicas: number
  /** Fewer members may remain. */
  readonly yes: boolean
}

/** @throws CliError, AdminError */
export async function setReplicas(
  context: Context,
  client: EngramClient,
  options: ResizeOptions,
  json: boolean,
): Promise<Resized> {
  const { space } = options
  await checkSpaceExists(client.connection, space)
  const site = Object.assign(new ClusterSite(context, client, json), {
    nodes: async () => (await client.status({ space })).nodes,
    boundMinInSync: async (most: number) => {
      const { spaces } = await client.status({ space })
      if (!spaces.some(({ id, minInSync }) => id === space && minInSync > most)) return false
      await client.adminAtPrimary({ type: 'setSpace', space, settings: { minInSync: most } })
      return true
    },
  })
  try {
    return await resize(site, options)
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    const look = `engram space members ${space}`
    throw new RemediedError(error, `Members, and the change under way: ${look}. Then run this `
      + 'command again for what is left.')
  } finally {
    site.end()
  }
}

/** Orders one change after the other, each when the one before is done. */
export async function resize(
  site: ResizeSite,
  { space, replicas, yes }: ResizeOptions,
): Promise<Resized> {
  const count = replicas + 1
  for (let isFirst = true;; isFirst = false) {
    const listing = await listed(site, space)
    const { inSync } = listing
    const members = namesOf(listing)
    if (isFirst) check(listing, members, count, yes)
    // Before a member goes: with one more away, fewer would be in sync than it asks for.
    if (isFirst && members.length > count && await site.boundMinInSync(count)) {
      site.stepped(space, `min-in-sync is ${count} now`)
    }
    if (members.length === count) return { space, replicas, members, inSync }
    const nodes = await site.nodes()
    const zones = new Map(nodes.map(({ id, zone }) => [id, zone ?? '']))
    const fit = nodes.filter((node) => stateOf(node) === fitState).map(({ id }) => id)
    const spares = fit.filter((node) => !members.includes(node))
    const unfit = members.filter((node) => !fit.includes(node))
    const present: ResizedSpace = { ...listing, members, unfit }
    if (members.length + spares.length < count) throw tooFew(members, spares, count)
    const step = nextResize(present, count, spares, (node) => zones.get(node) ?? '')
    if (step === null) throw new CliError(`no member of ${space} can be taken out`)
    const waiting = await ordered(site, { space, ...step, ...('remove' in step && { force: yes }) })
    if (waiting !== null && !await untilDone(site, space, waiting)) throw ended(space, replicas)
  }
}

/** @throws CliError: nothing was changed */
function check(
  { space, change }: MembersListing,
  members: readonly string[],
  count: number,
  yes: boolean,
): void {
  if (change) {
    throw new CliError(`a change of the members of ${space} is under way: ${changeName(change)}`,
      `Wait for it: engram space members ${space} --wait. Or take it back: --cancel`)
  }
  if (members.length <= count || yes) return
  throw usage(
    `then ${space} has ${amountText(count, 'member')} instead of ${members.length}; nothing was `
      + 'changed',
    `To let fewer remain: engram space set ${space} --replicas ${count - 1} --yes`,
  )
}

function tooFew(members: readonly string[], spares: readonly string[], count: number): CliError {
  const able = [...members, ...spares].toSorted(byName).join(' ')
  return new CliError(`${count} members are wanted, and there are ${members.length} and `
    + `${amountText(spares.length, 'node')} more that can be one: ${able}`,
    'Start more nodes, or undrain those that are drained: engram node list')
}

function ended(space: string, replicas: number): CliError {
  return new CliError('ended before all was done', 'The change that was ordered goes on. For the '
    + `rest run it again: engram space set ${space} --replicas ${replicas}`)
}

/** What the primary says, which may be another one in a moment. @throws CliError */
async function listed(
  site: Site,
  space: string,
): Promise<MembersListing & { readonly primary: string }> {
  const endMs = site.nowMs() + vacantMs
  while (!site.isStopped) {
    const listing = await site.look(space)
    if (listing !== null && listing.primary !== null) {
      return { ...listing, primary: listing.primary }
    }
    if (site.nowMs() > endMs) break
    await site.pause()
  }
  throw new CliError(`${space} has no primary that answers`, 'See why: engram status')
}
