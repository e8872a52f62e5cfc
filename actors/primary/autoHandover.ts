import type { NodeId } from '../../machines/base/ids.js'
import type { Member } from '../member/member.js'
import { Backoff } from '../structures/backoff.js'
import type { Followers } from './followers.js'
import type { InSyncSet } from './inSyncSet.js'
import { unfitNow } from './unfitNow.js'

/** The primary that hands over. */
export interface AutoHandoverPrimary {
  /** Returns false when a handover is not possible now. */
  handOver(to: NodeId, reason: string): boolean
}

export interface AutoHandoverOptions {
  readonly member: Member
  readonly followers: Followers
  readonly inSync: InSyncSet
  readonly primary: AutoHandoverPrimary
}

/** A disk that is full for less than this may have been cleared already. */
const fullPatienceMs = 2000
/** Pauses between two tries: the first and the longest. */
const retryMs = 1000
const retryMostMs = 30_000

/** Returns the best in-sync member to hand over to, or null when none may be primary. */
export function successorOf(
  { self, context: { peers } }: Member,
  inSync: InSyncSet,
  followers: Followers,
): NodeId | null {
  const ready = [...inSync.certain()].filter((node) =>
    node !== self
    && !peers.isProvenDead(node) && peers.unfitOf(node) === null
  )
  // A handover waits for one that is not heard, or that is behind, and holds writes meanwhile.
  const heard = ready.filter((node) => peers.isHeard(node))
  return heard.find((node) => followers.hasAll(node)) ?? heard[0] ?? ready[0] ?? null
}

/**
 * Hands the space over when this node should not be primary: it is drained, it is to be removed
 * from the members, or its journal takes nothing while a member in sync has room. The successor has
 * to write to its own journal first.
 */
export class AutoHandover {
  private sinceMs: number | null = null
  private dueMs = 0
  private isAsking = false
  private readonly backoff: Backoff

  constructor(private readonly options: AutoHandoverOptions) {
    this.backoff = new Backoff(options.member.context.ports.random, retryMs, retryMostMs)
  }

  /** Called once per heartbeat. */
  tick(): void {
    const { member, followers, inSync, primary } = this.options
    const { ports: { clock }, duty, commits } = member.context
    const leaves = inSync.leaver() === member.self
    const drained = duty.drained
      ?? (leaves ? `${member.self} is to be removed from the members` : null)
    if (drained === null && !commits.isFull) {
      this.sinceMs = null
      this.dueMs = 0
      this.backoff.reset()
      return
    }
    const nowMs = clock.monotonicMs()
    this.sinceMs ??= nowMs
    const patienceMs = drained === null ? fullPatienceMs : 0
    if (this.isAsking || nowMs < this.dueMs || nowMs - this.sinceMs < patienceMs) return
    const to = successorOf(member, inSync, followers)
    if (to === null) return
    this.dueMs = nowMs + this.backoff.next()
    if (drained !== null) primary.handOver(to, drained)
    else void this.askFirst(to)
  }

  private async askFirst(to: NodeId): Promise<void> {
    const { member, primary } = this.options
    this.isAsking = true
    const unfit = await unfitNow(member, to)
    this.isAsking = false
    const { ports: { logger }, commits } = member.context
    if (unfit === null && commits.isFull) {
      primary.handOver(to, `the journal cannot be written, and that of ${to} can`)
    } else if (unfit !== null) {
      logger.info({ space: member.space, to }, `not handed over to ${to}: ${unfit}`)
    }
  }
}
