/** Signals that end a server, caught from the start of its process. */
export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/** The first signal asks for an orderly end, the second ends at once. */
export class EndSignals {
  /** Resolves with the first signal. */
  readonly first: Promise<EndSignal>
  readonly second: Promise<EndSignal>
  seen = 0
  #resolveFirst: (signal: EndSignal) => void = () => {}
  #resolveSecond: (signal: EndSignal) => void = () => {}

  constructor(names: readonly EndSignal[]) {
    this.first = new Promise((resolve) => (this.#resolveFirst = resolve))
    this.second = new Promise((resolve) => (this.#resolveSecond = resolve))
    for (const name of names) {
      process.on(name, () => {
        this.seen += 1
        if (this.seen === 1) this.#resolveFirst(name)
        else this.#resolveSecond(name)
      })
    }
  }
}

/** Commands that run until they are ended, and the signals that end them. */
const servers: Readonly<Record<string, readonly EndSignal[]>> = {
  up: ['SIGINT', 'SIGTERM', 'SIGHUP'],
  node: ['SIGINT', 'SIGTERM'],
}

let early: EndSignals | null = null

/** Starts to listen if the command is a server. Called before anything else is loaded. */
export function listenEarly([command, subcommand]: readonly string[]): void {
  // `engram node list` and the like are over soon, and no servers.
  const isOther = command === 'node' && subcommand !== undefined && !subcommand.startsWith('-')
  const names = isOther ? undefined : servers[command ?? '']
  if (names) early = new EndSignals(names)
}

/** Signals since the start of the process. */
export function endSignals(command: 'up' | 'node'): EndSignals {
  return early ??= new EndSignals(servers[command] ?? [])
}
