import { standsAsideText } from '../../machines/election/claiming.js'
import type { RaiseAlert } from './knownRecord.js'

/** Why there is no primary and this member cannot be it either, and what was alerted of it. */
export class Blockage {
  private present: string | null = null
  private lastAlert: string | null = null

  constructor(private readonly raise: RaiseAlert, private readonly warn: (text: string) => void) {}

  /** Null: there is a primary, or this member may become it. */
  get reason(): string | null {
    return this.present
  }

  /** Reason of the last alert `blocked`; null: none since there was a primary. */
  get alerted(): string | null {
    return this.lastAlert
  }

  because(reason: string): void {
    this.present = reason
  }

  clear(): void {
    this.present = null
  }

  /** There is no primary, and this member is not a candidate, for that reason; null: it may be. */
  standsAside(reason: string | null): void {
    if (reason === null) return this.clear()
    const blocked = standsAsideText(reason)
    if (this.present === null) this.warn(blocked)
    this.because(blocked)
  }

  /** Raises an alert, once per reason. */
  alert(reason: string): void {
    if (this.lastAlert === reason) return
    this.lastAlert = reason
    this.raise('blocked', {}, reason)
  }

  /** Notes that there is a primary: the same reason is alerted again when it recurs. */
  primaryKnown(): void {
    this.lastAlert = null
  }
}
