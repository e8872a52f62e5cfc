/** All requests and answers of clients: the history that the final audit is held against. */
import type { ErrorAnswer, Query, ReadAnswer, WriteAnswer } from '../../actors/ports/clientApi.js'
import type { AckLevel } from '../../machines/protocol/messages.js'

/** One request and its result: an answer, or nothing (503, silence, a closed connection). */
export interface Attempt<TAnswer> {
  readonly sentAtMs: number
  /** Order of sending over all clients. */
  readonly number: number
  readonly connection: number
  answeredAtMs: number | null
  answer: TAnswer | ErrorAnswer | null
}

export interface WriteRecord {
  readonly client: string
  /** One per operation, by which it is found again in logs and salvages (operations.ts). */
  readonly tokens: readonly string[]
  readonly key: string | null
  readonly level: AckLevel
  readonly attempts: Attempt<WriteAnswer>[]
}

export interface ReadRecord {
  readonly client: string
  readonly target: 'primary' | 'any'
  readonly committed: boolean
  readonly query: Query
  readonly minSequence: number
  readonly maxStalenessMs: number
  readonly attempt: Attempt<ReadAnswer>
}

export class History {
  readonly writes: WriteRecord[] = []
  readonly reads: ReadRecord[] = []
  private sent = 0

  attempt<TAnswer>(sentAtMs: number, connection: number): Attempt<TAnswer> {
    this.sent += 1
    return { sentAtMs, number: this.sent, connection, answeredAtMs: null, answer: null }
  }

  /** Positive answers, with the write each belongs to. */
  *acknowledged(): Generator<
    { write: WriteRecord; attempt: Attempt<WriteAnswer>; answer: WriteAnswer }
  > {
    for (const write of this.writes) {
      for (const attempt of write.attempts) {
        const { answer } = attempt
        if (answer?.ok) yield { write, attempt, answer }
      }
    }
  }
}
