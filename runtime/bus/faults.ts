/** Causes of failed connections to NATS, with their remedies. */
import { ErrorCode } from 'nats'
import { BusConnectError } from '../../actors/ports/bus.js'
import { CredentialFileError, endOf } from './credentials.js'
import type { CredentialFile } from './credentials.js'
import type { ServerInfo } from './greeting.js'
import type { NatsOptions } from './natsOptions.js'

/** Stable names; `retryable`: trying again may help by itself. */
export const connectReasons = {
  /** Nobody listens, no route, no such host, no greeting in time. */
  UNREACHABLE: { retryable: true },
  /** Another program than a NATS server answers. */
  NOT_NATS: { retryable: true },
  /** It greets, but accepts no connection: it has too many, or shuts down. */
  SERVER_REFUSES: { retryable: true },
  /** It requires credentials, and none are given. */
  CREDENTIALS_MISSING: { retryable: false },
  /** It rejects the credentials that are given. */
  CREDENTIALS_REFUSED: { retryable: false },
  CREDENTIALS_EXPIRED: { retryable: false },
  /** A file of a certificate, key or credentials is missing, unreadable, or unsuitable. */
  CREDENTIALS_FILE: { retryable: false },
  /** The server's certificate is signed by no trusted authority; it may be self-signed. */
  TLS_UNTRUSTED: { retryable: false },
  TLS_EXPIRED: { retryable: false },
  /** The server's certificate is for other names than the one that was dialled. */
  TLS_NAME: { retryable: false },
  /** The server requires a client certificate: none is given, or it accepts another one only. */
  TLS_CLIENT_CERTIFICATE: { retryable: false },
  /** TLS is required here, but the server has none. */
  TLS_NOT_OFFERED: { retryable: false },
  TLS_HANDSHAKE: { retryable: false },
  /** These credentials lack a permission that everything else needs. */
  FORBIDDEN: { retryable: false },
  /** None of these. */
  FAILED: { retryable: true },
} as const

export type ConnectReason = keyof typeof connectReasons

export interface ConnectFault {
  readonly reason: ConnectReason
  /** The cause, without a remedy. */
  readonly what: string
  /** For CREDENTIALS_FILE: the setting that names the file. */
  readonly setting?: CredentialFile
}

/** The error for the log of a node and for a failed start; its message has the remedy. */
export class NatsConnectError extends BusConnectError {
  constructor(
    readonly server: string,
    readonly fault: ConnectFault,
    readonly remedy: string,
    cause?: unknown,
  ) {
    super(`cannot connect to NATS at ${server}: ${fault.what}. ${remedy}`,
      connectReasons[fault.reason].retryable, cause)
    this.name = 'NatsConnectError'
  }
}

/** The cause of a failed attempt, from `options` and the greeting `info` of the server. */
export function faultOf(
  error: unknown,
  options: NatsOptions,
  info: ServerInfo | null,
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

/** Code of the innermost error: of one that nats wraps, the one of Node or OpenSSL says more. */
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
          reason: 'CREDENTIALS_MISSING',
          what: 'it requires credentials, and none are given',
        }
      }
      const ended = credsFile ? pastEndOf('credsFile', credsFile) : ''
      if (ended) return { reason: 'CREDENTIALS_EXPIRED', what: `${credsFile} ${ended}` }
      const whose = credsFile ?? nkeySeedFile
        ?? (token ? 'a token' : `user ${user}${password ? '' : ', without a password'}`)
      return {
        reason: 'CREDENTIALS_REFUSED',
        what: `the server refuses these credentials (${whose})`,
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

/** "expired on …", if it has expired. */
function pastEndOf(file: 'credsFile' | 'certFile', path: string): string {
  const end = endOf(file, path)
  return end && end.getTime() < Date.now() ? `expired on ${end.toISOString()}` : ''
}

function tlsFault(
  error: unknown,
  code: string,
  options: NatsOptions,
  info: ServerInfo | null,
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
        reason: 'TLS_UNTRUSTED',
        what: code === 'DEPTH_ZERO_SELF_SIGNED_CERT'
          ? 'the server\'s certificate is self-signed'
          : `the server's certificate is signed ${by} (${textOf(error)})`,
      }
    }
    case ErrorCode.ServerOptionNotAvailable:
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return { reason: 'TLS_NOT_OFFERED', what: 'TLS is required, but the server has none' }
  }
  const asked = clientCertificateFault(code, options, info)
  if (asked) return asked
  const isTls = /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_)/.test(code) || code === ErrorCode.Tls
  return isTls
    ? { reason: 'TLS_HANDSHAKE', what: `the TLS handshake failed: ${textOf(error)}` }
    : null
}

