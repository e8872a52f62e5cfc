/** Asks: events that carry where their answer goes, and the promises of those answers. */
import type { Clock } from '../../actors/ports/system.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import type { DeadLetterReason, Reply, ReplyTo } from './types.js'

/** The answer to an event, to be emitted by the actor: `emit(({ event }) => reply(event, 42))`. */
export function reply(event: { readonly replyTo?: ReplyTo | undefined }, value: unknown): Reply {
  return { type: 'engram.reply', to: event.replyTo, value }
}

export type AskFailure = DeadLetterReason | 'timeout' | 'nodeDown' | 'shutdown' | 'tooMany'

/** There is no answer. After `timeout`, `nodeDown` and `shutdown` the event may have arrived. */
export class AskError extends Error {
  readonly code = 'ASK_FAILED'
  constructor(readonly reason: AskFailure, detail: string) {
    super(detail)
    this.name = 'AskError'
  }
}

/** Answers waited for; one more ask is refused. */
const asksMax = 16_384

interface Pending {
  readonly node: string
  readonly actor: string
  readonly life: number
  readonly timer: object
  readonly resolve: (value: unknown) => void
  readonly reject: (error: AskError) => void
}

/** The asks of one host that wait for their answers. */
export class Asks {
  private readonly pending = new Map<number, Pending>()
  private last = 0

  constructor(private readonly options: {
    readonly node: string
    readonly clock: Clock
    readonly life: () => number
  }) {}

  /** The event is to be sent with the returned `replyTo`; null: too many wait already. */
  begin(
    node: string,
    actor: string,
    timeoutMs: number,
  ): { readonly replyTo: ReplyTo; readonly answer: Promise<unknown> } | null {
    if (this.pending.size >= asksMax) return null
    const { clock, node: own } = this.options
    const ask = (this.last += 1)
    const life = this.options.life()
    const timer = clock.setTimeout(() => {
      this.fail(ask,
        new AskError('timeout', `actor ${actor} of ${node} gave no answer within ${timeoutMs} ms`))
    }, timeoutMs)
    const answer = new Promise<unknown>((resolve, reject) => {
      this.pending.set(ask, { node, actor, life, timer, resolve, reject })
    })
    return { replyTo: { node: own, ask, life }, answer }
  }

  answer({ ask, life }: Omit<ReplyTo, 'node'>, value: unknown): void {
    if (this.pending.get(ask)?.life === life) this.take(ask)?.resolve(value)
  }

  refuse({ ask, life }: Omit<ReplyTo, 'node'>, reason: DeadLetterReason, detail: string): void {
    const asked = this.pending.get(ask)
    if (asked?.life !== life) return
    this.fail(ask, new AskError(reason, `actor ${asked.actor} of ${asked.node}: ${detail}`))
  }

  nodeDown(node: string): void {
    for (const [ask, asked] of this.pending) {
      if (asked.node === node) this.fail(ask, new AskError('nodeDown', `${node} is down`))
    }
  }

  shutdown(): void {
    const error = new AskError('shutdown', `the actor host of ${this.options.node} was shut down`)
    for (const ask of this.pending.keys()) this.fail(ask, error)
  }

  private fail(ask: number, error: AskError): void {
    this.take(ask)?.reject(error)
  }

  private take(ask: number): Pending | undefined {
    const asked = this.pending.get(ask)
    this.pending.delete(ask)
    if (asked !== undefined) this.options.clock.clearTimeout(asked.timer)
    return asked
  }
}

/** The `replyTo` of an event, or null. Events of other programs may hold anything. */
export function replyToOf(event: unknown): ReplyTo | null {
  const of = (event as { readonly replyTo?: unknown } | undefined)?.replyTo
  if (typeof of !== 'object' || of === null) return null
  const { node, ask, life } = of as Partial<ReplyTo>
  const isFit = nameFault(node) === null && Number.isSafeInteger(ask) && Number.isSafeInteger(life)
  return isFit ? of as ReplyTo : null
}
