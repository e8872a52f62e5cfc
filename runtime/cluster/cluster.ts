/**
 * A cluster on this machine: a broker, and each node its own process, as `engram up` runs it.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from '../client/client.js'
import type { EngramClient } from '../client/client.js'
import { AdminError } from '../client/errors.js'
import { ownerOf } from '../journal/directoryOwner.js'
import type { ClusterSpace, ClusterStatus } from '../status/status.js'
import { startBroker } from './broker.js'
import type { Broker } from './broker.js'
import { watchBroker } from './brokerWatch.js'
import type { ClusterOptions } from './clusterOptions.js'
import { Link } from './faultProxy.js'
import { keepSmall } from './logFiles.js'
import { NodeProcess, here } from './nodeProcess.js'
import type { NodeDeath } from './nodeProcess.js'
import { runnerOf } from './processes.js'

/** The cluster did not start in time, or a part of it died. The message says where to look. */
export class ClusterStartError extends Error {
  readonly code = 'CLUSTER_START'
  constructor(message: string, readonly remedy: string | null = null) {
    super(message)
    this.name = 'ClusterStartError'
  }
}

const readyMs = 30_000
const primaryMs = 15_000
/** Time that `createSpace` gives replicas to join before the cluster counts as ready. */
const inSyncMs = 3000
const pollMs = 50
const stopAllMs = 15_000
const deathsMax = 100
/** Time to wait for the nodes of an earlier `engram up` that are just ending. */
const releaseMs = 3000
/** Interval of checks whether a node that is down was started by hand. */
const adoptMs = 500

/** A node process that ended without a command. */
export interface UnorderedDeath {
  readonly node: string
  readonly pid: number
  /** For example "exit code 1", "SIGKILL". */
  readonly how: string
  /** Since 1970. */
  readonly atMs: number
}

type ClusterParts = Pick<Cluster, 'broker' | 'client' | 'links' | 'nodes' | 'options'>

export class Cluster {
  #stopping = false
  /** All nodes have run. A node that dies before that fails the start, which reports it. */
  #isUp = false
  /** Nodes that were stopped by a command, and stay down until a command starts them. */
  readonly #held = new Set<NodeProcess>()
  readonly #deaths: UnorderedDeath[] = []
  readonly #endWatches: (() => void)[]
  #adopting: NodeJS.Timeout | undefined

  readonly options: ClusterOptions
  readonly broker: Broker
  readonly client: EngramClient
  readonly nodes: readonly NodeProcess[]
  /** By node; empty without links. */
  readonly links: ReadonlyMap<string, Link>

  private constructor({ options, broker, client, nodes, links }: ClusterParts) {
    this.options = options
    this.broker = broker
    this.client = client
    this.nodes = nodes
    this.links = links
    const logs = [...nodes.map((node) => node.log), ...(broker.logFile ? [broker.logFile] : [])]
    this.#endWatches = [keepSmall(logs)]
    if (broker.pid === null) return
    const { data, show } = options
    this.#endWatches.push(watchBroker({ broker, client, data, show }))
  }

