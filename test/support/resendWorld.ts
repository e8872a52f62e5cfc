/**
 * A space's log as a succession of epochs, and a client with its kept writes: every message between
 * them can be late, doubled, lost, out of order. The promises are asserted at each step. A promotion
 * may take any earlier log that has what was safe (an unforced one).
 */
import * as assert from 'uvu/assert'
import type { EpochSpan } from '../../machines/base/ids.js'
import { extendHistory } from './epochHistory.js'
import { KeptWrites } from '../../runtime/client/keptWrites.js'
import type { Kept, Taken } from '../../runtime/client/keptWrites.js'

interface Entry {
  readonly epoch: number
  /** Number of a write; -1 of an epoch-start entry. */
  readonly write: number
}

interface Issued {
  readonly number: number
  /** Writes that change the same thing have the same name. */
  readonly name: string
  /** Those that were acknowledged when this one was made. */
  readonly after: readonly number[]
}

type Message =
  | { readonly kind: 'answer'; readonly write: number; readonly taken: Taken }
  | { readonly kind: 'resent'; readonly write: Kept; readonly taken: Taken }
  | { readonly kind: 'refused'; readonly epoch: number }
  | {
    readonly kind: 'history'
    readonly epoch: number
    readonly history: readonly EpochSpan[]
    readonly safeSequence: number | null
  }

const names = ['a', 'b', 'c']

export class ResendWorld {
  readonly kept: KeptWrites
  readonly safe = new Set<number>()
  readonly acknowledged = new Set<number>()
  /** Sent again: what the new epoch said. */
  resends = 0
  lostOnce = 0
  private epoch = 1
  private log: Entry[] = [{ epoch: 1, write: -1 }]
  /** Logs that members may still have. */
  private readonly logs: (readonly Entry[])[] = []
  private readonly logOf = new Map<number, readonly Entry[]>()
  private committed: readonly Entry[] = []
  private safeSequence = 0
  private readonly issued: Issued[] = []
  private readonly unanswered = new Set<number>()
  private messages: Message[] = []
  private lastResent: Kept | null = null
  private lastResentEpoch = 0
  private resending = new Set<Kept>()
  private now = 0

  constructor() {
    this.kept = new KeptWrites({
      resendingMax: 3,
      touches: (write) => [this.issued[write.number]!.name],
      onSafe: (write) => this.released(write),
    })
    this.announce()
  }

  /** A later epoch, on any earlier log that holds what is safe, cut anywhere above that. */
  promote(choice: number, cut: number): void {
    const fit = [...this.logs, this.log].filter((log) => startsWith(log, this.committed))
    const from = fit[choice % fit.length]!
    const least = this.committed.length
    const kept = from.slice(0, least + cut % (from.length - least + 1))
    this.logs.push(this.log)
    this.epoch += 1 + cut % 2
    this.log = [...kept, { epoch: this.epoch, write: -1 }]
    // The new primary may know less than was reported before.
    this.safeSequence = Math.max(0, least - choice % 3)
    this.announce()
  }

  makeSafe(by: number): void {
    this.safeSequence = Math.min(this.log.length, this.safeSequence + by)
    if (this.safeSequence <= this.committed.length) return
    this.committed = this.log.slice(0, this.safeSequence)
  }

  announce(): void {
    this.messages.push({ ...this.history(), safeSequence: null })
  }

  /** The answer, or null: refused for now, or lost on its way. */
  private take(number: number, fence: number | null, luck: number): Taken | null {
    if (luck % 4 === 0) return null
    if (fence !== null && fence !== this.epoch) {
      this.messages.push({ kind: 'refused', epoch: this.epoch })
      return null
    }
    const known = this.log.findIndex(({ write }) => write === number)
    if (known < 0) this.append(number)
    const at = known < 0 ? this.log.length - 1 : known
    return {
      epoch: this.epoch,
      sequence: at + 1,
      ack: 'durable',
      safeSequence: this.safeSequence,
      duplicate: known >= 0,
      ...(known >= 0 && { loggedEpoch: this.log[at]!.epoch }),
    }
  }

  private append(number: number): void {
    const { name, after } = this.issued[number]!
    for (const earlier of after) {
      if (this.issued[earlier]!.name !== name || this.has(earlier)) continue
      assert.unreachable(`write ${number} of ${name} is taken before ${earlier}, which was `
        + `acknowledged before it was made and is lost in epoch ${this.epoch}`)
    }
    this.log = [...this.log, { epoch: this.epoch, write: number }]
  }

  private has(number: number): boolean {
    return this.log.some(({ write }) => write === number)
  }

  private history(): {
    readonly kind: 'history'
    readonly epoch: number
    readonly history: readonly EpochSpan[]
  } {
    let history: EpochSpan[] = []
    for (const [at, { epoch }] of this.log.entries()) {
      history = extendHistory(history, epoch, at + 1)
    }
    this.logOf.set(this.epoch, this.log)
    return { kind: 'history', epoch: this.epoch, history }
  }

  issue(name: number): void {
    const number = this.issued.length
    this.issued.push({ number, name: names[name % 3]!, after: [...this.acknowledged] })
    this.unanswered.add(number)
  }

  /** Sends one of the writes that wait, unless earlier ones have to go first. */
  attempt(choice: number, luck: number): void {
    const waiting = [...this.unanswered]
    if (waiting.length === 0 || this.kept.isBehind) return
    const number = waiting[choice % waiting.length]!
    const fence = this.kept.writes > 0 ? this.kept.epoch : null
    const taken = this.take(number, fence, luck)
    if (taken) this.messages.push({ kind: 'answer', write: number, taken })
  }

