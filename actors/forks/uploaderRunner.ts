import type { NodeId, Position } from '../../machines/base/ids.js'
import type { Member } from '../member/member.js'
import { Uploader } from './uploader.js'

/** Pause after an actor had nothing left to do, ms. */
const pauseMs = 2000

/**
 * Runs the member's `reconciliation` actor while there is something to upload: salvages of the
 * space, or an open report on an epoch of this node. Idle spaces have no such actor.
 */
export class UploaderRunner {
  private role: Uploader | null = null
  private current: { readonly primary: NodeId; readonly epoch: number } | null = null
  private notBeforeMs = -Infinity

  private owed = false

  /** `isSafe`: whether an entry survives that is not in the log here; for a node taken out. */
  constructor(
    private readonly member: Member,
    private readonly isSafe: (entry: Position) => boolean,
  ) {}

  /** An offer is made even if there is nothing to upload: a report may wait for it. */
  owe(): void {
    this.owed = true
    this.notBeforeMs = -Infinity
  }

  get isOwed(): boolean {
    return this.owed
  }

  /** State of the actor; null: there is none. */
  get state(): string | null {
    return this.role?.state ?? null
  }

  /** Notes the primary: a session with it has begun, or it is this member. */
  epochKnown(primary: NodeId, epoch: number): void {
    this.current = { primary, epoch }
    this.notBeforeMs = -Infinity
    this.role?.primaryJoined(primary, epoch)
  }

  primaryLeft(reason: string): void {
    this.current = null
    this.role?.primaryLeft(reason)
  }

  /** Handles an operator's command. False: there is nothing to upload. */
  uploadNow(): boolean {
    this.notBeforeMs = -Infinity
    this.tick()
    this.role?.uploadNow()
    return this.role !== null
  }

  /** There is nothing to upload. */
  get isIdle(): boolean {
    return this.role === null && !this.hasSomething()
  }

  /** Called once per heartbeat. */
  tick(): void {
    this.role?.tick()
    if (this.role || !this.current || !this.hasSomething()) return
    const { clock } = this.member.context.ports
    if (clock.monotonicMs() < this.notBeforeMs) return
    this.role = new Uploader({
      member: this.member,
      current: () => this.current,
      isSafe: this.isSafe,
      onOver: (isLevel) => {
        this.role = null
        if (isLevel) this.owed = false
        this.notBeforeMs = clock.monotonicMs() + pauseMs
      },
    })
    this.member.context.ports.host.spawn(this.role.spec())
  }

  private hasSomething(): boolean {
    const { salvages, store, self } = this.member
    if (salvages.count > 0 || this.owed) return true
    return store.openReportCount > 0
      && store.reports().some(({ outcome, node }) => outcome === null && node === self)
  }

  stop(): void {
    this.role?.stop()
  }
}
