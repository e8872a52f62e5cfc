/** Carries out the moves of a rebalancing. */
import { showChange } from '../../machines/protocol/members.js'
import type { Move } from '../../machines/protocol/rebalance.js'
import { CliError } from './context.js'
import type { MembersListing } from './membersText.js'
import { MembersWait } from './membersWait.js'
import type { Goal } from './membersWait.js'
import { movesBySpace } from './rebalancePlan.js'

/** A change of the members, as it is ordered. */
export interface MembersOrder {
  readonly space: string
  readonly add?: string
  readonly remove?: string
  /** Fewer members may remain. */
  readonly force?: boolean
}

/** What is needed of the cluster, and of the user. */
export interface Site {
  /** Whether the user ends the command. */
  readonly isStopped: boolean
  /** Orders the change; members are those before it. Null: it is done already. */
  order(order: MembersOrder): Promise<{ goal: Goal | null; members: readonly string[] }>
  /** Hands the space over. Returns the primary after it. */
  promote(space: string, to: string, from: string): Promise<string | null>
  /** Null: no member answers. */
  look(space: string): Promise<MembersListing | null>
  /** Waits until it is time for another look. */
  pause(): Promise<void>
  nowMs(): number
  stepped(space: string, text: string): void
  failed(space: string, error: unknown): void
}

export interface Outcome {
  /** Spaces, by what became of them. */
  readonly done: readonly string[]
  /** A change of the members was ordered, and not waited for. */
  readonly ordered: readonly string[]
  readonly failed: readonly string[]
  /** The user ended the command before all moves were done. */
  readonly left: readonly string[]
}

type End = Exclude<keyof Outcome, 'failed'>

/** Spaces that are moved at a time. */
const spacesMax = 4
/** Time to wait for a primary that answers. */
export const vacantMs = 8000

/** Moves four spaces at a time; one that fails keeps no other from its moves. */
export async function carryOut(
  site: Site,
  moves: readonly Move[],
  { wait }: { readonly wait: boolean },
): Promise<Outcome> {
  const ends: Record<keyof Outcome, string[]> = { done: [], ordered: [], failed: [], left: [] }
  // Shared by the workers: each takes the next space.
  const spaces = movesBySpace(moves)[Symbol.iterator]()
  const work = async (): Promise<void> => {
    for (const [space, steps] of spaces) {
      try {
        ends[await moveSpace(site, steps, wait)].push(space)
      } catch (error) {
        ends.failed.push(space)
        site.failed(space, error)
      }
    }
  }
  await Promise.all(Array.from({ length: spacesMax }, work))
  return ends
}

/** One move after the other, as each needs the one before. */
async function moveSpace(site: Site, moves: readonly Move[], wait: boolean): Promise<End> {
  for (const move of moves) {
    if (site.isStopped) return 'left'
    if (move.type === 'primary') {
      if (!await makePrimary(site, move.space, move.to)) return 'left'
      continue
    }
    const { space, add, remove } = move
    const waiting = await ordered(site, { space, add, remove })
    if (!wait) return 'ordered'
    if (waiting !== null && !await untilDone(site, move.space, waiting)) return 'left'
  }
  return 'done'
}

/** Orders the change, and shows it. Null: it is done already. */
export async function ordered(site: Site, order: MembersOrder): Promise<MembersWait | null> {
  const { goal, members } = await site.order(order)
  site.stepped(order.space, `ordered: ${showChange(order)}`)
  return goal && new MembersWait(goal, members)
}

/** False: the user ended the command first. The change goes on. */
export async function untilDone(
  site: Site,
  space: string,
  waiting: MembersWait,
): Promise<boolean> {
  while (!site.isStopped) {
    const { steps, end } = waiting.look(await site.look(space), site.nowMs())
    for (const text of steps) site.stepped(space, text)
    if (end === 'done') return true
    if (end === 'gone') {
      throw new CliError(`the change was cancelled before it was done (${waiting.name})`)
    }
    await site.pause()
  }
  return false
}

/** Hands the space over, until the new primary answers. False: the user ended the command first. */
async function makePrimary(site: Site, space: string, to: string): Promise<boolean> {
  let endMs = site.nowMs() + vacantMs
  let isHandedOver = false
  while (!site.isStopped) {
    const primary = (await site.look(space))?.primary ?? null
    if (primary === to) {
      if (isHandedOver) site.stepped(space, `${to} is the primary now`)
      return true
    }
    if (primary !== null && !isHandedOver) {
      const next = await site.promote(space, to, primary)
      if (next !== to) throw new CliError(`${next ?? 'no node'} is primary now, and not ${to}`)
      isHandedOver = true
      endMs = site.nowMs() + vacantMs
      continue
    }
    if (site.nowMs() > endMs) {
      throw new CliError(primary === null
        ? 'it has no primary that answers'
        : `${primary} still is primary, and not ${to}`)
    }
    await site.pause()
  }
  return false
}
