/**
 * Requests over one shared inbox subscription and a map: `nc.request` limits one client to 20,000
 * to 40,000 a second. All attempts of a call have the same reply subject, so that a late answer to
 * an early attempt still counts.
 */
import { createInbox } from 'nats'
import type { Msg, MsgHdrs, NatsConnection, Subscription } from 'nats'
import { denialIn, onDenial } from './denials.js'
import type { DeniedError } from './denials.js'

export type Answer =
  | { readonly kind: 'message'; readonly data: Uint8Array }
  | { readonly kind: 'noResponders' }

/** Why an attempt did not end its call. */
export interface Failure {
  readonly code: string
  readonly message: string
  /** The attempt certainly had no effect. */
  readonly notTaken: boolean
  readonly sequence?: number | undefined
  readonly retryAfterMs?: number | undefined
}

export type Verdict<T> =
  | { readonly kind: 'accept'; readonly value: T }
  | { readonly kind: 'retry'; readonly failure: Failure }
  | { readonly kind: 'reject'; readonly error: Error }

export interface CallSpec<T> {
  readonly subject: string
  readonly data: Uint8Array
  /** Called for each attempt. */
  readonly headers?: (() => MsgHdrs | undefined) | undefined
  /** Calls of one group are sent again together, see `resend`. */
  readonly group: string
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
  readonly judge: (answer: Answer) => Verdict<T>
  /** Called when NATS reports that nobody takes it. `since`: when the call was made. */
  readonly onUnserved?: ((since: number) => void) | undefined
  /** Makes the error when the call ends without a result. */
  readonly giveUp: (end: CallEnd) => Error
}

export interface CallEnd {
  readonly why: 'deadline' | 'aborted' | 'closed' | 'full' | 'unsendable' | 'forbidden' | 'absent'
  readonly last: Failure | null
  /** Some attempt may have taken effect. */
  readonly maybeTaken: boolean
  /** From any attempt whose answer had one. */
  readonly sequence: number | undefined
  readonly attempts: number
  /** For `forbidden`: DeniedError. */
  readonly cause?: unknown
}

/** Statistics of the answers to one group. */
interface Flow {
  /** Time of the last answer, by `performance.now()`. */
  heardAt: number
  /** Smoothed time from an attempt to its answer. */
  answerMs: number
}

interface Call {
  readonly id: number
  readonly flow: Flow
  readonly spec: CallSpec<unknown>
  readonly since: number
  readonly deadlineAt: number
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly onAbort: (() => void) | undefined
  attempts: number
  /** An attempt was sent and is not answered. */
  waiting: boolean
  /** Time of the last attempt, by `performance.now()`. */
  sentAt: number
  /** When the next attempt is due, if none is in flight. */
  dueAt: number
  last: Failure | null
  maybeTaken: boolean
  /** Nobody was there to take any attempt so far. */
  isUnserved: boolean
  sequence: number | undefined
}

/** Resolution of retries and deadlines. One timer serves all calls, which is cheaper. */
const sweepMs = 10
const backoffFirstMs = 15
const backoffMaxMs = 250
const attemptFirstMs = 500
const attemptMaxMs = 2000
/**
 * An attempt times out no sooner than this multiple of the present answer time: load is no loss.
 */
const patience = 4
/** A timer that is this late means that this process was busy: answers may be unread. */
const stalledMs = 100

export class Requests {
  readonly #connection: NatsConnection
  readonly #inbox: string
  readonly #subscription: Subscription
  readonly #calls = new Map<number, Call>()
  readonly #callsMax: number
  #next = 1
  #timer: NodeJS.Timeout | undefined
  #connected = true
  /** By group: one for each space that is written to or read. */
  readonly #flows = new Map<string, Flow>()
  readonly #held = new Set<string>()
  #closed = false
  /** Cause of a closed connection that this client did not close. */
  #closedBy: Error | undefined
  #deaf: DeniedError | null = null
  readonly #endDenials: () => void

