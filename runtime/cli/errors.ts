/** Every error a command can end with, as a message and a remedy. */
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
        ? 'Correct it. All there is to say of NATS: engram status --help'
        : 'Correct it. All options: engram node --help-config',
      exitCode: exit.usage,
    }
  }
  const isFlagFault = error instanceof TokenFileError
    || (error instanceof TypeError && error.message.startsWith('an address is'))
  if (isFlagFault) {
    return { message: error.message, remedy: null, exitCode: exit.usage }
  }
  const message = error instanceof Error ? error.message : String(error)
  const code = error instanceof EngramError ? ` [${error.code}]` : ''
  return { message: message + code, remedy: remedyOf(error), exitCode: exit.failed }
}

function remedyOf(error: unknown): string | null {
  if (error instanceof ConnectError) return remedyOfConnect(error)
  if (error instanceof WriteOutcomeUnknownError) {
    return `It may have taken effect. To find out, write again with --key ${error.key}: `
      + 'it takes effect at most once.'
  }
  if (error instanceof WriteRefusedError) return writeRemedy(error)
  if (error instanceof ReadError || error instanceof AdminError) return requestRemedy(error)
  if (error instanceof DataInUseError) {
    return 'Use that cluster (engram status), stop it first, or choose another --data DIR.'
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
    ? 'Allow it in the permissions at the server, or name a prefix of inboxes that is allowed: '
      + shownName('inboxPrefix')
    : 'Allow it in the permissions at the server (nats.conf has those of the roles), or name '
      + `credentials that may: ${shownName('authFile')}, ${shownName('credsFile')}, `
      + shownName('nkeySeedFile')
}

const unknownSpace = 'See engram space list; make it with: engram space create NAME'

function writeRemedy(error: WriteRefusedError): string | null {
  switch (error.code) {
    case 'INVALID_OPERATION':
      return 'An operation looks like {"type":"StoreNode","node":{"id":"n1","content":"…"}}; '
        + 'others: engram write --help'
    case 'PAYLOAD_TOO_LARGE': return 'Split it: a request is at most 256 KiB.'
    case 'NOT_ENOUGH_IN_SYNC':
      return 'Too few members are in sync for --ack committed: see engram status, bring a node '
        + 'back, or write with --ack durable.'
    case 'OVERLOADED': return 'Write with less in flight: --in-flight N.'
    case 'FORBIDDEN': return forbidden(error)
    case 'UNKNOWN_SPACE': return unknownSpace
    case 'READ_ONLY': return 'The disk of the primary is full: make room, it heals by itself.'
    default: return null
  }
}

function requestRemedy(error: ReadError | AdminError): string | null {
  switch (error.code) {
    case 'NO_RESPONDERS':
    case 'TIMEOUT': return 'See which nodes and primaries there are: engram status'
    case 'NO_NODES':
      return 'Start one with `engram up` or `engram node`, or name another server with --nats.'
    case 'NOT_PRIMARY': return 'Try again soon. Who reigns, or why nobody does: engram status'
    case 'UNKNOWN_SPACE': return unknownSpace
    case 'FORBIDDEN': return forbidden(error)
    case 'ARBITER_REFUSED':
      return 'Mend what JetStream names (room, limits, permissions): nats stream info KV_engram. '
        + 'Then try again.'
    case 'ARBITER_UNAVAILABLE':
      return 'Is JetStream up, with a leader of the stream KV_engram? Spaces go on meanwhile; see '
        + 'engram status.'
    case 'NOT_ENOUGH_IN_SYNC': return 'Which nodes run, and who is in sync: engram status'
    case 'STALE_READ': return 'Ask the primary (leave out --any), or allow more staleness.'
    default: return null
  }
}

function codeRemedy(code: unknown): string | null {
  switch (code) {
    case 'ENOENT': return 'Check the path.'
    case 'EISDIR': return 'Name a file.'
    case 'EACCES': return 'Check the permissions of the path.'
    case 'ENOSPC':
    case 'EDQUOT': return 'Make room on the file system of the path.'
    case 'EROFS': return 'Mount the file system of the path for writing.'
    default: return null
  }
}
