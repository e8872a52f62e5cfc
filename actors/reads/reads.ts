import { isDamage } from '../member/member.js'
import type { Member } from '../member/member.js'
import { errorAnswer } from '../messaging/answers.js'
import type { ReplyTarget } from '../messaging/answers.js'
import { headerFault, keptBytes, readHeaders } from '../messaging/headers.js'
import type { BusMessage } from '../ports/bus.js'
import type { ErrorCode, Query, ReadAnswer } from '../ports/clientApi.js'
import type { PrimaryRole } from '../primary/primary.js'
import { isPlain, ReadPage } from './readPages.js'
import type { Found, View } from './readPages.js'

/** Memory of a waiting read, besides its payload, its reply subject and its content type. */
const readBytes = 512
const overloadedMs = 100

interface ReadDemands {
  readonly minSequence: number
  readonly maxStalenessMs: number
  readonly committed: boolean
}

/** A read from its arrival until it is answered; its bytes are copied. */
interface Read {
  readonly asker: ReplyTarget
  readonly data: Uint8Array
  readonly contentType: string | undefined
  readonly demands: ReadDemands
  readonly bytes: number
  /** After this time nobody waits for the answer any more. */
  dueMs: number
  isAnswered: boolean
}

/** The part of an answer that is the same whatever was asked. */
type AnswerBase = Omit<ReadAnswer, 'ok' | 'value' | 'more' | 'after'>

/**
 * Reads. The primary answers with the latest state, overlay included, and checks its lease when it
 * answers. Any member answers with committed state, and says how old it may be. Reads wait in the
 * node's work queue, which is bounded, and are answered in slices.
 */
export class ReadService {
  /** Answer to all reads once the space is not here any more. */
  private ended: { readonly code: ErrorCode; readonly reason: string } | null = null

  constructor(
    private readonly member: Member,
    private readonly primary: () => PrimaryRole | null,
  ) {}

  /** `engram.v1.read.<space>`: only the primary answers; others leave it to NATS's 503. */
  onRead(message: BusMessage): void {
    this.take(message, (read, query) => this.latest(read, query))
  }

  /** `engram.v1.read.<space>.any`: committed state; waits (bounded) for the requested sequence. */
  onReadAny(message: BusMessage): void {
    this.take(message, (read, query) => this.anyState(read, query))
  }

  /** From now on no read is answered with state: the space leaves this node. */
  end(code: ErrorCode, reason: string): void {
    this.ended ??= { code, reason }
  }

  private take(message: BusMessage, serve: (read: Read, query: Query) => void): void {
    const { answers, lanes: { reads } } = this.member.context
    if (message.reply === undefined) return
    const asker = answers.asker(message, 'reads')
    if (!asker) return
    const demands = headerFault(message, readHeaders) ?? demandsOf(message)
    if (typeof demands === 'string') {
      return answers.answer(asker, errorAnswer('INVALID_OPERATION', demands))
    }
    const bytes = message.data.length + readBytes + keptBytes(message, ['Content-Type'])
    if (!reads.enter(bytes)) {
      return answers.answer(asker, errorAnswer('OVERLOADED', 'too many reads wait at this node', {
        retryAfterMs: overloadedMs,
      }))
    }
    const data = new Uint8Array(message.data)
    const contentType = message.header('Content-Type')
    const read = { asker, data, contentType, demands, bytes, dueMs: 0, isAnswered: false }
    this.enqueue(read, () => this.begin(read, serve))
  }

  /** Runs the step in a slice. Time spent waiting for a sequence does not count. */
  private enqueue(read: Read, step: () => void): void {
    const { ports: { clock }, settings: { readQueueMs }, lanes: { reads } } = this.member.context
    read.dueMs = clock.monotonicMs() + readQueueMs
    reads.push(() => {
      if (this.isVoid(read) || this.isLate(read)) return
      try {
        step()
      } catch (error) {
        this.failed(read, error)
      }
    })
  }

  /** Whether the space has left this node. */
  private isVoid(read: Read): boolean {
    if (this.ended) this.fail(read, this.ended.code, this.ended.reason)
    return this.ended !== null
  }

  private isLate(read: Read): boolean {
    const isLate = this.member.context.ports.clock.monotonicMs() > read.dueMs
    if (isLate) {
      this.fail(read, 'OVERLOADED', 'this node does not keep up with its reads', overloadedMs)
    }
    return isLate
  }

  /** Called when the log or the store cannot be read; the client may ask another member. */
  private failed(read: Read, error: unknown): void {
    if (this.isVoid(read)) return
    const { member } = this
    const reason = String(error)
    member.context.ports.logger.error({ space: member.space, error: reason }, 'a read failed')
    this.fail(read, 'INTERNAL', `${member.self} cannot read its state: ${reason}`)
    if (isDamage(error)) member.damaged(reason)
  }

  private begin(read: Read, serve: (read: Read, query: Query) => void): void {
    const { context } = this.member
    const validated = context.ports.clients.query(read.data, read.contentType)
    if (validated.ok) return serve(read, validated.value)
    this.leave(read)
    context.answers.answer({ ...read.asker, encoding: validated.encoding },
      errorAnswer(validated.code, validated.message))
  }

