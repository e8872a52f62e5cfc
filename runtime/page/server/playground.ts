/** Carries the orders of a page out, on the cluster that this process runs. */
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { AdminAnswer, AdminRequest } from '../../client/operator.js'
import type { CommandAnswer, PageCommand } from '../protocol.js'
import { SteadyWriters } from './steadyWriters.js'

/** A node process of this cluster, as far as it is ordered about. */
export interface PlaygroundNode {
  readonly id: string
  /** null while it is down. */
  readonly pid: number | null
  /** How its last life ended; null while it runs. */
  readonly death: { readonly how: string } | null
  readonly log: string
  pause(forMs: number): Promise<void>
}

/** What orders are carried out on; a cluster of `engram up`. */
export interface PlaygroundCluster {
  readonly nodes: readonly PlaygroundNode[]
  killNode(id: string): Promise<void>
  startNode(id: string): void
  /** Nodes that answer and run, by id, with their pid. */
  running(): Promise<ReadonlyMap<string, number | null>>
  write(space: string, id: string, content: string, deadlineMs: number): Promise<WriteAnswer>
  admin(request: AdminRequest, options: { node?: string; timeoutMs: number }): Promise<AdminAnswer>
}

export interface PlaygroundOptions {
  readonly cluster: PlaygroundCluster
  /** How long nobody has looked at the page, ms. */
  readonly idleMs: () => number
}

const writeMs = 3_000
const adminMs = 10_000
const startMs = 15_000
const pollMs = 100

/** What cannot be done now; the message says why, and what to do. */
class Refusal extends Error {}

export class Playground {
  private readonly writers: SteadyWriters
  /** By node and pid: until when. */
  private readonly paused = new Map<string, number>()

  constructor(private readonly options: PlaygroundOptions) {
    const { cluster, idleMs } = options
    this.writers = new SteadyWriters({
      idleMs,
      write: (space, id, content) => cluster.write(space, id, content, writeMs),
    })
  }

  readonly perform = async (order: PageCommand): Promise<CommandAnswer> => {
    try {
      return { ok: true, message: await this.obey(order) }
    } catch (error) {
      return { ok: false, message: error instanceof Error ? error.message : String(error) }
    }
  }

  /** Ends what goes on by itself. */
  close(): void {
    this.writers.close()
  }

  private async obey(order: PageCommand): Promise<string> {
    const { cluster } = this.options
    switch (order.type) {
      case 'write':
        return written(await cluster.write(order.space, order.id, order.content, writeMs))
      case 'steady':
        return this.writers.set(order.space, order.perSecond)
      case 'killActor': {
        this.nodeOf(order.node)
        const { type, node, actor } = order
        const { message } = await cluster.admin({ type, actor }, { node, timeoutMs: adminMs })
        return `${node}: ${message ?? `${actor} was killed`}; supervision decides what comes next`
      }
      case 'killNode':
        return await this.kill(order.node)
      case 'startNode':
        return await this.start(order.node)
      case 'pauseNode':
        return this.pause(order.node, order.forMs)
      case 'handOver': {
        const { space, to } = order
        const { primary, epoch } = await cluster.admin(
          { type: 'promote', space, ...(to === null ? {} : { to }) }, { timeoutMs: adminMs })
        return primary ? `${primary} is the primary of ${space}, in epoch ${epoch ?? '?'}`
          : `${space} is being handed over`
      }
    }
  }

  private nodeOf(id: string): PlaygroundNode {
    const { nodes } = this.options.cluster
    const node = nodes.find((one) => one.id === id)
    if (node) return node
    throw new Refusal(`there is no node ${id} here; there is ${nodes.map((n) => n.id).join(', ')}`)
  }

  private runningNode(id: string): PlaygroundNode & { readonly pid: number } {
    const node = this.nodeOf(id)
    if (node.pid === null) throw new Refusal(`${id} is down already: start it first`)
    return node as PlaygroundNode & { readonly pid: number }
  }

  private async kill(id: string): Promise<string> {
    const { pid } = this.runningNode(id)
    await this.options.cluster.killNode(id)
    return `${id} (pid ${pid}) was killed; it stays down until it is started`
  }

  private async start(id: string): Promise<string> {
    const node = this.nodeOf(id)
    const { cluster } = this.options
    if (node.pid !== null) throw new Refusal(`${id} runs already (pid ${node.pid})`)
    if ((await cluster.running()).has(id)) {
      throw new Refusal(`${id} runs already, started from elsewhere`)
    }
    cluster.startNode(id)
    const giveUpAt = performance.now() + startMs
    while (performance.now() < giveUpAt) {
      if (node.death) {
        throw new Refusal(`${id} did not start: ${node.death.how}; its log: ${node.log}`)
      }
      if ((await cluster.running()).get(id) === node.pid) return `${id} runs again, pid ${node.pid}`
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
    throw new Refusal(`${id} was started and does not answer after ${startMs / 1000} s; its log: `
      + node.log)
  }

  /** Answered at once: what comes of it is there to be seen meanwhile. */
  private pause(id: string, forMs: number): string {
    const node = this.runningNode(id)
    const life = `${id} ${node.pid}`
    const untilMs = this.paused.get(life)
    if (untilMs !== undefined) {
      const leftMs = Math.max(0, untilMs - performance.now())
      throw new Refusal(`${id} stands still already, for ${Math.ceil(leftMs / 1000)} s more`)
    }
    this.paused.set(life, performance.now() + forMs)
    void node.pause(forMs).finally(() => this.paused.delete(life))
    return `${id} stands still for ${forMs} ms`
  }
}

function written({ space, node, epoch, sequence, ack, duplicate }: WriteAnswer): string {
  return `${duplicate ? 'written before' : 'written'} to ${space}: sequence ${sequence}, epoch `
    + `${epoch}, ${ack} at ${node}`
}