  /**
   * Starts broker and nodes and waits until all nodes run.
   * @throws ClusterStartError; then nothing is left running
   */
  static async start(options: ClusterOptions): Promise<Cluster> {
    mkdirSync(join(options.data, 'logs'), { recursive: true })
    await directoriesFree(options)
    const broker = await startBroker(options)
    let client: EngramClient
    try {
      goOn(options)
      client = await connect({ ...broker.nats, name: 'engram-up' })
      if (options.nats) {
        await namesFree(options, client).catch(async (error: unknown) => {
          await client.close()
          throw error
        })
      }
    } catch (error) {
      await broker.stop()
      throw error
    }
    const links = await linksOf(options, broker)
    const chaos = options.chaos || broker.pid !== null
    const env = { ...options.env, ...broker.env, ...(chaos ? { ENGRAM_CHAOS: '1' } : {}) }
    const nodes = options.nodes.map((id) =>
      new NodeProcess({
        id,
        data: join(options.data, id),
        log: join(options.data, 'logs', `${id}.log`),
        url: links.get(id)?.url ?? broker.url,
        env,
        config: options.config,
        natsFlags: broker.flags,
      })
    )
    const cluster = new Cluster({ options, broker, client, nodes, links })
    void broker.exited?.then((how) => cluster.#brokerDied(how))
    try {
      goOn(options)
      for (const node of nodes) cluster.#startNode(node)
      await cluster.#allRunning()
      cluster.#isUp = true
      cluster.#adopting = setInterval(() => void cluster.#adopt(), adoptMs)
      return cluster
    } catch (error) {
      if (options.isInterrupted()) await cluster.stop()
      else await cluster.kill()
      throw error
    }
  }

  status(): Promise<ClusterStatus> {
    return this.client.status()
  }

  /**
   * Creates the space unless it exists, and waits for its primary.
   * @throws ClusterStartError, AdminError (it exists with other settings)
   */
  async ensureSpace(space: string, replicas: number): Promise<ClusterSpace> {
    await this.#createSpace(space, replicas)
    const named = (status: ClusterStatus): ClusterSpace | undefined =>
      status.spaces.find((found) =>
        found.id === space && found.primary !== null
        && found.members.some((m) => m.role === 'primary')
      )
    const found = await this.#poll(primaryMs, named)
    if (!found) {
      throw new ClusterStartError(`the space ${space} has no primary after ${primaryMs / 1000} s; `
        + `the logs are in ${join(this.options.data, 'logs')}`)
    }
    return await this.#poll(inSyncMs, (status) => {
      const now = named(status)
      return now && now.inSync.length >= now.rf ? now : undefined
    }) ?? found
  }

  /** Tries again while running nodes have not heard of each other yet. */
  async #createSpace(space: string, replicas: number): Promise<void> {
    const minInSync = Math.min(2, replicas + 1)
    for (const giveUpAt = performance.now() + primaryMs;;) {
      try {
        await this.client.admin(
          { type: 'createSpace', space, replicas, ack: 'durable', minInSync },
        )
        return
      } catch (error) {
        const again = error instanceof AdminError && error.retryable && performance.now() < giveUpAt
        if (!again) throw error
        await new Promise((resolve) => setTimeout(resolve, pollMs))
      }
    }
  }

  /**
   * Ids of nodes on this broker that are not part of this cluster: they answer, or hold a space.
   * @throws AdminError
   */
  async others(): Promise<string[]> {
    const { spaces } = await this.client.listSpaces()
    const known = [
      ...(await this.status()).nodes.map(({ id }) => id),
      ...spaces.flatMap(({ members }) => members),
    ]
    return [...new Set(known)].filter((id) => !this.options.nodes.includes(id)).toSorted()
  }

  /** @throws Error when there is no such node */
  nodeOf(id: string): NodeProcess {
    const node = this.nodes.find((one) => one.id === id)
    if (node) return node
    throw new Error(`there is no node ${id} here; there is ${this.options.nodes.join(', ')}`)
  }

  /** The latest 100 ends of node processes without a command. */
  get deaths(): readonly UnorderedDeath[] {
    return this.#deaths
  }

  /** Sends SIGKILL, and starts the same node after that time. Resolves once it is started. */
  async bounceNode(node: NodeProcess, downMs: number): Promise<void> {
    await this.killNode(node)
    await new Promise((resolve) => setTimeout(resolve, downMs))
    this.startNode(node)
  }

  /** Sends SIGKILL; the node stays down until `startNode`, whatever `restart` says. */
  async killNode(node: NodeProcess): Promise<void> {
    this.#held.add(node)
    await node.end()
  }

  /** Sends SIGTERM: the node hands over and ends; it stays down until `startNode`. */
  async stopNode(node: NodeProcess): Promise<void> {
    this.#held.add(node)
    await node.stop(stopAllMs)
  }

  /** Starts a node that is down; does nothing if it runs. */
  startNode(node: NodeProcess): void {
    this.#held.delete(node)
    if (!this.#stopping && node.pid === null) this.#startNode(node)
  }

  /** Stops the nodes one after the other, with handovers, then the broker. Idempotent. */
  async stop(): Promise<void> {
    await this.#end()
    const giveUpAt = performance.now() + stopAllMs
    // One at a time: a handover needs another node.
    for (const node of this.nodes) await node.stop(Math.max(1000, giveUpAt - performance.now()))
    await this.client.close()
    await this.broker.stop()
    for (const link of this.links.values()) link.close()
  }

  /** Kills everything at once. */
  async kill(): Promise<void> {
    await this.#end()
    for (const node of this.nodes) node.kill()
    await Promise.all(this.nodes.map((node) => node.stop(1000)))
    await this.client.close()
    await this.broker.kill()
    for (const link of this.links.values()) link.close()
  }

  /** Ends nodes that were started by hand, too. */
  async #end(): Promise<void> {
    clearInterval(this.#adopting)
    for (const end of this.#endWatches) end()
    const isFirst = !this.#stopping
    this.#stopping = true
    if (isFirst) await this.#adopt()
  }

  #startNode(node: NodeProcess): void {
    node.start((death) => this.#died(node, death))
  }

  /** Takes over nodes that are down here but run: started with `engram node`. */
  async #adopt(): Promise<void> {
    for (const node of this.nodes) {
      if (node.state !== 'stopped') continue
      const runner = await runnerOf(node.id, node.options.data).catch(() => null)
      if (!runner || node.state !== 'stopped') continue
      node.adopt(runner, (death) => this.#died(node, death))
      this.#held.delete(node)
      this.options.show(`${node.id} runs again (pid ${runner.pid}), started by hand: it stops with `
        + 'the others.')
    }
  }

  #died(node: NodeProcess, death: NodeDeath): void {
    if (!this.#isUp || this.#stopping || this.#held.has(node)) return
    const { show, restart } = this.options
    this.#deaths.push({ node: node.id, pid: death.pid, how: death.how, atMs: Date.now() })
    if (this.#deaths.length > deathsMax) this.#deaths.shift()
    // Ended on request (drain, SIGTERM): nobody wants it started again.
    const isRequested = death.how === 'exit code 0'
    const who = `${node.id} (pid ${death.pid})`
    show(isRequested
      ? `${who} has stopped, as requested.`
      // The cause is unknown for a process that is no child; its log is not here either.
      : death.how === 'ended'
      ? `${who} has ended.`
      : `${who} has died: ${death.how}. Its log: ${node.log}`)
    if (isRequested || !restart) {
      show(`It stays down. Start it again with:\n  ${node.command}`)
      return
    }
    const pauseMs = node.restartPauseMs()
    show(`Starting it again in ${pauseMs} ms (--restart).`)
    setTimeout(() => {
      if (!this.#held.has(node)) this.startNode(node)
    }, pauseMs)
  }

  #brokerDied(how: string): void {
    if (this.#stopping) return
    this.options.show(`${how}: nothing is served without it. Stop with Ctrl-C and start again; `
      + `its log: ${join(this.options.data, 'logs', 'nats.log')}`)
  }

  async #allRunning(): Promise<void> {
    const missing = new Set<string>()
    const done = await this.#poll(readyMs, (status) => {
      goOn(this.options)
      const dead = this.nodes.find((node) => node.death)
      if (dead) {
        throw new ClusterStartError(`${dead.id} did not start (${dead.death?.how}): `
          + `${dead.lastWords()}\n  Its log: ${dead.log}`)
      }
      missing.clear()
      for (const node of this.nodes) {
        const seen = status.nodes.find((one) => one.id === node.id)
        // Another process with this id may answer while ours is being refused.
        if (seen?.state === 'running' && seen.pid === node.pid) node.http = seen.http
        else missing.add(node.id)
      }
      return missing.size === 0 ? true : undefined
    })
    if (done) return
    throw new ClusterStartError(`${[...missing].join(', ')} not running after ${readyMs / 1000} s; `
      + `the logs are in ${join(this.options.data, 'logs')}`)
  }

  async #poll<T>(ms: number, found: (status: ClusterStatus) => T | undefined): Promise<T | null> {
    const giveUpAt = performance.now() + ms
    for (;;) {
      const value = found(await this.client.status())
      if (value !== undefined) return value
      if (performance.now() > giveUpAt) return null
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }
}

