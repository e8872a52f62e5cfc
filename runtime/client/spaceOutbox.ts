/** Kept writes of one space; those that a new epoch lacks are sent again. */
import type { ErrorAnswer, HistoryValue, Query, ReadAnswer,
  WriteAnswer } from '../../actors/ports/clientApi.js'
import type { EpochSpan, Position } from '../../machines/base/ids.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { historyOf } from './epochs.js'
import type { EpochWatch } from './epochs.js'
import { EngramError } from './errors.js'
import { encodedHeaders } from './headers.js'
import { KeptWrites } from './keptWrites.js'
import type { Kept, Sendable, Taken } from './keptWrites.js'
import type { Requests } from './requests.js'
import { touchedBy } from './touched.js'
import { judgeRead, judgeWrite, readGivenUp, writeGivenUp } from './verdicts.js'

/** A write that a failover had left behind is in the log again. */
export interface Resent {
  readonly space: string
  readonly key: string
  /** Its place when it was first acknowledged: header `Engram-Origin`. */
  readonly from: Position
  /** Its present place. */
  readonly to: Position
  /** The new primary had it after all. */
  readonly duplicate: boolean
  /** Number of its operations that lost against concurrent ones, and are in the quarantine. */
  readonly quarantined: number
}

/** A write that a failover left behind and that no primary accepts: it stays kept, and unsafe. */
export interface ResendRefused {
  readonly space: string
  readonly key: string
  readonly from: Position
  readonly error: EngramError
}

export interface SpaceOutboxOptions {
  readonly space: string
  /** Requests of the client's writes, held back while earlier ones are sent again. */
  readonly writes: Requests
  /** Requests of this outbox itself. */
  readonly own: Requests
  readonly epochs: EpochWatch
  readonly encodeQuery: (query: Query) => Uint8Array
  readonly decode: (data: Uint8Array) => WriteAnswer | ReadAnswer | ErrorAnswer | null
  /** Decodes what this client has encoded as a write. */
  readonly request: (data: Uint8Array) => unknown
  readonly contentType: readonly (readonly [string, string])[]
  readonly onSafe: (write: Kept) => void
  readonly onResent: (resent: Resent) => void
  readonly onResendRefused: (refused: ResendRefused) => void
}

/** Limit of resent writes in flight; more would not be much faster. */
const resendingMax = 64
/** After this silence an idle writer asks how far the log is safe; then less and less often. */
const quietFirstMs = 20
const quietMaxMs = 1000

export class SpaceOutbox {
  readonly kept: KeptWrites
  /** In flight, or kept. */
  pending = 0
  #isLookingUp = false
  /** This user may read, and the primary knows the query. */
  #mayLookUp = true
  #isClosed = false
  /** Time of the last report on how far the log is safe, by `performance.now()`. */
  #heardAt = 0
  #quietMs = quietFirstMs

  constructor(readonly options: SpaceOutboxOptions) {
    this.kept = new KeptWrites({
      resendingMax,
      touches: (write) => touchedBy(this.options.request(write.data)),
      onSafe: (write) => {
        this.#quietMs = quietFirstMs
        this.options.onSafe(write)
      },
    })
  }

  /** Returns whether the write is kept. */
  answered(write: Sendable, answer: WriteAnswer): boolean {
    const isNews = this.#heard(answer.epoch)
    this.#heardAt = performance.now()
    const isKept = this.kept.answered(write, answer, this.#heardAt)
    if (isKept) this.#quietMs = quietFirstMs
    if (isNews) this.#proceed()
    return isKept
  }

  /** A later epoch is known by its number: its history is fetched if it matters. */
  heard(epoch: number): void {
    if (this.#heard(epoch)) this.#proceed()
  }

  /** An open epoch announced the epochs of its log; empty: they cannot be read. */
  historyHeard(epoch: number, history: readonly EpochSpan[]): void {
    this.#heard(epoch)
    if (history.length > 0) this.kept.takeOver(epoch, history)
    this.#proceed()
  }

  renewed(): void {
    this.kept.renewed()
    this.#takeBack()
    this.#proceed()
  }

  /**
   * Asks for the safe sequence, which an idle writer does not hear. `atMostMs`: longest silence.
   */
  poll(now: number, atMostMs = quietMaxMs): void {
    if (this.kept.writes === 0) return
    if (now - this.#heardAt < Math.min(this.#quietMs, atMostMs)) return
    this.#quietMs = Math.min(this.#quietMs * 2, quietMaxMs)
    this.#lookUp()
  }

  close(): void {
    this.#isClosed = true
  }

  get #resends(): string {
    return `resend ${this.options.space}`
  }

  get #repeats(): string {
    return `repeat ${this.options.space}`
  }

  get #lookUps(): string {
    return `history ${this.options.space}`
  }

