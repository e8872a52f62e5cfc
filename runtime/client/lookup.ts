/**
 * Looks up whether a space exists. Asks the nodes (`engram.v1.lookup.<space>`) when NATS reports
 * that nobody takes a message. That also happens during a failover and an outage, so it asks at a
 * bounded pace, once for all calls, and not again while the answer is known.
 */
import type { NatsConnection, NatsError } from 'nats'
import { subjects } from '../../machines/protocol/subjects.js'
import { denialIn } from './denials.js'

/** `silent`: no node answers. `forbidden`: these credentials may not ask. */
type Known = 'there' | 'absent' | 'silent' | 'forbidden' | 'unsure'

interface Asked {
  known: Known
  isUnderWay: boolean
  /** By `performance.now()`: time of the last request, and earliest time of the next one. */
  at: number
  nextAt: number
  pauseMs: number
}

const timeoutMs = 1000
/** A space that did not exist a moment ago may have been created since. */
const absentMs = 100
/** A space that existed a moment ago may have been dropped since. */
const thereMs = 5000
const pauseFirstMs = 250
const pauseMaxMs = 5000
/** Beyond it, the space that was looked up the longest ago is forgotten. */
const spacesMax = 1024

export class SpaceLookup {
  readonly #spaces = new Map<string, Asked>()
  /** No node answered: none is asked about any space until then. */
  #quietUntil = 0
  #mayAsk = true

  /** @param onAbsent there was no such space at the time `askedAt` */
  constructor(
    readonly connection: NatsConnection,
    readonly onAbsent: (space: string, askedAt: number) => void,
  ) {}

  /** Called when nobody took a call that was made at `since`. */
  unserved(space: string, since: number): void {
    const asked = this.#asked(space)
    if (asked.known === 'absent' && asked.at >= since) this.onAbsent(space, asked.at)
    const now = performance.now()
    if (asked.isUnderWay || !this.#mayAsk || now < Math.max(asked.nextAt, this.#quietUntil)) return
    asked.isUnderWay = true
    asked.at = now
    void lookUpSpace(this.connection, space).then((known) => this.#found(space, asked, known))
  }

  /** For an error: why nobody takes the call, as far as known. */
  why(space: string): string | undefined {
    switch (this.#spaces.get(space)?.known) {
      case 'there':
        return 'the space has no primary that serves now'
      case 'silent':
        return `no node answers ${subjects.lookup(space)} either`
      case 'forbidden':
        return 'the space has no primary now, or does not exist; these '
          + `credentials may not ask which (${subjects.lookup(space)})`
      default:
        return undefined
    }
  }

  #asked(space: string): Asked {
    const known = this.#spaces.get(space)
    if (known) return known
    if (this.#spaces.size >= spacesMax) {
      for (const [oldest] of this.#spaces) {
        this.#spaces.delete(oldest)
        break
      }
    }
    const asked: Asked = {
      known: 'unsure',
      isUnderWay: false,
      at: -Infinity,
      nextAt: 0,
      pauseMs: pauseFirstMs,
    }
    this.#spaces.set(space, asked)
    return asked
  }

  #found(space: string, asked: Asked, known: Known): void {
    const now = performance.now()
    asked.isUnderWay = false
    asked.known = known
    if (known === 'absent') {
      asked.nextAt = asked.at + absentMs
      this.onAbsent(space, asked.at)
    } else if (known === 'there') {
      asked.nextAt = now + thereMs
      asked.pauseMs = pauseFirstMs
    } else {
      this.#mayAsk &&= known !== 'forbidden'
      asked.nextAt = now + asked.pauseMs
      if (known === 'silent') this.#quietUntil = asked.nextAt
      asked.pauseMs = Math.min(asked.pauseMs * 2, pauseMaxMs)
    }
  }
}

/** Asks any one node. */
export async function lookUpSpace(connection: NatsConnection, space: string): Promise<Known> {
  try {
    const { data } = await connection.request(
      subjects.lookup(space),
      new Uint8Array(),
      { timeout: timeoutMs },
    )
    const said = JSON.parse(Buffer.from(data).toString()) as { ok?: unknown; code?: unknown }
    return said.ok === true ? 'there' : said.code === 'UNKNOWN_SPACE' ? 'absent' : 'unsure'
  } catch (error) {
    if (denialIn(error)) return 'forbidden'
    return (error as Partial<NatsError>).code === '503' ? 'silent' : 'unsure'
  }
}
