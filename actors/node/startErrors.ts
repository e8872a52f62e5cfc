/** Another process has this node's id, or has taken it over. */
export class SupersededError extends Error {
  readonly code = 'SUPERSEDED'
  constructor(message: string) {
    super(message)
    this.name = 'SupersededError'
  }
}

/** The node must not start with this directory. */
export class StartRefusedError extends Error {
  readonly code = 'START_REFUSED'
  constructor(message: string) {
    super(message)
    this.name = 'StartRefusedError'
  }
}
