/**
 * The load generator, in its own process: `node dist/bench/load.js '<LoadSpec as JSON>'` prints
 * one LoadResult as JSON and ends by itself.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { build } from 'hdr-histogram-js'
import type { Histogram } from 'hdr-histogram-js'
import type { TakeAnswer } from './inbox.js'
import { runProgram, startScript } from './processes.js'
import type { LoadSpec } from './target.js'
import { openWire } from './wire.js'
import type { Send } from './wire.js'

/** An answer of Engram; the floor and JetStream answer otherwise. */
interface Answered {
  readonly sequence: number
  readonly safeSequence?: number
}

/** One answer in this number is looked into. */
const sampled = 20

export interface LoadResult {
  readonly sent: number
  readonly ok: number
  /** By code; `unanswered` for those without any answer 2 s after the end. */
  readonly errors: Readonly<Record<string, number>>
  /** Positive answers per second, within the measured time. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
  /** In an open loop: how late the generator itself was; part of the latencies. */
  readonly lateP99Ms: number
  /** Most entries above the safe sequence that a sample of the answers has shown. */
  readonly windowMax: number
}

const microsecondsMax = 60_000_000
const stragglersMs = 2000
/** A system that does not answer at all must not fill the memory of the generator. */
const outstandingMax = 200_000

class Load {
  readonly #publish: Send
  readonly #startedAt = new Map<number, number>()
  readonly #latency = newHistogram()
  readonly #lateness = newHistogram()
  readonly #errors: Record<string, number> = {}
  #next = 0
  #windowMax = 0
  #sent = 0
  #ok = 0
  #measuredFrom = Infinity
  #measuredTo = Infinity
  #refill = false

  constructor(readonly spec: LoadSpec, open: (take: TakeAnswer) => Send) {
    this.#publish = open((id, body) => this.#answered(id, body))
  }

