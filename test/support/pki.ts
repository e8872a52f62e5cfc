/** Certificates made by openssl, for servers and clients that must (not) trust each other. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface KeyPair {
  /** PEM files. */
  readonly certFile: string
  readonly keyFile: string
}

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export class Pki {
  readonly directory = mkdtempSync(join(tmpdir(), 'engram-pki-'))

  /** A certificate that signs itself; of an authority if it has no names. */
  selfSigned(name: string, names = ''): KeyPair {
    const extension = names ? `subjectAltName=${names}` : 'basicConstraints=critical,CA:TRUE'
    const made = this.#files(name)
    this.#openssl(['req', '-x509', ...curve, '-keyout', made.keyFile, '-out', made.certFile,
      '-days', '30', '-subj', `/CN=${name}`, '-addext', extension])
    return made
  }

  /**
   * @param names `DNS:localhost,IP:127.0.0.1`
   * @param ended valid in the year 2020 only
   */
  signed(authority: KeyPair, name: string, names: string, ended = false): KeyPair {
    const made = this.#files(name)
    const request = join(this.directory, `${name}.csr`)
    this.#openssl(['req', ...curve, '-keyout', made.keyFile, '-out', request, '-subj',
      `/CN=${name}`])
    // Among openssl's commands, this one alone takes both dates in every version.
    const config = this.#file(`${name}.cnf`, [
      '[ca]',
      'default_ca = own',
      '[own]',
      'default_md = sha256',
      'policy = any',
      `database = ${this.#file(`${name}.db`, '')}`,
      `new_certs_dir = ${this.directory}`,
      'rand_serial = yes',
      'x509_extensions = leaf',
      '[any]',
      'commonName = supplied',
      '[leaf]',
      `subjectAltName = ${names}`,
      '',
    ].join('\n'))
    const dates = ended
      ? ['20200101000000Z', '20201231000000Z']
      : ['20200101000000Z', '20990101000000Z']
    this.#openssl(['ca', '-batch', '-notext', '-config', config, '-in', request, '-out',
      made.certFile, '-cert', authority.certFile, '-keyfile', authority.keyFile, '-startdate',
      dates[0] ?? '', '-enddate', dates[1] ?? ''])
    return made
  }

  /** The same key, under a passphrase. */
  locked({ keyFile }: KeyPair): string {
    const out = `${keyFile}.locked`
    this.#openssl(['pkey', '-in', keyFile, '-aes256', '-passout', 'pass:secret', '-out', out])
    return out
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  #files(name: string): KeyPair {
    return {
      certFile: join(this.directory, `${name}.pem`),
      keyFile: join(this.directory, `${name}.key`),
    }
  }

  #file(name: string, text: string): string {
    const path = join(this.directory, name)
    writeFileSync(path, text)
    return path
  }

  #openssl(args: readonly string[]): void {
    const { status, stderr, error } = spawnSync('openssl', args, { encoding: 'utf8' })
    if (status === 0) return
    throw new Error(`openssl ${args.join(' ')}: ${error?.message ?? stderr}`)
  }
}

/** The `tls` block of a nats-server; with an authority, clients must have a certificate of it. */
export function tlsBlock({ certFile, keyFile }: KeyPair, clients?: KeyPair): string {
  return ['tls {', `  cert_file: "${certFile}"`, `  key_file: "${keyFile}"`,
    ...(clients ? [`  ca_file: "${clients.certFile}"`, '  verify: true'] : []), '  timeout: 2', '}',
    ''].join('\n')
}
