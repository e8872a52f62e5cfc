/** The arbiter as each node reaches it: unreachable for one, slow for another; all is watched. */
import { ArbiterUnavailableError } from '../../../actors/ports/arbiter.js'
import type { Arbiter, CompareAndSetOutcome } from '../../../actors/ports/arbiter.js'
import type { BusConnection } from '../../../actors/ports/bus.js'
import type { Assignment } from '../../../machines/protocol/messages.js'
import { MemoryBucket } from '../../fakes/memoryArbiter.js'

export interface Call {
  readonly node: string
  readonly operation: 'read' | 'compareAndSet'
  /** `space.<name>` or `node.<id>`; a prefix when keys are listed. */
  readonly key: string
  /** The record that would be written; null for a read and for other keys. */
  readonly next: Assignment | null
}

/**
 * `unreachable`: fails at once, nothing is applied. `applyLaterMs`: the answer is lost, and the
 * request is applied that much later, unless the revision has moved. `rejects`: the answer is
 * that nothing was stored, for this lasting reason; with `applyLaterMs` it is stored all the same.
 * Else the request travels for `beforeMs`, its answer for `afterMs`.
 */
export type Hindrance = 'unreachable' | { readonly applyLaterMs: number } | {
  readonly rejects: string
  readonly applyLaterMs?: number
} | { readonly beforeMs?: number; readonly afterMs?: number }
export type Hindrances = (call: Call) => Hindrance | undefined

export interface Applied {
  readonly node: string
  readonly outcome: CompareAndSetOutcome
  readonly next: Assignment
}

export class HinderedBucket {
  readonly bucket = new MemoryBucket()
  hindrances: Hindrances = () => undefined
  /** At the instant at which the arbiter decides. */
  onDecided: (applied: Applied) => void = () => undefined

  constructor(
    private readonly nodeOf: (connection: BusConnection) => string,
    private readonly later: (ms: number) => Promise<void>,
  ) {
    const open = this.bucket.open
    Object.assign(this.bucket, {
      open: (connection: BusConnection) => this.hindered(open(connection), connection),
    })
  }

  private hindered(arbiter: Arbiter, connection: BusConnection): Arbiter {
    return {
      mark: () => this.reading(connection, 'space.', () => arbiter.mark()),
      bucketId: () => arbiter.bucketId(),
      faults: () => arbiter.faults(),
      keys: (prefix) => this.reading(connection, prefix, () => arbiter.keys(prefix)),
      read: (key) => this.reading(connection, key, () => arbiter.read(key)),
      compareAndSet: (key, value, revision) => {
        const next = key.startsWith('space.')
          ? JSON.parse(Buffer.from(value).toString()) as Assignment
          : null
        const node = this.nodeOf(connection)
        const send = async () => {
          const outcome = await arbiter.compareAndSet(key, value, revision)
          if (next) this.onDecided({ node, outcome, next })
          return outcome
        }
        const call: Call = { node, operation: 'compareAndSet', key, next }
        return this.setting(this.hindrances(call), send)
      },
    }
  }

  private async reading<T>(
    connection: BusConnection,
    key: string,
    run: () => Promise<T>,
  ): Promise<T> {
    const node = this.nodeOf(connection)
    const hindrance = this.hindrances({ node, operation: 'read', key, next: null })
    if (hindrance === 'unreachable') throw new ArbiterUnavailableError('made unreachable')
    const { beforeMs = 0, afterMs = 0 } = timesOf(hindrance)
    if (beforeMs > 0) await this.later(beforeMs)
    const found = await run()
    if (afterMs > 0) await this.later(afterMs)
    return found
  }

  private async setting(
    hindrance: Hindrance | undefined,
    send: () => Promise<CompareAndSetOutcome>,
  ): Promise<CompareAndSetOutcome> {
    if (hindrance === 'unreachable') return { kind: 'unknown', reason: 'made unreachable' }
    if (typeof hindrance === 'object' && 'rejects' in hindrance) {
      const { rejects, applyLaterMs } = hindrance
      if (applyLaterMs !== undefined) void this.later(applyLaterMs).then(send)
      return { kind: 'rejected', reason: rejects }
    }
    if (typeof hindrance === 'object' && 'applyLaterMs' in hindrance) {
      void this.later(hindrance.applyLaterMs).then(send)
      return { kind: 'unknown', reason: 'it was made to arrive late' }
    }
    const { beforeMs = 0, afterMs = 0 } = timesOf(hindrance)
    if (beforeMs > 0) await this.later(beforeMs)
    const outcome = await send()
    if (afterMs > 0) await this.later(afterMs)
    return outcome
  }
}

function timesOf(hindrance: Hindrance | undefined): { beforeMs?: number; afterMs?: number } {
  const isSlow = typeof hindrance === 'object' && !('applyLaterMs' in hindrance)
    && !('rejects' in hindrance)
  return isSlow ? hindrance : {}
}

/** Those nodes do not reach the records of spaces; to connect they need their own record only. */
export function unreachableFor(...nodes: string[]): Hindrances {
  return (
    { node, key },
  ) => (nodes.includes(node) && key.startsWith('space.') ? 'unreachable' : undefined)
}
