/**
 * A client that loses nothing over `durable` acks. Such an ack can end up in a fork when the
 * primary dies before its replicas have the entry: it is then in a salvage, not in the log. So
 * whatever was answered above the safe sequence is kept, and sent again, in order and with the
 * same key, when a new epoch reigns. What survived is answered `duplicate`.
 */
import { decode } from '@msgpack/msgpack'
import { headers as newHeaders } from 'nats'
import type { NatsConnection, Subscription } from 'nats'
import type { ErrorAnswer, WriteAnswer } from '../actors/ports/clientApi.js'
import { subjects } from '../machines/protocol/subjects.js'
import { SharedInbox } from './inbox.js'

export interface WriterOptions {
  readonly space: string
  /** Requests, numbered from 0; made again from the number when one has to be sent again. */
  readonly count: number
  readonly payload: (index: number) => Buffer
  readonly inFlightMax: number
  readonly keyPrefix: string
  /** A request was answered for the first time. */
  readonly onAnswered: (index: number, latencyMs: number) => void
}

interface Sent {
  readonly firstAt: number
  /** When it is sent again without an answer, or after a refusal. */
  dueAt: number
}

export interface WriterCounts {
  /** Requests sent again because their ack was above the safe sequence at a change of epoch. */
  readonly doubted: number
  /** Of those: answered `duplicate`, so the new primary had them. */
  readonly survived: number
  /** Of those: taken anew, so they had been acknowledged and were only in the fork. */
  readonly forked: number
  readonly refusals: Readonly<Record<string, number>>
}

/** Long: a new reign is announced, and a missing primary is told by 503, well before that. */
const answerTimeoutMs = 3000
const pauseMs = 10
/** Without any positive answer for so long, the cluster is taken for lost. */
const stallMs = 30_000
const sweepMs = 5

export class CarefulWriter {
  readonly #options: WriterOptions
  readonly #inbox: SharedInbox
  readonly #announcements: Subscription
  readonly #inFlight = new Map<number, Sent>()
  /** Sequences of acks above the safe sequence, all of the reigning epoch. */
  readonly #unsafe = new Map<number, number>()
  readonly #answered: Uint8Array
  /** Answered before, and in doubt: these go before anything new. */
  #again: number[] = []
  readonly #inDoubt = new Set<number>()
  readonly #epochWatchers = new Set<(epoch: number, at: number) => void>()
  readonly #refusals: Record<string, number> = {}
  readonly #sweep: NodeJS.Timeout
  #next = 0
  #lastAcceptedAt = performance.now()
  #epoch = 0
  #primary = ''
  #survived = 0
  #forked = 0
  #doubted = 0
  #settle: { resolve: () => void; reject: (error: Error) => void } | null = null

