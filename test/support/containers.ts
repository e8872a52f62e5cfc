/**
 * A cluster of containers: nats-server and each node in one of its own, each node on a network of
 * its own that only the broker shares. For the suite in test/containers.
 */
import { spawnSync } from 'node:child_process'
import { appendFileSync, chownSync, cpSync, createWriteStream, existsSync,
  readFileSync } from 'node:fs'
import { join } from 'node:path'
import type Dockerode from 'dockerode'
import { GenericContainer, Network, Wait, getContainerRuntimeClient, type ContainerRuntimeClient,
  type StartedNetwork, type StartedTestContainer } from 'testcontainers'
import { listens } from './broker.js'
import { isAlive } from './child.js'
import type { BrokerHandle, NodeHandle, NodePlace, Parts } from './cluster.js'
import { atExit, freePort } from './environment.js'
import { buildImage, imageName, imageUser } from './image.js'
import { notYet, waitFor } from './wait.js'

/** By which a later run finds what a killed one has left. */
const ownerLabel = 'engram-test.pid'
const natsPort = 4222
const brokerAlias = 'nats'

let isSwept = false
const containers = new Set<string>()
const networks = new Set<string>()
atExit(() => {
  // The promises of testcontainers come too late here.
  if (containers.size > 0) spawnSync('docker', ['rm', '-fv', ...containers])
  if (networks.size > 0) spawnSync('docker', ['network', 'rm', ...networks])
})

