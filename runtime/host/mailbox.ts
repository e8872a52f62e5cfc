import type { AnyEventObject } from 'xstate'
import type { MailboxPolicy } from '../../actors/host/actorHost.js'
import type { Sender } from './types.js'

export interface Letter {
  readonly event: AnyEventObject
  readonly from: Sender | null
}

/** Outcome of adding one event. */
export type Offered =
  | { readonly kind: 'taken' }
  | { readonly kind: 'dropped'; readonly letter: Letter }
  | { readonly kind: 'failed' }

/**
 * The default is to fail: a dropped outcome (`batchFlushed`) would leave a chart waiting for ever,
 * while a failed chart is started again by its supervisor.
 */
export const defaultMailbox: MailboxPolicy = { capacity: 1_024, overflow: 'fail' }

/** Events that wait for a busy, starting or restarting actor; first in, first out. */
export class Mailbox {
  private letters: Letter[] = []
  private head = 0

  constructor(readonly policy: MailboxPolicy) {
    if (!Number.isSafeInteger(policy.capacity) || policy.capacity < 1) {
      throw new RangeError(`a mailbox holds at least 1 event, not ${policy.capacity}`)
    }
  }

  get size(): number {
    return this.letters.length - this.head
  }

  offer(letter: Letter): Offered {
    if (this.size < this.policy.capacity) {
      this.letters.push(letter)
      return { kind: 'taken' }
    }
    if (this.policy.overflow === 'fail') return { kind: 'failed' }
    if (this.policy.overflow === 'dropNewest') return { kind: 'dropped', letter }
    const oldest = this.take() as Letter
    this.letters.push(letter)
    return { kind: 'dropped', letter: oldest }
  }

  take(): Letter | undefined {
    if (this.size === 0) return undefined
    const letter = this.letters[this.head]
    this.head += 1
    // Used places are given back once they outnumber the waiting events: O(1) on average.
    if (this.head * 2 >= this.letters.length) {
      this.letters = this.letters.slice(this.head)
      this.head = 0
    }
    return letter
  }

  /** Empties it. */
  takeAll(): Letter[] {
    const all = this.letters.slice(this.head)
    this.letters = []
    this.head = 0
    return all
  }
}
