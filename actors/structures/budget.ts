/**
 * Memory budget of the structures of a node. Each structure counts what it holds (an estimate of
 * heap and buffers), and asks before it takes more.
 */

/** Uses of the budget. */
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
  /** Index of idempotency keys. */
  'keys',
  /** Index of frames in the journal. */
  'journal',
] as const
export type BudgetUse = (typeof budgetUses)[number]

/**
 * Share of the budget up to which a use may grow. Caches are refused first, then new writes;
 * accepted writes go on to the end.
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

  /** Whether there is room for some more of this; `part`: only up to that part of its share. */
  allows(taker: BudgetTaker, part = 1): boolean {
    return this.total < this.bytesMax * shares[taker] * part
  }

  /** Returns the account of one structure. */
  account(use: BudgetUse): Account {
    return new Account((bytes) => this.change(use, bytes))
  }

  private change(use: BudgetUse, bytes: number): void {
    this.usedBy.set(use, this.usedBy.get(use)! + bytes)
    this.total += bytes
  }
}

/** Memory of one structure. */
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

/** Heap of one entry in an overlay, or in a write that is not yet durable, besides its bytes. */
export const entryHeapBytes = 800
export const pendingHeapBytes = 900
/** Heap of the size and time of one frame. */
export const markHeapBytes = 72
