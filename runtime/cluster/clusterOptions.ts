import type { NatsOptions } from '../bus/natsOptions.js'

/** A broker that already runs, as each role connects to it. */
export interface ForeignBroker {
  readonly operator: NatsOptions
  readonly node: NatsOptions
  /** Flags about it on the command line, except for its URL. */
  readonly flags: readonly string[]
}

export interface ClusterOptions {
  /** Ids of the nodes. */
  readonly nodes: readonly string[]
  readonly data: string
  /** A broker that already runs; without it a private one is started. */
  readonly nats: ForeignBroker | null
  readonly natsPort: number
  /** Take a higher port if that one is busy. */
  readonly stepOver: boolean
  readonly auth: boolean
  /** Start a node again that has died. */
  readonly restart: boolean
  /** For `engram chaos`: operators may kill actors, and each node connects to the private broker
   * through a proxy that can be cut. */
  readonly chaos: boolean
  readonly config: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** Shows a line to the operator, as it happens. */
  readonly show: (line: string) => void
  /** The start is given up when it returns true. */
  readonly isInterrupted: () => boolean
}
