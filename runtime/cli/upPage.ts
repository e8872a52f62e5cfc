/** The HTTP server of `engram up`: the page of the whole cluster, and its status. */
import { connect } from '../client/client.js'
import type { EngramClient } from '../client/client.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Config } from '../config/options.js'
import { readAuthFile } from '../config/sources.js'
import { json, startHttpServer, text } from '../http/server.js'
import type { Route } from '../http/server.js'
import { pageLink, tokenGuard } from '../http/token.js'
import { ClusterLink } from '../page/server/clusterLink.js'
import { PageHub } from '../page/server/hub.js'
import { Playground } from '../page/server/playground.js'
import type { PlaygroundCluster } from '../page/server/playground.js'
import { limitsOf, pageRoutes } from '../page/server/routes.js'
import type { ClusterStatus } from '../status/status.js'

export interface UpPageOptions {
  /** `host:port` */
  readonly address: string
  /** null if no token is required. */
  readonly token: string | null
  readonly cluster: Cluster
  readonly config: Config
  readonly playground: boolean
  readonly payloads: boolean
  readonly note: (line: string) => void
}

export interface UpPage {
  readonly url: string
  /** Address to open in a browser, with the token. */
  readonly open: string
  /** Ends steady writers and refuses further commands. */
  endCommands(): void
  close(): Promise<void>
}

/** @throws HttpListenError, HttpAddressError */
export async function startUpPage(options: UpPageOptions): Promise<UpPage> {
  const { address, token, cluster, config, playground, payloads, note } = options
  const hub = new PageHub({
    start: { source: 'up', node: null, playground, payloads, ...limitsOf(config) },
    link: (feed) =>
      new ClusterLink({
        nats: cluster.broker.nats,
        payloads,
        feed,
        onFault: (fault) => note(`page: ${fault}`),
      }),
  })
  const writer = new Writer(cluster)
  const commands = new Playground({
    cluster: playgroundOf(cluster, writer),
    idleMs: () => hub.idleMs,
  })
  let isOver = false
  const server = await startHttpServer({
    address,
    ...pageRoutes({
      hub,
      payloads,
      routes: routesOf(cluster),
      perform: !playground ? null : async (command) => {
        if (isOver) return { ok: false, message: 'the cluster is being stopped' }
        const answer = await commands.perform(command)
        if (command.type !== 'write') note(`Command from the page: ${answer.message}`)
        return answer
      },
    }),
    ...(token === null ? {} : { guard: tokenGuard(token, () => server.port) }),
    onError: (error, path) => note(`page: ${path} failed: ${String(error)}`),
  })
  const endCommands = (): void => {
    isOver = true
    commands.close()
  }
  return {
    url: server.url,
    open: pageLink(server.url, token),
    endCommands,
    close: async () => {
      endCommands()
      await hub.close()
      await server.close()
      await writer.close()
    },
  }
}

function routesOf(cluster: Cluster): Readonly<Record<string, Route>> {
  return {
    '/healthz': () => text(200, 'ok'),
    '/readyz': async () => {
      const reasons = notReady(await cluster.status())
      return reasons.length === 0 ? text(200, 'ready') : text(503, reasons.join('\n'))
    },
    '/status': async () => json(200, await cluster.status()),
  }
}

function notReady(status: ClusterStatus): string[] {
  return status.spaces.filter((space) => space.primary === null)
    .map((space) => `space ${space.id} has no primary${space.blocked ? `: ${space.blocked}` : ''}`)
}

function playgroundOf(cluster: Cluster, writer: Writer): PlaygroundCluster {
  return {
    nodes: cluster.nodes,
    killNode: (id) => cluster.killNode(cluster.nodeOf(id)),
    startNode: (id) => cluster.startNode(cluster.nodeOf(id)),
    running: async () => {
      const { nodes } = await cluster.status()
      return new Map(nodes.filter(({ state }) => state === 'running')
        .map(({ id, pid }) => [id, pid]))
    },
    write: async (space, id, content, deadlineMs) => {
      const client = await writer.client()
      return await client.write(space, { type: 'StoreNode', node: { id, content } }, { deadlineMs })
    },
    admin: (request, asked) => cluster.client.admin(request, asked),
  }
}

/** A client for writes, which an operator may not send if the broker requires passwords. */
class Writer {
  private opened: Promise<EngramClient> | null = null

  constructor(private readonly cluster: Cluster) {}

  /** @throws ConnectError; the next call connects again */
  async client(): Promise<EngramClient> {
    const { nats, authFile } = this.cluster.broker
    const role = authFile === null ? {} : readAuthFile(authFile, 'writer')
    this.opened ??= connect({ ...nats, ...role, name: 'engram playground' })
    try {
      return await this.opened
    } catch (error) {
      this.opened = null
      throw error
    }
  }

  async close(): Promise<void> {
    const client = await this.opened?.catch(() => null)
    await client?.close()
  }
}
