/** Numbered writes at mixed ack levels, at a steady rate, each with a key of its own. */
import type { LogEntry } from '../../machines/log/entries.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import type { EngramClient } from '../client/client.js'
import { WriteRefusedError } from '../client/errors.js'
import type { Origin, LoggedRecord, WrittenRecord } from './records.js'

export interface LoadOptions {
  readonly space: string
  /** Prefix of each id and key, which no other run has. */
  readonly run: string
  /** Writes begun per second. */
  readonly rate: number
  /** In [0, 1). */
  readonly random: () => number
  /** Milliseconds since the run began. */
  readonly nowMs: () => number
}

type Mutable = { -readonly [K in keyof WrittenRecord]: WrittenRecord[K] }

const tickMs = 10
/** The client retries for this long. A failover takes less. */
const deadlineMs = 20_000
/** Beyond it no write begins, so that an outage does not grow this process without bound. */
const inFlightMax = 4000

export class Load {
  readonly records: WrittenRecord[] = []
  /** When positive answers came. */
  readonly answersMs: number[] = []
  #timer: NodeJS.Timeout | null = null
  readonly #underWay = new Set<Promise<void>>()
  #due = 0

  constructor(private readonly client: EngramClient, private readonly options: LoadOptions) {}

  start(): void {
    let lastMs = this.options.nowMs()
    this.#timer = setInterval(() => {
      const now = this.options.nowMs()
      // A stall of this process is not made up for, which would be a burst.
      this.#due += (Math.min(now - lastMs, 100) * this.options.rate) / 1000
      lastMs = now
      for (; this.#due >= 1; this.#due -= 1) {
        if (this.#underWay.size < inFlightMax) this.#begin()
      }
    }, tickMs)
  }

  /** Begins no more writes, and waits for those under way, at most until their deadline. */
  async stop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
    await Promise.all(this.#underWay)
  }

  #begin(): void {
    const n = this.records.length
    const key = `${this.options.run}-${n}`
    const record: Mutable = {
      key,
      sentAtMs: this.options.nowMs(),
      answer: null,
      failure: null,
      isRefused: false,
    }
    this.records.push(record)
    const work = this.#write(record).finally(() => this.#underWay.delete(work))
    this.#underWay.add(work)
  }

  async #write(record: Mutable): Promise<void> {
    const { space, random, nowMs } = this.options
    const { key } = record
    try {
      const { ack, epoch, loggedEpoch = epoch, sequence, node } = await this.client.write(
        space,
        { type: 'StoreNode', node: { id: key, content: contentOf(key) } },
        { ack: levelFor(random()), key, deadlineMs },
      )
      const atMs = nowMs()
      record.answer = { level: ack, epoch, loggedEpoch, sequence, node, atMs }
      this.answersMs.push(atMs)
    } catch (error) {
      record.failure = (error as { code?: string }).code ?? String(error)
      record.isRefused = error instanceof WriteRefusedError
    }
  }
}

/** A fifth at `memory`, half at `durable`, the rest at `committed`. */
function levelFor(chance: number): AckLevel {
  if (chance < 0.2) return 'memory'
  return chance < 0.7 ? 'durable' : 'committed'
}

/** Content derived from the key, so that it can be checked when read. 40 to 400 bytes. */
export function contentOf(key: string): string {
  const last = key.charCodeAt(key.length - 1)
  return `${key} `.repeat(1 + (last % 10)).slice(0, 400)
}

/** An entry as the audit needs it. */
export function loggedRecord(entry: LogEntry, run: string): LoggedRecord {
  const { sequence, epoch, writeId: key, operation } = entry
  const isOurs = key?.startsWith(`${run}-`) ?? false
  const isWhole = !isOurs || (operation.type === 'StoreNode' && operation.node.id === key
    && operation.node.content === contentOf(key ?? ''))
  const resent = operation.type === 'ForkNote' && operation.note === 'resent'
    ? operation.writes
    : []
  return { sequence, epoch, key, isWhole, origin: originOf(entry), resent }
}

function originOf({ reconciliation }: LogEntry): Origin | null {
  if (!reconciliation) return null
  const { origin: { epoch, sequence }, outcome, via, displaces } = reconciliation
  return { epoch, sequence, outcome, via, isDisplacing: displaces !== 'nothing' }
}
