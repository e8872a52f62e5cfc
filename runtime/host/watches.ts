import type { Clock, Logger } from '../../actors/ports/system.js'
import type { EnvelopeHead, WatchBody } from './envelope.js'
import type { ExitKind, RemoteExit } from './types.js'

export type LocalWatch = (
  id: string,
  onDeath: (exit: { id: string; kind: ExitKind | 'unknown' }) => void,
) => () => void

export interface WatchesOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly renewalMs: number
  readonly watchLocally: LocalWatch
  readonly send: (node: string, body: WatchBody) => void
  readonly isAttached: () => boolean
  /** A watched node that is silent for so long is down; undefined: never. */
  readonly silentMs: number | undefined
  readonly onSilent: (node: string) => void
}

interface OutgoingWatch {
  readonly node: string
  readonly id: string
  readonly onDeath: (exit: RemoteExit) => void
  /** The life of the node that confirmed the watch; a later life means that the actor died. */
  incarnation: number | null
  /** When the node last answered, this host was attached last, or the watch began. */
  heardAtMs: number
}

interface IncomingWatch {
  readonly node: string
  readonly watch: number
  end: () => void
  renewedAtMs: number
  /** Kept until the watcher has confirmed it, or is silent for long. */
  death: ExitKind | 'unknown' | null
}

/** Watches held for other nodes; more are not accepted (they ask again). */
const incomingMax = 16_384
/** A watch is forgotten after this many missed renewals. */
const renewalsMissedMax = 10

/**
 * Death watch over nodes. Messages may be lost: a watch is renewed until its death is heard, the
 * watched side repeats a death at each renewal, and forgets a watcher that is silent for long.
 */
export class Watches {
  private readonly outgoing = new Map<number, OutgoingWatch>()
  private readonly incoming = new Map<string, IncomingWatch>()
  private lastNumber = 0
  private timer: object | null = null

  constructor(private readonly options: WatchesOptions) {}

  watch(node: string, id: string, onDeath: (exit: RemoteExit) => void): () => void {
    this.lastNumber += 1
    const number = this.lastNumber
    this.outgoing.set(number, {
      node,
      id,
      onDeath,
      incarnation: null,
      heardAtMs: this.options.clock.monotonicMs(),
    })
    this.options.send(node, { kind: 'watch', watch: number, id })
    this.schedule()
    return () => {
      if (this.outgoing.delete(number)) this.options.send(node, { kind: 'unwatch', watch: number })
    }
  }

  /** Called on each attachment. Nodes could not be heard before, and are not blamed for it. */
  attached(): void {
    const now = this.options.clock.monotonicMs()
    for (const watch of this.outgoing.values()) watch.heardAtMs = now
    this.renew()
  }

  /** Sends all watches again. */
  private renew(): void {
    this.bury()
    for (const [watch, { node, id }] of this.outgoing) {
      this.options.send(node, { kind: 'watch', watch, id })
    }
    this.forgetSilent()
  }

  /** The watches of nodes that have been silent for too long. */
  private bury(): void {
    const { clock, silentMs, isAttached, onSilent } = this.options
    const now = clock.monotonicMs()
    const down = new Set<string>()
    for (const [number, watch] of this.outgoing) {
      if (!isAttached()) watch.heardAtMs = now
      else if (silentMs !== undefined && now - watch.heardAtMs > silentMs) {
        down.add(watch.node)
        this.die(number, 'nodeDown')
      }
    }
    for (const node of down) onSilent(node)
  }

  receive(head: EnvelopeHead, body: WatchBody): void {
    const { node } = head
    if (body.kind === 'watch') this.takeWatch(node, body.watch, body.id)
    else if (body.kind === 'unwatch') this.forget(node, body.watch)
    else if (this.outgoing.get(body.watch)?.node !== node) {
      // The watch ended here meanwhile, or was never ours: the other side may forget it.
      this.options.send(node, { kind: 'unwatch', watch: body.watch })
    } else if (body.kind === 'death') {
      this.die(body.watch, body.exit)
      this.options.send(node, { kind: 'unwatch', watch: body.watch })
    } else {
      const known = this.outgoing.get(body.watch)
      if (known === undefined) return
      known.incarnation ??= head.incarnation
      known.heardAtMs = this.options.clock.monotonicMs()
    }
  }

  newIncarnation(node: string, incarnation: number): void {
    this.forgetNode(node)
    for (const [number, watch] of this.outgoing) {
      const isAnotherLife = watch.incarnation !== null && watch.incarnation !== incarnation
      if (watch.node === node && isAnotherLife) this.die(number, 'failed')
    }
  }

  nodeDown(node: string): void {
    this.forgetNode(node)
    for (const [number, watch] of this.outgoing) {
      if (watch.node === node) this.die(number, 'nodeDown')
    }
  }

  shutdown(): void {
    this.outgoing.clear()
    for (const { end } of this.incoming.values()) end()
    this.incoming.clear()
    if (this.timer !== null) this.options.clock.clearTimeout(this.timer)
    this.timer = null
  }

  private die(number: number, kind: RemoteExit['kind']): void {
    const watch = this.outgoing.get(number)
    if (watch === undefined) return
    this.outgoing.delete(number)
    const { node, id, onDeath } = watch
    try {
      onDeath({ node, id, kind })
    } catch (error) {
      this.options.logger.error({ error, node, actor: id }, 'a remote watcher threw')
    }
  }

  private schedule(): void {
    if (this.timer !== null) return
    this.timer = this.options.clock.setTimeout(() => {
      this.timer = null
      if (this.outgoing.size === 0) return
      this.renew()
      this.schedule()
    }, this.options.renewalMs)
  }

  private takeWatch(node: string, number: number, id: string): void {
    const key = `${node} ${number}`
    const known = this.incoming.get(key)
    const renewedAtMs = this.options.clock.monotonicMs()
    if (known !== undefined) {
      known.renewedAtMs = renewedAtMs
      this.answer(known)
      return
    }
    if (this.incoming.size >= incomingMax) this.forgetSilent()
    if (this.incoming.size >= incomingMax) {
      this.options.logger.warn({ node, actor: id }, 'a remote watch is refused: too many')
      return
    }
    const watch: IncomingWatch = { node, watch: number, end: () => {}, renewedAtMs, death: null }
    this.incoming.set(key, watch)
    let isAnswered = false
    watch.end = this.options.watchLocally(id, ({ kind }) => {
      watch.death = kind
      // `unknown` is sent after this call, as the first answer.
      isAnswered = true
      this.answer(watch)
    })
    queueMicrotask(() => {
      if (!isAnswered && this.incoming.get(key) === watch) this.answer(watch)
    })
  }

  private answer({ node, watch, death }: IncomingWatch): void {
    if (death === null) this.options.send(node, { kind: 'watching', watch })
    else this.options.send(node, { kind: 'death', watch, exit: death })
  }

  private forget(node: string, number: number): void {
    const key = `${node} ${number}`
    this.incoming.get(key)?.end()
    this.incoming.delete(key)
  }

  private forgetNode(node: string): void {
    for (const watch of this.incoming.values()) {
      if (watch.node === node) this.forget(node, watch.watch)
    }
  }

  private forgetSilent(): void {
    const now = this.options.clock.monotonicMs()
    for (const watch of this.incoming.values()) {
      const isSilent = now - watch.renewedAtMs > renewalsMissedMax * this.options.renewalMs
      if (isSilent) this.forget(watch.node, watch.watch)
    }
  }
}
