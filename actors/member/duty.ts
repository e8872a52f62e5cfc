/** Whether this node should be primary of anything: an operator's word, and its disk. */
export class Duty {
  private reason: string | null = null
  private isLeaving = false

  /** `isFull`: the journal takes nothing. */
  constructor(private readonly node: string, private readonly isFull: () => boolean) {}

  /** Until `undrain`, or the end of the process. */
  drain(by: string, since: string): void {
    this.reason ??= `${this.node} is drained since ${since} by ${by}`
  }

  /** The process ends: nobody should hand anything to it meanwhile. */
  leave(): void {
    this.isLeaving = true
    this.reason = `${this.node} is stopping`
  }

  /** But for a node that ends: that is no operator's word. */
  undrain(): void {
    if (!this.isLeaving) this.reason = null
  }

  /** In words, with who ordered it; null: the node may be primary. */
  get drained(): string | null {
    return this.reason
  }

  /** Why no space should be handed to this node, nor placed on it; told by its heartbeats. */
  get unfit(): string | null {
    return this.reason ?? (this.isFull() ? `the journal of ${this.node} cannot be written` : null)
  }
}
