import type { NatsOptions } from '../bus/natsOptions.js'

/** A broker that runs already, as each role connects to it. */
export interface ForeignBroker {
  readonly operator: NatsOptions
  readonly node: NatsOptions
  /** What was said of it on the command line, beside where it is. */
  readonly flags: readonly string[]
}

export interface ClusterOptions {
  /** Ids of the nodes. */
  readonly nodes: readonly string[]
  readonly data: string
  /** A broker that runs already; without it a private one is started. */
  readonly nats: ForeignBroker | null
  readonly natsPort: number
  /** Take a higher port when that one is busy. */
  readonly stepOver: boolean
  readonly auth: boolean
  /** Start a node again that has died. */
  readonly restart: boolean
  /** For `engram chaos`: nodes let operators kill actors, and a link that can be cut leads to each
   * from the private broker. */
  readonly chaos: boolean
  readonly config: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** What an operator wants to read, as it happens. */
  readonly tell: (line: string) => void
  /** Gives up the start when it turns true. */
  readonly isInterrupted: () => boolean
}
