/** Whether this node may be primary of spaces: an operator may drain it, its disk may be full. */
export class Duty {
  private reason: string | null = null
  private isLeaving = false
  private isEvacuated = false

  /** `isFull` returns whether the journal takes no records. */
  constructor(private readonly node: string, private readonly isFull: () => boolean) {}

  /**
   * Drains the node until `undrain`, or until the process ends. `evacuates`: it is to be no member
   * of any space either.
   */
  drain(by: string, since: string, evacuates = false): void {
    this.reason ??= `${this.node} is drained since ${since} by ${by}`
    if (evacuates) this.isEvacuated = true
  }

  /** Notes that the process ends: no space should be handed to it meanwhile. */
  leave(): void {
    this.isLeaving = true
    this.reason = `${this.node} is stopping`
  }

  /** Undrains the node, unless it is stopping: that is no operator's command. */
  undrain(): void {
    if (this.isLeaving) return
    this.reason = null
    this.isEvacuated = false
  }

  /** Reason with the operator's name; null: the node may be primary. */
  get drained(): string | null {
    return this.reason
  }

  /** Whether other nodes are to take its place in all spaces. Sent in its heartbeats. */
  get evacuates(): boolean {
    return this.isEvacuated
  }

  /** Why no space should be handed to this node or placed on it. Sent in its heartbeats. */
  get unfit(): string | null {
    return this.reason ?? (this.isFull() ? `the journal of ${this.node} cannot be written` : null)
  }
}