  constructor(connection: NatsConnection, options: WriterOptions) {
    this.#options = options
    this.#answered = new Uint8Array(options.count)
    this.#inbox = new SharedInbox(connection, (id, body) => this.#take(id, body))
    this.#announcements = connection.subscribe(subjects.assignment(options.space), {
      callback: (error, message) => {
        if (!error) this.#announced(message.data)
      },
    })
    this.#sweep = setInterval(() => this.#sendDue(), sweepMs)
  }

  get counts(): WriterCounts {
    return {
      doubted: this.#doubted, survived: this.#survived, forked: this.#forked,
      refusals: this.#refusals,
    }
  }

  /** Acknowledged, and not yet known to outlive the primary. */
  get unsafeCount(): number {
    return this.#unsafe.size
  }

  get isIdle(): boolean {
    return this.#inFlight.size === 0 && this.#again.length === 0
      && this.#next >= this.#options.count
  }

  /** Who answered last, and in which epoch. */
  get reign(): { readonly epoch: number; readonly primary: string } {
    return { epoch: this.#epoch, primary: this.#primary }
  }

  /** Resolves once every request is answered positively; what is unsafe then may still change. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#fill()
      this.#settleIfDone()
    })
  }

  /** Time of the first positive answer of a reign later than `epoch`. */
  answerLaterThan(epoch: number): Promise<{ epoch: number; at: number }> {
    return new Promise((resolve) => {
      const watch = (answered: number, at: number): void => {
        if (answered <= epoch) return
        this.#epochWatchers.delete(watch)
        resolve({ epoch: answered, at })
      }
      this.#epochWatchers.add(watch)
    })
  }

  /** What is on enough members to outlive the primary of that epoch, as it says itself. */
  noteSafe(epoch: number, safeSequence: number): void {
    if (epoch !== this.#epoch) return
    for (const [index, sequence] of this.#unsafe) {
      // In order of the log but for a few duplicates: whoever is beyond ends the search.
      if (sequence > safeSequence) return
      this.#unsafe.delete(index)
    }
  }

  stop(): void {
    clearInterval(this.#sweep)
    this.#announcements.unsubscribe()
  }

  #fill(): void {
    const { inFlightMax, count } = this.#options
    while (this.#inFlight.size < inFlightMax) {
      const again = this.#again.shift()
      if (again === undefined && this.#next >= count) return
      this.#send(again ?? this.#next++, performance.now())
    }
  }

  #send(index: number, firstAt: number): void {
    this.#inFlight.set(index, { firstAt, dueAt: performance.now() + answerTimeoutMs })
    const headers = newHeaders()
    headers.set('Nats-Msg-Id', `${this.#options.keyPrefix}.${index}`)
    headers.set('Engram-Ack', 'durable')
    const { space, payload } = this.#options
    this.#inbox.publish(subjects.write(space), payload(index), index, headers)
  }

  #sendDue(): void {
    const now = performance.now()
    if (this.#inFlight.size > 0 && now - this.#lastAcceptedAt > stallMs) this.#stalled()
    for (const [index, sent] of this.#inFlight) {
      if (now >= sent.dueAt) this.#send(index, sent.firstAt)
    }
  }

  #stalled(): void {
    this.#settle?.reject(new Error(`no positive answer for ${stallMs} ms, of ${this.#inFlight.size}`
      + ` requests in flight; refused so far: ${JSON.stringify(this.#refusals)}`))
  }

  #take(index: number, body: Uint8Array | null): void {
    const sent = this.#inFlight.get(index)
    if (!sent) return
    const answer = body && JSON.parse(Buffer.from(body).toString()) as WriteAnswer | ErrorAnswer
    if (answer?.ok !== true) return this.#refused(sent, answer)
    if (answer.epoch > this.#epoch) this.#reigns(answer.epoch, answer.node)
    // An answer of an epoch that is over: its outcome is unknown (DESIGN section 5). A duplicate
    // that the reigning primary itself confirms is in its log, whichever epoch numbered it.
    const confirmed = answer.duplicate && answer.node === this.#primary
    if (answer.epoch < this.#epoch && !confirmed) return this.#refused(sent, null, 'STALE_EPOCH')
    this.#accept(index, sent, answer)
  }

  #accept(index: number, sent: Sent, answer: WriteAnswer): void {
    const at = performance.now()
    this.#lastAcceptedAt = at
    this.#inFlight.delete(index)
    this.#unsafe.set(index, answer.sequence)
    this.noteSafe(this.#epoch, answer.safeSequence)
    if (this.#inDoubt.delete(index)) {
      if (answer.duplicate) this.#survived++
      else this.#forked++
    }
    for (const watch of this.#epochWatchers) watch(this.#epoch, at)
    if (this.#answered[index] === 0) {
      this.#answered[index] = 1
      this.#options.onAnswered(index, at - sent.firstAt)
    }
    this.#fill()
    this.#settleIfDone()
  }

  #refused(sent: Sent, answer: ErrorAnswer | null, why = 'NO_RESPONDERS'): void {
    const code = answer?.code ?? why
    this.#refusals[code] = (this.#refusals[code] ?? 0) + 1
    if (answer && ['INVALID_OPERATION', 'PAYLOAD_TOO_LARGE'].includes(answer.code)) {
      this.#settle?.reject(new Error(`${answer.code}: ${answer.message}`))
    }
    sent.dueAt = performance.now() + Math.max(pauseMs, answer?.retryAfterMs ?? 0)
  }

  /** A new reign: what was answered and not yet safe may be in a fork. */
  #reigns(epoch: number, primary: string): void {
    if (epoch <= this.#epoch) return
    const isFirst = this.#epoch === 0
    this.#epoch = epoch
    this.#primary = primary
    if (isFirst) return
    for (const index of [...this.#unsafe.keys()].toSorted((a, b) => a - b)) {
      this.#again.push(index)
      this.#inDoubt.add(index)
      this.#doubted++
    }
    this.#unsafe.clear()
    const now = performance.now()
    // Sent to a primary that is no more: the new one is asked at once.
    for (const sent of this.#inFlight.values()) sent.dueAt = now
    this.#fill()
  }

  #announced(data: Uint8Array): void {
    const { kind, assignment } = (data[0] === 0x7b
      ? JSON.parse(Buffer.from(data).toString()) : decode(data)) as {
      kind?: string
      assignment?: { epoch: number; state: string; primary: { node: string } | null }
    }
    if (kind !== 'changed' || assignment?.state !== 'open' || !assignment.primary) return
    this.#reigns(assignment.epoch, assignment.primary.node)
  }

  #settleIfDone(): void {
    if (this.isIdle) this.#settle?.resolve()
  }
}
