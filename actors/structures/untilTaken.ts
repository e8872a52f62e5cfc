import { messageOf } from '../../machines/base/thrown.js'
import { isNoSpace } from '../ports/fileSystem.js'
import type { Clock } from '../ports/system.js'
import { pause } from './pause.js'

/** Pause before a full disk is tried again. */
const retryMs = 500

export interface DiskWait {
  readonly clock: Clock
  /** Whether it is not wanted any more. */
  readonly isOver: () => boolean
  /** Called each time the disk does not take it. */
  readonly onHindered: (reason: string) => void
}

/**
 * Writes until the disk takes it: a full one is waited for. Resolves when it is written, or not
 * wanted any more. Rejects with any other error.
 */
export async function untilTaken(
  write: () => Promise<void>,
  { clock, isOver, onHindered }: DiskWait,
): Promise<void> {
  while (!isOver()) {
    try {
      return await write()
    } catch (error) {
      if (!isRetryable(error)) throw error
      onHindered(messageOf(error))
      await pause(clock, retryMs)
    }
  }
}

/** Whether the same write may succeed later. */
export function isRetryable(error: unknown): boolean {
  const isMarked = error instanceof Error && 'retryable' in error && error.retryable === true
  return isMarked || isNoSpace(error)
}