/** The engine, or why there is none. Its helper container would come from a registry. */
export async function dockerEngine(): Promise<ContainerRuntimeClient | string> {
  process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true'
  try {
    const client = await getContainerRuntimeClient()
    if (!isSwept) await sweep(client.container.dockerode)
    isSwept = true
    return client
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function sweep(docker: Dockerode): Promise<void> {
  const left = await docker.listContainers({ all: true, filters: { label: [ownerLabel] } })
  for (const { Id, Labels } of left) {
    if (isAlive(Number(Labels[ownerLabel]))) continue
    await docker.getContainer(Id).remove({ force: true, v: true })
  }
}

/** Parts of a cluster in containers; makes the image first. */
export async function containerParts(
  client: ContainerRuntimeClient,
): Promise<Parts<ContainerBroker, ContainerNode>> {
  await buildImage(client)
  const docker = client.container.dockerode
  let broker: ContainerBroker | null = null
  return {
    broker: async (directory) => {
      broker = await ContainerBroker.start(docker, `${directory}.log`)
      return broker
    },
    node: (place) => {
      if (!broker) throw new Error('the broker comes before the nodes')
      return new ContainerNode(docker, place, broker)
    },
  }
}

/** One container over its stops and starts; its output goes to a file. */
class Running {
  #offset = 0

  constructor(
    readonly docker: Dockerode,
    readonly started: StartedTestContainer,
    readonly logFile: string,
  ) {
    containers.add(started.getId())
  }

  get container(): Dockerode.Container {
    return this.docker.getContainer(this.started.getId())
  }

  async follow(): Promise<void> {
    // Not what an earlier start has said.
    const since = Date.parse((await this.container.inspect()).State.StartedAt) / 1000
    this.#offset = existsSync(this.logFile) ? readFileSync(this.logFile).length : 0
    const stream = await this.container.logs({ follow: true, stdout: true, stderr: true, since })
    const file = createWriteStream(this.logFile, { flags: 'a' })
    this.docker.modem.demuxStream(stream, file, file)
    stream.once('end', () => file.end())
    stream.once('error', () => file.end())
  }

  /** The log of the present start. */
  log(): string {
    return existsSync(this.logFile)
      ? readFileSync(this.logFile).subarray(this.#offset).toString('utf8')
      : ''
  }

  async start(): Promise<void> {
    appendFileSync(this.logFile, `--- ${new Date().toISOString()} started again\n`)
    await this.container.start()
    await this.follow()
  }

  async remove(): Promise<void> {
    await this.container.remove({ force: true, v: true })
    containers.delete(this.started.getId())
  }
}

export function tailOf(file: string, lines: number): string {
  if (!existsSync(file)) return '(no log)'
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
}

/** Reached from this machine over a published port of 127.0.0.1. */
export class ContainerBroker implements BrokerHandle {
  private constructor(readonly running: Running, readonly port: number) {}

  static async start(docker: Dockerode, logFile: string): Promise<ContainerBroker> {
    const port = await freePort()
    const started = await new GenericContainer(imageName)
      .withEntrypoint(['/usr/local/bin/nats-server'])
      .withCommand(['-a', '0.0.0.0', '-p', String(natsPort), '-js', '-sd', '/data'])
      .withExposedPorts({ container: natsPort, host: port })
      .withLabels({ [ownerLabel]: String(process.pid) })
      // In place of the image's own, which asks a node.
      .withHealthCheck({ test: ['CMD', 'nats-server', '--version'], interval: 3_600_000 })
      .withWaitStrategy(Wait.forLogMessage('Server is ready'))
      .start()
    const broker = new ContainerBroker(new Running(docker, started, logFile), port)
    await broker.running.follow()
    await broker.#ready()
    return broker
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`
  }

  async #ready(): Promise<void> {
    await waitFor(`nats-server to listen on ${this.port}`, () => listens(this.port))
  }

  /** SIGKILL. */
  async crash(): Promise<void> {
    await this.running.container.kill()
  }

  async restart(): Promise<void> {
    await this.running.start()
    await this.#ready()
  }

  async kill(): Promise<void> {
    await this.running.remove()
  }

  tail(lines: number): string {
    return tailOf(this.running.logFile, lines)
  }

  keepLogs(to: string): void {
    cpSync(this.running.logFile, join(to, 'nats-server.log'))
  }
}

/** Its data directory is a directory of this machine, so that salvages can be read. */
export class ContainerNode implements NodeHandle {
  readonly id: string
  readonly data: string
  isRunning = false
  #network: StartedNetwork | null = null
  #running: Running | null = null

  constructor(
    readonly docker: Dockerode,
    readonly place: NodePlace,
    readonly broker: ContainerBroker,
  ) {
    this.id = place.id
    this.data = place.data
  }

  get running(): Running {
    if (!this.#running) throw new Error(`${this.id} was never started`)
    return this.#running
  }

  get where(): string {
    const id = this.#running?.started.getId().slice(0, 12) ?? 'none'
    return `container ${id}, ${this.isRunning ? 'running' : 'down'}`
  }

  logTail(lines: number): string {
    return tailOf(this.place.logFile, lines)
  }

  async start(): Promise<void> {
    if (this.#running) await this.#running.start()
    else await this.#create()
    this.isRunning = true
    await waitFor(`${this.id} to be ready`, () =>
      / is ready: /.test(this.running.log())
      || notYet(this.logTail(5)), { seconds: 30 })
  }

  async #create(): Promise<void> {
    this.#network = await new Network().start()
    networks.add(this.#network.getId())
    const broker = this.broker.running.started.getId()
    await this.docker.getNetwork(this.#network.getId())
      .connect({ Container: broker, EndpointConfig: { Aliases: [brokerAlias] } })
    const isRoot = process.getuid?.() === 0
    if (isRoot) chownSync(this.data, imageUser, imageUser)
    const container = new GenericContainer(imageName)
      .withNetwork(this.#network)
      .withNetworkAliases(this.id)
      .withEnvironment({
        ENGRAM_ID: this.id,
        ENGRAM_NATS_URL: `nats://${brokerAlias}:${natsPort}`,
      })
      .withBindMounts([{ source: this.data, target: '/data' }])
      .withLabels({ [ownerLabel]: String(process.pid) })
      .withWaitStrategy(Wait.forLogMessage(/./))
    // The data must be readable by this process afterwards.
    if (!isRoot) container.withUser(`${process.getuid?.()}:${process.getgid?.()}`)
    this.#running = new Running(this.docker, await container.start(), this.place.logFile)
    await this.#running.follow()
  }

  /** SIGKILL, as the engine gives it. */
  async crash(): Promise<void> {
    this.isRunning = false
    await this.running.container.kill()
  }

  /** SIGTERM to the first process of the container; its exit code. */
  async stop(seconds = 15): Promise<number> {
    await this.running.container.stop({ t: seconds })
    this.isRunning = false
    return (await this.running.container.inspect()).State.ExitCode
  }

  /** Every process of the container is frozen (cgroup freezer). */
  async pause(): Promise<void> {
    await this.running.container.pause()
  }

  async resume(): Promise<void> {
    await this.running.container.unpause()
  }

  /** Its interface is gone: no packet, and no end of a connection, reaches anybody. */
  async unplug(): Promise<void> {
    await this.network.disconnect({ Container: this.running.container.id })
  }

  /** Back on its network, maybe with another address. */
  async plug(): Promise<void> {
    await this.network.connect({
      Container: this.running.container.id,
      EndpointConfig: { Aliases: [this.id] },
    })
  }

  async health(): Promise<string> {
    return (await this.running.container.inspect()).State.Health?.Status ?? 'none'
  }

  private get network(): Dockerode.Network {
    if (!this.#network) throw new Error(`${this.id} was never started`)
    return this.docker.getNetwork(this.#network.getId())
  }

  /** For good: the container and its network are removed. */
  async kill(): Promise<void> {
    this.isRunning = false
    await this.#running?.remove()
    if (!this.#network) return
    const network = this.network
    const broker = this.broker.running.started.getId()
    await network.disconnect({ Container: broker, Force: true }).catch(() => undefined)
    await network.remove()
    networks.delete(this.#network.getId())
  }
}
