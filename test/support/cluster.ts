/** A cluster of real processes: the broker and each node is a child of its own, to be hurt. */
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { NatsConnection } from 'nats'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { MemberStatus, NodeStatusReport } from '../../runtime/status/status.js'
import { Broker } from './broker.js'
import { Child } from './child.js'
import { cli, cliHere, jsonOf } from './cli.js'
import { Client, connectTo, decodeBody, positive, type Reply } from './client.js'
import { cliFile, removeTemporary, temporaryDirectory } from './environment.js'
import { notYet, waitFor } from './wait.js'

export interface ClusterOptions {
  readonly label: string
  readonly nodes?: number
  readonly replicas?: number
  readonly ack?: AckLevel
  /** Data directories that lie elsewhere, by node id. */
  readonly data?: Readonly<Record<string, string>>
  /** URL that a node is given in place of the broker's, for links that the test cuts. */
  readonly urlOf?: (id: string, brokerUrl: string) => Promise<string>
  /** Options of every node, as `--set` takes them: `arbiterReplicas=3`. */
  readonly settings?: readonly string[]
  /** Configuration file of every node. */
  readonly config?: string
}

/** One nats-server or several, however they are run. */
export interface BrokerHandle {
  /** For clients: one URL, or several with commas between. */
  readonly url: string
  tail(lines: number): string
  keepLogs(to: string): void
  kill(): Promise<void>
}

/** One node, however it is run. */
export interface NodeHandle {
  readonly id: string
  /** The data directory, as this process sees it. */
  readonly data: string
  readonly isRunning: boolean
  /** The process as a reader of a failure should know it: pid, exit code. */
  readonly where: string
  logTail(lines: number): string
  start(): Promise<void>
  kill(): Promise<void>
}

export interface NodePlace {
  readonly id: string
  readonly data: string
  readonly logFile: string
  readonly url: string
  readonly settings: readonly string[]
  readonly config: string | undefined
}

/** The parts of a cluster: processes, or containers. */
export interface Parts<B extends BrokerHandle, N extends NodeHandle> {
  broker(directory: string): Promise<B>
  node(place: NodePlace): N
}

export type AnyCluster = Cluster<BrokerHandle, NodeHandle>

/** The node that serves the space, by its own answer to a read. */
export interface PrimaryEpoch {
  readonly node: string
  readonly epoch: number
}

export interface MemberView extends MemberStatus {
  readonly node: string
}

export const space = 'demo'

export class NodeProcess implements NodeHandle {
  child: Child | null = null
  readonly id: string
  readonly data: string

  constructor(readonly place: NodePlace) {
    this.id = place.id
    this.data = place.data
  }

  get isRunning(): boolean {
    return this.child !== null && this.child.exit === null
  }

  get pid(): number {
    return this.child?.pid ?? -1
  }

  get where(): string {
    return this.isRunning ? `pid ${this.pid}` : `down ${JSON.stringify(this.child?.exit ?? null)}`
  }

  logTail(lines: number): string {
    return this.child?.logTail(lines) ?? '(never started)'
  }

  /** Resolves when the node has printed its ready line, whatever that says. */
  async start(options: { awaitReady?: boolean; http?: string } = {}): Promise<void> {
    if (this.isRunning) throw new Error(`${this.id} runs already`)
    const child = this.spawn(options.http)
    this.child = child
    if (options.awaitReady !== false) await child.firstLine((line) => line || undefined, 30)
  }

  /** A process with this node's arguments that is not taken for the node itself. */
  spawn(http = '127.0.0.1:0', data = this.data): Child {
    return new Child({
      label: this.id,
      command: process.execPath,
      args: [
        cliFile,
        'node',
        '--id',
        this.id,
        '--nats',
        this.place.url,
        '--data',
        data,
        '--http',
        http,
        ...this.place.settings.flatMap((setting) => ['--set', setting]),
        ...(this.place.config === undefined ? [] : ['--config', this.place.config]),
      ],
      logFile: this.place.logFile,
    })
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.child?.kill()
  }

  pause(): void {
    this.child?.signal('SIGSTOP')
  }

  resume(): void {
    this.child?.signal('SIGCONT')
  }

  /** SIGTERM, and the end of the process. */
  async stop(seconds = 15): Promise<number | null> {
    const child = this.child
    if (!child) return null
    child.signal('SIGTERM')
    const exit = await waitFor(`${this.id} to end after SIGTERM`, () => child.exit, { seconds })
    return exit.code
  }

  wipe(): void {
    if (this.isRunning) throw new Error(`${this.id} runs: its data are not wiped`)
    rmSync(this.data, { recursive: true, force: true })
    mkdirSync(this.data, { recursive: true })
  }
}

const processes: Parts<Broker, NodeProcess> = {
  broker: (directory) => Broker.start(directory),
  node: (place) => new NodeProcess(place),
}

