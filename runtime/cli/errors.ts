/** Errors that end a command, as a message and a remedy. */
import { messageOf } from '../../machines/base/thrown.js'
import { connectRemedy } from '../bus/faults.js'
import { shownName } from '../bus/settingNames.js'
import { DeniedError } from '../client/denials.js'
import { AdminError, ConnectError, EngramError, ReadError, WriteOutcomeUnknownError,
  WriteRefusedError } from '../client/errors.js'
import { DataInUseError } from '../cluster/clusterFile.js'
import { natsSource } from '../config/natsSettings.js'
import { ConfigError } from '../config/options.js'
import { HttpAddressError, HttpListenError } from '../http/server.js'
import { TokenFileError } from '../http/token.js'
import { CliError, exit, RemediedError } from './context.js'

export interface Ending {
  /** Code of the cluster, its client or the system; USAGE or FAILED if there is none. */
  readonly code: string
  readonly message: string
  /** The message for people: with the code if that is one of the cluster or its client. */
  readonly label: string
  readonly remedy: string | null
  readonly exitCode: number
  /** Further fields of the error that --json prints. */
  readonly fields: Readonly<Record<string, unknown>>
}

export function endingOf(error: unknown): Ending {
  if (error instanceof RemediedError) return { ...endingOf(error.cause), remedy: error.remedy }
  const message = messageOf(error)
  const ending = {
    message,
    label: message,
    code: codeOf(error),
    fields: fieldsOf(error),
    remedy: null,
    exitCode: exit.failed,
  }
  if (error instanceof CliError) {
    return { ...ending, remedy: error.remedy, exitCode: error.exitCode }
  }
  if (error instanceof ConfigError) {
    const text = `the ${error.source} cannot be used:\n  ${message.replaceAll('\n', '\n  ')}`
    return {
      ...ending,
      message: text,
      label: text,
      exitCode: exit.usage,
      remedy: error.source === natsSource
        ? 'Correct it. Options of the connection: engram status --help'
        : 'Correct it. List of options: engram node --help-config',
    }
  }
  if (error instanceof TokenFileError || error instanceof HttpAddressError) {
    return { ...ending, exitCode: exit.usage }
  }
  const label = error instanceof EngramError ? `${message} [${error.code}]` : message
  return { ...ending, label, remedy: remedyOf(error) }
}

/** The ending as it is printed, with further fields for --json. */
export function showEnding(ending: Ending, json: boolean, more: object = {}): string {
  const { code, message, label, remedy, fields } = ending
  if (json) return JSON.stringify({ error: { code, message, remedy, ...fields, ...more } })
  return `error: ${label}${remedy === null ? '' : `\n  ${remedy}`}`
}

function codeOf(error: unknown): string {
  const { code } = Object(error) as { code?: unknown }
  return typeof code === 'string' ? code : 'FAILED'
}

function fieldsOf(error: unknown): Ending['fields'] {
  if (error instanceof ConfigError) return { source: error.source, faults: error.faults }
  if (!(error instanceof EngramError)) return {}
  const { retryable } = error
  if (error instanceof WriteRefusedError || error instanceof WriteOutcomeUnknownError) {
    const { outcome, key, sequence } = error
    return { retryable, outcome, key, ...(sequence !== undefined && { sequence }) }
  }
  const { reason, firstSequence } = error as { reason?: string; firstSequence?: number }
  return {
    retryable,
    ...(reason !== undefined && { reason }),
    ...(firstSequence !== undefined && { firstSequence }),
  }
}

function remedyOf(error: unknown): string | null {
  if (error instanceof ConnectError) return remedyOfConnect(error)
  if (error instanceof WriteOutcomeUnknownError) {
    return `The write may have taken effect. To make sure, repeat it with --key ${error.key}: `
      + 'it takes effect at most once.'
  }
  if (error instanceof WriteRefusedError) return writeRemedy(error)
  if (error instanceof ReadError || error instanceof AdminError) return requestRemedy(error)
  if (error instanceof DataInUseError) {
    return 'Use that cluster (engram status), stop it, or choose another --data DIR.'
  }
  if (error instanceof HttpListenError) {
    return error.code === 'EADDRINUSE' ? 'Choose another: --http HOST:PORT, or port 0.' : null
  }
  return codeRemedy((error as { code?: unknown }).code)
}

