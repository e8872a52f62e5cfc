/** An operator's order, and what comes of it (`engram.v1.admin.<node>`). */
export type Order = Record<string, unknown>

export type Answer = { ok: true } & Record<string, unknown>

/** An order that is not carried out. `retryable`: it may be, later. */
export class AdminRefusal extends Error {
  constructor(readonly code: string, message: string, readonly retryable = false) {
    super(message)
    this.name = 'AdminRefusal'
  }
}
