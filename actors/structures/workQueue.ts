import type { Clock } from '../ports/system.js'
import { Fifo } from './fifo.js'

/**
 * One step of work. It checks `WorkQueue.isSliceOver` and ends early if it can continue in a
 * further step. A promise means that it waits, for a file for example.
 */
export type Step = () => void | Promise<void>

export interface LaneOptions {
  /** Limit of the memory of requests that are let in and not yet answered. */
  readonly bytesMax: number
  /** Limit of the steps that wait (whose promise is open) at a time. */
  readonly openMax: number
}

/** Work of one kind, in order of arrival. Kinds take turns. */
export class Lane {
  private readonly steps = new Fifo<Step>()
  private open = 0
  private bytes = 0

  constructor(
    private readonly options: LaneOptions,
    private readonly wake: () => void,
    private readonly onFailed: (error: unknown) => void,
  ) {}

  /** Memory of the requests that are let in and not yet answered. */
  get heldBytes(): number {
    return this.bytes
  }

  /** False: there is no room. Each entry must be followed by `leave`. */
  enter(bytes: number): boolean {
    if (this.bytes + bytes > this.options.bytesMax) return false
    this.bytes += bytes
    return true
  }

  leave(bytes: number): void {
    this.bytes -= bytes
  }

  /** Runs the step in one of the next slices, after all that was pushed before. */
  push(step: Step): void {
    this.steps.push(step)
    this.wake()
  }

  /** Used by the queue only. */
  get isReady(): boolean {
    return this.steps.size > 0 && this.open < this.options.openMax
  }

  /** Used by the queue only. */
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
  /** Duration of a slice; then the event loop gets its turn. */
  readonly sliceMs: number
  /** Answers have not left yet: more of them would delay heartbeats. */
  readonly isCongested: () => boolean
  /** Called when a step throws: a bug, which must not stop other steps. */
  readonly onFailed: (error: unknown) => void
}

/** Pause while the outside is slower than this process. */
const congestedMs = 5

/**
 * Runs requested work without holding up the event loop, which keeps the lease: one slice at a
 * time. Between two slices, heartbeats, frames, acks, writes and timers have their turn.
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

  /** The present slice has used its time. */
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

  /** Returns the next lane: lanes take turns. */
  private ready(): Lane | undefined {
    for (let tried = 0; tried < this.lanes.length; tried += 1) {
      const lane = this.lanes[this.nextLane]!
      this.nextLane = (this.nextLane + 1) % this.lanes.length
      if (lane.isReady) return lane
    }
    return undefined
  }
}
