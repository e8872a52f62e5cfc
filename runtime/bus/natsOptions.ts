/** Options of a NATS connection. */
export interface TlsOptions {
  /** PEM files. Without `caFile` the system's authorities are trusted. */
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  /** The server expects TLS before its greeting (nats-server 2.10 `handshake_first`). */
  readonly handshakeFirst?: boolean | undefined
}

/** Give at most one way to authenticate; files are read again at each connect. */
export interface NatsOptions {
  /** `nats://host:port`, or several separated by commas; `tls://` requires TLS. */
  readonly servers: string
  /** Shown in the server's list of connections. Default `engram`. */
  readonly name?: string
  readonly user?: string
  readonly password?: string
  readonly token?: string
  /** A `.creds` file: JWT and seed. */
  readonly credsFile?: string
  /** A file that holds an nkey seed, and nothing else. */
  readonly nkeySeedFile?: string
  readonly tls?: TlsOptions
  /**
   * Prefix of the subjects of answers. Default `_INBOX`; nodes have one of their own by default.
   */
  readonly inboxPrefix?: string
  /** Default 500. A hung server is noticed after 2 to 3 intervals (with `maxPingOut` 2). */
  readonly pingIntervalMs?: number
  /** Pings without an answer before the connection counts as stale. Default 2. */
  readonly maxPingOut?: number
  /** For each server: greeting, and then connecting. Default 2,000. */
  readonly connectTimeoutMs?: number
}
