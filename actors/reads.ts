import type { Origin } from '../machines/books.js'
import type { LogEntry } from '../machines/memory.js'
import { truncateHistory } from '../machines/positions.js'
import type {
  ErrorCode, GraphReader, HistoryValue, Query, ReadAnswer, VersionReader,
} from './ports.js'
import { encodingOf, refuse } from './answers.js'
import { fateOf } from './fate.js'
import { isDamage } from './member.js'
import type { Member } from './member.js'
import type { BusMessage } from './ports.js'
import type { PrimaryRole } from './primary.js'

/** Bytes of log entries that one answer carries at most. */
const entriesBytesMax = 512 * 1024

interface ReadDemands {
  readonly minSequence: number
  readonly maxStalenessMs: number
  readonly committed: boolean
}

/**
 * Reads (DESIGN section 6): the primary answers with the latest, overlay included, its grants
 * checked when it answers; any member answers with committed state, and says how old it may be.
 */
export class ReadService {
  constructor(
    private readonly member: Member,
    private readonly primary: () => PrimaryRole | null,
  ) {}

  /** `engram.v1.read.<space>`: only the primary answers; others leave it to NATS's 503. */
  onRead(message: BusMessage): void {
    this.latest(message).catch((error: unknown) => this.failed(message, error))
  }

  /** `engram.v1.read.<space>.any`: committed state, waiting (bounded) for what is asked for. */
  onReadAny(message: BusMessage): void {
    this.anyState(message).catch((error: unknown) => this.failed(message, error))
  }

  /** The log or the store cannot be read: the client may ask another member. */
  private failed(message: BusMessage, error: unknown): void {
    const { member } = this
    const reason = String(error)
    member.context.ports.logger.error({ space: member.space, error: reason }, 'a read failed')
    this.fail(message, 'INTERNAL', `${member.self} cannot read its state: ${reason}`)
    if (isDamage(error)) member.damaged(reason)
  }

  private async latest(message: BusMessage): Promise<void> {
    const primary = this.primary()
    if (!primary) return
    const { reply } = message
    if (!reply) return
    const query = this.query(message)
    if (!query) return
    const demands = demandsOf(message)
    if (typeof demands === 'string') return this.fail(message, 'INVALID_OPERATION', demands)
    const { member } = this
    const encoding = encodingOf(message)
    if (demands.committed && !await this.committed(message, primary)) return
    if (!demands.committed) await primary.readable()
    const view = demands.committed ? member.store : member.overlay.view(member.store)
    const sequence = demands.committed
      ? member.store.applied.sequence
      : member.log.durable.sequence
    const value = await this.evaluate(query, sequence, view)
    if (!primary.mayAnswerReads) {
      this.fail(message, 'LEASE_LAPSED', 'the lease of this primary has lapsed')
      return
    }
    this.answer(reply, encoding, {
      ok: true, value, sequence, epoch: member.reigningEpoch, node: member.self,
      role: 'primary', stalenessMs: 0,
    })
  }

  /**
   * A new primary may know a lower commit sequence than was answered before its reign: it is
   * level with it once its epoch-start entry is committed.
   */
  private async committed(message: BusMessage, primary: PrimaryRole): Promise<boolean> {
    const { applier, context, log } = this.member
    const upTo = Math.max(primary.epochStart, log.commitSequence)
    if (await applier.covers(upTo, context.settings.readWaitMs)) return true
    this.fail(message, 'STALE_READ', 'this reign has committed nothing yet')
    return false
  }

  private async anyState(message: BusMessage): Promise<void> {
    const { member } = this
    const { reply } = message
    if (!reply) return
    const query = this.query(message)
    if (!query) return
    const demands = demandsOf(message)
    if (typeof demands === 'string') return this.fail(message, 'INVALID_OPERATION', demands)
    const encoding = encodingOf(message)
    const { settings } = member.context
    if (!await member.applier.covers(demands.minSequence, settings.readWaitMs)) {
      this.fail(message, 'STALE_READ', `this member is at ${member.store.applied.sequence}, `
        + `${demands.minSequence} is asked for`)
      return
    }
    const stalenessMs = member.stalenessMs()
    if (stalenessMs > demands.maxStalenessMs) {
      this.fail(message, 'STALE_READ', `this member is ${stalenessMs} ms behind at most, `
        + `${demands.maxStalenessMs} ms are asked for`)
      return
    }
    const sequence = member.store.applied.sequence
    const value = await this.evaluate(query, sequence, member.store)
    this.answer(reply, encoding, {
      ok: true, value, sequence, epoch: member.log.epochAt(sequence), node: member.self,
      role: this.primary() ? 'primary' : 'replica',
      // A number in JSON also of a member that has followed no reign since its start.
      stalenessMs: Math.min(Math.round(stalenessMs), Number.MAX_SAFE_INTEGER),
    })
  }

