/** Performs commands of a page on the cluster that this process runs. */
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import { messageOf } from '../../../machines/base/thrown.js'
import type { AdminAnswer, AdminRequest } from '../../client/operator.js'
import type { CommandAnswer, PageCommand } from '../protocol.js'
import { SteadyWriters } from './steadyWriters.js'

/** A node process of this cluster, as far as commands need it. */
export interface PlaygroundNode {
  readonly id: string
  /** null while it is down. */
  readonly pid: number | null
  /** End of its last process. null while one runs. */
  readonly death: { readonly how: string } | null
  readonly log: string
  pause(forMs: number): Promise<void>
}

/** The cluster of `engram up` on which commands are performed. */
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
  /** Time without a viewer of the page, ms. */
  readonly idleMs: () => number
}

const writeMs = 3_000
const adminMs = 10_000
const startMs = 15_000
const pollMs = 100

/** A command that cannot be performed now. The message says why, and what to do. */
class Refusal extends Error {}

export class Playground {
  private readonly writers: SteadyWriters
  /** End of pauses by node and pid. */
  private readonly paused = new Map<string, number>()

  constructor(private readonly options: PlaygroundOptions) {
    const { cluster, idleMs } = options
    this.writers = new SteadyWriters({
      idleMs,
      write: (space, id, content) => cluster.write(space, id, content, writeMs),
    })
  }

  readonly perform = async (command: PageCommand): Promise<CommandAnswer> => {
    try {
      return { ok: true, message: await this.handle(command) }
    } catch (error) {
      return { ok: false, message: messageOf(error) }
    }
  }

  /** Ends the steady writers. */
  close(): void {
    this.writers.close()
  }

  private async handle(command: PageCommand): Promise<string> {
    const { cluster } = this.options
    switch (command.type) {
      case 'write':
        return written(await cluster.write(command.space, command.id, command.content, writeMs))
      case 'steady':
        return this.writers.set(command.space, command.perSecond)
      case 'killActor': {
        this.nodeOf(command.node)
        const { type, node, actor } = command
        const { message } = await cluster.admin({ type, actor }, { node, timeoutMs: adminMs })
        return `${node}: ${message ?? `${actor} was killed`}; its supervisor handles it`
      }
      case 'killNode':
        return await this.kill(command.node)
      case 'startNode':
        return await this.start(command.node)
      case 'pauseNode':
        return this.pause(command.node, command.forMs)
      case 'handOver': {
        const { space, to } = command
        const { primary, epoch } = await cluster.admin(
          { type: 'promote', space, ...(to === null ? {} : { to }) },
          { timeoutMs: adminMs },
        )
        return primary
          ? `${primary} is the primary of ${space}, in epoch ${epoch ?? '?'}`
          : `${space} is being handed over`
      }
    }
  }

  private nodeOf(id: string): PlaygroundNode {
    const { nodes } = this.options.cluster
    const node = nodes.find((one) => one.id === id)
    if (node) return node
    const ids = nodes.map((one) => one.id).join(', ')
    throw new Refusal(`there is no node ${id} in this cluster; its nodes: ${ids}`)
  }

  private runningNode(id: string): PlaygroundNode & { readonly pid: number } {
    const node = this.nodeOf(id)
    if (node.pid === null) throw new Refusal(`${id} is already down: start it first`)
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
    if (node.pid !== null) throw new Refusal(`${id} already runs (pid ${node.pid})`)
    if ((await cluster.running()).has(id)) {
      throw new Refusal(`${id} already runs; it was started elsewhere`)
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
    throw new Refusal(`${id} was started but does not answer after ${startMs / 1000} s; its log: `
      + node.log)
  }

  /** Answered at once, since its effects can be seen meanwhile. */
  private pause(id: string, forMs: number): string {
    const node = this.runningNode(id)
    const life = `${id} ${node.pid}`
    const untilMs = this.paused.get(life)
    if (untilMs !== undefined) {
      const leftMs = Math.max(0, untilMs - performance.now())
      throw new Refusal(`${id} is already paused, for another ${Math.ceil(leftMs / 1000)} s`)
    }
    this.paused.set(life, performance.now() + forMs)
    void node.pause(forMs).finally(() => this.paused.delete(life))
    return `${id} is paused for ${forMs} ms`
  }
}

function written({ space, node, epoch, sequence, ack, duplicate }: WriteAnswer): string {
  return `${duplicate ? 'written before' : 'written'} to ${space}: sequence ${sequence}, epoch `
    + `${epoch}, ${ack} at ${node}`
}
