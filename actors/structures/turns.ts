/** Who does something now, of which only so many may at a time; the others wait. */
export class Turns<T> {
  private readonly taken = new Set<T>()

  constructor(private readonly most: number) {}

  /** Whether it has a turn, or gets one now. */
  take(one: T): boolean {
    if (!this.taken.has(one) && this.taken.size >= this.most) return false
    this.taken.add(one)
    return true
  }

  /** Its turn is over, if it had one. */
  giveBack(one: T): void {
    this.taken.delete(one)
  }
}
