/** The arbiter's record: who may be primary, who counts as in sync, and what these must have. */
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { Position } from '../../../machines/base/ids.js'
import { epochAt } from '../../../machines/log/positions.js'
import type { Assignment, Member } from '../../../machines/protocol/messages.js'
import type { SimNode } from '../../support/simNode.js'
import { space } from '../plan.js'
import type { CheckedWorld } from './checkedWorld.js'
import { inFull } from './inFull.js'
import { isMember, MemberChecks } from './members.js'

export class RecordChecks {
  current: Assignment | null = null
  /** The same, also while the bucket has lost it. */
  last: Assignment | null = null
  /** Highest committed sequence that was answered or applied, by the epoch of its entry. */
  readonly committedUpTo = new Map<number, number>()
  /**
   * Why nothing can be promised any more, or null: the bucket was lost together with the only
   * member that knew its latest epoch, so that an epoch was used twice; or with every disk. The
   * arbiter is assumed to keep what it confirmed; the nodes do what they can.
   */
  excuse: string | null = null
  /** When the present epoch was claimed first. */
  epochSinceMs = 0
  private highestEpoch = 0
  private readonly holders = new Map<number, string>()
  private isForced = false
  private isWiped = false
  private isTailCut = false
  private readonly forcedEpochs = new Set<number>()

  readonly members: MemberChecks

  constructor(private readonly world: CheckedWorld) {
    this.members = new MemberChecks({
      violate: (details) => world.violate('I16', details),
      saw: (what) => world.checks.saw(what),
    })
  }

  /** An operator has commanded a forced promotion: I2 and I5 do not cover it. */
  forced(): void {
    this.isForced = true
  }

  /** The arbiter lost what it had confirmed, which it is assumed not to do. */
  wiped(): void {
    this.isWiped = true
    this.current = null
  }

  /**
   * A flipped bit in the last flush looks like a torn write, and is cut: the
   * member lacks what it had acknowledged, and nobody can know.
   */
  tailCut(): void {
    this.isTailCut = true
  }

  /** A forced epoch has begun. */
  get hasForced(): boolean {
    return this.forcedEpochs.size > 0
  }

  /** Nobody may know which epochs there were. */
  get hasLostBucket(): boolean {
    return this.isWiped
  }

  /** Promises to `committed` writes may be undone, and must be reported then. */
  get mayLoseCommitted(): boolean {
    return this.isForced || this.isWiped || this.isTailCut
  }

  /** True if an epoch between the two was forced, or nobody can say. */
  isExempt(epoch: number, later: number): boolean {
    if (this.isWiped) return true
    for (const forced of this.forcedEpochs) if (forced > epoch && forced <= later) return true
    return false
  }

  applied(key: string, value: Uint8Array): void {
    if (key !== `space.${space}`) return
    const next = JSON.parse(Buffer.from(value).toString()) as Assignment
    const before = this.current
    if (before) this.world.checks.logs.lookAtAll()
    this.world.transcript?.note(this.world.now, `record: epoch ${next.epoch} ${next.state} of `
      + `${next.primary?.node ?? 'nobody'}, in sync ${next.inSync.join()}, by ${next.writer}`)
    if (next.epoch !== before?.epoch) this.epochSinceMs = this.world.now
    this.current = next
    this.last = next
    if (next.forced) this.forcedEpochs.add(next.epoch)
    if (this.isWiped) this.noteRepeated(next)
    if (next.primary) this.holders.set(next.epoch, holderOf(next))
    this.members.applied(before, next)
    if (before) this.compare(before, next)
    else if (next.epoch < this.highestEpoch) {
      this.world.violate('I9', `the record is written anew at epoch ${next.epoch}, `
        + `${this.highestEpoch} was there before`)
    }
    this.highestEpoch = Math.max(this.highestEpoch, next.epoch)
    this.inSyncHoldCommitted('the record was changed')
  }

  private noteRepeated(next: Assignment): void {
    const known = this.holders.get(next.epoch) ?? 'nobody'
    const isRepeated = known !== 'nobody' && next.primary !== null && known !== holderOf(next)
    if (!isRepeated && next.epoch >= this.highestEpoch) return
    this.excuse ??= `after the bucket was lost, epoch ${next.epoch} was written anew by `
      + `${next.writer}; epoch ${this.highestEpoch} was there`
    this.world.transcript?.note(this.world.now, this.excuse)
  }

