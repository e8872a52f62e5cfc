/** Each checker finds what it is for: a product that is broken on purpose must not pass. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ForkTracker } from '../../actors/forks/forkTracker.js'
import { ForkIntake } from '../../actors/forks/intake.js'
import { Salvage } from '../../actors/forks/salvageSlices.js'
import { UploaderRunner } from '../../actors/forks/uploaderRunner.js'
import { Applier } from '../../actors/log/applier.js'
import { GroupCommit } from '../../actors/log/groupCommit.js'
import { LossBound } from '../../actors/log/lossBound.js'
import type { Member } from '../../actors/member/member.js'
import { Lease } from '../../actors/membership/lease.js'
import { Followers } from '../../actors/primary/followers.js'
import { Ingest } from '../../actors/primary/ingest.js'
import { Logs } from '../../runtime/journal/logs.js'
import { MemoryForkReports } from '../fakes/memoryForkReports.js'
import { MemorySpaceStore, MemoryStore } from '../fakes/memoryStore.js'
import type { Fault, Plan } from './plan.js'
import { runPlan } from './run.js'

const test = suite('checkers of the simulator')

const nodes = ['n1', 'n2', 'n3']
const clients: Plan['clients'] = [
  { thinkMs: 20, pipeline: 4, behaves: 'plain' },
  { thinkMs: 50, pipeline: 1, behaves: 'plain' },
]

function fault(kind: Fault['kind'], atMs: number, more: Partial<Fault> = {}): Fault {
  return { kind, atMs, forMs: 400, node: 'n1', other: 'n2', amount: 0, mode: '', ...more }
}

function plan(faults: readonly Fault[]): Plan {
  return {
    seed: 1,
    nodes,
    replicas: 2,
    minInSync: 2,
    faultsMs: 4000,
    latencyMs: 0.3,
    fsyncMs: 1,
    clocks: {},
    clients,
    requestsMax: 500,
    faults,
    maxLoss: { entries: 2 },
    whenUnderReplicated: 'accept',
    reconcile: 'automatic',
    commandsEveryMs: null,
    reconcilesAtEnd: true,
  }
}

/** A run depends on its seed and on each change of the product, so there are several. */
const forkSeeds = [1, 2, 3, 4, 5, 6]

/** Primaries that nobody hears, and that then die: what they answered meanwhile is a fork. */
function forks(seed: number): Plan {
  const faults = [500, 2000, 3500, 5000].map((atMs) =>
    fault('strand', atMs, { node: 'primary', amount: 250, mode: 'kill', forMs: 900 })
  )
  return {
    ...plan(faults),
    seed,
    faultsMs: 7000,
    maxLoss: null,
    requestsMax: 2000,
    clients: [
      { thinkMs: 20, pipeline: 4, behaves: 'plain' },
      { thinkMs: 20, pipeline: 4, behaves: 'plain' },
      { thinkMs: 50, pipeline: 4, behaves: 'protects' },
    ],
  }
}

/** On each node, so that the primary gets it, whichever node that is. */
function onEach(kind: Fault['kind'], atMs: number, more: Partial<Fault> = {}): Fault[] {
  return nodes.map((node, index) => fault(kind, atMs + index * 700, { ...more, node }))
}

type Methods = Record<string, (...args: never[]) => unknown>

/** As `broken`, in forks: the first violation that one of the seeds meets. */
async function brokenInForks(
  prototype: object,
  name: string,
  make: (original: Methods[string]) => Methods[string],
): Promise<string | undefined> {
  for (const seed of forkSeeds) {
    const found = await broken(prototype, name, make, forks(seed))
    if (found) return found
  }
  return undefined
}

/** Runs with a method replaced; `make` gets the original. */
async function broken(
  prototype: object,
  name: string,
  make: (original: Methods[string]) => Methods[string],
  faults: readonly Fault[] | Plan,
): Promise<string | undefined> {
  const methods = prototype as Methods
  const original = Object.getOwnPropertyDescriptor(methods, name)!
  assert.type(original.value, 'function', `there is a method ${name}`)
  Object.defineProperty(methods, name, { ...original, value: make(original.value as never) })
  try {
    return (await runPlan('seed' in faults ? faults : plan(faults))).violation?.invariant
  } finally {
    Object.defineProperty(methods, name, original)
  }
}

