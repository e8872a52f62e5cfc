/** Why a connection to NATS did not come about, and what to do about it. */
import { ErrorCode } from 'nats'
import { BusConnectError } from '../../actors/ports/bus.js'
import { CredentialFileError, endOf } from './credentials.js'
import type { CredentialFile } from './credentials.js'
import type { ServerInfo } from './greeting.js'
import type { NatsOptions } from './natsOptions.js'

/** Stable; `retryable` tells of each whether trying again helps by itself. */
export const connectReasons = {
  /** Nobody listens, no route, no such host, no greeting in time. */
  UNREACHABLE: { retryable: true },
  /** Something else than a NATS server answers. */
  NOT_NATS: { retryable: true },
  /** It greets, and takes no connection: it has too many, or shuts down. */
  SERVER_REFUSES: { retryable: true },
  /** It asks for credentials, and none are given. */
  CREDENTIALS_MISSING: { retryable: false },
  /** It does not take the credentials that are given. */
  CREDENTIALS_REFUSED: { retryable: false },
  CREDENTIALS_EXPIRED: { retryable: false },
  /** A file of certificate, key or credentials is missing, unreadable, or holds something else. */
  CREDENTIALS_FILE: { retryable: false },
  /** The server's certificate is signed by nobody who is trusted, itself perhaps. */
  TLS_UNTRUSTED: { retryable: false },
  TLS_EXPIRED: { retryable: false },
  /** The server's certificate is made out to other names than the one that was dialled. */
  TLS_NAME: { retryable: false },
  /** The server asks for a client certificate: none is given, or it takes another one only. */
  TLS_CLIENT_CERTIFICATE: { retryable: false },
  /** TLS is asked for, and the server has none. */
  TLS_NOT_OFFERED: { retryable: false },
  TLS_HANDSHAKE: { retryable: false },
  /** These credentials may not do what everything else needs. */
  FORBIDDEN: { retryable: false },
  /** None of these. */
  FAILED: { retryable: true },
} as const

export type ConnectReason = keyof typeof connectReasons

export interface ConnectFault {
  readonly reason: ConnectReason
  /** What went wrong, in words without a remedy. */
  readonly what: string
  /** Of CREDENTIALS_FILE: what names the file. */
  readonly setting?: CredentialFile
}

/** For the log of a node and what its start ends with: the message has the remedy in it. */
export class NatsConnectError extends BusConnectError {
  constructor(
    readonly server: string, readonly fault: ConnectFault, readonly remedy: string,
    cause?: unknown,
  ) {
    super(`cannot connect to NATS at ${server}: ${fault.what}. ${remedy}`,
      connectReasons[fault.reason].retryable, cause)
    this.name = 'NatsConnectError'
  }
}

/** What nats and Node say about the attempt `options` → the server that greeted with `info`. */
export function faultOf(
  error: unknown, options: NatsOptions, info: ServerInfo | null,
): ConnectFault {
  if (error instanceof CredentialFileError) {
    return { reason: 'CREDENTIALS_FILE', what: error.message, setting: error.file }
  }
  const code = codeOf(error)
  const known = refusal(error, code, options) ?? tlsFault(error, code, options, info)
  if (known) return known
  if (info && cutOff.test(code)) {
    return { reason: 'SERVER_REFUSES', what: `the server ended the attempt (${textOf(error)})` }
  }
  return { reason: unreachable.test(code) ? 'UNREACHABLE' : 'FAILED', what: textOf(error) }
}

const cutOff = /^(ECONNRESET|EPIPE|CONNECTION_CLOSED|DISCONNECT)$/
const unreachable = /^(CONNECTION_REFUSED|CONNECTION_TIMEOUT|TIMEOUT|E[A-Z]+)$/

/** Of an error that nats wraps, the one of Node or OpenSSL below it tells more. */
function codeOf(error: unknown): string {
  const { code, chainedError } = (error ?? {}) as { code?: string; chainedError?: unknown }
  const inner = chainedError ? codeOf(chainedError) : ''
  return inner && code === ErrorCode.Tls ? inner : code ?? ''
}

function refusal(error: unknown, code: string, options: NatsOptions): ConnectFault | null {
  const { user, password, token, credsFile, nkeySeedFile } = options
  switch (code) {
    case ErrorCode.AuthorizationViolation:
    case ErrorCode.BadAuthentication: {
      if (user === undefined && !token && !credsFile && !nkeySeedFile) {
        return {
          reason: 'CREDENTIALS_MISSING', what: 'it asks for credentials, and none are given',
        }
      }
      const ended = credsFile ? pastEndOf('credsFile', credsFile) : ''
      if (ended) return { reason: 'CREDENTIALS_EXPIRED', what: `${credsFile} ${ended}` }
      const whose = credsFile ?? nkeySeedFile
        ?? (token ? 'a token' : `user ${user}${password ? '' : ', without a password'}`)
      return {
        reason: 'CREDENTIALS_REFUSED', what: `the server refuses these credentials (${whose})`,
      }
    }
    case ErrorCode.AuthenticationExpired:
    case ErrorCode.AccountExpired:
      return { reason: 'CREDENTIALS_EXPIRED', what: `the server says: ${textOf(error)}` }
    case ErrorCode.BadCreds:
      return { reason: 'CREDENTIALS_FILE', what: `${credsFile} cannot be used: ${textOf(error)}` }
    default:
      return null
  }
}

/** "expired on …", if it has. */
function pastEndOf(file: 'credsFile' | 'certFile', path: string): string {
  const end = endOf(file, path)
  return end && end.getTime() < Date.now() ? `expired on ${end.toISOString()}` : ''
}

