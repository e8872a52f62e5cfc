/**
 * Three nats-servers clustered with JetStream, with the configuration that compose.yaml gives them
 * but for addresses. Each route between two of them is a link of its own, so that a test can cut
 * one: NATS routes carry a message one hop only, so two servers without a route do not hear each
 * other, whatever the third one hears.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Link } from '../../runtime/cluster/faultProxy.js'
import { Broker } from './broker.js'
import type { BrokerHandle } from './cluster.js'
import { freePort, root } from './environment.js'
import { notYet, waitFor } from './wait.js'

const clusterSize = 3
/** JetStream 2.9 elects its leaders in 4 to 10 s. */
const electionSeconds = 40

interface JetStreamReport {
  readonly meta_cluster?: { readonly leader?: string; readonly cluster_size?: number }
  readonly account_details?: readonly {
    readonly stream_detail?: readonly {
      readonly name: string
      readonly cluster?: { readonly leader?: string }
    }[]
  }[]
}

export class BrokerCluster implements BrokerHandle {
  readonly members: readonly Broker[]
  readonly #monitors: readonly number[]
  readonly #routes: ReadonlyMap<string, Link>

  private constructor(
    members: readonly Broker[],
    monitors: readonly number[],
    routes: ReadonlyMap<string, Link>,
  ) {
    this.members = members
    this.#monitors = monitors
    this.#routes = routes
  }

  static async start(directory: string): Promise<BrokerCluster> {
    const indices = Array.from({ length: clusterSize }, (_, index) => index)
    const ports = await Promise.all(indices.map(() => freePort()))
    const monitors = await Promise.all(indices.map(() => freePort()))
    const routes = new Map<string, Link>()
    for (const from of indices) {
      for (const to of indices.filter((index) => index !== from)) {
        routes.set(`${from}-${to}`, await Link.open(`nats://127.0.0.1:${ports[to]}`))
      }
    }
    const base = readFileSync(join(root, 'deploy', 'nats-cluster.conf'), 'utf8')
    const members: Broker[] = []
    const cluster = new BrokerCluster(members, monitors, routes)
    try {
      for (const index of indices) {
        members.push(await Broker.start(join(directory, `s${index + 1}`), base, [
          `http: "127.0.0.1:${monitors[index]}"`,
          'cluster {',
          '  name: engram',
          `  listen: "127.0.0.1:${ports[index]}"`,
          // The third server gives it to the others, which would dial past the links: port 1 refuses.
          '  cluster_advertise: "127.0.0.1:1"',
          `  routes: [${
            indices.filter((to) => to !== index).map((to) =>
              `"nats-route://127.0.0.1:${routes.get(`${index}-${to}`)?.port}"`
            ).join(', ')
          }]`,
          '}',
        ]))
      }
      await cluster.metaLeader()
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      const logs = cluster.tail(20)
      await cluster.kill()
      throw new Error(`${text}\n${logs}`, { cause: error })
    }
    return cluster
  }

  get url(): string {
    return this.members.map((member) => member.url).join(',')
  }

  /** By number: 1, 2, 3. */
  server(number: number): Broker {
    const found = this.members[number - 1]
    if (!found) throw new Error(`there is no server ${number}`)
    return found
  }

  /** Ends the route between two servers, by number; neither can dial the other. */
  cutRoute(one: number, other: number): void {
    for (const link of this.#linksOf(one, other)) link.cut()
  }

  healRoute(one: number, other: number): void {
    for (const link of this.#linksOf(one, other)) link.heal()
  }

  /** Both ways of dialling: the servers keep the route that came first. */
  #linksOf(one: number, other: number): Link[] {
    const found = [`${one - 1}-${other - 1}`, `${other - 1}-${one - 1}`]
      .flatMap((name) => this.#routes.get(name) ?? [])
    if (found.length !== 2) throw new Error(`there is no route ${one}-${other}`)
    return found
  }

  /** Number of the server that leads JetStream, once all servers that run agree on one. */
  metaLeader(): Promise<number> {
    return this.#agreed('JetStream', (report) => report.meta_cluster?.leader)
  }

  /** Number of the server that leads a stream, once it has a leader. */
  streamLeader(stream: string): Promise<number> {
    return this.#agreed(`stream ${stream}`, (report) =>
      report.account_details
        ?.flatMap((account) => account.stream_detail ?? [])
        .find((detail) => detail.name === stream)?.cluster?.leader)
  }

  /** Ids of the servers as nodes see them, in order; each start of a server makes a new one. */
  async serverIds(): Promise<string[]> {
    return await Promise.all(this.#monitors.map(async (port) => {
      const answer = await fetch(`http://127.0.0.1:${port}/varz`)
      return (await answer.json() as { server_id: string }).server_id
    }))
  }

  #agreed(what: string, read: (report: JetStreamReport) => string | undefined): Promise<number> {
    return waitFor(`a leader of ${what} on all servers that run`, async () => {
      const running = this.members.map((member, index) => ({ member, index }))
        .filter(({ member }) => !member.hasEnded)
      const named = await Promise.all(running.map(async ({ index }) => {
        const url = `http://127.0.0.1:${this.#monitors[index]}/jsz?accounts=true&streams=true`
        const answer = await fetch(url, { signal: AbortSignal.timeout(2000) })
        return read(await answer.json() as JetStreamReport)
      }))
      const leader = running.find(({ member }) => member.name === named[0])
      const isAgreed = leader !== undefined && named.every((name) => name === named[0])
      return isAgreed ? leader.index + 1 : notYet(`named: ${named.map(String).join(', ')}`)
    }, { seconds: electionSeconds, everyMs: 100 })
  }

  tail(lines: number): string {
    return this.members.map((member) => `${member.name}:\n${member.tail(lines)}`).join('\n')
  }

  keepLogs(to: string): void {
    for (const member of this.members) member.keepLogs(to)
  }

  async kill(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()))
    for (const link of this.#routes.values()) link.close()
  }
}
