/** Polling with a deadline: the only place where these tests let time pass. */
import { setTimeout as pause } from 'node:timers/promises'
import { patience } from './environment.js'

export interface WaitOptions {
  /** Before patience is applied. */
  readonly seconds?: number
  readonly everyMs?: number
}

/**
 * Polls until `look` returns something other than undefined, null or false. An error of `look`
 * counts as "not yet" and is shown when time is up.
 */
export async function waitFor<T>(
  what: string,
  look: () => Promise<T> | T,
  options: WaitOptions = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const seconds = (options.seconds ?? 20) * patience
  const startedAt = performance.now()
  let last = 'nothing yet'
  for (;;) {
    try {
      const seen = await look()
      if (seen !== undefined && seen !== null && seen !== false) {
        return seen as NonNullable<Exclude<T, false>>
      }
      last = `condition not met (${String(seen)})`
    } catch (error) {
      if (error instanceof Hopeless) throw error
      last = error instanceof Error ? error.message : String(error)
    }
    if (performance.now() - startedAt > seconds * 1000) {
      throw new Error(`waited ${seconds} s in vain for: ${what}\n  last seen: ${last}`)
    }
    await pause(options.everyMs ?? 25)
  }
}

/** Thrown by a `look` of waitFor when further waiting makes no sense. */
export class Hopeless extends Error {}

/** Thrown by a `look` of waitFor to say what is missing. */
export function notYet(reason: string): never {
  throw new Error(reason)
}

/** Fails when the work takes longer than that. The work itself is not stopped. */
export async function within<T>(seconds: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not done within ${seconds * patience} s: ${what}`)),
      seconds * patience * 1000,
    )
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The duration of a fault: not a wait for something to come true. */
export async function lasting(ms: number): Promise<void> {
  await pause(ms)
}
