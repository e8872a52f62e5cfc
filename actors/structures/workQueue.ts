import type { Clock } from '../ports/system.js'
import { Fifo } from './fifo.js'

/**
 * One step of work. It looks at `WorkQueue.isSliceOver` and ends early if it can go on later, as a
 * further step. A promise: it waits for a file, say.
 */
export type Step = () => void | Promise<void>

export interface LaneOptions {
  /** Memory of what was let in and is not yet answered; more is turned away. */
  readonly bytesMax: number
  /** Steps that wait for something (whose promise is open) at a time. */
  readonly openMax: number
}

/** Work of one kind, in the order in which it came. Kinds take turns. */
export class Lane {
  private readonly steps = new Fifo<Step>()
  private open = 0
  private bytes = 0

  constructor(
    private readonly options: LaneOptions, private readonly wake: () => void,
    private readonly onFailed: (error: unknown) => void,
  ) {}

  /** Memory of what was let in and is not yet answered. */
  get heldBytes(): number {
    return this.bytes
  }

  /** False: there is no room. What is let in must leave. */
  enter(bytes: number): boolean {
    if (this.bytes + bytes > this.options.bytesMax) return false
    this.bytes += bytes
    return true
  }

  leave(bytes: number): void {
    this.bytes -= bytes
  }

  /** To be done in one of the next slices, after all that was pushed before. */
  push(step: Step): void {
    this.steps.push(step)
    this.wake()
  }

  /** For the queue. */
  get isReady(): boolean {
    return this.steps.size > 0 && this.open < this.options.openMax
  }

  /** For the queue. */
  runNext(): void {
    let open: Promise<void> | void
    try {
      open = this.steps.shift()!()
    } catch (error) {
      return this.onFailed(error)
    }
    if (open === undefined) return
    this.open += 1
    open.catch(this.onFailed).finally(() => {
      this.open -= 1
      this.wake()
    })
  }
}

export interface WorkQueueOptions {
  readonly clock: Clock
  /** Work goes on for this long, and then the event loop turns. */
  readonly sliceMs: number
  /** What was answered has not left yet: heartbeats would wait behind more. */
  readonly isCongested: () => boolean
  /** A step threw: a bug, which is not to stop the others. */
  readonly onFailed: (error: unknown) => void
}

/** The outside may be slower than this process: looked at again after so long. */
const congestedMs = 5

/**
 * Work that others ask for, and that is not to hold up the event loop, which keeps the lease: a
 * slice at a time. Between two slices, heartbeats, frames, acks, writes and timers have their turn.
 */
export class WorkQueue {
  private readonly lanes: Lane[] = []
  private nextLane = 0
  private isAwake = false
  private endMs = 0

  constructor(private readonly options: WorkQueueOptions) {}

  lane(options: LaneOptions): Lane {
    const lane = new Lane(options, () => this.wake(), this.options.onFailed)
    this.lanes.push(lane)
    return lane
  }

  /** The present slice has had its time. */
  get isSliceOver(): boolean {
    return this.options.clock.monotonicMs() >= this.endMs || this.options.isCongested()
  }

  private wake(): void {
    if (this.isAwake || !this.lanes.some((lane) => lane.isReady)) return
    this.isAwake = true
    this.options.clock.nextTurn(this.slice)
  }

  private readonly slice = (): void => {
    const { clock, sliceMs, isCongested } = this.options
    if (isCongested()) {
      clock.setTimeout(this.slice, congestedMs)
      return
    }
    this.endMs = clock.monotonicMs() + sliceMs
    let lane = this.ready()
    while (lane) {
      lane.runNext()
      if (this.isSliceOver) break
      lane = this.ready()
    }
    this.isAwake = false
    this.wake()
  }

  /** The lanes take turns. */
  private ready(): Lane | undefined {
    for (let tried = 0; tried < this.lanes.length; tried += 1) {
      const lane = this.lanes[this.nextLane]!
      this.nextLane = (this.nextLane + 1) % this.lanes.length
      if (lane.isReady) return lane
    }
    return undefined
  }
}
