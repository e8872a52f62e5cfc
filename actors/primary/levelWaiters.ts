import type { AckLevel } from '../../machines/protocol/messages.js'
import { Sorted } from '../structures/sorted.js'
import type { PendingWrite } from './pendingWrite.js'

interface Placed {
  readonly waiting: PendingWrite
  readonly number: number
}

const inOrder = (a: Placed, b: Placed): number =>
  a.waiting.last - b.waiting.last || a.number - b.number

/**
 * Repeated writes that wait until their sequence reaches its level: the same sequence many times
 * over, in any order. Adding and taking one costs O(log n).
 */
export class LevelWaiters {
  private committed = new Sorted<Placed>(inOrder)
  /** Waiters for `durable`, and for `memory`, which waits only while the disk fails. */
  private durable = new Sorted<Placed>(inOrder)
  private lastNumber = 0

  get size(): number {
    return this.committed.size + this.durable.size
  }

  add(waiting: PendingWrite): void {
    this.of(waiting.level).put({ waiting, number: this.lastNumber += 1 })
  }

  /** Takes out the next one whose sequence is at most `upTo`. */
  takeReached(level: AckLevel, upTo: number): PendingWrite | undefined {
    const waiters = this.of(level)
    const first = waiters.first()
    if (first === undefined || first.waiting.last > upTo) return undefined
    waiters.delete(first)
    return first.waiting
  }

  /** Takes out one whose sequence is above `sequence`. */
  takeAbove(sequence: number): PendingWrite | undefined {
    for (const waiters of [this.committed, this.durable]) {
      const last = waiters.last()
      if (last === undefined || last.waiting.last <= sequence) continue
      waiters.delete(last)
      return last.waiting
    }
    return undefined
  }

  /** Takes out those for which `holds` is true. */
  takeWhere(holds: (waiting: PendingWrite) => boolean): PendingWrite[] {
    const taken: PendingWrite[] = []
    for (const waiters of [this.committed, this.durable]) {
      const found = [...waiters.from(() => false)].filter(({ waiting }) => holds(waiting))
      for (const placed of found) {
        waiters.delete(placed)
        taken.push(placed.waiting)
      }
    }
    return taken
  }

  /** Takes out all. */
  takeAll(): PendingWrite[] {
    const taken = [this.committed, this.durable].flatMap((waiters) =>
      [...waiters.from(() => false)].map(({ waiting }) => waiting)
    )
    this.committed = new Sorted<Placed>(inOrder)
    this.durable = new Sorted<Placed>(inOrder)
    return taken
  }

  private of(level: AckLevel): Sorted<Placed> {
    return level === 'committed' ? this.committed : this.durable
  }
}