/**
 * With TLS 1.3 a server checks the client's certificate after the handshake. It sends an alert,
 * which may be lost with the connection, or just ends the connection.
 */
function clientCertificateFault(
  code: string,
  options: NatsOptions,
  info: ServerInfo | null,
): ConnectFault | null {
  const isEnd = cutOff.test(code)
  const isAlert = /ALERT_(BAD_CERT|CERTIFICATE|UNKNOWN_CA|UNSUPPORTED_CERT)/.test(code)
  if (!isAlert && !(isEnd && info?.tls_verify)) return null
  const { certFile } = options.tls ?? {}
  const what = certFile
    ? `the server does not accept the client certificate ${certFile}, which `
      + (pastEndOf('certFile', certFile) || 'one of its authorities must have signed')
    : 'the server requires a client certificate, and none is given'
  return { reason: 'TLS_CLIENT_CERTIFICATE', what }
}

function nameFault(error: unknown): string {
  const { reason } = error as { reason?: string }
  const names = / altnames: (.*)$/.exec(reason ?? '')?.[1]
  const host = /^(?:Host: |IP: )(.*?)\.? is not/.exec(reason ?? '')?.[1] ?? 'this host'
  return `the server's certificate is not for ${host}${names ? `, but for ${names}` : ''}`
}

export function textOf(error: unknown): string {
  const { message, code, chainedError } = (error ?? {}) as { message?: string; code?: string;
    chainedError?: unknown }
  if (chainedError) return textOf(chainedError)
  // OpenSSL's are "803C…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:…".
  const [, openSsl] = /^[0-9A-F]+:error:[0-9A-F]+:[^:]*:[^:]*:([^:]*)/.exec(message ?? '') ?? []
  return (openSsl ?? message)?.trim().replace(/^'(.*)'$/, '$1').replace(/\.$/, '')
    || code || String(error)
}

type Name = (
  setting: 'servers' | 'user' | 'password' | 'token' | 'credsFile' | 'nkeySeedFile' | 'caFile'
    | 'certFile' | 'keyFile' | 'tlsFirst' | 'inboxPrefix',
) => string

/**
 * The remedy.
 * @param name how the reader gives a setting: the name of a flag, or of an option
 */
export function connectRemedy({ reason, setting }: ConnectFault, name: Name): string {
  switch (reason) {
    case 'UNREACHABLE':
      return 'Check that a NATS server runs there, or give another one: '
        + name('servers')
    case 'NOT_NATS':
      return 'Give the client port of a NATS server, usually 4222: '
        + name('servers')
    case 'SERVER_REFUSES':
      return 'See the log of the server, and the limits in its configuration.'
    case 'CREDENTIALS_MISSING':
      return `Give ${name('credsFile')}, ${name('nkeySeedFile')}, `
        + `${name('token')}, or ${name('user')} with ${name('password')}.`
    case 'CREDENTIALS_REFUSED':
      return 'Compare them with the `authorization` (or the accounts) of '
        + 'the server, and see its log.'
    case 'CREDENTIALS_EXPIRED':
      return 'Use credentials that have not expired.'
    case 'CREDENTIALS_FILE':
      return 'Correct the path, permissions or contents of the file: '
        + name(setting ?? 'credsFile')
    case 'TLS_UNTRUSTED':
      return 'Give the certificate of the authority that signed it: '
        + name('caFile')
    case 'TLS_EXPIRED':
      return 'Renew it; if it is valid, correct the clock of this machine.'
    case 'TLS_NAME':
      return `Use one of its names (${name('servers')}), or a certificate for `
        + 'this name.'
    case 'TLS_CLIENT_CERTIFICATE':
      return 'Give one that the server trusts: '
        + `${name('certFile')} and ${name('keyFile')}.`
    case 'TLS_NOT_OFFERED':
      return 'Add `tls` to the configuration of the server, or omit '
        + `tls://, ${name('caFile')}, ${name('certFile')} and ${name('tlsFirst')}.`
    case 'TLS_HANDSHAKE':
      return 'See the log of the server.'
    case 'FORBIDDEN':
      return 'Allow this user to subscribe there, or give another prefix: '
        + name('inboxPrefix')
    case 'FAILED':
      return 'See the log of the server.'
  }
}