  private compare(before: Assignment, next: Assignment): void {
    const { world } = this
    if (next.epoch < before.epoch) {
      world.violate('I9', `the record goes from epoch ${before.epoch} to ${next.epoch}`)
    }
    if (next.epoch === before.epoch && before.primary && holderOf(before) !== holderOf(next)) {
      world.violate('I1', `epoch ${next.epoch} goes from ${holderOf(before)} to `
        + holderOf(next))
    }
    if (next.epoch === before.epoch && before.state === 'open' && next.state === 'claimed') {
      world.violate('I1', `epoch ${next.epoch} is claimed again`)
    }
    if (next.epoch > before.epoch && !next.forced && next.primary
      && !before.inSync.includes(next.primary.node))
    {
      world.violate('I5', `${next.primary.node} takes epoch ${next.epoch}, in sync were `
        + before.inSync.join(', '))
    }
    const { primary, inSync } = next
    if (primary && !inSync.includes(primary.node)) {
      world.violate('I5', `the primary ${primary.node} is not in sync: ${inSync.join(', ')}`)
    }
  }

  /** A positive answer of level `committed` leaves a node. */
  committed(node: SimNode, { sequence }: WriteAnswer): void {
    const { log } = node.space(space).member
    const epoch = epochAt(inFull(log, this.world.checks.logs.begins), sequence)
    this.noteCommitted({ epoch, sequence })
    this.inSyncHoldCommitted(`${node.id} answers sequence ${sequence}`)
    if (!this.current || this.mayLoseCommitted) return
    const { inSync, settings: { minInSync } } = this.current
    if (inSync.length >= minInSync) return
    this.world.violate('I5', `${node.id} answers sequence ${sequence} as committed, in sync are `
      + `${inSync.join(', ')}, and the space asks for ${minInSync}`)
  }

  /** I6, I16: only who was taken out removes what it has; a member, or a learner, never. */
  removing({ id }: SimNode): void {
    if (!this.current || this.mayLoseCommitted) return
    if (isMember(this.current, id)) this.world.violate('I16', `${id}, a member, removes its data`)
  }

  private noteCommitted({ epoch, sequence }: Position): void {
    this.committedUpTo.set(epoch, Math.max(this.committedUpTo.get(epoch) ?? 0, sequence))
  }

  /** I16: the primary takes entries up to this one for safe: members have it, no one else counts. */
  safeUpTo(node: SimNode, position: Position): void {
    if (!this.current || this.mayLoseCommitted) return
    const { members } = this.current
    const having = members.filter((member) => this.mayHold(member, position))
    if (having.length >= Math.min(2, members.length)) return
    this.world.violate('I16',
      `${node.id} takes (${position.epoch}, ${position.sequence}) for safe; `
        + `of the members ${members.map((member) => member.node).join(', ')} it is durable on `
        + (having.map((member) => member.node).join(', ') || 'none'))
  }

  /** A store applied entries up to this one: it must be committed (I8). */
  appliedUpTo(node: SimNode, position: Position): void {
    this.noteCommitted(position)
    const lacking = this.inSyncLacking(position)
    if (lacking === null) return
    this.world.violate('I8', `${node.id} applied (${position.epoch}, ${position.sequence}), which `
      + `${lacking} lacks and is in sync`)
  }

  /** A member forgets what it has kept beside its log, since this entry is committed. */
  mustBeCommitted(node: SimNode, position: Position): void {
    const lacking = this.inSyncLacking(position)
    if (lacking === null) return
    this.world.violate('I6', `${node.id} takes (${position.epoch}, ${position.sequence}) for `
      + `committed and forgets its salvage; ${lacking} lacks it and is in sync`)
  }

  /** I5, as it is kept: every member that may be promoted has all that was answered. */
  private inSyncHoldCommitted(when: string): void {
    for (const [epoch, sequence] of this.committedUpTo) {
      const lacking = this.inSyncLacking({ epoch, sequence })
      if (lacking === null) continue
      this.world.violate('I5', `${lacking} is in sync and lacks (${epoch}, ${sequence}), which is `
        + `committed: ${when}`)
    }
  }

  /** An in-sync member whose disk does not have the entry durably. */
  inSyncLacking(position: Position): string | null {
    if (!this.current || this.mayLoseCommitted) return null
    const { inSync, members } = this.current
    const lacking = members.find((member) =>
      inSync.includes(member.node) && !this.mayHold(member, position)
    )
    return lacking?.node ?? null
  }

  /** Another disk is another member, in sync with nothing, until the record names it. */
  private mayHold({ node, disk }: Member, position: Position): boolean {
    const { logs } = this.world.checks
    return logs.diskOf(node) !== disk || logs.holds(node, position)
  }
}

function holderOf({ primary }: Assignment): string {
  return primary
    ? `${primary.node}, incarnation ${primary.incarnation}, `
      + `connection ${primary.connection}`
    : 'nobody'
}