function tlsFault(
  error: unknown, code: string, options: NatsOptions, info: ServerInfo | null,
): ConnectFault | null {
  const { caFile } = options.tls ?? {}
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return { reason: 'TLS_EXPIRED', what: 'the server\'s certificate has expired' }
    case 'CERT_NOT_YET_VALID':
      return { reason: 'TLS_EXPIRED', what: 'the server\'s certificate is not valid yet' }
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return { reason: 'TLS_NAME', what: nameFault(error) }
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE': {
      const by = caFile ? `by no authority in ${caFile}` : 'by no authority that this machine knows'
      return {
        reason: 'TLS_UNTRUSTED', what: code === 'DEPTH_ZERO_SELF_SIGNED_CERT'
          ? 'the server\'s certificate is self-signed'
          : `the server's certificate is signed ${by} (${textOf(error)})`,
      }
    }
    case ErrorCode.ServerOptionNotAvailable:
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return { reason: 'TLS_NOT_OFFERED', what: 'TLS is asked for, and the server has none' }
  }
  const asked = clientCertificateFault(code, options, info)
  if (asked) return asked
  const isTls = /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_)/.test(code) || code === ErrorCode.Tls
  return isTls ? { reason: 'TLS_HANDSHAKE', what: `the TLS handshake failed: ${textOf(error)}` }
    : null
}

/**
 * With TLS 1.3 a server judges the client's certificate after the handshake: an alert, if it is
 * not lost with the connection, or just the end of that.
 */
function clientCertificateFault(
  code: string, options: NatsOptions, info: ServerInfo | null,
): ConnectFault | null {
  const isEnd = cutOff.test(code)
  const isAlert = /ALERT_(BAD_CERT|CERTIFICATE|UNKNOWN_CA|UNSUPPORTED_CERT)/.test(code)
  if (!isAlert && !(isEnd && info?.tls_verify)) return null
  const { certFile } = options.tls ?? {}
  const what = certFile
    ? `the server does not take the client certificate ${certFile}, which `
      + (pastEndOf('certFile', certFile) || 'one of its authorities must have signed')
    : 'the server asks for a client certificate, and none is given'
  return { reason: 'TLS_CLIENT_CERTIFICATE', what }
}

function nameFault(error: unknown): string {
  const { reason } = error as { reason?: string }
  const names = / altnames: (.*)$/.exec(reason ?? '')?.[1]
  const host = /^(?:Host: |IP: )(.*?)\.? is not/.exec(reason ?? '')?.[1] ?? 'this host'
  return `the server's certificate is not made out to ${host}${names ? `, but to ${names}` : ''}`
}

export function textOf(error: unknown): string {
  const { message, code, chainedError } = (error ?? {}) as
    { message?: string; code?: string; chainedError?: unknown }
  if (chainedError) return textOf(chainedError)
  // OpenSSL's are "803C…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:…".
  const [, openSsl] = /^[0-9A-F]+:error:[0-9A-F]+:[^:]*:[^:]*:([^:]*)/.exec(message ?? '') ?? []
  return (openSsl ?? message)?.trim().replace(/^'(.*)'$/, '$1').replace(/\.$/, '')
    || code || String(error)
}

type Name = (setting: 'servers' | 'user' | 'password' | 'token' | 'credsFile' | 'nkeySeedFile'
  | 'caFile' | 'certFile' | 'keyFile' | 'tlsFirst' | 'inboxPrefix') => string

/**
 * What helps.
 * @param name how a setting is called where the reader gives it: as a flag, or an option
 */
export function connectRemedy({ reason, setting }: ConnectFault, name: Name): string {
  switch (reason) {
    case 'UNREACHABLE': return `Is a NATS server running there? Another one: ${name('servers')}`
    case 'NOT_NATS': return 'Name the port that a NATS server has for clients, 4222 as a rule: '
      + name('servers')
    case 'SERVER_REFUSES': return 'Its log says more; limits are in its configuration.'
    case 'CREDENTIALS_MISSING': return `Give ${name('credsFile')}, ${name('nkeySeedFile')}, `
      + `${name('token')}, or ${name('user')} with ${name('password')}.`
    case 'CREDENTIALS_REFUSED': return 'Compare them with the `authorization` (or the accounts) of '
      + 'the server, whose log says more.'
    case 'CREDENTIALS_EXPIRED': return 'Have new ones made, with a later end.'
    case 'CREDENTIALS_FILE': return 'Correct the path, who may read it, or what it holds: '
      + name(setting ?? 'credsFile')
    case 'TLS_UNTRUSTED': return 'Name the certificate of the authority that signed it: '
      + name('caFile')
    case 'TLS_EXPIRED': return 'Have it renewed; if it is valid, set the clock of this machine.'
    case 'TLS_NAME': return `Dial one of its names (${name('servers')}), or have a certificate `
      + 'made for this one.'
    case 'TLS_CLIENT_CERTIFICATE': return `Give one that it trusts: ${name('certFile')} and `
      + `${name('keyFile')}.`
    case 'TLS_NOT_OFFERED': return 'Give the server `tls` in its configuration; or leave out '
      + `tls://, ${name('caFile')}, ${name('certFile')} and ${name('tlsFirst')}.`
    case 'TLS_HANDSHAKE': return 'The log of the server says more.'
    case 'FORBIDDEN': return 'Allow this user to subscribe there, or name a prefix that it may '
      + `listen below: ${name('inboxPrefix')}`
    case 'FAILED': return 'The log of the server says more.'
  }
}
