/**
 * I16: members change one at a time, by an order, and a learner counts nowhere. Nothing of the
 * product's own rules is used: they are what is checked.
 */
import type { Assignment } from '../../../machines/protocol/messages.js'

type Change = Assignment['change']

/** An operator's order, as it was sent. */
interface Order {
  readonly add?: string
  readonly remove?: string
  readonly cancel?: boolean
}

export interface MemberFindings {
  violate(details: string): void
  /** Counts a step that was made. */
  saw(what: string): void
}

const removedMax = 16
/** Who orders without an operator, and takes its own orders back. */
const ownOrders = new Set(['self-healing', 'evacuation', 'auto-balance'])

export class MemberChecks {
  private readonly orders: Order[] = []
  private readonly held = new Set<string>()

  constructor(private readonly found: MemberFindings) {}

  ordered(order: Order): void {
    this.orders.push(order)
  }

  /** Nodes that held the space once, and are no members. */
  away(record: Assignment | null): string[] {
    return record ? [...this.held].filter((node) => !isMember(record, node)).toSorted() : []
  }

  /** The arbiter holds this version now; `before`: the one that it replaces. */
  applied(before: Assignment | null, next: Assignment): void {
    for (const node of nodesOf(next)) this.held.add(node)
    if (next.change?.add !== undefined) this.held.add(next.change.add)
    const fault = standing(next)
    if (fault !== null) this.violate(fault, next)
    if (before && before.uuid === next.uuid && next.state !== 'dropped') this.step(before, next)
  }

  private violate(fault: string, { epoch, writer }: Assignment): void {
    this.found.violate(`${fault}: by ${writer}, in epoch ${epoch}`)
  }

  private step(before: Assignment, next: Assignment): void {
    const [from, to] = [nodesOf(before), nodesOf(next)]
    const due = dueOf(before, next)
    if (next.epoch !== before.epoch && before.change) this.found.saw('epochs begun amid a change')
    if (due === null) {
      return this.violate(`${shown(before.change)} becomes ${shown(next.change)}, and the members `
        + `${from.join(', ')} become ${to.join(', ')}`, next)
    }
    const { kind, members, inSync } = due
    if (kind !== 'same') this.found.saw(`members: ${kind}`)
    if (kind !== 'same' && next.epoch !== before.epoch) {
      this.violate(`${kind} together with epoch ${next.epoch}`, next)
    }
    if (members.join() !== to.toSorted().join()) {
      this.violate(`${kind}: the members ${from.join(', ')} become ${to.join(', ')}`, next)
    }
    if (inSync && inSync.join() !== next.inSync.toSorted().join()) {
      this.violate(`${kind}: in sync were ${before.inSync.join(', ')}, are `
        + next.inSync.join(', '), next)
    }
    this.byOrder(kind, before.change ?? next.change, next)
    this.removedNodes(before, next, due.removed)
  }

  private byOrder(kind: Step['kind'], carried: Change, next: Assignment): void {
    const { change } = next
    if (carried && ownOrders.has(carried.by)) {
      if (kind === 'ordered') this.found.saw(`members: ordered by ${carried.by}`)
      return
    }
    const isMissing = kind === 'cancelled'
      ? !this.orders.some(({ cancel }) => cancel === true)
      : kind === 'ordered'
        && !this.orders.some((order) =>
          order.add === change?.add && order.remove === change?.remove
        )
    if (isMissing) this.violate(`${kind} without an order, ${shown(change)}`, next)
  }

  /** `who` is on the list from now on; nobody else comes or goes, but who is a member again. */
  private removedNodes(before: Assignment, next: Assignment, who: string | null): void {
    const [was, is] = [before, next].map(({ removed }) => (removed ?? []).map(({ node }) => node))
    const due = was!.filter((node) => node !== who && !isMember(next, node))
    if (who !== null) due.push(who)
    if (due.slice(-removedMax).join() === is!.join()) return
    this.violate(`removed nodes were ${was!.join(', ')}, are ${is!.join(', ')}`, next)
  }
}

/** What a version has to be, whatever was before it. */
function standing(record: Assignment): string | null {
  const { members, inSync, change, removed = [], settings, state, primary } = record
  const nodes = nodesOf(record)
  const learner = change?.add ?? null
  if (new Set(nodes).size < nodes.length) return `members twice: ${nodes.join(', ')}`
  if (nodes.length === 0) return 'there is no member'
  if (state === 'dropped') return change ? 'a space that was dropped has a change' : null
  const stranger = inSync.find((node) => !nodes.includes(node))
  if (stranger !== undefined) return `${stranger} is in sync and no member`
  if (inSync.length === 0) return 'nobody is in sync'
  if (primary && !inSync.includes(primary.node)) return `the primary ${primary.node} is not in sync`
  if (learner !== null && nodes.includes(learner)) return `the learner ${learner} is a member`
  if (change && change.add === undefined && change.remove === undefined) return 'an empty change'
  if (change?.remove !== undefined && !nodes.includes(change.remove)) {
    return `${change.remove}, which is to be removed, is no member`
  }
  const back = removed.find(({ node }) => nodes.includes(node))
  if (back) return `${back.node} is a member, and listed as removed`
  if (!change && settings.replicas !== members.length - 1) {
    return `${members.length} members, and ${settings.replicas} replicas in the settings`
  }
  return settings.minInSync > members.length && !change ? 'minInSync is above the members' : null
}

interface Step {
  readonly kind: 'same' | 'ordered' | 'added' | 'taken out' | 'cancelled'
  readonly members: readonly string[]
  /** null: whatever the primary found. */
  readonly inSync: readonly string[] | null
  /** The node that is listed as removed by it. */
  readonly removed: string | null
}

/** The step that the change has made, with what belongs to it; null: there is none like that. */
function dueOf(before: Assignment, next: Assignment): Step | null {
  const [members, inSync] = [nodesOf(before).toSorted(), before.inSync.toSorted()]
  const [from, to] = [before.change, next.change]
  if (isSame(from, to)) return { kind: 'same', members, inSync: null, removed: null }
  if (!from) return { kind: 'ordered', members, inSync, removed: null }
  const learner = from.add ?? null
  const leaving = learner === null ? from.remove ?? null : null
  const isIn = learner !== null && isMember(next, learner)
  if (isIn && to?.add === undefined && to?.remove === from.remove) {
    return { kind: 'added', members: [...members, learner].toSorted(),
      inSync: [...inSync, learner].toSorted(), removed: null }
  }
  if (to) return null
  if (leaving !== null && !isMember(next, leaving)) {
    const others = (nodes: readonly string[]) => nodes.filter((node) => node !== leaving)
    return { kind: 'taken out', members: others(members), inSync: others(inSync), removed: leaving }
  }
  return { kind: 'cancelled', members, inSync, removed: learner }
}

function isSame(one: Change, other: Change): boolean {
  return JSON.stringify(sortedOf(one)) === JSON.stringify(sortedOf(other))
}

function sortedOf(change: Change): unknown {
  return change && Object.entries(change).toSorted(([a], [b]) => (a < b ? -1 : 1))
}

function nodesOf({ members }: Assignment): string[] {
  return members.map(({ node }) => node)
}

export function isMember(record: Assignment, node: string): boolean {
  return nodesOf(record).includes(node)
}

function shown(change: Change): string {
  if (!change) return 'no change'
  const { add, remove } = change
  return [add && `add ${add}`, remove && `remove ${remove}`].filter(Boolean).join(', ')
}
