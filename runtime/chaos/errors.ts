/** Errors of `engram chaos`. */

/** The command cannot be carried out. The message says why. */
export class FaultRefusedError extends Error {
  readonly code = 'FAULT_REFUSED'
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'FaultRefusedError'
  }
}

/** Nothing was done. The message says why. */
export class ChaosRefusedError extends Error {
  readonly code = 'CHAOS_REFUSED'
  constructor(message: string, readonly remedy: string) {
    super(message)
    this.name = 'ChaosRefusedError'
  }
}
