/** What a node says of its journal, and what becomes of faults: the rest is in sim/cluster/retention. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Retention } from '../../../actors/checkpoints/retention.js'
import type { NodeContext } from '../../../actors/member/context.js'
import type { InstallPin } from '../../../actors/member/installPins.js'
import type { Member } from '../../../actors/member/member.js'
import { FileSystemError } from '../../../actors/ports/fileSystem.js'
import { JournalFullError, SyncFailedError } from '../../../actors/ports/journal.js'
import { InvariantViolation } from '../../../machines/log/invariants.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('retention')
const GiB = 2 ** 30
const full = () => new JournalFullError('full', new FileSystemError('ENOSPC', 'no space left'))

/** A journal of segments of 1 GiB, of which 1 GiB is kept. */
function retaining(segments: number) {
  const clock = new VirtualClock()
  const alerts: string[] = []
  const warnings: string[] = []
  const fatal: unknown[] = []
  const state = {
    segments: Array.from({ length: segments }, (_, at) => ({ segment: at + 1, bytes: GiB })),
    kept: 2,
    pins: [] as InstallPin[],
    reserve: 0,
    shorts: 0,
    isUnread: false,
    /** Bytes of segments below which the disk has room enough. */
    roomAt: Infinity,
    isShort: false,
    retain: {} as { bytes?: number; ms?: number },
    /** Read from the arbiter; otherwise the record is remembered from before the start. */
    isRead: true,
    hasMember: true,
    uuids: ['u'],
    /** How often all members, and all remembered records, were gone through. */
    passes: 0,
    remove: (): Promise<boolean> => {
      state.segments.shift()
      return Promise.resolve(true)
    },
  }
  const journal = {
    segments: () => state.segments,
    useOf: () => ({ spaces: state.uuids.map((uuid) => ({ uuid, last: 5, timeMs: 0 })),
      unreadSpaces: [], isUnread: state.isUnread }),
    log: () => ({ damage: null,
      covers: { kept: Array.from({ length: state.kept }, () => ({})),
        covered: { epoch: 1, sequence: 9 } } }),
    remove: () => state.remove(),
  }
  const note = (of: string[]) => (_: object, message: string): void => void of.push(message)
  const ports = { clock, journal, checkpoints: { find: () => ({}) },
    telemetry: { count: () => undefined }, logger: { info: () => undefined, warn: note(warnings) },
    events: { note: ({ kind }: { kind: string }) => alerts.push(kind) } }
  const context = { ports, settings: { retainBytes: GiB },
    commits: { lacksRoom: false, runShort: () => void (state.shorts += 1) }, self: { node: 'n1' },
    records: { remembered: () => record(), memory: { all: () => {
      state.passes += 1
      return state.uuids.map(record)
    } } }, pins: { of: () => state.pins }, wire: { publish: () => undefined },
    fatal: (error: unknown) => fatal.push(error) } as unknown as NodeContext
  const record = (uuid = 'u') => ({
    assignment: { uuid, settings: { retain: state.retain }, members: [] },
  })
  const memberOf = (uuid: string) =>
    ({ uuid, space: uuid === 'u' ? 'demo' : uuid, known: { get record() {
      return state.isRead ? record(uuid) : null
    } } }) as unknown as Member
  const member = memberOf('u')
  const outlook = {
    get isShort() {
      return state.isShort
    },
    look: () => {
      state.isShort = state.segments.length * GiB > state.roomAt
      return Promise.resolve()
    },
  }
  const retention = new Retention({
    context,
    members: () => {
      state.passes += 1
      return state.hasMember ? state.uuids.map(memberOf) : []
    },
    checkpointBytes: () => GiB,
    outlook,
    directory: {
      releaseReserve: () => Promise.resolve((state.reserve -= 1) >= 0),
      keepReserve: () => Promise.resolve(true),
    },
  })
  const look = async (ms = 1000): Promise<void> => {
    await clock.advanceAsync(ms)
    retention.tick()
    await clock.advanceAsync(1)
  }
  return { clock, retention, state, alerts, warnings, fatal, look, member }
}

test('all that may go does, down to what is kept', async () => {
  const { state, look, alerts } = retaining(6)
  await look()
  assert.equal(state.segments.map(({ segment }) => segment), [6])
  assert.equal(alerts, [])
})

