import type { Clock, TimerHandle } from '../ports/system.js'

/** Promotions begun in one turn of the event loop: more would hold up the node's heartbeats. */
const promotionsPerTurn = 8
/** Spaces that wait for a turn, from which on they are a crowd. */
const crowdMin = 16
/** A crowd's spaces that belong to other members are left to these for so long. */
const yieldMs = 1000

interface Candidate {
  reconsider(): void
}

export interface PromotionTurnsOptions<Space> {
  readonly clock: Clock
  /** Whether no other member that could be promoted goes before this one, all else being equal. */
  readonly isFirst: (space: Space) => boolean
}

/**
 * When promotions begin. A node that dies may have been primary of hundreds of spaces. They begin a
 * few in a turn, and each is left to the member that it belongs to: were all members candidates for
 * all of them, most of the work of all processors would be for candidates that stand by. One that
 * finds that it is better (it was surveyed by a lesser one) begins at once, and all do after a
 * second, as the other member may hang. One space alone never waits.
 */
export class PromotionTurns<Space extends Candidate> {
  private begun = 0
  private readonly waiting = new Set<Space>()
  /** Spaces that no longer yield. */
  private readonly insisting = new Set<Space>()
  private crowdSinceMs: number | null = null
  private turn: TimerHandle | null = null
  private isClosed = false

  constructor(private readonly options: PromotionTurnsOptions<Space>) {}

  /** False: the space is reconsidered in one of the next turns, or at a heartbeat. */
  readonly mayBegin = (space: Space): boolean => {
    this.turn ??= this.options.clock.setTimeout(() => this.next(), 0)
    if (this.isClosed || this.yields(space)) return false
    if (this.begun >= promotionsPerTurn) {
      this.waiting.add(space)
      return false
    }
    this.begun += 1
    this.forget(space)
    return true
  }

  /** This member is better than one that is a candidate: it begins without delay. */
  readonly insist = (space: Space): void => {
    if (this.crowdSinceMs === null) return
    this.insisting.add(space)
    space.reconsider()
  }

  /** The space has left the node. */
  forget(space: Space): void {
    this.waiting.delete(space)
    this.insisting.delete(space)
  }

  /** No promotion begins any more. */
  close(): void {
    this.isClosed = true
  }

  private yields(space: Space): boolean {
    const nowMs = this.options.clock.monotonicMs()
    const crowdMs = nowMs - (this.crowdSinceMs ?? nowMs)
    // Those that have yielded must not be taken for another crowd when they begin.
    if (crowdMs > 2 * yieldMs && this.waiting.size === 0) {
      this.crowdSinceMs = null
      this.insisting.clear()
    }
    if (this.waiting.size >= crowdMin) this.crowdSinceMs ??= nowMs
    return this.crowdSinceMs !== null && crowdMs < yieldMs && !this.insisting.has(space)
      && !this.options.isFirst(space)
  }

  private next(): void {
    this.turn = null
    this.begun = 0
    for (const space of this.waiting) {
      if (this.begun >= promotionsPerTurn) break
      this.waiting.delete(space)
      space.reconsider()
    }
    if (this.waiting.size === 0) return
    this.turn ??= this.options.clock.setTimeout(() => this.next(), 0)
  }
}
