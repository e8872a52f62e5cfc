/** One node of the cluster: the actors of actors/, on real NATS, files, LMDB and clocks. */
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { NodeActor } from '../../actors/node/node.js'
import type { NodeActorOptions } from '../../actors/node/nodeParameters.js'
import type { OpenArbiter } from '../../actors/ports/arbiter.js'
import { BusConnectError } from '../../actors/ports/bus.js'
import type { Bus } from '../../actors/ports/bus.js'
import { defaultSettings } from '../../actors/ports/defaultSettings.js'
import type { ActorSettings } from '../../actors/ports/defaultSettings.js'
import type { Random, Telemetry } from '../../actors/ports/system.js'
import { jetStreamArbiter } from '../arbiter/jetstream.js'
import { natsBus } from '../bus/nats.js'
import type { NatsOptions } from '../bus/nats.js'
import { createClientCodec } from '../codec/clientCodec.js'
import { controlCodec } from '../codec/controlCodec.js'
import { createFrameCodec } from '../codec/frames.js'
import type { MergeRules } from '../config/mergeRules.js'
import { checkAgainstServer } from '../config/options.js'
import type { Config } from '../config/options.js'
import { createActorHost } from '../host/index.js'
import type { ActorHostRuntime } from '../host/index.js'
import { createMetrics } from '../http/metrics.js'
import type { Metrics } from '../http/metrics.js'
import { nodeRoutes } from '../http/nodeRoutes.js'
import { startHttpServer } from '../http/server.js'
import type { HttpServer } from '../http/server.js'
import { pageLink, tokenGuard } from '../http/token.js'
import { EventFile } from '../inspect/eventFile.js'
import { NodeRecorder } from '../inspect/recorder.js'
import { InspectionService } from '../inspect/service.js'
import { eventsRoute } from '../inspect/sse.js'
import { Traffic } from '../inspect/traffic.js'
import { DataDirectory } from '../journal/dataDirectory.js'
import { ownDirectory } from '../journal/directoryOwner.js'
import { ClusterLink } from '../page/server/clusterLink.js'
import { PageHub } from '../page/server/hub.js'
import { limitsOf, pageRoutes } from '../page/server/routes.js'
import type { PageOptions } from '../page/server/routes.js'
import type { NodeStatusReport } from '../status/status.js'
import { openCheckpoints } from '../checkpoint/checkpoints.js'
import { openStore } from '../store/store.js'
import { SystemClock } from '../system/clock.js'
import { NodeFileSystem } from '../system/fileSystem.js'
import type { Log } from '../system/logger.js'
import { SystemRandom } from '../system/random.js'
import { shared } from '../system/slices.js'
import { version } from '../system/version.js'
import { Report } from './report.js'

export interface NodeHttpOptions {
  /** `host:port`. */
  readonly address: string
  /** Required, except for health and metrics; null: none. */
  readonly token: string | null
  /** Texts of contexts, including memories, may be shown on the page. */
  readonly inspectPayloads: boolean
}

export interface NodeOptions {
  readonly id: string
  readonly data: string
  readonly nats: NatsOptions
  readonly config: Config
  readonly log: Log
  /** Resolves with a reason when the node should stop, even while it starts. */
  readonly stopRequested: Promise<string>
  /** Operators may kill single actors. */
  readonly chaos: boolean
  /** Do not start a node that the arbiter knows with an empty data directory. */
  readonly requiresData: boolean
  /** Failure domain, such as a rack; null: none. */
  readonly zone: string | null
  /** null: no HTTP server. */
  readonly http: NodeHttpOptions | null
  /** Rules of spaces that do not use the default rule. */
  readonly mergeRules: MergeRules
  /** Answers to clients go to subjects below these. */
  readonly replyPrefixes: readonly string[]
}

/** Shortest interval between two reads of the metrics, and of the status, over HTTP. */
const metricsEveryMs = 1000
const statusEveryMs = 200

export interface RunningNode {
  /** URL for a browser, with the token; null without HTTP. */
  readonly page: string | null
  status(): Omit<NodeStatusReport, 'spaces'>
  /** Exit code of the process. */
  readonly finished: Promise<number>
}

/** The node ended before it was running; the message has cause and remedy. */
export class NodeStartError extends Error {
  readonly code = 'NODE_START'
  constructor(message: string) {
    super(message)
    this.name = 'NodeStartError'
  }
}

const notStarted = (id: string, reason: string): NodeStartError =>
  new NodeStartError(`node ${id} could not start: ${reason.replace(/^cannot start: /, '')}`)