test('a space that keeps more than is usual raises an alert, once, and its end is told', async () => {
  const { retention, state, look, alerts } = retaining(7)
  state.kept = 1
  await look()
  assert.equal(retention.pinsOf('u'), { bytes: 6 * GiB,
    reason: '1 checkpoint(s) are kept, and not two' })
  assert.equal([...retention.pinning], ['u'])
  assert.equal(alerts, [], 'two generations of its checkpoints, and 2 GiB, are usual')
  state.segments.push({ segment: 8, bytes: GiB })
  for (let times = 0; times < 3; times += 1) await look()
  assert.equal(alerts, ['journalPinned'])
  state.kept = 2
  await look()
  assert.equal(alerts, ['journalPinned', 'journalPinnedCleared'])
  assert.equal([retention.pinnedBy, retention.pinsOf('u'), retention.pinning.size], [null, null, 0])
})

test('what no space here can let go is said once', async () => {
  const { retention, state, look, alerts, warnings } = retaining(3)
  state.isUnread = true
  await look()
  assert.equal(warnings, [])
  assert.equal(retention.pinnedBy!.space, null)
  state.segments.push({ segment: 4, bytes: GiB })
  for (let times = 0; times < 3; times += 1) await look()
  assert.equal([warnings.length, alerts], [1, []])
  assert.match(warnings[0]!, /no space here can let it go/)
})

test('a full disk gets the reserve; a file that cannot be removed is tried again, said rarely', async () => {
  const { state, look, warnings, fatal } = retaining(4)
  const { remove } = state
  let tries = 0
  state.reserve = 1
  state.remove = () => {
    tries += 1
    return tries === 1 ? Promise.reject(full()) : remove()
  }
  await look()
  assert.equal([state.segments.length, tries, warnings], [1, 4, []])
  assert.is(state.shorts, 1, 'what the reserve gives is not for writes')
  state.segments.push({ segment: 9, bytes: GiB })
  state.remove = () => Promise.reject(full())
  for (let times = 0; times < 5; times += 1) await look()
  state.remove = () => Promise.reject(new FileSystemError('EACCES', 'no'))
  await look()
  assert.equal(warnings, ['the oldest segment of the journal cannot be removed'])
  await look(60_000)
  assert.is(warnings.length, 2)
  state.remove = remove
  await look()
  assert.is(state.segments.length, 1)
  assert.equal(fatal, [])
})

test('a fault other than want of room leaves the reserve where it is', async () => {
  const { state, look, warnings } = retaining(4)
  state.reserve = 1
  state.remove = () =>
    Promise.reject(new JournalFullError('no', new FileSystemError('EIO', 'a bad sector')))
  await look()
  assert.equal([state.reserve, state.segments.length, warnings.length], [1, 4, 1])
})

test('what keeps a segment while the reserve is given back is looked at again', async () => {
  const { state, look, warnings, fatal } = retaining(4)
  const { remove } = state
  let tries = 0
  state.reserve = 1
  state.remove = () => {
    tries += 1
    if (tries > 1) {
      return state.kept < 2 ? Promise.reject(new InvariantViolation('I14', 'kept')) : remove()
    }
    // A truncation, after a forced promotion, is durable by then.
    state.kept = 1
    return Promise.reject(full())
  }
  await look()
  assert.equal([state.segments.length, tries, warnings, fatal], [4, 1, [], []])
  state.kept = 2
  await look()
  assert.equal([state.segments.length, fatal], [1, []])
})

test('a failed sync and a violated invariant end the node', async () => {
  for (const error of [new SyncFailedError('no'), new InvariantViolation('I14', 'no')]) {
    const { state, look, fatal } = retaining(3)
    state.remove = () => Promise.reject(error)
    await look()
    assert.equal(fatal, [error])
  }
})

test('one that something written meanwhile keeps is looked at again', async () => {
  const { state, look, fatal } = retaining(3)
  let tries = 0
  state.remove = () => Promise.resolve((tries += 1) < 0)
  await look()
  await look(500)
  assert.equal([tries, fatal], [1, []])
  await look()
  assert.is(tries, 2)
})

