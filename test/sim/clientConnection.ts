import type { BusConnection } from '../../actors/ports/bus.js'
import type { SimCluster } from '../support/simCluster.js'

/** The part of a run's world that a connection needs. */
export interface ConnectedWorld {
  readonly cluster: SimCluster
  /** Runs `run` after `ms` of the world's time. */
  after(ms: number, run: () => void): void
}

/** A connection that is made anew when it is lost, as a client library does. */
export class ClientConnection {
  /** Counts connections: requests of one are logged in the order they arrived. */
  number = 0
  private connection: BusConnection | null = null

  constructor(
    private readonly world: ConnectedWorld,
    private readonly name: string,
    private readonly onConnected: (connection: BusConnection) => void = () => undefined,
  ) {
    this.connect()
  }

  get current(): BusConnection | null {
    return this.connection?.isClosed === false ? this.connection : null
  }

  private connect(): void {
    const { cluster } = this.world
    cluster.broker.bus().connect().then((connection) => {
      this.connection = connection
      this.number += 1
      cluster.owners.set(connection, { name: this.name, clock: null })
      this.onConnected(connection)
      void connection.closed.then(() => this.world.after(50, () => this.connect()))
    }, () => this.world.after(50, () => this.connect()))
  }
}
