/** Signals that ask a server to end, heard from the first moment of its process on. */
export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/** The first one asks, a second one insists. */
export class EndSignals {
  /** Resolves with the first one. */
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

/** The commands that serve until they are told to end, and the signals that tell them. */
const servers: Readonly<Record<string, readonly EndSignal[]>> = {
  up: ['SIGINT', 'SIGTERM', 'SIGHUP'],
  node: ['SIGINT', 'SIGTERM'],
}

let heard: EndSignals | null = null

/** Begins to listen if that command is a server; called before anything else is loaded. */
export function listenEarly(command: string | undefined): void {
  const names = servers[command ?? '']
  if (names) heard = new EndSignals(names)
}

/** What has been heard since the start of the process. */
export function endSignals(command: 'up' | 'node'): EndSignals {
  return heard ??= new EndSignals(servers[command] ?? [])
}