test('each member that is installed keeps what it needs, up to its own bound', async () => {
  const { retention, state, look } = retaining(4)
  state.pins = [{ node: 'n2', from: 1, bytes: GiB }, { node: 'n3', from: 4, bytes: 4 * GiB }, {
    node: 'n4',
    from: 9,
    bytes: 9 * GiB,
  }]
  await look()
  assert.is(state.segments.length, 4)
  assert.match(retention.pinnedBy!.reason, /^n3 is being installed, and goes on from entry 4$/)
  state.pins.splice(1, 1)
  await look()
  assert.is(state.segments.length, 3, 'what n4 needs comes later; n2 has its bound')
  assert.match(retention.pinnedBy!.reason, /^n2 is being installed/)
})

test('where room is short, no more goes than makes enough of it', async () => {
  const { state, look } = retaining(6)
  state.retain = { bytes: 9 * GiB }
  state.roomAt = 3 * GiB
  await look()
  assert.equal(state.segments.map(({ segment }) => segment), [4, 5, 6])
  const less = retaining(2)
  less.state.roomAt = 0
  await less.look()
  assert.is(less.state.segments.length, 0, 'also what retainBytes keeps')
})

test('a space keeps more for readers, and nobody has to act', async () => {
  const { clock, retention, state, look, alerts, member } = retaining(9)
  state.retain = { bytes: 7 * GiB }
  await look()
  assert.is(state.segments.length, 7)
  assert.equal(retention.pinnedBy, { space: 'demo',
    reason: `readers of its log: retain ${7 * GiB} bytes` })
  assert.equal(retention.retained(member), { keepsOldest: true, isOverruled: false })
  assert.is(retention.pinsOf('u'), null, 'it is meant to be there')
  assert.equal(alerts, [])
  state.kept = 1
  await look()
  assert.equal([...retention.pinning], [], 'a checkpoint would let nothing go')
  assert.equal([...retention.pinningAnything], ['u'])
  state.kept = 2
  state.retain = { ms: clock.wallMs() + 60_000 }
  await look()
  assert.is(state.segments.length, 7, 'its last entry is of the time 0')
  await look(60_000)
  assert.is(state.segments.length, 1)
  assert.equal(retention.retained(member), { keepsOldest: false, isOverruled: false })
})

test('at a start, what is remembered of the record counts, also before the space is there', async () => {
  const { state, look } = retaining(6)
  state.retain = { bytes: 9 * GiB }
  state.isRead = false
  state.hasMember = false
  await look()
  assert.is(state.segments.length, 6)
  state.hasMember = true
  await look()
  assert.is(state.segments.length, 6)
  state.isRead = true
  state.retain = {}
  await look()
  assert.is(state.segments.length, 1)
})

test('the disk comes before readers: once told, and once that it is over', async () => {
  const { retention, state, look, alerts, member } = retaining(6)
  state.retain = { bytes: 9 * GiB }
  state.roomAt = 4 * GiB
  await look()
  assert.is(state.segments.length, 4)
  assert.equal(alerts, ['retainOverruled'])
  assert.equal(retention.retained(member), { keepsOldest: true, isOverruled: true })
  state.segments.push({ segment: 7, bytes: GiB })
  await look(300_000)
  assert.is(state.segments.length, 4)
  await look(599_000)
  assert.equal(alerts, ['retainOverruled'])
  await look(2000)
  assert.equal(alerts, ['retainOverruled', 'retainOverruledCleared'])
  assert.equal(retention.retained(member), { keepsOldest: true, isOverruled: false })
})

test('all members are gone through as often for many spaces as for one', async () => {
  for (const hasMember of [true, false]) {
    const passes = []
    for (const spaces of [1, 100]) {
      const { state, look } = retaining(3)
      Object.assign(state, { hasMember, retain: { ms: 10_000 }, roomAt: 0,
        uuids: Array.from({ length: spaces }, (_, at) => `u${at}`) })
      await look()
      assert.is(state.segments.length, 0, 'the disk comes before readers')
      passes.push(state.passes)
    }
    assert.is(passes[1], passes[0])
  }
})

test('nothing is begun once it is stopped', async () => {
  const { retention, state, look } = retaining(3)
  await retention.stop()
  await look()
  assert.is(state.segments.length, 3)
})

test.run()
