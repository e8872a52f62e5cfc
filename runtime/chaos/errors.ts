/** What chaos throws. */

/** The order cannot be carried out; the message says why. */
export class FaultRefusedError extends Error {
  readonly code = 'FAULT_REFUSED'
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'FaultRefusedError'
  }
}

/** Nothing was done: the message says why. */
export class ChaosRefusedError extends Error {
  readonly code = 'CHAOS_REFUSED'
  constructor(message: string, readonly remedy: string) {
    super(message)
    this.name = 'ChaosRefusedError'
  }
}
