import { setTimeout as delay } from 'node:timers/promises'
import type { EngramClient } from '../client/client.js'
import type { Context } from './context.js'
import { endingOf } from './errors.js'
import { requester } from './pause.js'
import type { MembersOrder, Site } from './rebalanceRun.js'
import { look, lookMs } from './spaceMembers.js'

/** The cluster and the user, for commands that order one change after the other. */
export class ClusterSite implements Site {
  isStopped = false
  /** The first signal ends the command between two steps, the second one at once. */
  private readonly stop = (): void => {
    this.isStopped = true
    this.end()
  }

  constructor(
    private readonly context: Context,
    private readonly client: EngramClient,
    private readonly json: boolean,
  ) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.stop)
  }

  end(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, this.stop)
  }

  async order(order: MembersOrder) {
    const { change = null, members = [] } = await this.client.adminAtPrimary(
      { type: 'changeMembers', force: false, by: requester(), ...order },
    )
    const goal = change
      && { add: change.add ?? null, remove: change.remove ?? null, since: change.since }
    return { goal, members }
  }

  async promote(space: string, to: string, from: string): Promise<string | null> {
    const { primary = null } = await this.client.admin({ type: 'promote', space, to }, {
      node: from,
    })
    return primary
  }

  look(space: string) {
    return look(this.client, space)
  }

  async pause(): Promise<void> {
    await delay(lookMs)
  }

  nowMs(): number {
    return performance.now()
  }

  stepped(space: string, text: string): void {
    const at = new Date().toISOString()
    if (this.json) this.context.printJson({ at, space, text })
    else this.context.print(`${at.slice(11, 23)}  ${space}: ${text}`)
  }

  failed(space: string, error: unknown): void {
    const { message, label, code } = endingOf(error)
    const at = new Date().toISOString()
    if (this.json) this.context.printJson({ at, space, text: message, code, failed: true })
    else this.context.note(`${at.slice(11, 23)}  ${space}: failed: ${label}`)
  }
}
