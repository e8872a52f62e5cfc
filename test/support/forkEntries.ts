/** Log entries that concern forks, and random logs that are full of them. */
import fc from 'fast-check'
import type { Position } from '../../machines/base/ids.js'
import type { Operation } from '../../machines/graph/graph.js'
import type { EpochStart, LogEntry } from '../../machines/log/entries.js'
import type { ForkNote, ForkOpening, Reconciliation,
  SalvageNote } from '../../machines/log/forkNotes.js'

/** Without its place in a log. */
export interface Draft {
  readonly operation: LogEntry['operation']
  readonly reconciliation?: Reconciliation
}

/** Epoch of the first entry of such a log: forks are of lower ones, or of those in it. */
export const firstEpoch = 5

/** The first entry of each epoch but the first raises the epoch. */
export function logOf(drafts: readonly Draft[], from: Position = start): LogEntry[] {
  let { epoch } = from
  return drafts.map((draft, index) => {
    const sequence = from.sequence + 1 + index
    if (draft.operation.type === 'EpochStart' && sequence > 1) epoch += 1
    return {
      epoch,
      sequence,
      timestamp: 1000 + sequence,
      vectorClock: {},
      writeId: null,
      ...draft,
      operation: placed(draft.operation, sequence),
    }
  })
}

const start: Position = { epoch: firstEpoch, sequence: 0 }

/** A note can name entries before it only. */
function placed(operation: LogEntry['operation'], sequence: number): LogEntry['operation'] {
  if (operation.type !== 'ForkNote' || operation.note !== 'resent') return operation
  return {
    ...operation,
    writes: operation.writes.map((write) => ({ ...write,
      now: { ...write.now, sequence: Math.min(write.now.sequence, sequence - 1) } })
    ),
  }
}

export function storeNode(id: string, content?: string, activation?: number): Operation {
  const node = content === undefined ? { id } : { id, content }
  return { type: 'StoreNode', node: activation === undefined ? node : { ...node, activation } }
}
export function update(nodeId: string, activation: number): Operation {
  return { type: 'UpdateActivation', nodeId, activation }
}
export function storeEdge(source: string, target: string, weight: number): Operation {
  return { type: 'StoreEdge', edge: { source, target, kind: 'k', weight } }
}

/** A write that was logged at (epoch, sequence) first, merged out of a salvage by default. */
export function from(
  epoch: number,
  sequence: number,
  operation: Operation,
  said: Partial<Reconciliation> = {},
): Draft {
  return {
    operation,
    reconciliation: {
      origin: { epoch, sequence, node: 'n1' },
      timestamp: 100 + sequence,
      via: 'salvage',
      outcome: 'merged',
      displaces: 'nothing',
      keepsActivation: false,
      by: null,
      ...said,
    },
  }
}

export function opening(epoch: number, forkPoint = 0): ForkOpening {
  return {
    epoch,
    node: 'n1',
    disk: 'd1',
    start: { epoch: epoch - 1, sequence: forkPoint },
    forkPoint: { epoch: epoch - 1, sequence: forkPoint },
    lastKnown: forkPoint,
    atMost: null,
  }
}
export function epochStart(...forks: ForkOpening[]): Draft {
  const operation: EpochStart = {
    type: 'EpochStart',
    space: 's',
    node: 'n2',
    incarnation: 1,
    connection: 1,
  }
  return { operation: forks.length === 0 ? operation : { ...operation, forks } }
}
export function salvage(name: string, node: string, ...epochs: number[]): SalvageNote {
  return {
    name,
    node,
    common: { epoch: 1, sequence: 0 },
    spans: epochs.map((epoch) => ({ epoch, last: 10 * epoch, writes: 3 })),
  }
}

/** ForkNotes without their type. */
export function note(said: NoteFields): Draft {
  return { operation: { type: 'ForkNote', ...said } as ForkNote }
}
type NoteFields = ForkNote extends infer Note ? Note extends ForkNote ? Omit<Note, 'type'> : never
  : never