/** Rejects with NodeStartError, HttpListenError. Resolves once the node is connected. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { id, config, log: { logger, sink } } = options
  const data = resolve(options.data)
  const [clock, random] = [new SystemClock(), new SystemRandom()]
  let http: HttpServer | null = null
  const report = new Report({
    actor: () => node,
    id,
    data,
    version,
    http: () => http?.url ?? null,
    startedAtMs: clock.monotonicMs(),
    nowMs: () => clock.monotonicMs(),
  })
  // Shared by all requests within that time.
  const whole = shared(() => report.whole(), statusEveryMs)
  const metrics = createMetrics(whole)
  const { telemetry } = metrics
  sink.onDropped = (lines) => telemetry.count('logLinesDropped', lines)
  const [finished, running] = [deferred<number>(), deferred<void>()]
  const host = hostOf(options, clock, telemetry, () => node)
  const traffic = new Traffic()
  const events = new NodeRecorder({ node: id, clock })
  const inspection = new InspectionService({
    node: id,
    clock,
    logger,
    host,
    traffic,
    events,
    incarnation: () => node.context?.wire.life.incarnation ?? 0,
    serving: () => node.context,
  })
  const node: NodeActor = new NodeActor({
    process: { node: id, pid: process.pid, hostname: hostname(), data, version,
      zone: options.zone },
    cleanStopMs: config.stopMs,
    allowsChaos: options.chaos,
    settings: settingsOf(config),
    ports: portsOf(options, { clock, random, telemetry, host, events, traffic }),
    requiresData: options.requiresData,
    boot: directoryOf(options, data, random, events, (error) => node.fatal(error)),
    status: report,
    replyPrefixes: options.replyPrefixes,
    program: {
      onRunning: () => running.resolve(),
      onExit: (code, reason) => {
        running.reject(notStarted(id, reason))
        void Promise.allSettled([http?.close(), events.close()]).then(() => finished.resolve(code))
      },
      onConnection: (connection) => {
        inspection.attach(connection)
        if (connection) host.attachBus(connection)
        else host.detachBus()
      },
    },
  })
  if (options.http !== null) {
    const sources = { whole, metrics, feed: inspection.feed }
    http = await serve(options, options.http, sources, node)
  }
  node.start()
  void options.stopRequested.then((reason) => node.drain(reason))
  await running.promise
  const page = http === null ? null : pageLink(http.url, options.http?.token ?? null)
  logger.info({ pid: process.pid, http: http?.url ?? null, data, version }, `${id} is ready`)
  return { status: () => report.head(), page, finished: finished.promise }
}

function hostOf(
  { id, log: { logger } }: NodeOptions,
  clock: SystemClock,
  telemetry: Telemetry,
  node: () => NodeActor,
): ActorHostRuntime {
  return createActorHost({
    node: id,
    clock,
    logger,
    telemetry,
    incarnation: () => node().context?.self.incarnation ?? 0,
    onEscalation: (error) => node().fatal(error),
  })
}

interface HttpSources {
  readonly whole: () => Promise<NodeStatusReport>
  readonly metrics: Metrics
  readonly feed: InspectionService['feed']
}

/** Serves status, metrics and the page, and gives the node its address. */
async function serve(
  options: NodeOptions,
  at: NodeHttpOptions,
  { whole, metrics, feed }: HttpSources,
  node: NodeActor,
): Promise<HttpServer> {
  const bytes = shared(() => metrics.bytes(), metricsEveryMs)
  const state = () => ({ state: node.state, reason: node.stateReason })
  const routes = nodeRoutes(whole, { ...metrics, bytes }, state)
  const all = { ...routes, '/events': eventsRoute(feed) }
  const http = await listen(options, at, all, metrics.telemetry)
  node.servesHttp(http.url)
  return http
}

/** Parts of the process that its node shares with others. */
interface Shared {
  readonly clock: SystemClock
  readonly random: SystemRandom
  readonly telemetry: Telemetry
  readonly host: ActorHostRuntime
  readonly events: NodeRecorder
  readonly traffic: Traffic
}

function portsOf(
  { id, nats, config, mergeRules, log: { logger } }: NodeOptions,
  { traffic, ...parts }: Shared,
): NodeActorOptions['ports'] {
  const bus = checkedBus(natsBus({ ...nats, name: `engram ${id}` }, logger), config)
  return {
    ...parts,
    logger,
    bus: traffic.over(bus),
    openArbiter: arbiterOf(config),
    frames: createFrameCodec(),
    clients: createClientCodec(),
    control: controlCodec(),
    mergeRules,
  }
}

