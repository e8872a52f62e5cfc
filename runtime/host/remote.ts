import type { AnyEventObject, EventObject } from 'xstate'
import type { BusConnection, BusMessage, BusSubscription } from '../../actors/ports/bus.js'
import { messageOf } from '../../machines/base/thrown.js'
import { nameFault, subjects } from '../../machines/protocol/subjects.js'
import type { DeadLetters } from './deadLetters.js'
import { decodeEnvelope, detailLengthMax, encodeEnvelope } from './envelope.js'
import type { AnswerBody, Envelope, EnvelopeBody, EnvelopeHead } from './envelope.js'
import { SentEvents } from './sentEvents.js'
import type { SentEvent } from './sentEvents.js'
import type { ActorHostOptions, DeadLetter, DeadLetterReason, RemoteExit, Sender } from './types.js'
import { Watches } from './watches.js'
import type { LocalWatch } from './watches.js'

export interface RemoteOptions {
  readonly host: ActorHostOptions
  readonly deadLetters: DeadLetters
  readonly deliver: (id: string, event: AnyEventObject, from: Sender) => void
  readonly watch: LocalWatch
  readonly incarnation: () => number
  readonly onAnswer: (answer: AnswerBody) => void
  /** A watched node has been silent for too long. */
  readonly onSilent: (node: string) => void
}

/** Why a message of another node reached nobody, as far as that node is to know. */
const returned: ReadonlySet<DeadLetterReason> = new Set(
  ['noSuchActor', 'actorOver', 'overflow', 'refused'],
)
/** Notices of it in a second: they must not double a flood. */
const noticesPerSecond = 1_000

/** Address of a host itself; no actor id holds a `$`. */
const hostActor = '$host'
const envelopeBytesMaxDefault = 256 * 1024
/** Nodes whose numbering is remembered; the oldest one is forgotten first. */
const peersMax = 4_096

/** References to actors of other nodes, and events from there. At most once, in order. */
export class Remote {
  private connection: BusConnection | null = null
  private subscription: BusSubscription | null = null
  private readonly heard = new Map<string, { incarnation: number; number: number }>()
  private readonly sent = new Map<string, number>()
  /** Highest number of the forgotten nodes: numbers to one node never start again. */
  private forgottenMax = 0
  private readonly watches: Watches
  private readonly sentEvents: SentEvents
  private readonly bytesMax: number
  private notices = { sinceMs: -Infinity, count: 0 }

  constructor(private readonly options: RemoteOptions) {
    const { host } = options
    this.bytesMax = host.envelopeBytesMax ?? envelopeBytesMaxDefault
    this.sentEvents = new SentEvents(host.node, (node, event) => this.unheard(node, event))
    this.watches = new Watches({
      clock: host.clock,
      logger: host.logger,
      renewalMs: host.watchRenewalMs ?? 1_000,
      watchLocally: options.watch,
      send: (node, body) => this.send(node, hostActor, null, body),
      isAttached: () => this.connection?.isClosed === false,
      silentMs: host.nodeSilentMs,
      onSilent: options.onSilent,
    })
  }

  attach(connection: BusConnection): void {
    this.detach()
    this.connection = connection
    const subject = subjects.actor(this.options.host.node, '>')
    this.subscription = connection.subscribe(subject, (message) => {
      if (this.connection === connection) this.receive(message)
    })
    void connection.closed.then(() => {
      if (this.connection === connection) this.detach()
    })
    this.watches.attached()
  }

  detach(): void {
    const { connection, subscription } = this
    this.connection = null
    this.subscription = null
    this.sentEvents.detach()
    if (connection?.isClosed === false) subscription?.unsubscribe()
  }

  shutdown(): void {
    this.watches.shutdown()
    this.detach()
  }

  /** Throws RangeError for a node or id that cannot be part of a subject: a bug of the caller. */
  sender(
    node: string,
    id: string,
    from: string | null,
  ): (event: EventObject) => void {
    const fault = nameFault(node)
    if (fault !== null) throw new RangeError(`node: ${fault}`)
    const badToken = id.split('.').map(nameFault).find((reason) => reason !== null)
    if (badToken !== undefined) throw new RangeError(`actor id: ${badToken}`)
    return (event) => this.send(node, id, from, { kind: 'event', event })
  }

  watch(node: string, id: string, onDeath: (exit: RemoteExit) => void): () => void {
    return this.watches.watch(node, id, onDeath)
  }

  nodeDown(node: string): void {
    // Numbers go on: the node may be alive, and would take our messages for late ones.
    this.heard.delete(node)
    this.watches.nodeDown(node)
  }

  answer(node: string, body: AnswerBody): void {
    this.send(node, hostActor, null, body)
  }

  /** Notifies the sending node, where it is another one and its message was understood. */
  notify({ reason, detail, to, from, event }: DeadLetter): void {
    if (from === null || from.node === this.options.host.node || !returned.has(reason)) return
    const now = this.options.host.clock.monotonicMs()
    if (now - this.notices.sinceMs >= 1_000) this.notices = { sinceMs: now, count: 0 }
    this.notices.count += 1
    if (this.notices.count > noticesPerSecond) return
    this.send(from.node, hostActor, null, {
      kind: 'undelivered',
      actor: to.actor,
      from: from.actor,
      type: event?.type ?? '',
      reason,
      detail: detail.slice(0, detailLengthMax),
    })
  }

