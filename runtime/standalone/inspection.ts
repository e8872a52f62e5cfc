/** The inspection stream of an actor host that belongs to no Engram node, for `engram inspect`. */
import { Answers } from '../../actors/messaging/answers.js'
import { NodeConnection } from '../../actors/messaging/connection.js'
import type { BusConnection } from '../../actors/ports/bus.js'
import type { Clock, Logger, Telemetry } from '../../actors/ports/system.js'
import { WorkQueue } from '../../actors/structures/workQueue.js'
import { natsDefaults } from '../bus/options.js'
import { createClientCodec } from '../codec/clientCodec.js'
import type { ActorHostRuntime } from '../host/index.js'
import { NodeRecorder } from '../inspect/recorder.js'
import { InspectionService } from '../inspect/service.js'
import type { Traffic } from '../inspect/traffic.js'

export interface HostInspectionOptions {
  readonly node: string
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry | undefined
  readonly host: ActorHostRuntime
  readonly traffic: Traffic
  readonly incarnation: () => number
}

/** As for nodes: time of a turn of the event loop, bytes not yet taken, bytes of requests. */
const sliceMs = 3
const bufferedBytesMax = 1024 * 1024
const requestBytesMax = 4 * 1024 * 1024

const silent: Telemetry = { count: () => undefined, observe: () => undefined }

/** Costs nothing while nobody inspects. */
export class HostInspection {
  private readonly wire: NodeConnection
  private readonly service: InspectionService

  constructor(options: HostInspectionOptions) {
    const { clock, logger, node, telemetry = silent } = options
    const onFailed = (error: unknown): void =>
      logger.error({ error }, 'a step of the inspection failed')
    this.wire = new NodeConnection(options.incarnation(), logger, onFailed)
    const answers = new Answers({
      wire: this.wire,
      clients: createClientCodec(),
      clock,
      logger,
      telemetry,
      replyPrefixes: [natsDefaults.inboxPrefix],
    })
    const queue = new WorkQueue({
      clock,
      sliceMs,
      isCongested: () => this.wire.bufferedBytes > bufferedBytesMax,
      onFailed,
    })
    const status = queue.lane({ bytesMax: requestBytesMax, openMax: 1 })
    this.service = new InspectionService({
      ...options,
      events: new NodeRecorder({ node, clock }),
      serving: () => ({ answers, lanes: { status } }),
    })
  }

  attach(connection: BusConnection | null): void {
    if (connection === null) this.wire.detach()
    else this.wire.attach(connection, this.wire.life)
    this.service.attach(connection)
  }
}
