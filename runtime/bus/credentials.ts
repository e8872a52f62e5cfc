/**
 * Checks of credential files before they are used. The nats package treats a certificate without a
 * key, or a file without a certificate in it, as none, and reports neither the path nor the cause.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { credsAuthenticator, nkeyAuthenticator, nkeys } from 'nats'
import type { Authenticator } from 'nats'
import type { NatsOptions } from './natsOptions.js'

export type CredentialFile = 'caFile' | 'certFile' | 'keyFile' | 'credsFile' | 'nkeySeedFile'

/** A credential file that does not exist, cannot be read, or has unsuitable contents. */
export class CredentialFileError extends Error {
  constructor(
    readonly file: CredentialFile,
    readonly path: string,
    readonly why: string,
    cause?: unknown,
  ) {
    super(`${path} ${why}`, { cause })
    this.name = 'CredentialFileError'
  }
}

/** @throws CredentialFileError for the first file that cannot be used */
export function checkFiles(options: NatsOptions): void {
  const { caFile, certFile, keyFile } = options.tls ?? {}
  if (caFile) certificateIn('caFile', caFile)
  const certificate = certFile ? certificateIn('certFile', certFile) : null
  const key = keyFile ? keyIn(keyFile) : null
  if (certificate && !keyFile) {
    throw new CredentialFileError('certFile', certFile!, 'needs a private key beside it')
  }
  if (key && !certFile) {
    throw new CredentialFileError('keyFile', keyFile!, 'needs a certificate beside it')
  }
  if (certificate && key && !certificate.checkPrivateKey(key)) {
    throw new CredentialFileError('keyFile', keyFile!, `is not the key of ${certFile}`)
  }
  if (options.credsFile) credsIn(options.credsFile)
  if (options.nkeySeedFile) seedIn(options.nkeySeedFile)
}

/** Reads its file again at each connect, since credentials are renewed while a process runs. */
export function authenticatorOf(options: NatsOptions): Authenticator | null {
  const { credsFile, nkeySeedFile } = options
  if (credsFile) return renewed(() => credsIn(credsFile), credsAuthenticator)
  if (nkeySeedFile) return renewed(() => seedIn(nkeySeedFile), nkeyAuthenticator)
  return null
}

/** A file that cannot be read at a reconnect is no failure: its former contents may still do. */
function renewed(
  read: () => Uint8Array,
  make: (contents: () => Uint8Array) => Authenticator,
): Authenticator {
  let known = read()
  return make(() => {
    try {
      known = read()
    } catch {
      // The server judges the former contents.
    }
    return known
  })
}

/** When the JWT or the certificate in a file expires; null: it does not say. */
export function endOf(file: CredentialFile, path: string): Date | null {
  try {
    const text = readFileSync(path, 'utf8')
    if (file === 'certFile') return new Date(new X509Certificate(text).validTo)
    const [, claims = ''] = /^([\w-]+\.[\w-]+\.[\w-]+)$/m.exec(text)?.[1]?.split('.') ?? []
    const { exp } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { exp?: number }
    return exp ? new Date(exp * 1000) : null
  } catch {
    return null
  }
}

function contents(file: CredentialFile, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new CredentialFileError(file, path, whyUnreadable(error as NodeJS.ErrnoException), error)
  }
}

function whyUnreadable({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ENOENT':
      return 'does not exist'
    case 'EACCES':
      return 'cannot be read by this user (permission denied)'
    case 'EISDIR':
      return 'is a directory'
    default:
      return `cannot be read: ${message}`
  }
}

function certificateIn(file: CredentialFile, path: string): X509Certificate {
  const pem = contents(file, path)
  const none = (cause?: unknown) =>
    new CredentialFileError(file, path, 'holds no certificate in PEM', cause)
  // X509Certificate would also take DER, which TLS does not.
  if (!pem.includes('-----BEGIN ')) throw none()
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw none(error)
  }
}

function keyIn(path: string): KeyObject {
  const pem = contents('keyFile', path)
  // OpenSSL would ask for the passphrase on the terminal.
  if (/^(-----BEGIN|Proc-Type:).*ENCRYPTED/m.test(pem.toString('latin1'))) {
    throw new CredentialFileError(
      'keyFile',
      path,
      'is encrypted: use a key without a passphrase',
    )
  }
  try {
    return createPrivateKey(pem)
  } catch (error) {
    throw new CredentialFileError('keyFile', path, 'holds no private key in PEM', error)
  }
}

function credsIn(path: string): Uint8Array {
  const text = new Uint8Array(contents('credsFile', path))
  try {
    credsAuthenticator(text)('nonce')
    return text
  } catch (error) {
    throw new CredentialFileError(
      'credsFile',
      path,
      'does not hold a JWT and a seed, as a credentials file does',
      error,
    )
  }
}

function seedIn(path: string): Uint8Array {
  const seed = new Uint8Array(
    Buffer.from(contents('nkeySeedFile', path).toString('utf8').trim()),
  )
  try {
    if (nkeys.fromSeed(seed).getPublicKey().startsWith('U')) return seed
  } catch (error) {
    throw new CredentialFileError('nkeySeedFile', path, 'does not hold an nkey seed (SU…)', error)
  }
  throw new CredentialFileError('nkeySeedFile', path, 'holds a seed that is not of a user (SU…)')
}
