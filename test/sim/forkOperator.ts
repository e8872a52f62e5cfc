/**
 * An operator who looks after forks: has salvages reconciled, applies or discards what is in the
 * quarantine, and gives up reports whose node does not come back (soon).
 */
import type { ReadAnswer } from '../../actors/ports/clientApi.js'
import type { ForkReport, QuarantineItem } from '../../machines/log/forkNotes.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { SeededRandom } from '../fakes/seededRandom.js'
import { space } from './plan.js'
import type { World } from './world.js'

const readTimeoutMs = 1000
const orderTimeoutMs = 10_000

export class ForkOperator {
  private readonly random: SeededRandom
  private isStopping = false
  private underWay = 0

  constructor(private readonly world: World) {
    this.random = world.random.fork('operator')
  }

  start(): void {
    const { world, random } = this
    const { commandsEveryMs } = world.plan
    if (commandsEveryMs === null || this.isStopping) return
    world.after(commandsEveryMs * (0.5 + random.next()), () => {
      if (this.isStopping) return
      void this.act()
      this.start()
    })
  }

  stop(): void {
    this.isStopping = true
  }

  /** No command is on its way. */
  get isOver(): boolean {
    return this.underWay === 0
  }

  /** All nodes are to upload their salvages. */
  orderHome(): void {
    for (const node of this.world.nodes) void this.command(node.id, { type: 'reconcile', space })
  }

  private async act(): Promise<void> {
    const { world, random } = this
    const what = random.pick(['reconcile', 'applyQuarantined', 'discardQuarantined', 'closeFork'])
    const primary = world.checks.record.last?.primary?.node
    if (what === 'reconcile') {
      return await this.command(random.pick(world.plan.nodes), { type: what, space })
    }
    if (!primary) return
    if (what === 'closeFork') {
      const reports = await this.read<ForkReport[]>({ type: 'GetForks' }) ?? []
      const open = reports.find(({ outcome, node }) => outcome === null && !world.isUp(node))
      if (open) await this.command(primary, { type: what, space, epoch: open.epoch })
      return
    }
    const items = await this.read<QuarantineItem[]>({ type: 'GetQuarantine', after: '', limit: 5 })
    if (!items || items.length === 0) return
    await this.command(primary, { type: what, space, id: random.pick(items).id })
  }

  private async read<T>(query: object): Promise<T | null> {
    const answer = await this.ask<ReadAnswer>(subjects.read(space), query, readTimeoutMs)
    return answer?.ok ? answer.value as T : null
  }

  private async command(node: string,
    what: { type: string; [more: string]: unknown }): Promise<void>
  {
    const answer = await this.ask<{ ok: boolean }>(subjects.admin(node), what, orderTimeoutMs)
    this.world.note(`command: ${node} ${JSON.stringify(what)}: ${JSON.stringify(answer)}`)
    if (answer?.ok) this.world.checks.saw(`command: ${what.type}`)
  }

  private async ask<T>(subject: string, what: object, timeoutMs: number): Promise<T | null> {
    const connection = this.world.operator.current
    if (!connection) return null
    this.underWay += 1
    try {
      const data = Buffer.from(JSON.stringify(what))
      const message = await connection.request(subject, data, { timeoutMs })
      return JSON.parse(Buffer.from(message.data).toString()) as T
    } catch {
      return null
    } finally {
      this.underWay -= 1
    }
  }
}