  /** A write answered from the buffer of a primary that dies before it writes it. */
  answerUnwritten(choice: number, cut: number): void {
    const waiting = [...this.unanswered]
    if (waiting.length === 0 || this.kept.isBehind) return
    if (this.kept.writes > 0 && this.kept.epoch !== this.epoch) return
    const number = waiting[choice % waiting.length]!
    if (this.has(number)) return
    this.messages.push({ kind: 'answer', write: number, taken: {
      epoch: this.epoch,
      sequence: this.log.length + 1,
      ack: 'memory',
      safeSequence: this.safeSequence,
      duplicate: false,
    } })
    this.promote(choice, cut)
  }

  resend(luck: number): void {
    if (this.kept.epoch !== this.lastResentEpoch) {
      this.lastResent = null
      this.lastResentEpoch = this.kept.epoch
    }
    const write = this.kept.next()
    if (!write) return
    const { epoch, sequence } = write.position
    const log = this.logOf.get(this.kept.epoch)
    assert.not.ok(log?.[sequence - 1]?.epoch === epoch, 'it is known to have survived')
    const last = this.lastResent
    assert.ok(!last || last.origin.epoch < write.origin.epoch
      || (last.origin.epoch === write.origin.epoch && last.origin.sequence < write.origin.sequence),
      'in their original order')
    this.lastResent = write
    this.resending.add(write)
    this.sendAgain(write, luck)
  }

  /** A write that was sent again and not answered is sent once more. */
  retry(choice: number, luck: number): void {
    const waiting = [...this.resending]
    if (waiting.length > 0) this.sendAgain(waiting[choice % waiting.length]!, luck)
  }

  private sendAgain(write: Kept, luck: number): void {
    const taken = this.take(write.number, this.kept.epoch, luck)
    if (taken) this.messages.push({ kind: 'resent', write, taken })
  }

  lookUp(): void {
    this.messages.push({ ...this.history(), safeSequence: this.safeSequence })
  }

  deliver(choice: number, fate: number): void {
    if (this.messages.length === 0) return
    const at = choice % this.messages.length
    const message = this.messages[at]!
    // Doubled (or only late), or lost, or for once delivered.
    if (fate % 5 !== 0) this.messages.splice(at, 1)
    if (fate % 5 !== 1) this.receive(message)
  }

  private receive(message: Message): void {
    const { kept } = this
    this.now += 1
    switch (message.kind) {
      case 'refused':
        if (kept.heard(message.epoch)) this.resending.clear()
        return
      case 'history': {
        const { epoch, history, safeSequence } = message
        if (kept.heard(epoch)) this.resending.clear()
        kept.takeOver(epoch, history)
        if (safeSequence !== null) kept.safe(epoch, safeSequence)
        return
      }
      case 'answer':
        return this.answered(message.write, message.taken)
      case 'resent': {
        const { write, taken } = message
        // The client has begun anew with a later epoch: this answer decides nothing.
        if (!this.resending.has(write) || taken.epoch !== kept.epoch) return
        assert.ok(kept.resent(write, taken))
        this.resending.delete(write)
        this.resends += 1
        if (!taken.duplicate) this.lostOnce += 1
      }
    }
  }

  private answered(number: number, taken: Taken): void {
    // The epoch is over: the write stays unanswered, and is tried again.
    if (!this.unanswered.has(number) || taken.epoch < this.kept.epoch) return
    this.unanswered.delete(number)
    this.acknowledged.add(number)
    if (this.kept.heard(taken.epoch)) this.resending.clear()
    const write = { number, key: `k${number}`, data: new Uint8Array(1), bytes: 1 }
    const isKept = this.kept.answered(write, taken, this.now)
    if (!isKept) this.isSafe(number)
  }

  private released({ number }: Kept): void {
    this.isSafe(number)
  }

  private isSafe(number: number): void {
    assert.ok(this.committed.some(({ write }) => write === number),
      `write ${number} is given up, and is not safe in epoch ${this.epoch}`)
    this.safe.add(number)
  }

  /** Faults end; then nothing acknowledged may be missing, or in the wrong order. */
  settle(): void {
    this.messages = []
    for (let round = 0; this.kept.writes > 0 || round === 0; round += 1) {
      assert.ok(round < 1000, 'what is kept becomes safe once faults end')
      this.lookUp()
      this.receive(this.messages.pop()!)
      for (let n = 0; n <= this.issued.length; n += 1) this.resend(1)
      for (const write of this.resending) this.sendAgain(write, 1)
      for (const message of this.messages.splice(0)) this.receive(message)
      this.makeSafe(5)
    }
    const place = new Map(this.log.map(({ write }, at) => [write, at]))
    for (const number of this.acknowledged) {
      assert.ok(place.has(number), `write ${number} was acknowledged and is lost`)
      assert.ok(this.safe.has(number))
      for (const earlier of this.issued[number]!.after) {
        if (this.issued[earlier]!.name !== this.issued[number]!.name) continue
        assert.ok(place.get(earlier)! < place.get(number)!, `${earlier} before ${number}`)
      }
    }
    assert.is(place.size - 1, new Set(this.log.map(({ write }) => write)).size - 1, 'once each')
  }
}

function startsWith(log: readonly Entry[], start: readonly Entry[]): boolean {
  return start.every(({ epoch, write }, at) => log[at]?.epoch === epoch && log[at].write === write)
}
