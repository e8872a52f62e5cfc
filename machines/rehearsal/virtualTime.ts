interface Due {
  readonly id: number
  readonly atMs: number
  readonly run: () => void
}

/** Time that passes only in a rehearsal. */
export class VirtualTime {
  nowMs = 0
  private due: Due[] = []
  private lastId = 0

  /** For actors of XState. */
  readonly clock = {
    setTimeout: (run: () => void, ms: number): number => this.after(ms, run),
    clearTimeout: (id: number): void => {
      this.due = this.due.filter((one) => one.id !== id)
    },
  }

  after(ms: number, run: () => void): number {
    this.lastId += 1
    this.due.push({ id: this.lastId, atMs: this.nowMs + Math.max(0, ms), run })
    return this.lastId
  }

  /** Does what is due, in order, until it is over or that time has come. */
  pass(untilMs: number, isOver: () => boolean): void {
    while (!isOver()) {
      const next = this.next()
      if (!next || next.atMs > untilMs) return
      this.due = this.due.filter((one) => one !== next)
      this.nowMs = next.atMs
      next.run()
    }
  }

  private next(): Due | undefined {
    return this.due.reduce<Due | undefined>(
      (first, one) => (first && first.atMs <= one.atMs ? first : one),
      undefined,
    )
  }
}