export class Cluster<B extends BrokerHandle = Broker, N extends NodeHandle = NodeProcess> {
  readonly nodes = new Map<string, N>()
  readonly #connections: NatsConnection[] = []

  private constructor(
    readonly options: ClusterOptions,
    readonly directory: string,
    readonly broker: B,
    readonly nc: NatsConnection,
    readonly client: Client,
  ) {}

  static start(options: ClusterOptions): Promise<Cluster> {
    return Cluster.of(processes, options)
  }

  static async of<B extends BrokerHandle, N extends NodeHandle>(
    parts: Parts<B, N>,
    options: ClusterOptions,
  ): Promise<Cluster<B, N>> {
    const directory = temporaryDirectory(options.label)
    const broker = await parts.broker(join(directory, 'broker'))
    const nc = await connectTo(broker.url, 'test harness')
    const cluster = new Cluster<B, N>(options, directory, broker, nc, new Client(nc, space))
    try {
      await cluster.#startNodes(parts)
      await cluster.#acquainted()
      await cluster.createSpace()
      return cluster
    } catch (error) {
      const text = `${error instanceof Error ? error.message : String(error)}\n`
        + await cluster.diagnosis()
      await cluster.dispose()
      throw new Error(text, { cause: error })
    }
  }

  async #startNodes(parts: Parts<B, N>): Promise<void> {
    const logs = join(this.directory, 'logs')
    mkdirSync(logs)
    const starts: Promise<void>[] = []
    for (let n = 1; n <= (this.options.nodes ?? 3); n += 1) {
      const id = `n${n}`
      const data = this.options.data?.[id] ?? join(this.directory, 'data', id)
      mkdirSync(data, { recursive: true })
      const url = await this.options.urlOf?.(id, this.broker.url) ?? this.broker.url
      const node = parts.node({
        id,
        data,
        url,
        logFile: join(logs, `${id}.log`),
        settings: this.options.settings ?? [],
        config: this.options.config,
      })
      this.nodes.set(id, node)
      starts.push(node.start())
    }
    await Promise.all(starts)
  }

  /** Only nodes that have heard of one another are chosen as members. */
  async #acquainted(): Promise<void> {
    await waitFor('all nodes to have heard of one another', async () => {
      const reports = await this.reports()
      for (const id of this.nodes.keys()) {
        for (const peer of this.nodes.keys()) {
          const state = reports.get(id)?.node.peers[peer]?.state
          if (peer !== id && state !== 'alive') notYet(`for ${id}, ${peer} is ${state}`)
        }
      }
      return true
    })
  }

  /** Makes the space and waits until all its members are in sync. */
  async createSpace(): Promise<void> {
    const replicas = this.options.replicas ?? 2
    await cliHere([
      'space',
      'create',
      space,
      '--replicas',
      String(replicas),
      '--ack',
      this.options.ack ?? 'durable',
      '--nats',
      this.broker.url,
      '--json',
    ])
    await this.primary()
    await this.inSync(replicas + 1)
  }

  node(id: string): N {
    const node = this.nodes.get(id)
    if (!node) throw new Error(`no node ${id} in this cluster`)
    return node
  }

  /** Nodes of this cluster besides the given ones, by id. */
  others(...ids: string[]): N[] {
    return [...this.nodes.values()].filter((node) => !ids.includes(node.id))
  }

  async connect(name: string): Promise<NatsConnection> {
    const connection = await connectTo(this.broker.url, name)
    this.#connections.push(connection)
    return connection
  }

  admin(id: string, body: object): Promise<Reply<{ ok: true }>> {
    return this.client.send(subjects.admin(id), Buffer.from(JSON.stringify(body)))
  }

  async report(id: string, timeoutMs = 1500): Promise<NodeStatusReport> {
    const message = await this.nc.request(subjects.status(id), Buffer.from('{}'), {
      timeout: timeoutMs,
    })
    return decodeBody(message.data) as NodeStatusReport
  }

  /** Reports of the nodes that answer. */
  async reports(timeoutMs = 1500): Promise<Map<string, NodeStatusReport>> {
    const found = new Map<string, NodeStatusReport>()
    await Promise.all([...this.nodes.values()].map(async ({ id, isRunning }) => {
      if (!isRunning) return
      const report = await this.report(id, timeoutMs).catch(() => null)
      if (report) found.set(id, report)
    }))
    return found
  }

  async member(id: string): Promise<MemberView> {
    const report = await this.report(id)
    const found = report.spaces.find((member) => member.space === space)
    if (!found) throw new Error(`${id} reports no space ${space}`)
    return { ...found, node: id }
  }

  async members(): Promise<MemberView[]> {
    const reports = await this.reports()
    return [...reports].flatMap(([node, report]) =>
      report.spaces.filter((member) => member.space === space)
        .map((member) => ({ ...member, node }))
    )
  }

  /** Waits until somebody serves the space; `above`: in a later epoch than that. */
  primary(
    wanted: { above?: number; by?: string; notBy?: string } = {},
    seconds = 20,
  ): Promise<PrimaryEpoch> {
    const { above = 0, by, notBy } = wanted
    const what = `a primary of ${space} with an epoch above ${above}`
      + `${by ? ` on ${by}` : ''}${notBy ? ` not on ${notBy}` : ''}`
    return waitFor(what, async () => {
      const reply = await this.client.read(
        { type: 'ListNodes', after: '', limit: 1 },
        { timeoutMs: 1000 },
      )
      const answer = positive(reply, 'read at the primary')
      const { node, epoch } = answer
      if (epoch <= above) notYet(`${node} serves epoch ${epoch}`)
      if ((by && node !== by) || node === notBy) notYet(`${node} serves epoch ${epoch}`)
      return { node, epoch }
    }, { seconds })
  }

  /** Waits until the primary lists that many members, or exactly these, in sync. */
  inSync(wanted: number | readonly string[], seconds = 20): Promise<MemberView> {
    const what = `in-sync set of ${space}: ${JSON.stringify(wanted)}`
    return waitFor(what, async () => {
      const primaries = (await this.members()).filter((member) => member.role === 'primary')
      const top = primaries.toSorted((a, b) => b.epoch - a.epoch)[0]
      if (!top) return notYet('no member says that it is primary')
      const isMet = typeof wanted === 'number'
        ? top.inSync.length === wanted
        : top.inSync.toSorted().join() === wanted.toSorted().join()
      return isMet ? top : notYet(`${top.node} lists ${top.inSync.join(', ')}`)
    }, { seconds, everyMs: 50 })
  }

  /**
   * Waits until that many members (default: all) are in sync at one epoch and have applied
   * everything, and returns them. Their digests must be equal then (I8).
   */
  async converged(count = (this.options.replicas ?? 2) + 1, seconds = 30): Promise<MemberView[]> {
    await this.inSync(count, seconds)
    const members = await waitFor(`${count} members at one place`, async () => {
      const seen = (await this.members()).filter((m) => m.inSync.includes(m.node))
      if (seen.length !== count) notYet(`${seen.length} members answer: ${brief(seen)}`)
      const end = Math.max(...seen.map((m) => m.endSequence))
      const isEven = seen.every((m) =>
        m.epoch === seen[0]?.epoch && m.durableSequence === end
        && m.appliedSequence === end && m.commitSequence === end
      )
      return isEven ? seen : notYet(`they differ: ${brief(seen)}`)
    }, { seconds, everyMs: 50 })
    const digests = new Set(members.map((member) => `${member.appliedSequence} ${member.digest}`))
    if (digests.size !== 1) {
      throw new Error(`digests differ at one sequence (I8): ${brief(members)}`)
    }
    return members
  }

  async status(): Promise<unknown> {
    return jsonOf(await cli(['status', '--json', '--nats', this.broker.url]))
  }

  /** Details for the reader of a failure: each node's report, and the last lines of each log. */
  async diagnosis(): Promise<string> {
    const lines: string[] = ['', '--- cluster at the time of the failure']
    const reports = await this.reports(800).catch(() => new Map<string, NodeStatusReport>())
    for (const node of this.nodes.values()) {
      const report = reports.get(node.id)
      lines.push(`${node.id}: ${node.where}, node ${report?.node.state ?? 'does not answer'}`)
      for (const member of report?.spaces ?? []) {
        lines.push(`    ${brief([{ ...member, node: node.id }])} in sync `
          + `${member.inSync.join(',')} blocked ${member.blocked} (${member.reason})`)
      }
    }
    for (const node of this.nodes.values()) {
      lines.push(`--- last lines of ${node.id}`, node.logTail(12))
    }
    lines.push('--- last lines of nats-server', this.broker.tail(6))
    return lines.join('\n')
  }

  /** Copies the logs to where they outlive this test. */
  keepLogs(to: string): void {
    mkdirSync(to, { recursive: true })
    cpSync(join(this.directory, 'logs'), to, { recursive: true })
    this.broker.keepLogs(to)
  }

  async dispose(): Promise<void> {
    for (const connection of [...this.#connections, this.nc]) {
      await connection.close().catch(() => undefined)
    }
    await Promise.all([...this.nodes.values()].map((node) => node.kill()))
    await this.broker.kill()
    removeTemporary(this.directory)
  }
}

export function brief(members: readonly MemberView[]): string {
  return members.map((m) =>
    `${m.node} ${m.role}/${m.state} epoch ${m.epoch} end ${m.endSequence} durable `
    + `${m.durableSequence} applied ${m.appliedSequence} commit ${m.commitSequence} safe `
    + `${m.safeSequence} digest ${m.digest.slice(0, 12)}`
  ).join('; ')
}
