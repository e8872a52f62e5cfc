/**
 * What the structures of a node may take of its process's memory, together: each one counts what
 * it holds, as estimated where it is held (heap and buffers), and asks before it takes more.
 */

/** Who holds it. */
export const budgetUses = [
  /** Writes that are taken and not yet durable. */
  'writes',
  /** Entries that are durable and not yet in the store. */
  'overlay',
  /** Frames received from a primary and not yet durable. */
  'received',
  /** Latest frames of the logs, for the streams: they can be read from the journal as well. */
  'tails',
  /** Frames sent to replicas and not yet acknowledged. */
  'windows',
  /** Writes held during handovers. */
  'held',
  /** Sizes and times of the latest frames. */
  'marks',
  /** Reads that wait. */
  'reads',
  /** Where idempotency keys lie. */
  'keys',
  /** Where frames lie in the journal. */
  'journal',
] as const
export type BudgetUse = (typeof budgetUses)[number]

/**
 * Who takes more as long as no more than this part of the budget is used: what is only kept for
 * speed goes first, then new writes are refused, and what was taken goes its way to the end.
 */
const shares = { tails: 0.5, writes: 0.75, held: 0.9, windows: 0.9, received: 1 } as const
export type BudgetTaker = keyof typeof shares

export class Budget {
  private readonly usedBy = new Map<BudgetUse, number>(budgetUses.map((use) => [use, 0]))
  private total = 0

  constructor(readonly bytesMax: number) {}

  get usedBytes(): number {
    return this.total
  }

  /** Bytes by use. */
  uses(): Record<BudgetUse, number> {
    return Object.fromEntries(this.usedBy) as Record<BudgetUse, number>
  }

  /** There is room for some more of this, also if there were only that part of it. */
  allows(taker: BudgetTaker, part = 1): boolean {
    return this.total < this.bytesMax * shares[taker] * part
  }

  /** Of one structure. */
  account(use: BudgetUse): Account {
    return new Account((bytes) => this.change(use, bytes))
  }

  private change(use: BudgetUse, bytes: number): void {
    this.usedBy.set(use, this.usedBy.get(use)! + bytes)
    this.total += bytes
  }
}

/** What one structure holds. */
export class Account {
  private held = 0

  constructor(private readonly change: (bytes: number) => void) {}

  get bytes(): number {
    return this.held
  }

  set(bytes: number): void {
    if (bytes === this.held) return
    this.change(bytes - this.held)
    this.held = bytes
  }
}

/** Heap of one entry in an overlay, and in a write that is not yet durable; beside its bytes. */
export const entryHeapBytes = 800
export const pendingHeapBytes = 900
/** Heap of the size and time of one frame. */
export const markHeapBytes = 72
