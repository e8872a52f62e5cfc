import type { Life, NodeId } from '../base/ids.js'
import type { HeardHeartbeat } from '../protocol/messages.js'
import { compareLives } from './vacancy.js'

/** A reading of both clocks of one node, in milliseconds. Never compared between nodes. */
export interface Instant {
  readonly wallMs: number
  readonly monotonicMs: number
}

/**
 * Time gone by for the *holder* of a grant: the longer of both readings. The monotonic clock stops
 * while a machine is suspended, and the wall clock may be set back. A lease must not outlive
 * either.
 */
export function elapsedMs(since: Instant, now: Instant): number {
  return Math.max(now.monotonicMs - since.monotonicMs, now.wallMs - since.wallMs, 0)
}

/**
 * Time gone by for the *granter*: the monotonic clock only. The promise not to take over must err
 * the other way. A wall clock that is set forward by an hour would break it at once; a suspended
 * machine that counts too little only waits longer.
 */
export function waitedMs(since: Instant, now: Instant): number {
  return Math.max(now.monotonicMs - since.monotonicMs, 0)
}

export interface GrantTimes {
  readonly heartbeatMs: number
  readonly grantMs: number
}

interface SentHeartbeat {
  readonly number: number
  readonly at: Instant
}

interface HeldGrant {
  /** When the heartbeat that the peer listed was sent. */
  readonly at: Instant
  readonly number: number
  readonly stretch: number
}

interface Receipt {
  readonly life: Life
  readonly number: number
  readonly at: Instant
  /** Counts own connections: a 503 proves nothing about a peer not heard on the present one. */
  readonly connectionEra: number
  /** When the life before this one was heard last; null: there was none. */
  readonly before: { readonly life: Life; readonly at: Instant } | null
}

/** Peers remembered; past it the longest silent one is dropped, or the new one refused. */
const peersMax = 1024

/**
 * Grants of one node, both sides.
 *
 * Holder: call `sent` for each own heartbeat, *before* it is published, and `listed` for each
 * heartbeat of a peer that lists one of them. A grant counts from the sending of the listed one.
 * Granter: call `received` for each heartbeat of a peer. `heardList` goes into the next own
 * heartbeat: it is the promise not to take over on `grantExpired` before `expired` is true.
 *
 * There is one instance per start of the process. Receipts of an earlier start are unknown, so
 * nothing expires for one lease x margin after `startedAt`. Call `reset` on a new connection.
 */
export class Grants {
  private readonly grantMs: number
  private readonly ring: (SentHeartbeat | undefined)[]
  private lastSent = 0
  private lastStretch = 0
  private connectionEra = 0
  private readonly held = new Map<NodeId, HeldGrant>()
  private readonly receipts = new Map<NodeId, Receipt>()

  constructor(times: GrantTimes, private readonly startedAt: Instant) {
    this.grantMs = times.grantMs
    // Twice as many as are sent within a lease: an older one could not make a valid grant.
    this.ring = Array.from({ length: Math.ceil(times.grantMs / times.heartbeatMs) * 2 })
  }

  /** Notes that the own heartbeat `number` is about to be sent. Numbers rise in an incarnation. */
  sent(number: number, at: Instant): void {
    if (number <= this.lastSent) {
      throw new Error(`heartbeat ${number} after ${this.lastSent}: numbers rise`)
    }
    this.lastSent = number
    this.ring[number % this.ring.length] = { number, at }
  }

  /**
   * Notes that a heartbeat of `peer` lists an own one. Returns why it makes no grant, or null. A
   * grant that comes after the one before has run out begins another stretch: a lapse is final.
   */
  listed(peer: NodeId, heard: HeardHeartbeat, self: Life, now: Instant): string | null {
    const [incarnation, connection, number] = heard
    if (incarnation !== self.incarnation || connection !== self.connection) {
      return `${peer} heard life ${incarnation}.${connection} of this node, which is `
        + showLife(self)
    }
    const sent = this.ring[number % this.ring.length]
    if (!sent || sent.number !== number) {
      return `${peer} heard heartbeat ${number}, which is not among the last ${this.ring.length}`
    }
    const before = this.held.get(peer)
    if (before && number <= before.number) {
      return `${peer} lists heartbeat ${number}, and listed ${before.number} before`
    }
    if (!before && this.held.size >= peersMax) return `${peersMax} grants are held already`
    const isUnbroken = before !== undefined && this.remainingMs(peer, now) > 0
    const stretch = isUnbroken ? before.stretch : (this.lastStretch += 1)
    this.held.set(peer, { at: sent.at, number, stretch })
    return null
  }