function directoryOf(
  { id, config, log: { logger } }: NodeOptions,
  directory: string,
  random: Random,
  events: NodeRecorder,
  onDamage: (error: Error) => void,
): DataDirectory {
  return new DataDirectory({
    beforeRecovery: async () =>
      events.begin(await EventFile.open({
        path: join(directory, 'events.ndjson'),
        logger,
        nowMs: () => performance.now(),
      })),
    beforeClose: () => events.close(),
    directory,
    node: id,
    fileSystem: new NodeFileSystem(),
    random,
    logger,
    segmentBytes: config.segmentBytes,
    own: () => ownDirectory(directory, id),
    openCheckpoints: (of) =>
      openCheckpoints({ ...of, fileSystem: new NodeFileSystem(), random, nowMs: Date.now }),
    openStore: async (path) => {
      const store = await openStore(path, {
        onDamage: (reason) => onDamage(new Error(`the store's file is damaged: ${reason}`)),
        logger,
      })
      if (store.discarded !== null) {
        logger.warn({}, `the store is rebuilt from the journal: ${store.discarded}`)
      }
      return store
    },
  })
}

/** A promise with the functions that settle it. */
function deferred<T>() {
  let resolve: (value: T) => void = () => undefined
  let reject: (error: Error) => void = () => undefined
  const promise = new Promise<T>((resolvePromise, rejectPromise) => {
    resolve = resolvePromise
    reject = rejectPromise
  })
  return { promise, resolve, reject }
}

/** Starts the HTTP server: page (read-only), status, metrics, health. */
async function listen(
  options: NodeOptions,
  http: NodeHttpOptions,
  routes: PageOptions['routes'],
  telemetry: Telemetry,
): Promise<HttpServer> {
  const { id, config, log: { logger }, nats } = options
  const { address, token, inspectPayloads: payloads } = http
  const hub = new PageHub({
    start: { source: 'node', node: id, playground: false, payloads, ...limitsOf(config) },
    onSkipped: () => telemetry.count('pageFramesSkipped'),
    link: (feed) =>
      new ClusterLink({
        nats: { ...nats, name: `engram page of ${id}` },
        payloads,
        feed,
        onFault: (fault) => logger.warn({ fault }, 'the page cannot show everything'),
      }),
  })
  const server = await startHttpServer({
    address,
    ...pageRoutes({ hub, payloads, routes, perform: null }),
    ...(token === null ? {} : { guard: tokenGuard(token, () => server.port) }),
    onError: (error, path) => logger.warn({ error, path }, 'an HTTP request failed'),
  })
  const close = async (): Promise<void> => {
    await Promise.all([hub.close(), server.close()])
  }
  return { url: server.url, port: server.port, close }
}

function arbiterOf({ arbiterReplicas: replicas, casTimeoutMs: timeoutMs }: Config): OpenArbiter {
  return jetStreamArbiter({ replicas, timeoutMs })
}

/** Refuses a server whose messages are too small for our frames, with the reason. */
function checkedBus(bus: Bus, config: Config): Bus {
  return {
    connect: async () => {
      const connection = await bus.connect()
      try {
        checkAgainstServer(config, connection.maxPayload)
      } catch (error) {
        await connection.close()
        throw new BusConnectError((error as Error).message, false, error)
      }
      return connection
    },
  }
}

function settingsOf(config: Config): ActorSettings {
  return {
    ...defaultSettings,
    heartbeatMs: config.heartbeatMs,
    probeMs: config.probeMs,
    grantMs: config.grantMs,
    grantMargin: config.grantMargin,
    surveyMs: config.surveyMs,
    standByMs: config.standByMs,
    inSyncLagMs: config.inSyncLagMs,
    stallMs: config.stallMs,
    casTimeoutMs: config.casTimeoutMs,
    frameBytesMax: config.frameBytesMax,
    flushBytesMax: config.flushBytes,
    windowBytes: config.streamWindowBytes,
    unflushedBytesMax: config.unflushedBytesMax,
    overlayBytesMax: config.overlayBytesMax,
    ackTimeoutMs: config.ackTimeoutMs,
    readWaitMs: config.readWaitMs,
    readQueueBytes: config.readQueueBytes,
    readQueueMs: config.readQueueMs,
    lagAlertBytes: config.lagAlertBytes,
    lagAlertMs: config.lagAlertMs,
    heldBytesMax: config.handoverHoldBytes,
    memoryBytes: config.memoryBytes,
    checkpointBytes: config.checkpointBytes,
    checkpointRatio: config.checkpointRatio,
    retainBytes: config.retainBytes,
    removedKeepMs: config.removedKeepMs,
    replaceAfterMs: config.replaceAfterMs,
    autoBalance: config.autoBalance,
    balanceAfterMs: config.balanceAfterMs,
    installBytesPerSecond: config.installBytesPerSecond,
  }
}
