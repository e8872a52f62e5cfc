/** A NATS server for a suite, and a stand-in for a node for each of its tests. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'nats'
import type { NatsConnection } from 'nats'
import type { Test } from 'uvu'
import { startNatsServer } from '../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../runtime/cluster/natsServer.js'
import { Responder } from './responder.js'

export class ResponderKit {
  /** Working directory of the commands; removed at the end. */
  readonly cwd = mkdtempSync(join(tmpdir(), 'engram-responder-'))
  server!: NatsServer
  nats!: NatsConnection
  node!: Responder

  constructor(test: Test) {
    test.before(async () => {
      this.server = await startNatsServer({ storeDir: join(this.cwd, 'nats') })
      this.nats = await connect({ servers: this.server.url })
    })
    test.after(async () => {
      await this.nats.close()
      await this.server.stop()
      rmSync(this.cwd, { recursive: true, force: true })
    })
    test.before.each(async () => {
      this.node = new Responder(this.nats).start()
      await this.nats.flush()
    })
    test.after.each(() => this.node.stop())
  }

  /** Directory and environment of a command line. */
  get surroundings() {
    return { cwd: this.cwd, env: { ENGRAM_NATS_URL: this.server.url } }
  }
}
