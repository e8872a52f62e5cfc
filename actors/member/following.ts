import type { Position } from '../../machines/base/ids.js'
import { origin } from '../../machines/log/positions.js'

/** State of a member as a replica, as others read it. */
export interface FollowingView {
  /** Whether there is a session with the primary. */
  readonly isFollowing: boolean
  /** Something has come in that session: the primary's commit sequence is known here. */
  readonly isHearing: boolean
  /** Epoch that was followed last, and the end of its log as last received. */
  readonly heardEnd: Position
  /** Whether a fork is being given up. */
  readonly isTruncating: boolean
  /** Whether log and store are being replaced. */
  readonly isSwitching: boolean
  /** Forks given up since the start. */
  readonly forks: number
  /** Resolves when no truncation is under way, and nothing is being replaced. */
  truncated(): Promise<void>
}

/**
 * State of a member as a replica that outlives the role: a later replica goes on with it. Written
 * by the replica alone.
 */
export class Following implements FollowingView {
  private inSession = false
  private hasHeard = false
  private lastHeard: Position = origin
  private truncation: Promise<void> = Promise.resolve()
  private isCutting = false
  private isReplacing = false
  private givenUp = 0
  private lastJoin = 0

  get isFollowing(): boolean {
    return this.inSession
  }

  get isHearing(): boolean {
    return this.inSession && this.hasHeard
  }

  get heardEnd(): Position {
    return this.lastHeard
  }

  get isTruncating(): boolean {
    return this.isCutting
  }

  get isSwitching(): boolean {
    return this.isReplacing
  }

  get forks(): number {
    return this.givenUp
  }

  /** Joins requested since the start of the process: their numbers are never used twice. */
  get joins(): number {
    return this.lastJoin
  }

  joinRequested(number: number): void {
    this.lastJoin = number
  }

  sessionBegun(): void {
    this.inSession = true
    this.hasHeard = false
  }

  sessionEnded(): void {
    this.inSession = false
  }

  /** Notes the end of the followed primary's log, which came in the session. */
  heard(end: Position): void {
    this.lastHeard = end
    this.hasHeard = true
  }

  /** Runs a truncation. It may outlive its role and epoch; nothing is appended before it ends. */
  truncate(run: () => Promise<void>): void {
    this.truncation = this.runTruncation(run)
  }

  private async runTruncation(run: () => Promise<void>): Promise<void> {
    this.isCutting = true
    try {
      await run()
    } finally {
      this.isCutting = false
    }
  }

  /** Replaces log and store. It may outlive its role and epoch, too; nothing is joined before. */
  replace(run: () => Promise<void>): void {
    this.isReplacing = true
    this.truncation = run().finally(() => {
      this.isReplacing = false
    })
  }

  truncated(): Promise<void> {
    return this.truncation
  }

  forkGivenUp(): void {
    this.givenUp += 1
  }
}
