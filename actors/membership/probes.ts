import type { Life, NodeId } from '../../machines/base/ids.js'
import { showLife } from '../../machines/election/grants.js'
import type { PingAnswer } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { Answers } from '../messaging/answers.js'
import type { NodeConnection } from '../messaging/connection.js'
import { isNoResponders, NoRespondersError, RequestTimeoutError } from '../ports/bus.js'
import type { BusMessage, BusSubscription } from '../ports/bus.js'
import type { NodeIdentityInput, NodePorts } from '../ports/node.js'
import type { ActorSettings } from '../ports/defaultSettings.js'

export interface ProbesOptions {
  readonly ports: NodePorts
  readonly settings: ActorSettings
  readonly self: NodeIdentityInput
  readonly wire: NodeConnection
  readonly answers: Answers
  /** Whether this node may witness: that life is the latest one heard, on the same server. */
  readonly mayWitness: (target: NodeId, life: Life) => boolean
}

/** gone: the connection is certainly closed. unknown: there is no evidence. */
export type ProbeOutcome = 'gone' | 'silent' | 'unknown' | PingAnswer

const nothing = new Uint8Array(0)

/**
 * Silence takes a probe's whole time, and is probed again at once. A probe that fails sooner (the
 * own connection is closed, there is no witness) must not be: it would be repeated without a pause.
 */
function silentOrUnknown(error: unknown): 'silent' | 'unknown' {
  return error instanceof RequestTimeoutError ? 'silent' : 'unknown'
}

/** What NATS, or a new life, said of a checked one. */
export type CheckOutcome = 'gone' | PingAnswer

const decoder = new TextDecoder('latin1')
const encoder = new TextEncoder()

/** Sends and answers pings, direct and through a witness (SWIM's helper, Das et al. 2002). */
export class Probes {
  constructor(private readonly options: ProbesOptions) {}

  /**
   * Pings a peer. A 503 is evidence only from the server that the suspect was on, to a connection
   * that has been open since the suspect's last heartbeat: only then the detector pings directly.
   */
  async ping(peer: NodeId): Promise<ProbeOutcome> {
    const { wire, settings, ports } = this.options
    try {
      const subject = subjects.ping(peer)
      const answer = await wire.request(subject, nothing, { timeoutMs: settings.probeMs })
      const decoded = ports.control.pingAnswer(answer.data)
      return decoded.ok ? decoded.value : 'unknown'
    } catch (error) {
      if (error instanceof NoRespondersError) return 'gone'
      return silentOrUnknown(error)
    }
  }

  /**
   * Subscribes to what checks find, on a new connection: a 503, or the answer of another life.
   */
  listen(found: (peer: NodeId, life: Life, outcome: CheckOutcome) => void): BusSubscription {
    const { wire, ports } = this.options
    return wire.subscribe(`${this.checkInbox()}.*.*.*`, (message) => {
      const [peer = '', incarnation, connection] = message.subject.split('.').slice(-3)
      const life = { incarnation: Number(incarnation), connection: Number(connection) }
      if (isNoResponders(message)) return found(peer, life, 'gone')
      const decoded = ports.control.pingAnswer(message.data)
      if (decoded.ok) found(peer, life, decoded.value)
    })
  }

  /**
   * Pings a peer that only NATS answers, with a 503 when its connection is gone, and another life
   * of it. So a peer that is well costs one message. What is found comes to `listen`.
   */
  check(peer: NodeId, life: Life): void {
    const reply = `${this.checkInbox()}.${peer}.${life.incarnation}.${life.connection}`
    this.options.wire.publish(subjects.ping(peer), encoder.encode(showLife(life)), { reply })
  }

  private checkInbox(): string {
    const { wire, self } = this.options
    return `${wire.inboxPrefix}.check.${self.node}`
  }

  /**
   * Asks `witness`, a node on the suspect's own server; null: there is none. If the witness finds a
   * node alive, it is the very life that it was asked about.
   */
  async askWitness(
    peer: NodeId,
    life: Life,
    server: string | null,
    witness: NodeId | null,
  ): Promise<ProbeOutcome> {
    const { wire, settings, ports } = this.options
    if (!witness) {
      const outcome = await this.ping(peer)
      return outcome === 'gone' ? 'unknown' : outcome
    }
    try {
      const question = ports.control.encode({ target: peer, ...life })
      const answer = await wire.request(subjects.pingRequest(witness), question, {
        timeoutMs: settings.probeMs * 2,
      })
      const decoded = ports.control.pingRequestAnswer(answer.data)
      const outcome = decoded.ok ? decoded.value.outcome : 'noWitness'
      if (outcome === 'gone' || outcome === 'silent') return outcome
      if (outcome === 'noWitness') return 'unknown'
      return { node: peer, disk: '', server: server ?? '', ...life }
    } catch (error) {
      return silentOrUnknown(error)
    }
  }

  /** A ping without content is always answered; one that names a life, by any other life only. */
  answerPing(message: BusMessage): void {
    const { wire, self, ports, answers } = this.options
    if (message.data.length > 0 && decoder.decode(message.data) === showLife(wire.life)) return
    const asker = answers.asker(message, 'nodes')
    if (!asker) return
    const answer: PingAnswer = {
      node: self.node,
      disk: self.disk,
      server: wire.serverId ?? '',
      ...wire.life,
    }
    answers.answer(asker, ports.control.encode(answer))
  }

  /** Answers a node that asks this one to witness. */
  async answerPingRequest(message: BusMessage): Promise<void> {
    const { ports, answers, mayWitness } = this.options
    const asker = answers.asker(message, 'nodes')
    const decoded = ports.control.pingRequest(message.data)
    if (!asker || !decoded.ok) return
    const { target, incarnation, connection } = decoded.value
    let outcome: 'alive' | 'gone' | 'silent' | 'noWitness' = 'noWitness'
    if (mayWitness(target, { incarnation, connection })) {
      const found = await this.ping(target)
      outcome = typeof found !== 'string' ? 'alive' : found === 'unknown' ? 'noWitness' : found
    }
    answers.answer(asker, ports.control.encode({ outcome }))
  }
}
