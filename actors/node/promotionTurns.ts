import type { Clock, TimerHandle } from '../ports/system.js'

/** Promotions begun in one turn of the event loop: more would hold up the node's heartbeats. */
const promotionsPerTurn = 8
/** Promotions that began within `recentMs`, and those that wait for their turn: a crowd. */
const crowdMin = 24
const recentMs = 100
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
 * second, as the other member may hang. A few spaces never wait.
 */
export class PromotionTurns<Space extends Candidate> {
  private begun = 0
  private recent = { sinceMs: 0, begun: 0 }
  /** Spaces that wait for one of the next turns. */
  private readonly waiting = new Set<Space>()
  /** Spaces that are left to another member for now. */
  private readonly yielding = new Set<Space>()
  /** Spaces that yield no longer. */
  private readonly insisting = new Set<Space>()
  /** While it runs, there is a crowd, and spaces are left to other members. */
  private crowd: TimerHandle | null = null
  /** Those that have yielded begin: they are no crowd anew. */
  private isCrowdOver = false
  private turn: TimerHandle | null = null
  private isClosed = false

  constructor(private readonly options: PromotionTurnsOptions<Space>) {}

  /** False: the space is reconsidered in one of the next turns. */
  readonly mayBegin = (space: Space): boolean => {
    if (this.isClosed) return false
    if (this.crowd && !this.insisting.has(space) && !this.options.isFirst(space)) {
      this.yielding.add(space)
      return false
    }
    this.arm()
    if (this.begun >= promotionsPerTurn) {
      this.waiting.add(space)
      this.count(0)
      return false
    }
    this.forget(space)
    this.count(1)
    return true
  }

  /** This member is better than one that is a candidate: it yields no longer. */
  readonly insist = (space: Space): void => {
    if (!this.yielding.has(space)) return
    this.insisting.add(space)
    this.wait(space)
  }

  /** The space has left the node. */
  forget(space: Space): void {
    for (const spaces of [this.waiting, this.yielding, this.insisting]) spaces.delete(space)
  }

  /** No promotion begins any more. */
  close(): void {
    const { clock } = this.options
    this.isClosed = true
    for (const timer of [this.turn, this.crowd]) if (timer) clock.clearTimeout(timer)
    for (const spaces of [this.waiting, this.yielding, this.insisting]) spaces.clear()
  }

  private count(begun: number): void {
    const { clock } = this.options
    const nowMs = clock.monotonicMs()
    if (nowMs - this.recent.sinceMs > recentMs) this.recent = { sinceMs: nowMs, begun: 0 }
    this.recent.begun += begun
    this.begun += begun
    const isCrowd = this.recent.begun + this.waiting.size >= crowdMin
    if (isCrowd && !this.isCrowdOver)
      this.crowd ??= clock.setTimeout(() => this.yieldNoLonger(), yieldMs)
  }

  private yieldNoLonger(): void {
    this.crowd = null
    this.isCrowdOver = this.yielding.size > 0
    for (const space of this.yielding) this.wait(space)
    this.yielding.clear()
    this.insisting.clear()
  }

  private wait(space: Space): void {
    this.waiting.add(space)
    this.arm()
  }

  private arm(): void {
    this.turn ??= this.options.clock.setTimeout(() => this.next(), 0)
  }

  private next(): void {
    this.turn = null
    this.begun = 0
    for (const space of this.waiting) {
      if (this.begun >= promotionsPerTurn) break
      this.waiting.delete(space)
      space.reconsider()
    }
    if (this.waiting.size === 0) this.isCrowdOver = false
    else this.arm()
  }
}
