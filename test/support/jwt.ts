/** A NATS operator with accounts and users, whose JWTs the server knows of no other way. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { nkeys } from 'nats'
import type { Role } from '../../runtime/bus/roles.js'
import { repositoryFile } from '../../runtime/system/paths.js'

type KeyPair = ReturnType<typeof nkeys.createUser>

export interface Permissions {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
}

/** The permissions of a role, as in nats.conf. */
export function shippedPermissions(role: Role): Permissions {
  const conf = readFileSync(repositoryFile('nats.conf'), 'utf8').replaceAll(/^\s*#.*$/gm, '')
  const block = new RegExp(`${role.toUpperCase()} = \\{([\\s\\S]*?)\\n  \\}`).exec(conf)?.[1] ?? ''
  const allowed = (what: string): string[] => {
    const list = new RegExp(`${what}: \\{\\s*allow: \\[([^\\]]*)\\]`).exec(block)?.[1] ?? ''
    return [...list.matchAll(/"([^"]+)"/g)].map(([, subject = '']) => subject)
  }
  const permissions = { publish: allowed('publish'), subscribe: allowed('subscribe') }
  if (permissions.publish.length === 0) throw new Error(`nats.conf has no role ${role}`)
  return permissions
}

export class JwtOperator {
  readonly #operator = nkeys.createOperator()
  readonly #account = nkeys.createAccount()
  readonly #system = nkeys.createAccount()

  /** Lines for the configuration of a server that trusts this operator. */
  config(): string {
    const unlimited = {
      subs: -1,
      data: -1,
      payload: -1,
      imports: -1,
      exports: -1,
      wildcards: true,
      conn: -1,
      leaf: -1,
      mem_storage: -1,
      disk_storage: -1,
      streams: -1,
      consumer: -1,
    }
    const account = (key: KeyPair, limits: object) =>
      token(this.#operator, {
        sub: key.getPublicKey(),
        name: 'account',
        nats: { limits, type: 'account', version: 2 },
      })
    const { mem_storage: _m, disk_storage: _d, ...plain } = unlimited
    const operator = token(this.#operator, {
      sub: this.#operator.getPublicKey(),
      name: 'operator',
      nats: { type: 'operator', version: 2 },
    })
    return [
      `operator: ${operator}`,
      `system_account: ${this.#system.getPublicKey()}`,
      'resolver: MEMORY',
      'resolver_preload: {',
      `  ${this.#account.getPublicKey()}: ${account(this.#account, unlimited)}`,
      `  ${this.#system.getPublicKey()}: ${account(this.#system, plain)}`,
      '}',
      '',
    ].join('\n')
  }

  /**
   * The text of a `.creds` file.
   * @param expiresAtS seconds since 1970
   */
  creds(permissions: Permissions, expiresAtS?: number): string {
    const user = nkeys.createUser()
    const { publish, subscribe } = permissions
    const jwt = token(this.#account, {
      sub: user.getPublicKey(),
      name: 'somebody',
      ...(expiresAtS ? { exp: expiresAtS } : {}),
      nats: {
        pub: { allow: publish },
        sub: { allow: subscribe },
        subs: -1,
        data: -1,
        payload: -1,
        type: 'user',
        version: 2,
      },
    })
    return [
      '-----BEGIN NATS USER JWT-----',
      jwt,
      '------END NATS USER JWT------',
      '',
      '-----BEGIN USER NKEY SEED-----',
      Buffer.from(user.getSeed()).toString(),
      '------END USER NKEY SEED------',
      '',
    ].join('\n')
  }
}

/** A JWT as NATS wants it: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/jwt */
function token(issuer: KeyPair, claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const unnamed = { iat: Math.floor(Date.now() / 1000), iss: issuer.getPublicKey(), ...claims }
  const jti = createHash('sha256').update(JSON.stringify(unnamed)).digest('hex')
  const text = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part({ jti, ...unnamed })}`
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString('base64url')}`
}