function remedyOfConnect({ fault }: ConnectError): string {
  const remedy = connectRemedy(fault, shownName)
  return fault.reason === 'UNREACHABLE' ? `${remedy}, or start a cluster: engram up` : remedy
}

function forbidden({ cause }: EngramError): string {
  return cause instanceof DeniedError && cause.operation === 'subscription'
    ? 'Allow it in the permissions of the server, or use an inbox prefix that is allowed: '
      + shownName('inboxPrefix')
    : 'Allow it in the permissions of the server (nats.conf has those of the roles), or use '
      + `credentials that have this permission: ${shownName('authFile')}, `
      + `${shownName('credsFile')}, `
      + shownName('nkeySeedFile')
}

const unknownSpace = 'List spaces: engram space list. Create one: engram space create NAME'

function writeRemedy(error: WriteRefusedError): string | null {
  switch (error.code) {
    case 'INVALID_OPERATION':
      return 'An operation looks like {"type":"StoreNode","node":{"id":"n1","content":"…"}}. '
        + 'All operations: engram write --help'
    case 'PAYLOAD_TOO_LARGE':
      return 'Split the request: the limit is 256 KiB.'
    case 'NOT_ENOUGH_IN_SYNC':
      return 'Too few members are in sync for --ack committed. Start the missing node (engram '
        + 'status), or write with --ack durable.'
    case 'OVERLOADED':
      return 'Reduce the number of writes in flight: --in-flight N.'
    case 'FORBIDDEN':
      return forbidden(error)
    case 'UNKNOWN_SPACE':
      return unknownSpace
    case 'READ_ONLY':
      return 'The disk of the primary is full. Free space on it; then writes work again by '
        + 'themselves.'
    default:
      return null
  }
}

function requestRemedy(error: ReadError | AdminError): string | null {
  switch (error.code) {
    case 'NO_RESPONDERS':
    case 'TIMEOUT':
      return 'Check nodes and primaries: engram status'
    case 'NO_NODES':
      return 'Start one with `engram up` or `engram node`, or name another server with --nats.'
    case 'NOT_PRIMARY':
      return 'Try again. The primary, or why there is none: engram status'
    case 'UNKNOWN_SPACE':
      return unknownSpace
    case 'UNKNOWN_NODE':
      return 'List nodes: engram node list'
    case 'FORBIDDEN':
      return forbidden(error)
    case 'ARBITER_REFUSED':
      return 'Fix what JetStream reports (space, limits, permissions; nats stream info KV_engram), '
        + 'then try again.'
    case 'ARBITER_UNAVAILABLE':
      return 'Check that JetStream runs and that the stream KV_engram has a leader. Spaces keep '
        + 'working meanwhile (engram status).'
    case 'NOT_ENOUGH_IN_SYNC':
      return 'Check which nodes run and are in sync: engram status'
    case 'STALE_READ':
      return 'Read from the primary (leave out --any), or allow more staleness.'
    case 'TRUNCATED':
      return 'What these entries did is in the state. Those that are kept: engram read SPACE '
        + 'entries (without --from)'
    default:
      return null
  }
}

function codeRemedy(code: unknown): string | null {
  switch (code) {
    case 'ENOENT':
      return 'Check the path.'
    case 'EISDIR':
      return 'Name a file, not a directory.'
    case 'EACCES':
      return 'Check the permissions of the path.'
    case 'ENOSPC':
    case 'EDQUOT':
      return 'Free space on the file system of the path.'
    case 'EROFS':
      return 'Mount the file system of the path read-write.'
    default:
      return null
  }
}
