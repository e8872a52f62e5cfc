/** Empty places at the head are cut off once there are this many, and half of all. */
const headMin = 1024

/** First in, first out. An array's own `shift` moves all other elements each time. */
export class Fifo<T> {
  private values: (T | undefined)[] = []
  private head = 0

  get size(): number {
    return this.values.length - this.head
  }

  push(value: T): void {
    this.values.push(value)
  }

  first(): T | undefined {
    return this.values[this.head]
  }

  shift(): T | undefined {
    if (this.size === 0) return undefined
    const value = this.values[this.head]
    this.values[this.head] = undefined
    this.head += 1
    if (this.head >= headMin && this.head * 2 > this.values.length) {
      this.values = this.values.slice(this.head)
      this.head = 0
    }
    return value
  }
}
