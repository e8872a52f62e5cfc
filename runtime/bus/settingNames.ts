/** Names of the NATS settings: flag, variable and field of the config file. */

interface NatsSetting {
  /** As commander takes it; null: secrets have no flag, since every user sees command lines. */
  readonly flag: string | null
  readonly variable: string
  readonly doc: string
}

/** By name of the field in the config file's `nats`. */
export const natsSettings = {
  servers: {
    flag: '--nats <url>',
    variable: 'ENGRAM_NATS_URL',
    doc: 'NATS server, or several separated by commas; tls:// requires TLS',
  },
  user: { flag: '--nats-user <name>', variable: 'ENGRAM_NATS_USER', doc: 'user name' },
  password: { flag: null, variable: 'ENGRAM_NATS_PASSWORD', doc: 'password of that user' },
  passwordFile: {
    flag: '--nats-password-file <file>',
    variable: 'ENGRAM_NATS_PASSWORD_FILE',
    doc: 'file that holds the password',
  },
  token: { flag: null, variable: 'ENGRAM_NATS_TOKEN', doc: 'token, instead of a user' },
  tokenFile: {
    flag: '--nats-token-file <file>',
    variable: 'ENGRAM_NATS_TOKEN_FILE',
    doc: 'file that holds the token',
  },
  credsFile: {
    flag: '--nats-creds <file>',
    variable: 'ENGRAM_NATS_CREDS',
    doc: 'credentials file: a JWT and its seed',
  },
  nkeySeedFile: {
    flag: '--nats-nkey <file>',
    variable: 'ENGRAM_NATS_NKEY',
    doc: 'file that holds an nkey seed',
  },
  authFile: {
    flag: '--nats-auth <file>',
    variable: 'ENGRAM_NATS_AUTH',
    doc: 'file of passwords by role, as `engram up --auth` writes it',
  },
  caFile: {
    flag: '--nats-ca <file>',
    variable: 'ENGRAM_NATS_CA',
    doc: 'PEM file of the trusted authorities, instead of the system\'s',
  },
  certFile: {
    flag: '--nats-cert <file>',
    variable: 'ENGRAM_NATS_CERT',
    doc: 'PEM file of the client certificate, with --nats-key',
  },
  keyFile: {
    flag: '--nats-key <file>',
    variable: 'ENGRAM_NATS_KEY',
    doc: 'PEM file of its private key',
  },
  tlsFirst: {
    flag: '--nats-tls-first',
    variable: 'ENGRAM_NATS_TLS_FIRST',
    doc: 'start TLS before the server\'s greeting (for a server with handshake_first)',
  },
  inboxPrefix: {
    flag: '--nats-inbox-prefix <prefix>',
    variable: 'ENGRAM_NATS_INBOX_PREFIX',
    doc: 'prefix of the subjects for answers (default: _INBOX_node for a node, else _INBOX)',
  },
} as const satisfies Record<string, NatsSetting>

export type NatsSettingName = keyof typeof natsSettings

/** `--nats-ca or ENGRAM_NATS_CA`: the names of a setting for people. */
export function shownName(name: NatsSettingName): string {
  const { flag, variable } = natsSettings[name]
  return flag === null ? variable : `${flag.split(' ')[0]} (${variable})`
}
