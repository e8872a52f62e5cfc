/**
 * The arbiter on a JetStream key-value bucket.
 *
 * It uses JetStream's API by plain requests over the node's own bus connection: there is no second
 * client, and no second connection to watch. A bucket is the stream `KV_<bucket>` over
 * `$KV.<bucket>.>` with one message per subject (NATS ADR-8), so `nats kv` and every NATS client
 * can read it. All answers come from the stream's leader: direct get, which a lagging follower may
 * answer, is off and never used.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { ArbiterUnavailableError } from '../../actors/ports/arbiter.js'
import type { Arbiter, ArbiterRecord, CompareAndSetOutcome,
  OpenArbiter } from '../../actors/ports/arbiter.js'
import { ForbiddenError, NoRespondersError } from '../../actors/ports/bus.js'
import type { BusConnection, BusMessage } from '../../actors/ports/bus.js'
import { messageOf } from '../../machines/base/thrown.js'
import { bucketConfiguration, bucketFaults } from './bucket.js'

export interface JetStreamArbiterOptions {
  /** Default `engram`. nats.conf names it in the nodes' permissions. */
  readonly bucket?: string
  /** Copies of the bucket when it is created: 1, or 3 on a cluster of three servers or more. */
  readonly replicas?: number
  /** Time limit of each request. Default 1,000. */
  readonly timeoutMs?: number
}

/** From nats-server's errors.json. */
const apiError = {
  streamNotFound: 10059,
  messageNotFound: 10037,
  wrongLastSequence: 10071,
  disabled: 10076,
  disabledForAccount: 10039,
}

const enableIt = 'give the server `jetstream` in its configuration, as nats.conf has it, '
  + 'and the account of this user, too'

/**
 * Errors that go away by themselves: no leader is elected, a request too many, and another write of
 * the key that is still under way (its outcome may be that the revision does not move).
 */
const passing: ReadonlySet<number | undefined> = new Set([10008, 10009, 10164, 10167])

/** A bucket on several servers that is younger is checked again, ms. */
const youngMs = 500

/** For keys(): JetStream answers with up to 100,000 subjects per page. */
const pagesMax = 100

interface ApiAnswer {
  readonly error?: { readonly code?: number; readonly err_code?: number; description?: string }
  readonly [field: string]: unknown
}

export function jetStreamArbiter(options: JetStreamArbiterOptions = {}): OpenArbiter {
  const { bucket = 'engram', replicas = 1, timeoutMs = 1000 } = options
  return (connection) => new JetStreamArbiter(connection, bucket, replicas, timeoutMs)
}

class JetStreamArbiter implements Arbiter {
  readonly #stream: string

  constructor(
    private readonly connection: BusConnection,
    private readonly bucket: string,
    private readonly replicas: number,
    private readonly timeoutMs: number,
  ) {
    this.#stream = `KV_${bucket}`
  }

  async read(key: string): Promise<ArbiterRecord | null> {
    const last = await this.#last(key)
    return last === null || last.deleted ? null : last.record
  }

  async compareAndSet(
    key: string,
    value: Uint8Array,
    revision: number,
  ): Promise<CompareAndSetOutcome> {
    const subject = this.#subject(key)
    const outcome = await this.#publish(subject, value, revision)
    if (revision !== 0 || outcome.kind !== 'refused') return outcome
    // `nats kv del` leaves a marker under the key: it is no value, but has a sequence.
    try {
      const last = await this.#last(key)
      return last?.deleted ? await this.#publish(subject, value, last.record.revision) : outcome
    } catch (error) {
      // Whether it is a marker is open: the caller reads the key, and tries again.
      return { kind: 'unknown', reason: messageOf(error) }
    }
  }

  async keys(prefix: string): Promise<string[]> {
    const above = `$KV.${this.bucket}.`
    const filter = `${above}${prefix.slice(0, prefix.lastIndexOf('.') + 1)}>`
    const found: string[] = []
    for (let page = 0, offset = 0; page < pagesMax; page += 1) {
      const answer = await this.#api('STREAM.INFO', { subjects_filter: filter, offset })
      this.#check(answer)
      const state = answer['state'] as { subjects?: Record<string, number> } | undefined
      const subjects = Object.keys(state?.subjects ?? {})
      for (const subject of subjects) {
        const key = subject.slice(above.length)
        if (key.startsWith(prefix)) found.push(key)
      }
      offset += subjects.length
      const total = typeof answer['total'] === 'number' ? answer['total'] : 0
      if (subjects.length === 0 || offset >= total) return found.toSorted()
    }
    throw new ArbiterUnavailableError(`bucket ${this.bucket} holds more keys than can be listed`)
  }

  /** Sequences move with every write; a purge, which is none, leaves fewer messages. */
  async mark(): Promise<string> {
    const answer = await this.#api('STREAM.INFO', {})
    this.#check(answer)
    const { first_seq, last_seq, messages } = (answer['state'] ?? {}) as Record<string, unknown>
    if (!Number.isSafeInteger(last_seq)) {
      throw new ArbiterUnavailableError(`JetStream does not say what ${this.#stream} holds`)
    }
    return [answer['created'], first_seq, last_seq, messages].join(' ')
  }

  /**
   * Creation time of the bucket. On a cluster, a bucket that several nodes create at once may get
   * another one while its servers agree, so a young one is read until it stays the same.
   */
  async bucketId(): Promise<string> {
    let { id, ageMs } = await this.#createdAt()
    while (this.replicas > 1 && ageMs < youngMs) {
      await delay(youngMs)
      const again = await this.#createdAt()
      if (again.id === id) return id
      ;({ id, ageMs } = again)
    }
    return id
  }

