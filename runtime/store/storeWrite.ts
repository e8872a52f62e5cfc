/** One transaction of a store, with its faults in words. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Room } from './diskRoom.js'
import { type GraphFile, StoreDamagedError } from './graphFile.js'

/** A transaction was not committed; it had no effect at all. */
export class StoreWriteError extends Error {
  readonly code = 'STORE_WRITE'
  /** The same write may succeed later (after a full disk, for example). */
  readonly retryable = true
  constructor(message: string, cause: unknown) {
    super(message, { cause })
    this.name = 'StoreWriteError'
  }
}

/** `what` would be written. StoreWriteError, StoreDamagedError. */
export async function writeRecords(
  { records, room }: { readonly records: GraphFile; readonly room: Room },
  puts: readonly Buffer[],
  removes: readonly Buffer[],
  what: string,
): Promise<void> {
  try {
    await room.assert(puts.length / 2)
    await records.write(puts, removes)
  } catch (failure) {
    if (failure instanceof StoreDamagedError) throw failure
    throw new StoreWriteError(`the store could not write ${what}`, await causeOf(failure))
  }
}

/** lmdb gives the cause as a promise that rejects soon after, and must not stay unhandled. */
async function causeOf(failure: unknown): Promise<unknown> {
  const { commitError } = failure as { commitError?: Promise<never> }
  if (commitError === undefined) return failure
  return Promise.race([
    commitError.catch((cause: unknown) => cause),
    nextTurn(failure),
  ])
}
