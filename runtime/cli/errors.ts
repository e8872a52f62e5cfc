/** Errors that end a command, as a message and a remedy. */
import { messageOf } from '../../machines/base/thrown.js'
import { connectRemedy } from '../bus/faults.js'
import { shownName } from '../bus/settingNames.js'
import { DeniedError } from '../client/denials.js'
import {
  AdminError, ConnectError, EngramError, ReadError, WriteOutcomeUnknownError, WriteRefusedError,
} from '../client/errors.js'
import { DataInUseError } from '../cluster/clusterFile.js'
import { natsSource } from '../config/natsSettings.js'
import { ConfigError } from '../config/options.js'
import { HttpListenError } from '../http/server.js'
import { TokenFileError } from '../http/token.js'
import { CliError, exit } from './context.js'

export interface Ending {
  readonly message: string
  readonly remedy: string | null
  readonly exitCode: number
}

export function endingOf(error: unknown): Ending {
  if (error instanceof CliError) return error
  if (error instanceof ConfigError) {
    return {
      message: `the ${error.source} cannot be used:\n  ${error.message.replaceAll('\n', '\n  ')}`,
      remedy: error.source === natsSource
        ? 'Correct it. Options of the connection: engram status --help'
        : 'Correct it. List of options: engram node --help-config',
      exitCode: exit.usage,
    }
  }
  const isFlagFault = error instanceof TokenFileError
    || (error instanceof TypeError && error.message.startsWith('an address is'))
  if (isFlagFault) {
    return { message: error.message, remedy: null, exitCode: exit.usage }
  }
  const message = messageOf(error)
  const code = error instanceof EngramError ? ` [${error.code}]` : ''
  return { message: message + code, remedy: remedyOf(error), exitCode: exit.failed }
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
  if (error instanceof HttpListenError) return null
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
    case 'PAYLOAD_TOO_LARGE': return 'Split the request: the limit is 256 KiB.'
    case 'NOT_ENOUGH_IN_SYNC':
      return 'Too few members are in sync for --ack committed. Start the missing node (engram '
        + 'status), or write with --ack durable.'
    case 'OVERLOADED': return 'Reduce the number of writes in flight: --in-flight N.'
    case 'FORBIDDEN': return forbidden(error)
    case 'UNKNOWN_SPACE': return unknownSpace
    case 'READ_ONLY':
      return 'The disk of the primary is full. Free space on it; then writes work again by '
        + 'themselves.'
    default: return null
  }
}

function requestRemedy(error: ReadError | AdminError): string | null {
  switch (error.code) {
    case 'NO_RESPONDERS':
    case 'TIMEOUT': return 'Check nodes and primaries: engram status'
    case 'NO_NODES':
      return 'Start one with `engram up` or `engram node`, or name another server with --nats.'
    case 'NOT_PRIMARY': return 'Try again. The primary, or why there is none: engram status'
    case 'UNKNOWN_SPACE': return unknownSpace
    case 'FORBIDDEN': return forbidden(error)
    case 'ARBITER_REFUSED':
      return 'Fix what JetStream reports (space, limits, permissions; nats stream info KV_engram), '
        + 'then try again.'
    case 'ARBITER_UNAVAILABLE':
      return 'Check that JetStream runs and that the stream KV_engram has a leader. Spaces keep '
        + 'working meanwhile (engram status).'
    case 'NOT_ENOUGH_IN_SYNC': return 'Check which nodes run and are in sync: engram status'
    case 'STALE_READ': return 'Read from the primary (leave out --any), or allow more staleness.'
    default: return null
  }
}

function codeRemedy(code: unknown): string | null {
  switch (code) {
    case 'ENOENT': return 'Check the path.'
    case 'EISDIR': return 'Name a file, not a directory.'
    case 'EACCES': return 'Check the permissions of the path.'
    case 'ENOSPC':
    case 'EDQUOT': return 'Free space on the file system of the path.'
    case 'EROFS': return 'Mount the file system of the path read-write.'
    default: return null
  }
}
