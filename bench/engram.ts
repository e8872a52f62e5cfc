/**
 * The product under measurement: `engram up` with its own nats-server and node processes, and what
 * a benchmark does to them (kill, pause, start again), each by its own pid.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { NatsConnection } from 'nats'
import type { SpaceSettings } from '../machines/protocol/messages.js'
import { Operator } from '../runtime/client/operator.js'
import { mergeStatus } from '../runtime/status/mergeStatus.js'
import type { ClusterSpace, MemberStatus, NodeStatusReport } from '../runtime/status/status.js'
import type { Counts, Pids } from './account.js'
import { openConnection } from './inbox.js'
import { childrenOf } from './proc.js'
import { freePort, Proc, temporaryDirectory } from './processes.js'
import type { Target } from './target.js'

/** Compiled code of this checkout. */
const ownDist = fileURLToPath(new URL('..', import.meta.url))
const cliFileIn = (dist: string): string => join(dist, 'runtime', 'cli', 'main.js')
const readyMs = 60_000
const stopGraceMs = 20_000
const pollMs = 50

interface Ready {
  readonly ready: true
  readonly nats: string
  readonly http: string
  readonly nodes: readonly { id: string; pid: number; http: string }[]
}

export interface EngramOptions {
  readonly space: string
  readonly nodes: number
  readonly replicas: number
  /** The build that is started; default this one's. */
  readonly dist?: string
  /** Flags of Node for all of its processes. */
  readonly nodeFlags?: readonly string[]
  /** Options of its nodes. */
  readonly config?: Readonly<Record<string, number>>
}

/** A member's status, with the node that reported it. */
export interface MemberView extends MemberStatus {
  readonly node: string
}

export class EngramCluster {
  readonly #pids: Map<string, number>
  readonly #paused = new Set<number>()
  readonly #restarted = new Map<string, Proc>()
  readonly #data = new Map<string, string>()
  readonly #operator: Operator
  readonly #broker: readonly number[]

  private constructor(
    readonly options: EngramOptions,
    readonly up: Proc,
    readonly url: string,
    /** Address of the page of the whole cluster. */
    readonly http: string,
    readonly connection: NatsConnection,
    ready: Ready,
  ) {
    this.#pids = new Map(ready.nodes.map((node) => [node.id, node.pid]))
    this.#operator = new Operator(connection, '_INBOX')
    this.#broker = childrenOf(up.pid).filter(({ name }) => name === 'nats-server')
      .map(({ pid }) => pid)
    // A paused process of ours must not outlive us, however we end.
    process.on('exit', () => this.#continueAll())
  }

  static async start(options: EngramOptions): Promise<EngramCluster> {
    const cliFile = cliFileIn(options.dist ?? ownDist)
    if (!existsSync(cliFile)) throw new Error(`${cliFile} is not there: npm run build`)
    const up = new Proc(process.execPath, [
      ...options.nodeFlags ?? [],
      cliFile,
      'up',
      ...configFlags(options),
      '--json',
      '--nodes',
      String(options.nodes),
      '--space',
      options.space,
      '--replicas',
      String(options.replicas),
      '--data',
      join(temporaryDirectory('engram'), 'data'),
      '--nats-port',
      String(await freePort()),
      '--http',
      '127.0.0.1:0',
    ], { label: 'engram up', graceMs: stopGraceMs })
    const ready = JSON.parse(await up.line(readyMs)) as Ready
    const connection = await openConnection(ready.nats, 'bench operator')
    const cluster = new EngramCluster(
      options,
      up,
      ready.nats,
      ready.http,
      connection,
      ready,
    )
    await cluster.awaitInSync()
    return cluster
  }

  get target(): Target {
    const subject = `engram.v1.write.${this.options.space}`
    return {
      name: 'engram',
      endpoint: { url: this.url, subject, okPrefix: '{"ok":true' },
      pids: () => this.#pidsByRole(),
      batches: () => this.#flushes(),
      stop: () => this.stop(),
    }
  }

  /** Process ids of `engram up`, which serves the page, and of the nodes that run. */
  get pids(): number[] {
    return [this.up.pid, ...this.#pids.values()]
  }

  async reports(): Promise<NodeStatusReport[]> {
    const reports = await this.#operator.reports()
    for (const { node } of reports) this.#data.set(node.id, node.data)
    return reports
  }

  /** Another space, with as many replicas; all its members are in sync when it resolves. */
  async createSpace(space: string, settings: Partial<SpaceSettings>): Promise<void> {
    const { replicas } = this.options
    await this.#operator.admin({
      type: 'createSpace',
      space,
      replicas,
      ack: 'durable',
      minInSync: Math.min(2, replicas + 1),
      ...settings,
    })
    await this.awaitInSync(space)
  }

  /** The space as its primary sees it; undefined while no node knows it. */
  async space(id = this.options.space): Promise<ClusterSpace | undefined> {
    return mergeStatus(await this.reports()).spaces.find((space) => space.id === id)
  }

