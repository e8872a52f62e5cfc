/** Fork reports and quarantined writes, as a space that had a failover has them. */
import type { ForkReport, QuarantineItem } from '../../machines/log/forkNotes.js'

/** n1 held epoch 3 up to 50 at least; n2 is primary from (3, 40) on. */
export function report(over: Partial<ForkReport> = {}): ForkReport {
  return {
    epoch: 3,
    node: 'n1',
    disk: 'd1',
    start: { epoch: 2, sequence: 7 },
    forkPoint: { epoch: 3, sequence: 40 },
    lastKnown: 50,
    atMost: null,
    opened: { epoch: 4, sequence: 41 },
    openedAtMs: Date.UTC(2026, 0, 2),
    closedAtMs: null,
    outcome: null,
    reason: '',
    resent: 0,
    merged: 0,
    superseded: 0,
    quarantined: 0,
    discarded: 0,
    lost: 0,
    salvages: [],
    ...over,
  }
}

type Salvage = ForkReport['salvages'][number]

/** Entries 41 to 50 of epoch 3, of which one is no write. */
export function salvage(over: Partial<Salvage> = {}): Salvage {
  return {
    name: 's1',
    node: 'n1',
    common: { epoch: 3, sequence: 40 },
    spans: [{ epoch: 3, last: 50, writes: 9 }],
    state: 'waiting',
    ...over,
  }
}

export function item(sequence: number, over: Partial<QuarantineItem> = {}): QuarantineItem {
  return {
    id: `3-${sequence}`,
    operation: { type: 'StoreNode', node: { id: `n${sequence}` } },
    origin: { epoch: 3, sequence },
    timestamp: Date.UTC(2026, 0, 2),
    since: { epoch: 4, sequence: sequence + 10 },
    by: { epoch: 4, sequence: 42 },
    ...over,
  }
}
