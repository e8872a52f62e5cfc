/** Writers that go on by themselves, so that there is something to see; bounded in every way. */

export interface SteadyWritersOptions {
  /** Rejects when it was refused or its outcome is not known. */
  readonly write: (space: string, id: string, content: string) => Promise<unknown>
  /** How long nobody has looked, ms. */
  readonly idleMs: () => number
  /** Without a viewer they stop after this. Default 60,000. */
  readonly idleMaxMs?: number
}

interface Writer {
  readonly space: string
  perSecond: number
  readonly timer: NodeJS.Timeout
  orderedAtMs: number
  /** Writes that are due, a fraction among them. */
  due: number
  lastMs: number
  inFlight: number
  number: number
  written: number
  failed: number
}

const tickMs = 20
/** Of one space; what is due beyond is left out: a cluster that stands still gets no backlog. */
const inFlightMax = 256
const spacesMax = 8
/** Memories that are written over and over. */
const idsMax = 1_000
const idleDefaultMs = 60_000

export class SteadyWriters {
  private readonly writers = new Map<string, Writer>()

  constructor(private readonly options: SteadyWritersOptions) {}

  /**
   * So many a second from now on; 0 ends it.
   * @returns what was done, in words
   * @throws Error for one space too many
   */
  set(space: string, perSecond: number): string {
    const known = this.writers.get(space)
    if (perSecond === 0) return known ? this.end(known) : `nobody writes to ${space}`
    if (!known && this.writers.size >= spacesMax) {
      throw new Error(`${spacesMax} spaces have a steady writer already: stop one`)
    }
    const writer = known ?? this.begin(space)
    writer.perSecond = perSecond
    writer.orderedAtMs = performance.now()
    return `${perSecond} writes a second go to ${space}`
  }

  close(): void {
    for (const writer of this.writers.values()) this.end(writer)
  }

  private begin(space: string): Writer {
    const nowMs = performance.now()
    const writer: Writer = {
      space, perSecond: 0, timer: setInterval(() => this.tick(writer), tickMs),
      orderedAtMs: nowMs, due: 0, lastMs: nowMs, inFlight: 0, number: 0, written: 0, failed: 0,
    }
    this.writers.set(space, writer)
    return writer
  }

  private end(writer: Writer): string {
    clearInterval(writer.timer)
    this.writers.delete(writer.space)
    const { space, written, failed } = writer
    return `the writer of ${space} has stopped: ${written} written, ${failed} refused or unknown`
  }

  private tick(writer: Writer): void {
    const nowMs = performance.now()
    const idleMs = Math.min(this.options.idleMs(), nowMs - writer.orderedAtMs)
    if (idleMs > (this.options.idleMaxMs ?? idleDefaultMs)) {
      this.end(writer)
      return
    }
    const { perSecond, lastMs } = writer
    // At most what one second asks for: after a stall of this process there is no burst.
    writer.due = Math.min(perSecond, writer.due + perSecond * (nowMs - lastMs) / 1000)
    writer.lastMs = nowMs
    for (; writer.due >= 1; writer.due -= 1) {
      if (writer.inFlight < inFlightMax) this.send(writer)
    }
  }

  private send(writer: Writer): void {
    writer.number += 1
    writer.inFlight += 1
    const id = `steady-${writer.number % idsMax}`
    this.options.write(writer.space, id, `write ${writer.number} of the playground`).then(
      () => { writer.written += 1 },
      () => { writer.failed += 1 },
    ).finally(() => { writer.inFlight -= 1 })
  }
}