  async members(): Promise<MemberView[]> {
    return (await this.reports()).flatMap((report) =>
      report.spaces
        .filter((member) => member.space === this.options.space)
        .map((member) => ({ ...member, node: report.node.id }))
    )
  }

  /** Waits until there is a primary and all members are in sync with it. */
  async awaitInSync(
    id = this.options.space,
    timeoutMs = 60_000,
  ): Promise<{ primary: string; epoch: number }> {
    const deadline = performance.now() + timeoutMs
    const count = Math.min(this.options.nodes, this.options.replicas + 1)
    for (;;) {
      const space = await this.space(id)
      if (space?.primary && space.inSync.length === count
        && space.members.every((member) => member.epoch === space.epoch))
      {
        return { primary: space.primary, epoch: space.epoch }
      }
      if (performance.now() > deadline) {
        throw new Error(`not all in sync within ${timeoutMs} ms: ${JSON.stringify(space)}`
          + `\n${this.up.errors()}`)
      }
      await delay(pollMs)
    }
  }

  dataOf(id: string): string {
    const data = this.#data.get(id)
    if (data === undefined) throw new Error(`${id} has never reported its data directory`)
    return data
  }

  /** kill -9. Time of the kill by `performance.now()`. */
  kill(id: string): number {
    const at = performance.now()
    this.#signal(id, 'SIGKILL')
    return at
  }

  pause(id: string): number {
    this.#paused.add(this.#pid(id))
    const at = performance.now()
    this.#signal(id, 'SIGSTOP')
    return at
  }

  resume(id: string): void {
    this.#paused.delete(this.#pid(id))
    this.#signal(id, 'SIGCONT')
  }

  pidOf(id: string): number {
    return this.#pid(id)
  }

  /** Starts a killed node as an operator would. */
  async restart(id: string): Promise<void> {
    await this.#restarted.get(id)?.exited
    const child = new Proc(process.execPath, [
      ...this.options.nodeFlags ?? [],
      cliFileIn(this.options.dist ?? ownDist),
      'node',
      ...configFlags(this.options),
      '--id',
      id,
      '--nats',
      this.url,
      '--data',
      this.dataOf(id),
      '--http',
      '127.0.0.1:0',
      '--json',
    ], { label: `engram node ${id}`, graceMs: stopGraceMs })
    this.#restarted.set(id, child)
    this.#pids.set(id, child.pid)
    await child.line(readyMs)
  }

  async stop(): Promise<void> {
    this.#continueAll()
    await this.connection.close()
    await Promise.all([...this.#restarted.values()].map((child) => child.stop()))
    await this.up.stop()
  }

  async #pidsByRole(): Promise<Pids> {
    const { primary } = await this.awaitInSync()
    const replicas = [...this.#pids].filter(([id]) => id !== primary).map(([, pid]) => pid)
    return {
      primary: [this.#pid(primary)],
      replicas,
      broker: this.#broker,
      up: [this.up.pid],
    }
  }

  /** Flushes of the journals so far: each is one batch of a node. */
  async #flushes(): Promise<Counts> {
    const reports = await this.reports()
    const primary = mergeStatus(reports).spaces
      .find((space) => space.id === this.options.space)?.primary
    const counts = { primary: 0, replicas: 0 }
    for (const { node } of reports) {
      counts[node.id === primary ? 'primary' : 'replicas'] += node.journal?.flush ?? NaN
    }
    return counts
  }

  #pid(id: string): number {
    const pid = this.#pids.get(id)
    if (pid === undefined || pid <= 0) throw new Error(`no pid of ${id}`)
    return pid
  }

  #signal(id: string, signal: NodeJS.Signals): void {
    process.kill(this.#pid(id), signal)
  }

  #continueAll(): void {
    for (const pid of this.#paused) {
      try {
        process.kill(pid, 'SIGCONT')
      } catch {
        // Ended meanwhile.
      }
    }
    this.#paused.clear()
  }
}

/** A file of the options, for those that are not the defaults. */
function configFlags({ config }: EngramOptions): string[] {
  if (!config) return []
  const file = join(temporaryDirectory('config'), 'engram.json')
  writeFileSync(file, JSON.stringify(config))
  return ['--config', file]
}

export async function startEngram(
  space: string,
  more: Pick<EngramOptions, 'dist' | 'nodeFlags' | 'config'> = {},
): Promise<EngramCluster> {
  return await EngramCluster.start({ space, nodes: 3, replicas: 2, ...more })
}

/** Runs a command of the CLI to its end; what it prints is JSON. */
export async function askCli(args: readonly string[]): Promise<unknown> {
  const child = new Proc(
    process.execPath,
    [cliFileIn(ownDist), ...args, '--json'],
    { label: args.join(' ') },
  )
  const lines: string[] = []
  try {
    for (;;) lines.push(await child.line(15_000))
  } catch (error) {
    // The end of its output; nothing at all is a failure.
    if (lines.length === 0) throw error
  } finally {
    await child.stop()
  }
  return JSON.parse(lines.join('\n'))
}