  constructor(connection: NatsConnection, inboxPrefix: string, callsMax: number) {
    this.#connection = connection
    this.#callsMax = callsMax
    this.#inbox = createInbox(inboxPrefix)
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error) this.#deafened(denialIn(error))
        else this.#answered(message)
      },
    })
    this.#endDenials = onDenial(connection, (denied) => this.#denied(denied))
    void connection.closed().then((error) => this.#disconnected(error ?? undefined))
    void this.#watch()
  }

  get inFlight(): number {
    return this.#calls.size
  }

  /** Settles once the call is judged, aborted, or past its deadline. */
  call<T>(spec: CallSpec<T>): Promise<T> {
    if (this.#closed || this.#connection.isClosed()) {
      return Promise.reject(spec.giveUp({ ...neverSent('closed'), cause: this.#closedBy }))
    }
    if (this.#deaf) {
      return Promise.reject(spec.giveUp({ ...neverSent('forbidden'), cause: this.#deaf }))
    }
    if (this.#calls.size >= this.#callsMax) return Promise.reject(spec.giveUp(neverSent('full')))
    if (spec.signal?.aborted) {
      return Promise.reject(spec.giveUp({ ...neverSent('aborted'), cause: spec.signal.reason }))
    }
    return new Promise<T>((resolve, reject) => {
      const now = performance.now()
      const id = this.#next++
      const { signal } = spec
      const call: Call = {
        id,
        flow: this.#flow(spec.group),
        spec: spec as CallSpec<unknown>,
        since: now,
        deadlineAt: now + spec.deadlineMs,
        resolve: resolve as (value: unknown) => void,
        reject,
        onAbort: signal && (() => this.#end(call, 'aborted', signal.reason)),
        attempts: 0,
        waiting: false,
        sentAt: now,
        dueAt: now,
        last: null,
        maybeTaken: false,
        isUnserved: true,
        sequence: undefined,
      }
      if (signal && call.onAbort) signal.addEventListener('abort', call.onAbort, { once: true })
      this.#calls.set(id, call)
      this.#attempt(call, now)
      this.#arm()
    })
  }

  /** Sends all calls of a group again, in order: another node can answer now. */
  resend(group: string): void {
    const now = performance.now()
    for (const call of this.#calls.values()) if (call.spec.group === group) this.#attempt(call, now)
  }

  /** Ends the group's calls as aborted; later answers to them are ignored. */
  abandon(group: string): void {
    for (const call of this.#calls.values()) {
      if (call.spec.group === group) this.#end(call, 'aborted')
    }
  }

  /**
   * Ends those calls of the group that were made before `askedAt`, if nothing could have taken
   * them: neither an attempt in flight nor an earlier one.
   */
  endUnserved(group: string, askedAt: number): void {
    for (const call of this.#calls.values()) {
      if (call.spec.group !== group || call.since > askedAt) continue
      if (!call.waiting && call.isUnserved) this.#end(call, 'absent')
    }
  }

  /** Stops sending the calls of the group, new ones too, until it is released. */
  hold(group: string): void {
    this.#held.add(group)
  }

  /** Sends the group's calls, in order, if it was held. */
  release(group: string): void {
    if (this.#held.delete(group)) this.resend(group)
  }

  /** Ends every call. Idempotent. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#subscription.unsubscribe()
    this.#endDenials()
    for (const call of this.#calls.values()) this.#end(call, 'closed')
  }

  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === 'disconnect') this.#connected = false
      if (status.type !== 'reconnect') continue
      this.#connected = true
      const now = performance.now()
      for (const call of this.#calls.values()) this.#attempt(call, now)
    }
  }

  /** The server drops what this user may not publish: it will never be answered. */
  #denied(denied: DeniedError): void {
    if (denied.operation !== 'publish') return
    for (const call of this.#calls.values()) {
      if (call.spec.subject !== denied.subject) continue
      call.waiting = false
      this.#end(call, 'forbidden', denied)
    }
  }

  /** No answer can arrive: this user may not subscribe below its inbox prefix. */
  #deafened(denied: DeniedError | null): void {
    this.#deaf = denied
    if (denied) { for (const call of this.#calls.values()) this.#end(call, 'forbidden', denied) }
  }

  /** Final: the package dials again until it is closed, or refused twice. */
  #disconnected(error: Error | undefined): void {
    this.#closedBy = error
    for (const call of this.#calls.values()) this.#end(call, 'closed', error)
  }

  #attempt(call: Call, now: number): void {
    if (this.#held.size > 0 && this.#held.has(call.spec.group)) {
      if (call.waiting) this.#note(call, unanswered(call.spec.subject))
      call.waiting = false
      call.dueAt = Infinity
      call.last ??= heldBack
      return
    }
    // Messages published while the connection is down pile up in the library, and may be lost.
    call.sentAt = now
    if (!this.#connected) return
    const { subject, data } = call.spec
    const headers = call.spec.headers?.()
    try {
      const reply = `${this.#inbox}.${call.id}`
      this.#connection.publish(subject, data, headers ? { reply, headers } : { reply })
    } catch (error) {
      this.#end(call, this.#connection.isClosed() ? 'closed' : 'unsendable', error)
      return
    }
    call.attempts++
    call.waiting = true
  }

  #answered(message: Msg): void {
    const call = this.#calls.get(Number(message.subject.slice(this.#inbox.length + 1)))
    if (!call) return
    const { flow } = call
    flow.heardAt = performance.now()
    flow.answerMs += (flow.heardAt - call.sentAt - flow.answerMs) / 16
    const none = message.data.length === 0 && message.headers?.code === 503
    const verdict = call.spec.judge(
      none ? { kind: 'noResponders' } : { kind: 'message', data: message.data },
    )
    if (verdict.kind === 'retry') {
      this.#failed(call, verdict.failure)
      if (none) call.spec.onUnserved?.(call.since)
      return
    }
    this.#forget(call)
    if (verdict.kind === 'accept') call.resolve(verdict.value)
    else call.reject(verdict.error)
  }

  #failed(call: Call, failure: Failure): void {
    call.waiting = false
    this.#note(call, failure)
    const full = Math.min(backoffFirstMs * 2 ** Math.max(0, call.attempts - 1), backoffMaxMs)
    // Half of the pause is random, so that clients that failed together do not come back together.
    const pauseMs = Math.max(full * (0.5 + Math.random() / 2), failure.retryAfterMs ?? 0)
    call.dueAt = performance.now() + pauseMs
  }

  #note(call: Call, failure: Failure): void {
    // A member that is behind holds a read for a while, so its silence means nothing.
    const isKept = failure.code === 'TIMEOUT' && call.last?.code === 'STALE_READ'
    if (!isKept) call.last = failure
    call.sequence = failure.sequence ?? call.sequence
    if (!failure.notTaken) call.maybeTaken = true
    if (failure.code !== 'NO_RESPONDERS') call.isUnserved = false
  }

  #arm(): void {
    if (this.#timer) return
    const expectedAt = performance.now() + sweepMs
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      const now = performance.now()
      if (now - expectedAt < stalledMs) this.#sweep(now)
      if (this.#calls.size > 0 && !this.#closed) this.#arm()
    }, sweepMs)
  }

  #sweep(now: number): void {
    for (const call of this.#calls.values()) {
      if (now >= call.deadlineAt) {
        this.#end(call, 'deadline')
      } else if (call.waiting && isOverdue(call, now)) {
        this.#note(call, unanswered(call.spec.subject))
        this.#attempt(call, now)
      } else if (!call.waiting && now >= call.dueAt) {
        this.#attempt(call, now)
      }
    }
  }

  #flow(group: string): Flow {
    let flow = this.#flows.get(group)
    if (!flow) this.#flows.set(group, flow = { heardAt: 0, answerMs: 0 })
    return flow
  }

  #end(call: Call, why: CallEnd['why'], cause?: unknown): void {
    if (!this.#calls.has(call.id)) return
    this.#forget(call)
    if (call.waiting) this.#note(call, unanswered(call.spec.subject))
    const { last, maybeTaken, sequence, attempts } = call
    call.reject(call.spec.giveUp({ why, last, maybeTaken, sequence, attempts, cause }))
  }

  #forget(call: Call): void {
    this.#calls.delete(call.id)
    if (call.onAbort) call.spec.signal?.removeEventListener('abort', call.onAbort)
  }
}

/** While other answers of the group arrive, a call is most likely just waiting for its turn. */
function isOverdue(call: Call, now: number): boolean {
  const waitedMs = now - call.sentAt
  if (waitedMs < patience * call.flow.answerMs) return false
  const quietMs = attemptFirstMs * 2 ** Math.max(0, call.attempts - 1)
  return waitedMs >= attemptMaxMs || (waitedMs >= quietMs && now - call.flow.heardAt >= quietMs)
}

const heldBack: Failure = {
  code: 'DEADLINE',
  notTaken: true,
  message: 'earlier writes to the space, left behind by a failover, are not accepted again yet',
}

function neverSent(why: CallEnd['why']): CallEnd {
  return { why, last: null, maybeTaken: false, sequence: undefined, attempts: 0 }
}

function unanswered(subject: string): Failure {
  return { code: 'TIMEOUT', message: `no answer on ${subject}`, notTaken: false }
}