  async faults(): Promise<readonly string[]> {
    const answer = await this.#api('STREAM.INFO', {})
    this.#check(answer)
    const configuration = answer['config'] as Record<string, unknown> | undefined
    return bucketFaults(this.bucket, this.replicas, configuration ?? {})
  }

  /** Its identity, and its age by the clock of the answering server, if the answer has a time. */
  async #createdAt(): Promise<{ id: string; ageMs: number }> {
    const found = await this.#api('STREAM.INFO', {})
    if (found.error?.err_code !== apiError.streamNotFound) return this.#created(found)
    // Several nodes may do so at once: INFO then describes the one stream that results to all.
    const made = await this.#api('STREAM.CREATE', bucketConfiguration(this.bucket, this.replicas))
    const answer = await this.#api('STREAM.INFO', {})
    if (answer.error && made.error) this.#check(made)
    return this.#created(answer)
  }

  #created(answer: ApiAnswer): { id: string; ageMs: number } {
    this.#check(answer)
    const { created, ts } = answer
    if (typeof created === 'string' && created !== '') {
      const nowMs = typeof ts === 'string' ? Date.parse(ts) : Date.now()
      return { id: created, ageMs: nowMs - Date.parse(created) }
    }
    throw new ArbiterUnavailableError(`JetStream does not say when ${this.#stream} was created`)
  }

  async #last(key: string): Promise<{ record: ArbiterRecord; deleted: boolean } | null> {
    const answer = await this.#api('STREAM.MSG.GET', { last_by_subj: this.#subject(key) })
    if (answer.error?.err_code === apiError.messageNotFound) return null
    this.#check(answer)
    const message = answer['message'] as
      | { seq?: unknown; data?: unknown; hdrs?: unknown }
      | undefined
    if (!Number.isSafeInteger(message?.seq)) {
      throw new ArbiterUnavailableError('JetStream sent a message without a sequence')
    }
    const headers = Buffer.from(String(message?.hdrs ?? ''), 'base64').toString('latin1')
    return {
      record: {
        value: new Uint8Array(Buffer.from(String(message?.data ?? ''), 'base64')),
        revision: message?.seq as number,
      },
      deleted: /^KV-Operation: *(DEL|PURGE)\r?$/m.test(headers),
    }
  }

  /**
   * Only an acknowledgement of this stream and "wrong last sequence" are definite. Another error
   * says that this request was not stored, in JetStream's own words; the port explains why that is
   * less than it seems. A 503 would mean that no server heard of a stream over the subject, so
   * nothing was stored. But interest travels between servers with a delay, and a caller repeats in
   * either case, so it is `unknown` like a timeout. A repetition of an applied request is refused;
   * the caller then reads the record and recognizes its own by the nonce.
   */
  async #publish(
    subject: string,
    value: Uint8Array,
    revision: number,
  ): Promise<CompareAndSetOutcome> {
    try {
      const message = await this.connection.request(subject, value, {
        timeoutMs: this.timeoutMs,
        headers: {
          'Nats-Expected-Stream': this.#stream,
          'Nats-Expected-Last-Subject-Sequence': String(revision),
        },
      })
      const answer = parse(message)
      if (answer.error?.err_code === apiError.wrongLastSequence) return { kind: 'refused' }
      if (answer.error) {
        const kind = passing.has(answer.error.err_code) ? 'unknown' : 'rejected'
        return { kind, reason: `bucket ${this.bucket}: ${describe(answer)}` }
      }
      if (answer['stream'] === this.#stream && Number.isSafeInteger(answer['seq'])) {
        return { kind: 'applied', revision: answer['seq'] as number }
      }
      return { kind: 'unknown', reason: 'the answer is not an acknowledgement of this bucket' }
    } catch (error) {
      if (error instanceof ForbiddenError) return { kind: 'rejected', reason: error.message }
      const reason = error instanceof NoRespondersError
        ? `no JetStream bucket ${this.bucket} listens`
        : messageOf(error)
      return { kind: 'unknown', reason }
    }
  }

  async #api(operation: string, body: object): Promise<ApiAnswer> {
    const subject = `$JS.API.${operation}.${this.#stream}`
    try {
      const bytes = Buffer.from(JSON.stringify(body))
      return parse(await this.connection.request(subject, bytes, { timeoutMs: this.timeoutMs }))
    } catch (error) {
      const what = error instanceof NoRespondersError
        ? `JetStream is not enabled on the NATS server; ${enableIt}`
        : messageOf(error)
      throw new ArbiterUnavailableError(`bucket ${this.bucket}: ${what}`, error)
    }
  }

  #check(answer: ApiAnswer): void {
    if (!answer.error) return
    throw new ArbiterUnavailableError(
      answer.error.err_code === apiError.streamNotFound
        ? `bucket ${this.bucket} does not exist`
        : `bucket ${this.bucket}: ${describe(answer)}`
          + (isDisabled(answer.error.err_code) ? `; ${enableIt}` : ''),
    )
  }

  #subject(key: string): string {
    if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(key)) {
      throw new TypeError(`${JSON.stringify(key)} is not a key of the arbiter`)
    }
    return `$KV.${this.bucket}.${key}`
  }
}

function isDisabled(code: number | undefined): boolean {
  return code === apiError.disabled || code === apiError.disabledForAccount
}

/** @throws SyntaxError if a server answers with anything but a JSON object */
function parse(message: BusMessage): ApiAnswer {
  const answer: unknown = JSON.parse(Buffer.from(message.data).toString('utf8'))
  if (typeof answer === 'object' && answer !== null) return answer as ApiAnswer
  throw new SyntaxError('the answer is not a JSON object')
}

function describe(answer: ApiAnswer): string {
  const { description = 'error without description', err_code: code } = answer.error ?? {}
  return code === undefined ? description : `${description} (JetStream error ${code})`
}