  #takeBack(): void {
    this.options.own.abandon(this.#resends)
    this.options.own.abandon(this.#repeats)
  }

  #heard(epoch: number): boolean {
    if (!this.kept.heard(epoch)) return false
    this.#mayLookUp = true
    this.#takeBack()
    this.options.own.resend(this.#lookUps)
    return true
  }

  #proceed(): void {
    const { kept, options: { space, writes } } = this
    if (this.#isClosed) return
    if (kept.isDoubtful) {
      writes.hold(space)
      this.#lookUp()
      return
    }
    for (let write = kept.next(); write; write = kept.next()) this.#resend(write)
    if (kept.isBehind) writes.hold(space)
    else writes.release(space)
  }

  #resend(write: Kept): void {
    this.#send(write, this.#resends, (taken) => this.#resent(write, taken))
      .catch((error: unknown) => this.#notResent(write, error))
  }

  #send(write: Kept, group: string, took: (taken: WriteAnswer) => void): Promise<WriteAnswer> {
    const { space, own, epochs, decode, contentType } = this.options
    const { key, data, level, origin } = write
    // For this epoch only: in another one, other writes may have to go first.
    const headers = encodedHeaders([
      ['Nats-Msg-Id', key],
      ['Engram-Ack', level],
      ['Engram-Epoch', String(this.kept.epoch)],
      ['Engram-Origin', `${origin.epoch}/${origin.sequence}`],
      ...contentType,
    ])
    return own.call<WriteAnswer>({
      subject: subjects.write(space),
      data,
      headers: () => headers,
      group,
      deadlineMs: Infinity,
      judge: (answer) =>
        judgeWrite(answer, decode, space, key, epochs, {
          took,
          heard: (_, epoch) => this.heard(epoch),
        }),
      giveUp: (end) => writeGivenUp(end, space, key),
    })
  }

  #resent(write: Kept, taken: Taken): void {
    this.#heardAt = performance.now()
    if (this.kept.resent(write, taken)) {
      const { space, onResent } = this.options
      const { key, origin: from, position: to } = write
      const { duplicate, quarantined = 0 } = taken
      onResent({ space, key, from, to, duplicate, quarantined })
      this.#proceed()
    } else this.heard(taken.epoch)
  }

  #notResent(write: Kept, error: unknown): void {
    if (this.#isClosed || !(error instanceof EngramError)) return
    // Taken back (ABORTED), or the connection is closed: this says nothing about the write.
    if (error.code === 'ABORTED' || error.code === 'CLOSED') return
    this.kept.refused(write)
    const { space, onResendRefused } = this.options
    onResendRefused({ space, key: write.key, from: write.origin, error })
    this.#proceed()
  }

  #lookUp(): void {
    if (this.#isLookingUp || this.#isClosed) return
    if (!this.#mayLookUp) return this.#repeat()
    this.#isLookingUp = true
    const { space, own, epochs, decode, contentType, encodeQuery } = this.options
    own.call<ReadAnswer>({
      subject: subjects.read(space),
      data: encodeQuery({ type: 'GetHistory' }),
      headers: () => encodedHeaders(contentType),
      group: this.#lookUps,
      deadlineMs: Infinity,
      judge: (answer) => judgeRead(answer, decode, epochs, space),
      giveUp: (end) => readGivenUp(end, space),
    }).then((answer) => this.#lookedUp(answer), (error: unknown) => this.#notLookedUp(error))
  }

  #lookedUp({ epoch, value }: ReadAnswer): void {
    this.#isLookingUp = false
    this.#heardAt = performance.now()
    const { history, safeSequence } = value as Partial<HistoryValue>
    const spans = historyOf(history)
    // A history that does not end in its own epoch says nothing: everything is sent again.
    if (spans.at(-1)?.epoch !== epoch) this.kept.takeOver(epoch, null)
    this.historyHeard(epoch, spans)
    if (Number.isSafeInteger(safeSequence)) this.kept.safe(epoch, safeSequence as number)
  }

  #notLookedUp(error: unknown): void {
    this.#isLookingUp = false
    if (this.#isClosed || (error instanceof EngramError && error.code === 'CLOSED')) return
    this.#mayLookUp = false
    this.#lookUp()
  }

  /**
   * For a user who may only write, or a node that does not know the query: everything in doubt is
   * sent again, and the answer to a repeated write says how far the log is safe.
   */
  #repeat(): void {
    const { kept } = this
    this.#heardAt = performance.now()
    if (kept.isDoubtful) {
      kept.takeOver(kept.epoch, null)
      this.#proceed()
      return
    }
    const write = kept.newest
    if (!write) return
    this.#isLookingUp = true
    this.#send(write, this.#repeats, (taken) => kept.safe(taken.epoch, taken.safeSequence))
      // Taken back, or refused: the next look-up decides.
      .catch(() => undefined)
      .finally(() => {
        this.#isLookingUp = false
        if (kept.isDoubtful) this.#proceed()
      })
  }
}