export const ids = ['a', 'b', 'c'] as const
const id = fc.constantFrom(...ids)
const unit = fc.constantFrom(0, 0.25, 0.5, 1)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(id, fc.string({ maxLength: 3 }), fc.option(unit, { nil: undefined }))
    .map(([name, content, activation]) => storeNode(name, content, activation)),
  fc.tuple(id, unit).map(([name, activation]) => update(name, activation)),
  fc.tuple(id, id, unit).map(([source, target, weight]) => storeEdge(source, target, weight)),
)
/** Few, so that writes come twice, and with those of the log's own epochs among them. */
const epoch = fc.constantFrom(1, 2, 3, firstEpoch, firstEpoch + 1)
const place: fc.Arbitrary<Position> = fc.tuple(epoch, fc.integer({ min: 1, max: 6 }))
  .map(([of, sequence]) => ({ epoch: of, sequence }))
const outcome: fc.Arbitrary<Reconciliation['outcome']> = fc.constantFrom(
  'merged',
  'merged',
  'merged',
  'quarantined',
  'superseded',
)
const reconciled: fc.Arbitrary<Draft> = fc.tuple(operation, place, fc.record({
  via: fc.constantFrom('client', 'salvage', 'quarantine'),
  outcome,
  by: place,
  displaces: fc.constantFrom('nothing', 'value', 'value', 'activation'),
  keepsActivation: fc.boolean(),
})).map(([changed, at, said]) =>
  from(at.epoch, at.sequence, changed, {
    ...said,
    by: said.outcome === 'merged' ? null : said.by,
  })
)
const opened = fc.tuple(epoch, fc.integer({ min: 0, max: 3 }))
  .map(([ended, forkPoint]) => opening(ended, forkPoint))
const salvageName = fc.constantFrom('s1', 's2')
const noted: fc.Arbitrary<Draft> = fc.oneof(
  opened.map((one) => note({ note: 'opened', opening: one })),
  fc.tuple(salvageName, fc.uniqueArray(epoch, { maxLength: 2 }), fc.nat({ max: 30 }))
    .map(([name, epochs, begins]) => {
      const whole = salvage(name, 'n1', ...epochs.toSorted((a, b) => a - b))
      return note({ note: 'salvaged', salvage: begins < 2 ? whole : { ...whole, begins } })
    }),
  fc.tuple(salvageName, fc.constantFrom('taken', 'gone'))
    .map(([name, said]) => note({ note: said, name, node: 'n1' })),
  fc.array(fc.tuple(place, place), { maxLength: 3 }).map((writes) =>
    note({ note: 'resent', writes: writes.map(([at, now]) => ({ ...at, now })) })
  ),
  place.map((at) => note({ note: 'discarded', id: `${at.epoch}-${at.sequence}` })),
  fc.tuple(epoch, fc.constantFrom('level', 'reconciled', 'lost', 'dismissed'), fc.nat({ max: 3 }))
    .map(([ended, said, lost]) =>
      note({ note: 'closed', epoch: ended, outcome: said, lost, reason: 'because' })
    ),
)
const draft: fc.Arbitrary<Draft> = fc.oneof(
  { weight: 3, arbitrary: operation.map((one): Draft => ({ operation: one })) },
  { weight: 5, arbitrary: reconciled },
  { weight: 2, arbitrary: noted },
  { weight: 1, arbitrary: fc.array(opened, { maxLength: 2 }).map((forks) => epochStart(...forks)) },
)

/** Any length up to `maxLength`: left to itself, fast-check makes some ten at most. */
export function draftsArbitrary(maxLength: number): fc.Arbitrary<Draft[]> {
  return fc.array(draft, { maxLength, size: 'max' })
}

/** Every place that such a log can name. */
export function placesOf(log: readonly LogEntry[]): Position[] {
  const few = [1, 2, 3, firstEpoch, firstEpoch + 1].flatMap((of) =>
    [1, 2, 3, 4, 5, 6].map((sequence) => ({ epoch: of, sequence }))
  )
  return [...few, ...log.map((entry) => ({ epoch: entry.epoch, sequence: entry.sequence }))]
}