test('the same plans hold with the product as it is', async () => {
  for (const faults of [[], onEach('powerCut', 500, { mode: 'nothing' }),
    onEach('pause', 500, { forMs: 3000 }), onEach('kill', 500)])
  {
    const { violation } = await runPlan(plan(faults))
    assert.is(violation, null, JSON.stringify(violation))
  }
})

test('forks are reconciled by the product as it is, and are looked at', async () => {
  const wanted = new Set([
    'salvages removed',
    'relations checked: before',
    'relations checked: concurrent',
    'writes: merged',
    'writes: quarantined',
    'writes sent again by their clients',
  ])
  for (const seed of forkSeeds) {
    if (wanted.size === 0) break
    const { violation, stats: { coverage } } = await runPlan(forks(seed))
    assert.is(violation, null, JSON.stringify(violation))
    for (const what of wanted) if ((coverage[what] ?? 0) > 0) wanted.delete(what)
  }
  assert.equal([...wanted], [], 'met by one of the seeds')
})

/** Small segments, of which hardly any are kept. */
const cutting = (seed: number): Plan => ({
  ...plan([]),
  seed,
  maxLoss: null,
  requestsMax: 2000,
  checkpointBytes: 4096,
  segmentBytes: 8192,
  retainBytes: 0,
})

test('journals are cut by the product as it is, and are looked at', async () => {
  const { violation, stats: { coverage } } = await runPlan(cutting(1))
  assert.is(violation, null, JSON.stringify(violation))
  assert.ok((coverage['segments given up'] ?? 0) > 3)
})

test('I14: a segment that goes although its entries are not in two checkpoints', async () => {
  const gone = () => () => ({ spaces: [], unreadSpaces: [], isUnread: false })
  assert.is(await broken(Logs.prototype, 'useOf', gone, cutting(1)), 'I14')
})

test('I2: a lease that never runs out', async () => {
  const found = new Set<string | undefined>()
  // One of them is the primary.
  for (const node of nodes) {
    const alone = fault('isolate', 300, { node, forMs: 3500, mode: 'both' })
    found.add(await broken(Lease.prototype, 'valid', () => () => true, [alone]))
  }
  assert.ok(found.has('I2'), `found: ${[...found].join()}`)
})

test('answers beyond what may be lost', async () => {
  const found = await broken(LossBound.prototype, 'limit', () => () => Infinity, [])
  assert.is(found, 'maxLoss')
})

test('I4: answers before the fdatasync', async () => {
  const found = await broken(Ingest.prototype, 'seal', (seal) =>
    function early(
      this: never,
      ...args: never[]
    ) {
      const item = seal.apply(this, args) as { written: () => void; durable: () => void }
      return {
        ...item,
        written: () => {
          item.written()
          item.durable()
        },
        durable: () => undefined,
      }
    } as Methods[string], [])
  assert.is(found, 'I4')
})

test('I12: a disk that says fdatasync is done and has not done it', async () => {
  const { MemoryFileSystem } = await import('../fakes/memoryFileSystem.js')
  const found = await broken(MemoryFileSystem.prototype, 'open', (open) =>
    async function lying(
      this: never,
      ...args: never[]
    ) {
      const handle = await open.apply(this, args) as object
      const path = String(args[0])
      return path.includes('/journal/')
        ? { ...handle, datasync: () => Promise.resolve() }
        : handle
    } as Methods[string], onEach('powerCut', 500, { mode: 'nothing' }))
  assert.ok(found === 'I12' || found === 'exit', `found: ${found}`)
})

test('I7: keys that nobody remembers', async () => {
  const found = await broken(Ingest.prototype, 'knownKey', () => () => undefined, [])
  assert.is(found, 'I7')
})

test('clock: a primary that takes what it never met for what it knew', async () => {
  const found = await brokenInForks(ForkTracker.prototype, 'sharedWith', () => () => Infinity)
  assert.is(found, 'clock')
})

test('I6: a salvage that goes before all of it is in the log', async () => {
  const found = await brokenInForks(Salvage.prototype, 'slice', (slice) =>
    async function hasty(
      this: never,
      ...args: never[]
    ) {
      const { writes } = await slice.apply(this, args) as { writes: readonly object[] }
      return { writes: writes.slice(1), isLast: true }
    } as Methods[string])
  assert.is(found, 'I6')
})

