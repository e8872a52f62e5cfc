import type { Clock, TimerHandle } from '../../actors/ports/system.js'

interface Timer {
  readonly dueMs: number
  /** Timers due at the same time run in the order in which they were set. */
  readonly order: number
  readonly run: () => void
}

/** Timers that may run in one advance: more are an endless loop without a delay. */
const stepsMax = 1_000_000

/**
 * Time that moves on request only. It steps from deadline to deadline, so a 100 ms loop runs ten
 * times within `advance(1000)` (XState's SimulatedClock would run it once).
 */
export class VirtualClock implements Clock {
  private nowMs = 0
  private wallOffsetMs: number
  private lastOrder = 0
  private readonly timers = new Set<Timer>()
  /** Binary heap, the first due at 0; a simulation has thousands of timers. */
  private readonly heap: Timer[] = []
  /** Called after each timer of `advanceAsync`, its promises settled: what must hold then. */
  afterStep: (() => void) | null = null

  /** `wallMs`: what the wall clock shows at the beginning. */
  constructor(wallMs = 1_700_000_000_000) {
    this.wallOffsetMs = wallMs
  }

  wallMs(): number {
    return this.wallOffsetMs + this.nowMs
  }

  monotonicMs(): number {
    return this.nowMs
  }

  setTimeout(run: () => void, ms: number): TimerHandle {
    this.lastOrder += 1
    const delayMs = Number.isFinite(ms) ? Math.max(0, ms) : 0
    const timer: Timer = { dueMs: this.nowMs + delayMs, order: this.lastOrder, run }
    this.timers.add(timer)
    this.put(timer)
    return timer
  }

  clearTimeout(timer: TimerHandle): void {
    this.timers.delete(timer as Timer)
  }

  /** As if the process always ran. */
  cpuMs(): number {
    return this.nowMs
  }

  nextTurn(run: () => void): void {
    this.setTimeout(run, 0)
  }

  /** Timers that are set. */
  get pending(): number {
    return this.timers.size
  }

  /** Time of the next timer, or null. */
  nextDueMs(): number | null {
    return this.next()?.dueMs ?? null
  }

  /** Moves on by `ms`, running what falls due on the way; promises are not waited for. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms
    for (let steps = 0; this.step(endMs); steps += 1) {
      if (steps > stepsMax) throw new Error(`more than ${stepsMax} timers within ${ms} ms`)
    }
    this.nowMs = endMs
  }

  /** The same, with promises (and microtasks) settled after each timer. */
  async advanceAsync(ms: number): Promise<void> {
    const endMs = this.nowMs + ms
    await microtasksDone()
    for (let steps = 0; this.step(endMs); steps += 1) {
      if (steps > stepsMax) throw new Error(`more than ${stepsMax} timers within ${ms} ms`)
      await microtasksDone()
      this.afterStep?.()
    }
    this.nowMs = endMs
  }

  /** The wall clock jumps; the monotonic one and the timers do not notice. */
  jumpWall(ms: number): void {
    this.wallOffsetMs += ms
  }

  /**
   * The machine was suspended: the wall clock goes on, the monotonic one stops, and so do
   * the timers.
   */
  suspend(ms: number): void {
    this.jumpWall(ms)
  }

  /** Lets promise chains run on, without moving time, real I/O of a few turns included. */
  async settle(rounds = 4): Promise<void> {
    for (let round = 0; round < rounds; round += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }

  /** Runs the next timer due until `endMs`. False when there is none. */
  private step(endMs: number): boolean {
    const timer = this.next()
    if (timer === undefined || timer.dueMs > endMs) return false
    this.take()
    this.timers.delete(timer)
    this.nowMs = Math.max(this.nowMs, timer.dueMs)
    timer.run()
    return true
  }

  /** The first timer that is still set; cleared ones leave the heap when they come up. */
  private next(): Timer | undefined {
    for (let first = this.heap[0]; first !== undefined; first = this.heap[0]) {
      if (this.timers.has(first)) return first
      this.take()
    }
    return undefined
  }

  private put(timer: Timer): void {
    const { heap } = this
    let at = heap.push(timer) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (isBefore(heap[parent] as Timer, timer)) break
      heap[at] = heap[parent] as Timer
      at = parent
    }
    heap[at] = timer
  }

  /** Removes the first. */
  private take(): void {
    const { heap } = this
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, heap[child] as Timer)) child += 1
      if (isBefore(last, heap[child] as Timer)) break
      heap[at] = heap[child] as Timer
      at = child
    }
    heap[at] = last
  }
}

/**
 * Node runs a tick when the queue of microtasks is empty: so all promise chains have come to rest
 * that need no timer and no I/O. Twenty times as fast as a turn of the event loop.
 */
function microtasksDone(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

function isBefore(one: Timer, other: Timer): boolean {
  return one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.order < other.order)
}