/** @throws ClusterStartError when the start was interrupted */
function goOn({ isInterrupted }: ClusterOptions): void {
  if (isInterrupted()) throw new ClusterStartError('interrupted')
}

/**
 * Waits a moment until no process holds the data directory of a node.
 * @throws ClusterStartError that names process and directory
 */
async function directoriesFree(options: ClusterOptions): Promise<void> {
  const giveUpAt = performance.now() + releaseMs
  for (;;) {
    goOn(options)
    const owners = await Promise.all(
      options.nodes.map((id) => ownerOf(join(options.data, id))),
    )
    const taken = owners.filter((owner) => owner !== null)
    if (taken.length === 0) return
    if (performance.now() > giveUpAt) {
      const which = taken.map(({ directory, owner }) =>
        `  ${here(directory)}: process ${owner?.pid ?? 'unknown'}`
      ).join('\n')
      const pids = taken.flatMap(({ owner }) => owner?.pid ?? [])
      throw new ClusterStartError(
        `nodes run already on data directories of this cluster:\n${which}`,
        `Stop them first: kill ${pids.join(' ')}\n  Or choose another --data DIR.`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}

/**
 * Checks for nodes with these ids on the broker; otherwise each node would be refused, and would
 * say so only in its own log.
 */
async function namesFree({ nodes }: ClusterOptions, client: EngramClient): Promise<void> {
  // Nodes that only other nodes know have no pid.
  const living = (await client.status()).nodes
    .filter(({ id, pid }) => nodes.includes(id) && pid !== null).map(({ id }) => id)
  if (living.length === 0) return
  throw new ClusterStartError(
    `${living.join(', ')} ${living.length === 1 ? 'runs' : 'run'} on that NATS server already, `
      + `and engram up names its nodes ${nodes.join(', ')}`,
    'Stop them first; or start further nodes one by one: engram node --id NAME --nats URL '
      + '--data DIR',
  )
}

/** Only the private broker is known to be one server, without TLS, on this machine. */
async function linksOf(options: ClusterOptions, broker: Broker): Promise<Map<string, Link>> {
  if (!options.chaos || broker.pid === null) return new Map()
  const open = options.nodes.map(async (id) => [id, await Link.open(broker.url)] as const)
  return new Map(await Promise.all(open))
}
