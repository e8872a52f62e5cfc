/** Writers that run by themselves, to show traffic. Bounded in every way. */

export interface SteadyWritersOptions {
  /** Rejects if the write was refused or its outcome is unknown. */
  readonly write: (space: string, id: string, content: string) => Promise<unknown>
  /** Time without a viewer, ms. */
  readonly idleMs: () => number
  /** Time without a viewer after which writers stop. Default 60,000 ms. */
  readonly idleMaxMs?: number
}

interface Writer {
  readonly space: string
  perSecond: number
  readonly timer: NodeJS.Timeout
  commandedAtMs: number
  /** Number of writes that are due, with a fraction. */
  due: number
  lastMs: number
  inFlight: number
  number: number
  written: number
  failed: number
}

const tickMs = 20
/** Writes in flight of one space. Further ones are skipped, so that an outage causes no backlog. */
const inFlightMax = 256
const spacesMax = 8
/** Number of memories that are written repeatedly. */
const idsMax = 1_000
const idleDefaultMs = 60_000

export class SteadyWriters {
  private readonly writers = new Map<string, Writer>()

  constructor(private readonly options: SteadyWritersOptions) {}

  /**
   * Sets the writes per second of a space. 0 ends its writer.
   * @returns a message on what was done
   * @throws Error if too many spaces have a writer
   */
  set(space: string, perSecond: number): string {
    const known = this.writers.get(space)
    if (perSecond === 0) return known ? this.end(known) : `${space} has no steady writer`
    if (!known && this.writers.size >= spacesMax) {
      throw new Error(`${spacesMax} spaces already have a steady writer: stop one`)
    }
    const writer = known ?? this.begin(space)
    writer.perSecond = perSecond
    writer.commandedAtMs = performance.now()
    return `writing to ${space} ${perSecond} times a second`
  }

  close(): void {
    for (const writer of this.writers.values()) this.end(writer)
  }

  private begin(space: string): Writer {
    const nowMs = performance.now()
    const writer: Writer = {
      space,
      perSecond: 0,
      timer: setInterval(() => this.tick(writer), tickMs),
      commandedAtMs: nowMs,
      due: 0,
      lastMs: nowMs,
      inFlight: 0,
      number: 0,
      written: 0,
      failed: 0,
    }
    this.writers.set(space, writer)
    return writer
  }

  private end(writer: Writer): string {
    clearInterval(writer.timer)
    this.writers.delete(writer.space)
    const { space, written, failed } = writer
    return `stopped the writer of ${space}: ${written} written, ${failed} refused or unknown`
  }

  private tick(writer: Writer): void {
    const nowMs = performance.now()
    const idleMs = Math.min(this.options.idleMs(), nowMs - writer.commandedAtMs)
    if (idleMs > (this.options.idleMaxMs ?? idleDefaultMs)) {
      this.end(writer)
      return
    }
    const { perSecond, lastMs } = writer
    // At most the writes of one second, so that a stall of this process causes no burst.
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
      () => {
        writer.written += 1
      },
      () => {
        writer.failed += 1
      },
    ).finally(() => {
      writer.inFlight -= 1
    })
  }
}