test('I6: writes that have come by their keys, and nobody notes it', async () => {
  const found = await brokenInForks(ForkIntake.prototype, 'known', () => () => null)
  assert.is(found, 'I6')
})

test('I7: writes that are reconciled twice', async () => {
  const found = await brokenInForks(ForkIntake.prototype, 'onSlice', (onSlice) =>
    function again(
      this: never,
      ...args: never[]
    ) {
      const service = this as { known?: () => null }
      onSlice.apply(this, args)
      service.known = () => null
      onSlice.apply(this, [args[0], () => undefined] as never)
      delete service.known
    } as Methods[string])
  assert.is(found, 'I7')
})

test('reconcile: salvages that nobody uploads', async () => {
  const found = await brokenInForks(UploaderRunner.prototype, 'hasSomething', () => () => false)
  assert.is(found, 'reconcile')
})

test('forks: a store that counts too much', async () => {
  const found = await brokenInForks(MemoryForkReports.prototype, 'putReport',
    (put) =>
      function vain(
        this: never,
        ...args: never[]
      ) {
        const [report] = args as unknown as [{ merged: number }]
        return put.call(this, { ...report, merged: report.merged * 2 } as never)
      } as Methods[string])
  assert.ok(found === 'forks' || found === 'read', `found: ${found}`)
})

test('fate: a store that hides its quarantine', async () => {
  const found = await brokenInForks(
    MemorySpaceStore.prototype,
    'quarantined',
    () => () => undefined,
  )
  assert.is(found, 'fate')
})

test('I6: reports that count nothing as lost', async () => {
  // It is primary alone, starts again and stays primary, and is gone; another is forced.
  const alone = [
    fault('kill', 500, { node: 'n2', forMs: 5000 }),
    fault('kill', 500, { node: 'n3', forMs: 5000 }),
    fault('kill', 2000, { forMs: 50 }),
    fault('loseDisk', 3000),
  ]
  const lossy = { ...forks(1), faults: alone }
  assert.is((await runPlan(lossy)).violation, null)
  const found = await broken(ForkTracker.prototype, 'closings',
    (closings) =>
      function* nothingLost(this: ForkTracker, ...args) {
        const notes = yield* closings.apply(this, args) as ReturnType<ForkTracker['closings']>
        return notes.map((note) => note.note === 'closed' ? { ...note, lost: 0 } : note)
      }, lossy)
  assert.is(found, 'I6')
})

test('I8: a store that leaves entries out', async () => {
  let first: object | null = null
  const found = await broken(MemoryStore.prototype, 'space', (space) =>
    function forgetful(
      this: never,
      ...args: never[]
    ) {
      const found = space.apply(this, args) as { applyOne: (entry: { sequence: number }) => void }
      first ??= found
      if (found !== first) return found
      const { applyOne } = Object.getPrototypeOf(found) as typeof found
      found.applyOne = (entry) => {
        if (entry.sequence % 5 > 0) applyOne.call(found, entry)
      }
      return found
    } as Methods[string], [])
  assert.ok(found === 'I8' || found === 'read', `found: ${found}`)
})

test('I8: a store that applies what is not committed', async () => {
  const found = await broken(Applier.prototype, 'target', () =>
    function eager(this: Applier) {
      return this['options'].log.durable.sequence
    } as never, [])
  assert.is(found, 'defect', 'the product finds that by itself, and ends')
})

test('I8: a commit sequence that runs ahead of the acks', async () => {
  const found = await broken(Followers.prototype, 'recommit', (recommit) =>
    function eager(
      this: never,
      ...args: never[]
    ) {
      const { member } = (this as { options: { member: Member } }).options
      member.commitUpTo(member.log.durable.sequence)
      return recommit.apply(this, args)
    } as Methods[string], [])
  assert.ok(found === 'I8' || found === 'I5', `found: ${found}`)
})

test('I10: a journal that flushes nothing any more', async () => {
  let flushes = 0
  const found = await broken(GroupCommit.prototype, 'flush', (flush) =>
    function hung(
      this: never,
      ...args: never[]
    ) {
      flushes += 1
      return flushes > 400 ? new Promise(() => undefined) : flush.apply(this, args)
    } as Methods[string], [])
  assert.is(found, 'I10')
})

test.run()