  async run(): Promise<LoadResult> {
    const { spec } = this
    const from = performance.now()
    this.#measuredFrom = from + spec.warmupSeconds * 1000
    this.#measuredTo = this.#measuredFrom + spec.seconds * 1000
    setTimeout(() => console.log('begun'), spec.warmupSeconds * 1000)
    if (spec.inFlight) await this.#closedLoop(spec.inFlight)
    else await this.#openLoop(spec.rate ?? 1000, from)
    console.log('over')
    const deadline = performance.now() + stragglersMs
    while (this.#startedAt.size > 0 && performance.now() < deadline) await delay(5)
    for (const at of this.#startedAt.values()) if (this.#counts(at)) this.#failed('unanswered')
    return this.#result()
  }

  async #closedLoop(inFlight: number): Promise<void> {
    this.#refill = true
    for (let n = 0; n < inFlight; n++) this.#send(performance.now())
    await delay(this.#measuredTo - performance.now())
    this.#refill = false
  }

  /** Latency counts from when a write was due, so a stall counts for all it has delayed. */
  #openLoop(rate: number, from: number): Promise<void> {
    const count = Math.round(rate * (this.#measuredTo - from) / 1000)
    // As many as are due at each tick of a millisecond: finer timers would cost a whole core.
    const perTick = Math.max(1, Math.round(rate / 1000))
    const dueAt = (n: number): number => from + Math.floor(n / perTick) * perTick * 1000 / rate
    return new Promise((resolve) => {
      let n = 0
      const stop = metronome(from, perTick * 1000 / rate, () => {
        const now = performance.now()
        for (; n < count && dueAt(n) <= now; n++) {
          const due = dueAt(n)
          if (this.#counts(due)) this.#lateness.recordValue(microseconds(now - due))
          this.#send(due)
        }
        if (n < count) return
        stop()
        resolve()
      })
    })
  }

  #send(at: number): void {
    if (this.#startedAt.size >= outstandingMax) return this.#failed('notSent')
    const id = this.#next++
    this.#startedAt.set(id, at)
    if (this.#counts(at)) this.#sent++
    this.#publish(id)
  }

  #answered(id: number, body: Uint8Array | null): void {
    const at = this.#startedAt.get(id)
    if (at === undefined) return
    this.#startedAt.delete(id)
    const now = performance.now()
    if (body !== null && beginsWith(body, this.spec.okPrefix)) {
      if (now >= this.#measuredFrom && now < this.#measuredTo) this.#ok++
      if (this.#counts(at)) this.#latency.recordValue(microseconds(now - at))
      if (id % sampled === 0) this.#window(body)
    } else if (this.#counts(at)) {
      this.#failed(body === null ? 'noResponders' : errorCode(body))
    }
    if (this.#refill) this.#send(now)
  }

  #window(body: Uint8Array): void {
    // Redis' answers are no JSON, and have no sequences.
    if (!beginsWith(body, '{')) return
    const { sequence, safeSequence } = JSON.parse(Buffer.from(body).toString()) as Answered
    if (safeSequence === undefined) return
    this.#windowMax = Math.max(this.#windowMax, sequence - safeSequence)
  }

  #counts(at: number): boolean {
    return at >= this.#measuredFrom && at < this.#measuredTo
  }

  #failed(code: string): void {
    this.#errors[code] = (this.#errors[code] ?? 0) + 1
  }

  #result(): LoadResult {
    const latency = this.#latency
    return {
      sent: this.#sent,
      ok: this.#ok,
      errors: this.#errors,
      perSecond: Math.round(this.#ok / this.spec.seconds),
      p50Ms: atPercentile(latency, 50),
      p99Ms: atPercentile(latency, 99),
      p999Ms: atPercentile(latency, 99.9),
      maxMs: latency.maxValue / 1000,
      lateP99Ms: atPercentile(this.#lateness, 99),
      windowMax: this.#windowMax,
    }
  }
}

/**
 * Ticks at `origin + n * periodMs`. A timer of the event loop is up to 1 ms late, which would be
 * taken for latency of the system; a thread that waits on a futex wakes within about 0.1 ms.
 */
function metronome(origin: number, periodMs: number, tick: () => void): () => void {
  const wallOrigin = performance.timeOrigin + origin
  const worker = new Worker(`
    const { parentPort, workerData } = require('node:worker_threads')
    const { wallOrigin, periodMs } = workerData
    const never = new Int32Array(new SharedArrayBuffer(4))
    const now = () => performance.timeOrigin + performance.now() - wallOrigin
    for (;;) {
      const next = (Math.floor(now() / periodMs) + 1) * periodMs
      Atomics.wait(never, 0, 0, Math.max(0, next - now()))
      parentPort.postMessage(0)
    }`, { eval: true, workerData: { wallOrigin, periodMs } })
  worker.on('message', tick)
  return () => {
    worker.removeAllListeners('message')
    void worker.terminate()
  }
}

export function newHistogram(): Histogram {
  return build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: microsecondsMax,
    numberOfSignificantValueDigits: 3,
    autoResize: false,
    useWebAssembly: false,
  })
}

export function microseconds(ms: number): number {
  return Math.min(microsecondsMax, Math.max(1, Math.round(ms * 1000)))
}

/** In ms. */
export function atPercentile(histogram: Histogram, percentage: number): number {
  return Math.round(histogram.getValueAtPercentile(percentage)) / 1000
}

function beginsWith(body: Uint8Array, prefix: string): boolean {
  for (let n = 0; n < prefix.length; n++) if (body[n] !== prefix.charCodeAt(n)) return false
  return true
}

function errorCode(body: Uint8Array): string {
  try {
    const answer = JSON.parse(Buffer.from(body).toString()) as {
      code?: string
      error?: { description?: string }
    }
    return answer.code ?? answer.error?.description ?? 'notUnderstood'
  } catch {
    return 'notUnderstood'
  }
}

/** Called at both ends of the measured time; `pid` is the load's. */
export interface Watch {
  begun(pid: number): Promise<void>
  over(): Promise<void>
}

/** Runs the load in a process of its own. */
export async function measure(spec: LoadSpec, watch?: Watch): Promise<LoadResult> {
  const child = startScript('load', spec)
  const limitMs = (spec.seconds + spec.warmupSeconds) * 1000 + stragglersMs + 10_000
  try {
    await child.line(limitMs)
    await watch?.begun(child.pid)
    await child.line(limitMs)
    await watch?.over()
    return JSON.parse(await child.line(limitMs)) as LoadResult
  } finally {
    await child.stop()
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runProgram(async () => {
    const spec = JSON.parse(process.argv[2] ?? '{}') as LoadSpec
    const wire = await openWire(spec)
    console.log(JSON.stringify(await new Load(spec, wire.open).run()))
    await wire.close()
    return 0
  })
}