  private query(message: BusMessage): Query | null {
    const { clients } = this.member.context.ports
    const gated = clients.query(message.data, message.header('Content-Type'))
    if (gated.ok) return gated.value
    this.fail(message, gated.code, gated.message)
    return null
  }

  private async evaluate(query: Query, sequence: number, view: View): Promise<unknown> {
    const { store } = this.member
    switch (query.type) {
      case 'GetEntries': return await this.entries(query.from, query.limit, sequence)
      case 'GetHistory': return this.history(sequence)
      case 'GetForks': return store.reports()
      case 'GetQuarantine': return store.quarantine(query.after, query.limit)
      case 'GetFate': return await fateOf(query, this.member, view, async (at) =>
        (await this.entries(at, 1, at))[0])
      default: return evaluate(query, view)
    }
  }

  /** Of the log up to `sequence`. */
  private history(sequence: number): HistoryValue {
    const { history, safeSequence } = this.member.log
    return { history: truncateHistory(history, sequence), safeSequence }
  }

  /** Log entries up to `sequence`, as many as fit an answer. */
  private async entries(begin: number, limit: number, sequence: number): Promise<LogEntry[]> {
    const { log, context } = this.member
    const found: LogEntry[] = []
    let from = begin
    let bytes = 0
    const last = Math.min(sequence, begin + limit - 1)
    while (from <= last && bytes < entriesBytesMax) {
      const frames = await log.framesFrom(from, 64 * 1024)
      if (frames.length === 0) break
      for (const frame of frames) {
        const share = frame.bytes.length / (frame.last - frame.first + 1)
        for (const entry of context.ports.frames.entries(frame)) {
          if (entry.sequence < from || entry.sequence > last || bytes >= entriesBytesMax) continue
          found.push(withOrigin(entry))
          bytes += share
        }
        from = Math.max(from, frame.last + 1)
      }
    }
    return found
  }

  private answer(reply: string, encoding: 'json' | 'msgpack', answer: ReadAnswer): void {
    const { ports, wire } = this.member.context
    ports.telemetry.count('reads')
    wire.publish(reply, ports.clients.encode(answer, encoding))
  }

  private fail(message: BusMessage, code: ErrorCode, text: string): void {
    refuse(this.member.context, message, code, text)
  }
}

type View = GraphReader & VersionReader

/** As it is shown: of a write that came home from a fork, where it was logged first. */
function withOrigin(entry: LogEntry): LogEntry & { readonly origin?: Origin } {
  return entry.reconciliation ? { ...entry, origin: entry.reconciliation.origin } : entry
}

function evaluate(
  query: Extract<Query, { type: 'GetNode' | 'GetEdges' | 'ListNodes' }>, view: GraphReader,
): unknown {
  switch (query.type) {
    case 'GetNode':
      return view.node(query.nodeId) ?? null
    case 'GetEdges':
      return view.edges(query.nodeId, query.direction)
    case 'ListNodes':
      return view.nodes(query.after, query.limit)
  }
}

function demandsOf(message: BusMessage): ReadDemands | string {
  const minSequence = numberOf(message.header('Engram-Min-Sequence'), 0)
  const maxStalenessMs = numberOf(message.header('Engram-Max-Staleness-Ms'), Infinity)
  if (minSequence === null) return 'Engram-Min-Sequence is a whole number'
  if (maxStalenessMs === null) return 'Engram-Max-Staleness-Ms is a number of milliseconds'
  const level = message.header('Engram-Read')
  if (level !== undefined && level !== 'committed' && level !== 'latest') {
    return 'Engram-Read is latest or committed'
  }
  return { minSequence, maxStalenessMs, committed: level === 'committed' }
}

function numberOf(header: string | undefined, absent: number): number | null {
  if (header === undefined || header === '') return absent
  return /^\d{1,15}$/.test(header) ? Number(header) : null
}