  private send(node: string, actor: string, from: string | null, body: EnvelopeBody): void {
    const bury = (reason: DeadLetterReason, detail: string): void => {
      if (body.kind === 'answer' && body.refusal === undefined && reason !== 'detached') {
        const { kind, ask, life } = body
        const refusal = { reason, detail: `the answer: ${detail}`.slice(0, detailLengthMax) }
        this.answer(node, { kind, ask, life, refusal })
      }
      // Watches are renewed, so a lost message about them does not matter.
      if (body.kind !== 'event') return
      const sender = { node: this.options.host.node, actor: from }
      this.options.deadLetters.add({
        reason,
        detail,
        to: { node, actor },
        from: sender,
        event: body.event,
      })
    }
    const { connection } = this
    if (connection === null || connection.isClosed) return bury('detached', 'no bus connection')
    const number = (this.sent.get(node) ?? this.forgottenMax) + 1
    const head = {
      node: this.options.host.node,
      actor: from,
      incarnation: this.options.incarnation(),
      number,
    }
    let bytes: Uint8Array
    try {
      bytes = encodeEnvelope({ head, body })
    } catch (error) {
      return bury('unencodable', messageOf(error))
    }
    const bytesMax = Math.min(this.bytesMax, connection.maxPayload)
    if (bytes.length > bytesMax) return bury('tooLarge', `${bytes.length} of ${bytesMax} bytes`)
    try {
      connection.publish(subjects.actor(node, actor), bytes,
        this.replyOf(connection, node, actor, from, body))
    } catch (error) {
      return bury('detached', messageOf(error))
    }
    const forgotten = remember(this.sent, node, number)
    this.forgottenMax = Math.max(this.forgottenMax, forgotten ?? 0)
  }

  /** Watches are renewed, and an answer has nobody to be returned to: events only. */
  private replyOf(
    connection: BusConnection,
    node: string,
    actor: string,
    from: string | null,
    body: EnvelopeBody,
  ): { readonly reply: string } | undefined {
    if (body.kind !== 'event') return undefined
    const { type, replyTo } = body.event as { type: string; replyTo?: unknown }
    const sender = { node: this.options.host.node, actor: from }
    return { reply: this.sentEvents.replySubject(connection, {
      node,
      actor,
      from: sender,
      type,
      replyTo,
    }) }
  }

  private unheard(node: string, sent: SentEvent | null): void {
    this.options.deadLetters.add({
      reason: 'noSuchNode',
      detail: `no host ${node} is connected${sent ? '' : '; too many events to say which one'}`,
      to: { node, actor: sent?.actor ?? '' },
      from: sent?.from ?? null,
      event: sent ? { type: sent.type, replyTo: sent.replyTo } : undefined,
    })
  }

  private receive({ subject, data }: BusMessage): void {
    const prefix = subjects.actor(this.options.host.node, '')
    const actor = subject.slice(prefix.length)
    const envelope = data.length > this.bytesMax
      ? `${data.length} of ${this.bytesMax} bytes`
      : decodeEnvelope(data)
    if (typeof envelope === 'string') {
      const reason = data.length > this.bytesMax ? 'tooLarge' : 'malformed'
      return this.buryIncoming(actor, reason, envelope, null)
    }
    const { head, body } = envelope
    const stale = this.notice(head)
    if (stale !== null) return this.buryIncoming(actor, 'stale', stale, envelope)
    const isForHost = actor === hostActor
    if (body.kind === 'event' && !isForHost) {
      return this.options.deliver(actor, body.event, { node: head.node, actor: head.actor })
    }
    if (body.kind !== 'event' && isForHost) return this.receiveForHost(head, body)
    this.buryIncoming(actor, 'malformed', `a ${body.kind} was addressed to ${actor}`, envelope)
  }

  private receiveForHost(
    head: EnvelopeHead,
    body: Exclude<EnvelopeBody, { kind: 'event' }>,
  ): void {
    if (body.kind === 'answer') return this.options.onAnswer(body)
    if (body.kind !== 'undelivered') return this.watches.receive(head, body)
    const { reason, detail, actor, from, type } = body
    this.options.deadLetters.add({
      reason,
      detail: `${head.node} could not deliver it: ${detail}`,
      to: { node: head.node, actor },
      from: { node: this.options.host.node, actor: from },
      event: { type },
    })
  }

  /** Keeps count of the sender's numbers; returns why the message comes too late, or null. */
  private notice({ node, incarnation, number }: EnvelopeHead): string | null {
    const last = this.heard.get(node)
    if (last !== undefined && incarnation < last.incarnation) {
      return `incarnation ${incarnation} of ${node}; ${last.incarnation} was heard`
    }
    const isNewLife = last === undefined || incarnation > last.incarnation
    if (isNewLife) {
      this.watches.newIncarnation(node, incarnation)
    } else {
      if (number <= last.number) return `number ${number} of ${node} after ${last.number}`
      const lost = number - last.number - 1
      if (lost > 0) this.options.host.telemetry?.count('engram_host_lost_messages_total', lost)
    }
    remember(this.heard, node, { incarnation, number })
    return null
  }

  private buryIncoming(
    actor: string,
    reason: DeadLetterReason,
    detail: string,
    envelope: Envelope | null,
  ): void {
    const from = envelope && { node: envelope.head.node, actor: envelope.head.actor }
    const event = envelope?.body.kind === 'event' ? envelope.body.event : undefined
    const to = { node: this.options.host.node, actor: actor.slice(0, 512) }
    this.options.deadLetters.add({ reason, detail, to, from, event })
  }
}

/** Returns the value that was removed to make room. */
function remember<T>(map: Map<string, T>, key: string, value: T): T | undefined {
  let forgotten: T | undefined
  const first = map.keys().next().value
  if (!map.has(key) && map.size >= peersMax && first !== undefined) {
    forgotten = map.get(first)
    map.delete(first)
  }
  map.set(key, value)
  return forgotten
}
