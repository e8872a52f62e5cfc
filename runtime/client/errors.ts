/** Errors of the client. Each has a stable `code`, and whether trying again helps. */
import { connectReasons } from '../bus/faults.js'
import type { ConnectFault, ConnectReason } from '../bus/faults.js'

export class EngramError extends Error {
  constructor(
    /** Stable: a code of the server, or one of the client; listed at each class. */
    readonly code: string,
    message: string,
    /** The same call may succeed later. */
    readonly retryable: boolean,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'EngramError'
  }
}

/**
 * The write did not take effect and never will. Codes: those of the server that say `notTaken`,
 * UNKNOWN_SPACE (the nodes say that it does not exist), ABORTED and DEADLINE (before anything was
 * sent), OVERLOADED (also: too many in flight here), FORBIDDEN (these NATS credentials may not
 * write).
 */
export class WriteRefusedError extends EngramError {
  readonly outcome = 'notTaken'
  readonly sequence = undefined
  constructor(
    code: string,
    message: string,
    retryable: boolean,
    readonly key: string,
    cause?: unknown,
  ) {
    super(code, message, retryable, cause)
    this.name = 'WriteRefusedError'
  }
}

/**
 * The write may have taken effect, or may still. Write again with the same `key` to find out: it
 * takes effect at most once. Codes: NO_RESPONDERS, TIMEOUT, STALE_EPOCH (the answer came from a
 * node that was no longer primary), ABORTED, CLOSED, and those of the server that say `unknown`.
 */
export class WriteOutcomeUnknownError extends EngramError {
  readonly outcome = 'unknown'
  constructor(
    code: string,
    message: string,
    readonly key: string,
    /** Its place in the log, if the server gave it (ACK_TIMEOUT). */
    readonly sequence: number | undefined,
    cause?: unknown,
  ) {
    super(code, message, true, cause)
    this.name = 'WriteOutcomeUnknownError'
  }
}

/**
 * Acknowledged writes that one lost disk could still take away. Codes: NOT_SAFE (not safe within
 * the time given to `flush`; still kept), CLOSED (the client was closed meanwhile), UNPROTECTED
 * (the client was made with `protect: false` and keeps nothing).
 */
export class NotSafeError extends EngramError {
  constructor(
    code: 'NOT_SAFE' | 'CLOSED' | 'UNPROTECTED',
    message: string,
    readonly writes: number,
    readonly bytes: number,
  ) {
    super(code, message, code === 'NOT_SAFE')
    this.name = 'NotSafeError'
  }
}

/** A read without a result. Codes: those of the server, UNKNOWN_SPACE, NO_RESPONDERS, TIMEOUT … */
export class ReadError extends EngramError {
  constructor(
    code: string,
    message: string,
    retryable: boolean,
    cause?: unknown,
    /** With TRUNCATED: the first entry that the member still keeps. */
    readonly firstSequence?: number,
  ) {
    super(code, message, retryable, cause)
    this.name = 'ReadError'
  }
}

/**
 * A request to `engram.v1.admin.<node>` that was refused or not answered. `reason` is what the node
 * says beyond the code: `otherSettings` (the space exists with other settings), `unfit` (the node
 * takes no primary).
 */
export class AdminError extends EngramError {
  constructor(
    code: string,
    message: string,
    retryable: boolean,
    cause?: unknown,
    readonly reason?: string,
  ) {
    super(code, message, retryable, cause)
    this.name = 'AdminError'
  }
}

/**
 * No NATS server could be reached or used. Code: CONNECT. `reason` is one of `connectReasons`, and
 * `remedy` says what to do, in terms of `NatsOptions`.
 */
export class ConnectError extends EngramError {
  readonly reason: ConnectReason
  constructor(
    message: string,
    readonly fault: ConnectFault,
    readonly remedy: string,
    cause?: unknown,
  ) {
    super('CONNECT', message, connectReasons[fault.reason].retryable, cause)
    this.name = 'ConnectError'
    this.reason = fault.reason
  }
}