  /**
   * Number of the peer's present stretch of grants, each of which came before the last one ran out;
   * 0: there is none on this connection. A number is never used twice.
   */
  stretchOf(peer: NodeId): number {
    return this.held.get(peer)?.stretch ?? 0
  }

  /** When the latest own heartbeat that the peer listed was sent; null: there is none. */
  grantedAt(peer: NodeId): Instant | null {
    return this.held.get(peer)?.at ?? null
  }

  /**
   * Time that the peer's grant to this node still lasts, ms. 0 or less: it ran out; -Infinity:
   * there is none on this connection.
   */
  remainingMs(peer: NodeId, now: Instant): number {
    const grant = this.held.get(peer)
    return grant ? this.grantMs - elapsedMs(grant.at, now) : -Infinity
  }

  /**
   * Begins a new connection: a new life, to which nobody has granted anything yet. Receipts are
   * kept, since the promises made on them are still binding.
   */
  reset(): void {
    this.connectionEra += 1
    this.held.clear()
    this.ring.fill(undefined)
  }

  /** Notes that a heartbeat of `peer` arrived. Returns why it is ignored, or null. */
  received(peer: NodeId, life: Life, number: number, at: Instant): string | null {
    const before = this.receipts.get(peer)
    if (before) {
      const order = compareLives(life, before.life)
      if (order < 0) {
        return `${peer} speaks as ${showLife(life)}, and was heard as ${showLife(before.life)}`
      }
      if (order === 0 && number <= before.number) {
        return `heartbeat ${number} of ${peer} comes after ${before.number}`
      }
    } else if (this.receipts.size >= peersMax && !this.makeRoom(at)) {
      return `${peersMax} nodes are heard already`
    }
    // The life is copied: a caller may pass a whole heartbeat.
    const { incarnation, connection } = life
    const heard = { incarnation, connection }
    const isNewLife = before !== undefined && compareLives(life, before.life) > 0
    this.receipts.set(peer, {
      life: heard,
      number,
      at,
      connectionEra: this.connectionEra,
      before: isNewLife ? { life: before.life, at: before.at } : before?.before ?? null,
    })
    return null
  }

  /** Drops what was heard of a peer, to which no promise is open any more (`expired`). */
  forget(peer: NodeId): void {
    this.held.delete(peer)
    this.receipts.delete(peer)
  }

  /** Returns the list of the next own heartbeat: the grants that this node gives. */
  heardList(): Record<NodeId, HeardHeartbeat> {
    const list: Record<NodeId, HeardHeartbeat> = {}
    for (const [peer, { life, number }] of this.receipts) {
      list[peer] = [life.incarnation, life.connection, number]
    }
    return list
  }

  /** Time since the peer's last heartbeat, or since the own start if none was heard, ms. */
  silenceMs(peer: NodeId, now: Instant): number {
    return waitedMs(this.receipts.get(peer)?.at ?? this.startedAt, now)
  }

  /** Time since that life of the peer was heard last, also if a newer one was heard since, ms. */
  silenceOfMs(peer: NodeId, life: Life, now: Instant): number {
    const latest = this.receipts.get(peer)
    const receipts = [latest, latest?.before].filter((one) => one !== undefined && one !== null)
    const found = receipts.find((one) => compareLives(one.life, life) <= 0)
    return waitedMs(found?.at ?? this.startedAt, now)
  }

  lastHeardLife(peer: NodeId): Life | null {
    return this.receipts.get(peer)?.life ?? null
  }

  /** Whether the peer was last heard on the present connection, so that this node may witness. */
  heardOnThisConnection(peer: NodeId): boolean {
    return this.receipts.get(peer)?.connectionEra === this.connectionEra
  }

  /**
   * Whether this node's last grant to the peer, and the last that an earlier start of it may have
   * given, are older than `waitMs` (grantMs x margin): the vacancy `grantExpired`.
   */
  expired(peer: NodeId, now: Instant, waitMs: number): boolean {
    return this.silenceMs(peer, now) >= waitMs
  }

  private makeRoom(now: Instant): boolean {
    let silent: NodeId | null = null
    let longest = this.grantMs * 10
    for (const [peer, receipt] of this.receipts) {
      const waited = waitedMs(receipt.at, now)
      if (waited < longest) continue
      longest = waited
      silent = peer
    }
    return silent !== null && this.receipts.delete(silent)
  }
}

export function showLife(life: Life): string {
  return `${life.incarnation}.${life.connection}`
}
