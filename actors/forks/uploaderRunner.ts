import type { NodeId } from '../../machines/base/ids.js'
import type { Member } from '../member/member.js'
import { Uploader } from './uploader.js'

/** An actor that had nothing left to do is not asked again within this time, ms. */
const pauseMs = 2000

/**
 * Runs the member's `reconciliation` actor while there is something to bring home: salvages of
 * the space, or an open report on a reign of this node. Idle spaces have none.
 */
export class UploaderRunner {
  private role: Uploader | null = null
  private reign: { readonly primary: NodeId; readonly epoch: number } | null = null
  private notBeforeMs = -Infinity

  constructor(private readonly member: Member) {}

  /** What the actor is at, or null when there is none. */
  get state(): string | null {
    return this.role?.state ?? null
  }

  /** A session with that reign stands, or it is the member's own. */
  epochKnown(primary: NodeId, epoch: number): void {
    this.reign = { primary, epoch }
    this.notBeforeMs = -Infinity
    this.role?.primaryJoined(primary, epoch)
  }

  primaryLeft(reason: string): void {
    this.reign = null
    this.role?.primaryLeft(reason)
  }

  /** False: there is nothing that waits for an order. */
  order(): boolean {
    this.notBeforeMs = -Infinity
    this.tick()
    this.role?.order()
    return this.role !== null
  }

  /** Once per heartbeat. */
  tick(): void {
    this.role?.tick()
    if (this.role || !this.reign || !this.hasSomething()) return
    const { clock } = this.member.context.ports
    if (clock.monotonicMs() < this.notBeforeMs) return
    this.role = new Uploader(this.member, () => this.reign, () => {
      this.role = null
      this.notBeforeMs = clock.monotonicMs() + pauseMs
    })
    this.member.context.ports.host.spawn(this.role.spec())
  }

  private hasSomething(): boolean {
    const { salvages, store, self } = this.member
    if (salvages > 0) return true
    return store.openReportCount > 0
      && store.reports().some(({ outcome, node }) => outcome === null && node === self)
  }

  stop(): void {
    this.role?.stop()
  }
}
