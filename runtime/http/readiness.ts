/** Checks whether a node takes part, and what is missing. */
import { installText } from '../status/install.js'
import { rebuildText } from '../status/rebuild.js'
import type { MemberStatus, NodeStatusReport } from '../status/status.js'

export interface Check {
  /** `node`, or `space <name>`. */
  readonly name: string
  /** Null: nothing is missing. */
  readonly missing: string | null
}

/** States of a replica with a session. */
const joined: readonly string[] = ['streaming', 'catchingUp']
/** Limit of the lines of a page: there may be thousands of spaces. */
const linesMax = 1000

/**
 * One check of the node and one of each of its spaces. A node is ready if it has joined and is in
 * sync in all of them that it is a member of. A rolling restart of the nodes waits for that;
 * otherwise it would restart the last member that has everything.
 */
export function readiness({ node, spaces }: NodeStatusReport): Check[] {
  const unheld = Object.entries(node.unheldSpaces ?? {})
  return [
    { name: 'node', missing: missingOfNode(node) },
    ...unheld.map(([space, missing]) => ({ name: `space ${space}`, missing })),
    ...spaces.map((member) => ({
      name: `space ${member.space}`,
      missing: missingOf(member, node.id),
    })),
  ]
}

function missingOfNode({ state, spacesListed }: NodeStatusReport['node']): string | null {
  if (state !== 'running') return `the node is ${state}`
  return spacesListed === false ? 'its spaces are not listed yet: it waits for the arbiter' : null
}

function missingOf(member: MemberStatus, self: string): string | null {
  const { role, state, reason, blocked, inSync, arbiter, arbiterReason, rebuilding, install } =
    member
  if (role === 'damaged') {
    return `damaged: ${reason}${install ? `; it ${installText(install)}` : ''}`
  }
  // The space does not count on it: not yet, or no longer.
  if (role === 'learner' || role === 'removed') return null
  if (blocked) return `blocked: ${blocked}`
  if (install) return installText(install)
  // It follows, and could not be the primary: a rolling restart has to wait for it, too.
  if (rebuilding) return rebuildText(rebuilding)
  if (role === 'primary') return state === 'opening' ? `is opening: ${reason}` : null
  if (role !== 'replica' || !joined.includes(state)) return `has not joined: ${state}, ${reason}`
  // A record that cannot be used leaves the in-sync set unknown.
  if (arbiter === 'newer' || arbiter === 'unreadable') return `cannot tell: ${arbiterReason}`
  if (inSync.includes(self)) return null
  return `not in sync, in sync are ${inSync.join(', ')}; ${state}, at ${member.durableSequence}`
}

/** Without `verbose`, only what is missing; with it, every check, marked `[+]` or `[-]`. */
export function readinessPage(checks: readonly Check[], isVerbose: boolean): string {
  const missing = checks.filter((check) => check.missing !== null)
  const shown = isVerbose
    ? [...missing, ...checks.filter((check) => check.missing === null)]
    : missing
  const lines = shown.slice(0, linesMax).map((check) => (isVerbose
    ? `[${check.missing === null ? '+' : '-'}] ${check.name}: ${check.missing ?? 'ok'}`
    : `${check.name}: ${check.missing}`)
  )
  if (shown.length > linesMax) lines.push(`and ${shown.length - linesMax} more`)
  const head = missing.length === 0
    ? 'ready'
    : `not ready: ${missing.length} of ${checks.length} checks`
  return [head, ...lines].join('\n')
}
