/** Meaning of an answer for a call: done, try again, or give up. */
import type { ErrorAnswer, ReadAnswer, WriteAnswer } from '../../actors/ports/clientApi.js'
import { textOf } from '../bus/faults.js'
import { ReadError, WriteOutcomeUnknownError, WriteRefusedError } from './errors.js'
import type { EpochWatch } from './epochs.js'
import type { Answer, CallEnd, Failure, Verdict } from './requests.js'

type Decode = (data: Uint8Array) => WriteAnswer | ReadAnswer | ErrorAnswer | null

const retry = <T>(failure: Failure): Verdict<T> => ({ kind: 'retry', failure })

const notUnderstood: Failure = {
  code: 'INTERNAL',
  message: 'the answer cannot be understood',
  notTaken: false,
}

/** Any primary refuses the same request in the same way: earlier attempts were refused, too. */
const deterministic: readonly string[] = ['INVALID_OPERATION', 'PAYLOAD_TOO_LARGE']

export interface WriteListener {
  /** The primary took it. */
  took(taken: WriteAnswer): void
  /** A refusal names the present epoch. */
  heard(space: string, epoch: number): void
}

export function judgeWrite(
  answer: Answer,
  decode: Decode,
  space: string,
  key: string,
  epochs: EpochWatch,
  listener: WriteListener,
): Verdict<WriteAnswer> {
  if (answer.kind === 'noResponders') return retry(noResponders('write', false))
  const said = decode(answer.data) as WriteAnswer | ErrorAnswer | null
  if (!said) return retry(notUnderstood)
  if (said.ok) {
    if (!epochs.admit(space, said.epoch)) return retry(staleEpoch(said))
    listener.took(said)
    return { kind: 'accept', value: said }
  }
  if (said.epoch !== undefined && epochs.admit(space, said.epoch)) listener.heard(space, said.epoch)
  if (deterministic.includes(said.code)) {
    return { kind: 'reject', error: new WriteRefusedError(said.code, said.message, false, key) }
  }
  return retry(failureOf(said))
}

export function judgeRead(
  answer: Answer,
  decode: Decode,
  epochs: EpochWatch | null,
  space: string,
): Verdict<ReadAnswer> {
  if (answer.kind === 'noResponders') return retry(noResponders('read', true))
  const said = decode(answer.data) as ReadAnswer | ErrorAnswer | null
  if (!said) return retry(notUnderstood)
  if (said.ok) {
    if (epochs && !epochs.admit(space, said.epoch)) return retry(staleEpoch(said))
    return { kind: 'accept', value: said }
  }
  if (said.retryable) return retry(failureOf(said))
  const { code, message, firstSequence } = said
  return { kind: 'reject', error: new ReadError(code, message, false, undefined, firstSequence) }
}

function failureOf(said: ErrorAnswer): Failure {
  return {
    code: said.code,
    message: said.message,
    notTaken: said.outcome === 'notTaken',
    sequence: said.sequence,
    retryAfterMs: said.retryAfterMs,
  }
}

/**
 * For a write, unknown: in a cluster of brokers "no responders" is what one server knows of the
 * others' subscriptions.
 */
function noResponders(what: string, notTaken: boolean): Failure {
  return { code: 'NO_RESPONDERS', message: `nobody takes this ${what}`, notTaken }
}

function staleEpoch(said: { readonly epoch: number; readonly node: string }): Failure {
  return {
    code: 'STALE_EPOCH',
    notTaken: false,
    message: `${said.node} answered for epoch ${said.epoch}, but is no longer primary`,
  }
}

export function refusedHere(message: string, key: string): WriteRefusedError {
  return new WriteRefusedError('INVALID_OPERATION', message, false, key)
}

/** Further facts for an error: why nobody takes a call, and a clause about this one. */
export interface Circumstances {
  readonly unserved?: (() => string | undefined) | undefined
  /** '' or a clause. */
  readonly more?: string
}

const absent = (space: string): string => `there is no space ${space}`
const unsure = 'the space has no primary now, or does not exist'

export function writeGivenUp(
  end: CallEnd,
  space: string,
  key: string,
  { unserved, more = '' }: Circumstances = {},
): Error {
  if (end.why === 'absent') {
    return new WriteRefusedError('UNKNOWN_SPACE', absent(space), false, key)
  }
  if (end.why === 'unsendable') {
    const why = end.cause instanceof Error ? end.cause.message : String(end.cause)
    const large = why.includes('MAX_PAYLOAD')
    const code = large ? 'PAYLOAD_TOO_LARGE' : 'INTERNAL'
    const text = large ? 'the request exceeds the max_payload of the NATS server' : why
    if (!end.maybeTaken) return new WriteRefusedError(code, text, false, key, end.cause)
  }
  const code = codeOf(end)
  const text = `${describe(end, unserved)}${more} `
    + `(write to ${space}, key ${key}, ${attempts(end)})`
  if (end.maybeTaken) return new WriteOutcomeUnknownError(code, text, key, end.sequence, end.cause)
  return new WriteRefusedError(code, text, retryable(end), key, end.cause)
}

export function readGivenUp(
  end: CallEnd,
  space: string,
  { unserved }: Circumstances = {},
): Error {
  if (end.why === 'absent') return new ReadError('UNKNOWN_SPACE', absent(space), false)
  const text = `${describe(end, unserved)} (read of ${space}, ${attempts(end)})`
  return new ReadError(codeOf(end), text, retryable(end), end.cause)
}

function retryable(end: CallEnd): boolean {
  return end.why !== 'aborted' && end.why !== 'forbidden'
}

function codeOf(end: CallEnd): string {
  switch (end.why) {
    case 'aborted':
      return 'ABORTED'
    case 'closed':
      return 'CLOSED'
    case 'full':
      return 'OVERLOADED'
    case 'forbidden':
      return 'FORBIDDEN'
    case 'unsendable':
      return 'INTERNAL'
    case 'absent':
      return 'UNKNOWN_SPACE'
    case 'deadline':
      return end.last?.code ?? 'DEADLINE'
  }
}

function describe(end: CallEnd, unserved: Circumstances['unserved']): string {
  switch (end.why) {
    case 'aborted':
      return 'aborted by the caller'
    case 'closed':
      return end.cause === undefined
        ? 'the client is closed'
        : `the NATS connection is closed for good: ${textOf(end.cause)}`
    case 'full':
      return 'too many calls in flight; await some, or raise inFlightMax'
    case 'unsendable':
      return 'cannot be sent'
    case 'forbidden':
      return textOf(end.cause)
    case 'absent':
      return 'there is no such space'
    case 'deadline': {
      const { code, message = 'not connected to NATS' } = end.last ?? {}
      const why = code === 'NO_RESPONDERS' ? `: ${unserved?.() ?? unsure}` : ''
      return `deadline passed: ${message}${why}`
    }
  }
}

function attempts(end: CallEnd): string {
  return end.attempts === 1 ? '1 attempt' : `${end.attempts} attempts`
}
