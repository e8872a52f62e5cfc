import type { NodeId } from '../../machines/base/ids.js'
import type { Clock } from '../ports/system.js'
import { inSlices } from '../structures/inSlices.js'

/** A space, as far as the rounds need it. */
export interface Attended {
  /** What is due once per heartbeat. */
  tick(): void
  /** Nothing in it goes on, and nothing in it is due until something happens. */
  readonly isAtRest: boolean
}

interface Place<Space> {
  readonly space: Space
  /** The heartbeat of a round at which it is looked at while it rests. */
  readonly turn: number
  /** It stays awake until this heartbeat at least. */
  awakeUntil: number
  watched: NodeId | null
}

/** Heartbeats of a round: a space that rests is looked at once in so many. */
export const roundTicks = 10

/**
 * Which spaces are looked at in a heartbeat: those that are awake, and a part of the others, in
 * turn. A space wakes when something happens in it; all are looked at when something has changed
 * that concerns all. What is due at once therefore never waits for a round. Many are looked at in
 * several turns of the loop.
 */
export class Rounds<Space extends Attended> {
  private readonly places = new Map<Space, Place<Space>>()
  private readonly awake = new Set<Place<Space>>()
  private readonly turns = Array.from({ length: roundTicks }, () => new Set<Place<Space>>())
  private readonly watched = new Map<NodeId, number>()
  /** To be looked at, in this order. */
  private readonly due = new Set<Place<Space>>()
  /** Looked at since the last heartbeat. */
  private seen: Space[] = []
  private isLooking = false
  private ticks = 0
  private added = 0
  private lastCondition = ''

  /**
   * `condition`: text of what concerns all spaces. `watchedBy`: the node whose death would end the
   * present epoch of a space, or null.
   */
  constructor(
    private readonly clock: Pick<Clock, 'monotonicMs' | 'nextTurn'>,
    private readonly condition: () => string,
    private readonly watchedBy: (space: Space) => NodeId | null,
  ) {}

  /** Number of spaces that are looked at in each heartbeat. */
  get awakeCount(): number {
    return this.awake.size
  }

  /** A new space is awake. */
  add(space: Space): void {
    const turn = (this.added += 1) % roundTicks
    const place = { space, turn, awakeUntil: 0, watched: null }
    this.places.set(space, place)
    this.turns[turn]!.add(place)
    this.stir(place)
  }

  delete(space: Space): void {
    const place = this.places.get(space)
    if (!place) return
    this.watch(place, null)
    this.places.delete(space)
    this.awake.delete(place)
    this.due.delete(place)
    this.turns[place.turn]!.delete(place)
  }

  wake(space: Space): void {
    const place = this.places.get(space)
    if (place) this.stir(place)
  }

  /** Spaces that are awake. */
  *awakeSpaces(): Iterable<Space> {
    for (const { space } of this.awake) yield space
  }

  /** Called once per heartbeat. Returns the spaces that were looked at since the last one. */
  tick(): Space[] {
    this.ticks += 1
    for (const place of this.awake) this.due.add(place)
    for (const place of this.turns[this.ticks % roundTicks]!) this.due.add(place)
    this.look()
    const { seen } = this
    this.seen = []
    return seen
  }

  /** Looks at the spaces that are due, and at all of them if what concerns all has changed. */
  look(): void {
    const condition = this.condition()
    if (condition !== this.lastCondition) {
      // One that has nothing to do about it rests again at once.
      for (const place of this.places.values()) this.due.add(place)
    }
    this.lastCondition = condition
    if (this.isLooking) return
    this.isLooking = true
    inSlices(this.clock, () => this.lookAtNext(), () => {
      this.isLooking = false
    })
  }

  /** No space is looked at any more, unless it is added. */
  close(): void {
    this.due.clear()
  }

  /** False: no other one is due. */
  private lookAtNext(): boolean {
    const [place] = this.due
    if (!place) return false
    this.due.delete(place)
    place.space.tick()
    this.seen.push(place.space)
    // It may have ended.
    if (this.places.get(place.space) === place) this.settle(place)
    return this.due.size > 0
  }

  /** Nodes whose death would end an epoch of a space here. */
  watchedNodes(): Set<NodeId> {
    for (const place of this.awake) this.watch(place, this.watchedBy(place.space))
    return new Set(this.watched.keys())
  }

  private stir(place: Place<Space>): void {
    place.awakeUntil = this.ticks + roundTicks
    this.awake.add(place)
  }

  private settle(place: Place<Space>): void {
    this.watch(place, this.watchedBy(place.space))
    if (!place.space.isAtRest) this.stir(place)
    else if (place.awakeUntil < this.ticks) this.awake.delete(place)
  }

  private watch(place: Place<Space>, node: NodeId | null): void {
    const before = place.watched
    if (before === node) return
    place.watched = node
    if (node !== null) this.watched.set(node, (this.watched.get(node) ?? 0) + 1)
    if (before === null) return
    const left = this.watched.get(before)! - 1
    if (left === 0) this.watched.delete(before)
    else this.watched.set(before, left)
  }
}