  private latest(read: Read, query: Query): void {
    const primary = this.primary()
    if (!primary) return this.notPrimary(read)
    const goOn = (): void => this.latestNow(read, query)
    if (read.demands.committed) {
      // A new primary may know a lower commit sequence than was answered before its epoch. It has
      // caught up once its epoch-start entry is committed.
      const { applier, log, context } = this.member
      const upTo = Math.max(primary.epochStart, log.commitSequence)
      if (applier.covers(upTo)) return goOn()
      return applier.whenCovers(upTo, context.settings.readWaitMs, (covered) => {
        if (covered) this.enqueue(read, goOn)
        else this.fail(read, 'STALE_READ', 'this epoch has committed nothing yet')
      })
    }
    if (primary.readable.isNow) return goOn()
    primary.readable.soon().then(
      () => this.enqueue(read, goOn),
      (error: unknown) => this.failed(read, error),
    )
  }

  private latestNow(read: Read, query: Query): void {
    const { member, member: { store, overlay, log, own: { epoch } } } = this
    const primary = this.primary()
    if (!primary) return this.notPrimary(read)
    const { committed } = read.demands
    const view = committed ? store : overlay.view(store)
    const sequence = committed ? store.applied.sequence : log.durable.sequence
    this.evaluate(read, query, sequence, view, (found) => {
      if (!primary.mayAnswerReads) {
        return this.fail(read, 'LEASE_LAPSED', 'the lease of this primary has lapsed')
      }
      this.answer(read, found, {
        sequence,
        epoch,
        node: member.self,
        role: 'primary',
        stalenessMs: 0,
      })
    })
  }

  private notPrimary(read: Read): void {
    this.fail(read, 'NOT_PRIMARY', 'this node is no longer primary')
  }

  private anyState(read: Read, query: Query): void {
    const { applier, store, context, rebuild } = this.member
    const { minSequence } = read.demands
    // On its way when this member left the queue group: another one has a state.
    if (rebuild.isLoading) return this.fail(read, 'STALE_READ', rebuild.text!)
    if (applier.covers(minSequence)) return this.anyNow(read, query)
    applier.whenCovers(minSequence, context.settings.readWaitMs, (covered) => {
      if (covered) return this.enqueue(read, () => this.anyNow(read, query))
      this.fail(read, 'STALE_READ', `this member is at sequence ${store.applied.sequence}, but `
        + `${minSequence} was requested`)
    })
  }

  private anyNow(read: Read, query: Query): void {
    const { member, member: { store, log } } = this
    const { maxStalenessMs } = read.demands
    const stalenessMs = member.freshness.stalenessMs()
    if (stalenessMs > maxStalenessMs) {
      return this.fail(read, 'STALE_READ', `this member may be ${stalenessMs} ms behind; the read `
        + `allows ${maxStalenessMs} ms`)
    }
    const { sequence } = store.applied
    const base: AnswerBase = {
      sequence,
      epoch: log.epochAt(sequence),
      node: member.self,
      role: this.primary() ? 'primary' : 'replica',
      // JSON needs a finite number, also from a member that has followed no primary since its
      // start.
      stalenessMs: Math.min(Math.round(stalenessMs), Number.MAX_SAFE_INTEGER),
    }
    this.evaluate(read, query, sequence, store, (found) => this.answer(read, found, base))
  }

  /** Queries that need the log's files wait for their turn among such reads. */
  private evaluate(
    read: Read,
    query: Query,
    sequence: number,
    view: View,
    answer: (found: Found) => void,
  ): void {
    const { context } = this.member
    const page = new ReadPage(this.member, read.asker.encoding, sequence, view)
    if (isPlain(query)) return answer(page.plain(query))
    context.lanes.logReads.push(async () => {
      if (this.isLate(read)) return
      try {
        answer(await page.ofLog(query))
      } catch (error) {
        this.failed(read, error)
      }
    })
  }

  private answer(read: Read, found: Found, base: AnswerBase): void {
    const { ports: { telemetry }, answers } = this.member.context
    if (this.isVoid(read)) return
    this.leave(read)
    telemetry.count('reads')
    if (found.kind === 'error') {
      const { epoch, sequence } = base
      return answers.answer(read.asker, { ...found.answer, epoch, sequence })
    }
    const goOn = found.after === null ? {} : { more: true as const, after: found.after }
    answers.answer(read.asker, found.kind === 'list'
      ? found.list.answer({ ok: true, ...base, ...goOn })
      : { ok: true, value: found.value, ...base, ...goOn })
  }

  private fail(read: Read, code: ErrorCode, text: string, retryAfterMs = 0): void {
    this.leave(read)
    this.member.context.answers.answer(read.asker,
      errorAnswer(code, text, retryAfterMs > 0 ? { retryAfterMs } : {}))
  }

  /** Ends the read; if its answer could not be encoded, an error follows. */
  private leave(read: Read): void {
    if (!read.isAnswered) this.member.context.lanes.reads.leave(read.bytes)
    read.isAnswered = true
  }
}

function demandsOf(message: BusMessage): ReadDemands | string {
  const minSequence = numberOf(message.header('Engram-Min-Sequence'), 0)
  const maxStalenessMs = numberOf(message.header('Engram-Max-Staleness-Ms'), Infinity)
  if (minSequence === null) return 'Engram-Min-Sequence must be a whole number'
  if (maxStalenessMs === null) return 'Engram-Max-Staleness-Ms must be a number of milliseconds'
  const level = message.header('Engram-Read')
  if (level !== undefined && level !== 'committed' && level !== 'latest') {
    return 'Engram-Read must be latest or committed'
  }
  return { minSequence, maxStalenessMs, committed: level === 'committed' }
}

function numberOf(header: string | undefined, absent: number): number | null {
  if (header === undefined || header === '') return absent
  return /^\d{1,15}$/.test(header) ? Number(header) : null
}
