/** What is given up for a checkpoint, and what is not: the rest is in sim/cluster/fullDisks. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CheckpointRoom } from '../../../actors/checkpoints/room.js'
import { removeUnused } from '../../../actors/checkpoints/unusedFiles.js'
import { withReserve } from '../../../actors/checkpoints/reserve.js'
import type { NodeContext } from '../../../actors/member/context.js'
import type { Member } from '../../../actors/member/member.js'
import type { FlushSource } from '../../../actors/log/groupCommit.js'
import { CheckpointDamagedError, type StoredFile } from '../../../actors/ports/checkpoints.js'
import { FileSystemError } from '../../../actors/ports/fileSystem.js'
import type { Coverage, KeptCheckpoint } from '../../../actors/ports/journal.js'
import { JournalFullError } from '../../../actors/ports/journal.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('checkpoint room')
const MiB = 2 ** 20
const atOnce = { begin: () => {}, end: () => {}, rest: () => Promise.resolve() }
const full = () => new JournalFullError('full', new FileSystemError('ENOSPC', 'no space left'))

/** A space with checkpoints 1 (as of 3) and 2 (as of 5) of 100 MiB each; its log ends at 9. */
function room() {
  const steps: string[] = []
  const at = (sequence: number) => ({ epoch: 1, sequence })
  const kept = (file: number): KeptCheckpoint => ({ file, id: `id${file}`,
    position: at(file * 2 + 1) })
  const covers: Coverage = { installs: 0, kept: [kept(1), kept(2)], covered: at(3),
    history: { root: at(0), history: [] }, clock: {}, timestamp: 0 }
  const log = { uuid: 'u', covers, damage: null as string | null, base: at(2), root: at(0),
    history: [{ epoch: 1, last: 9 }], end: at(9) }
  const fileOf = (number: number, uuid = 'u') =>
    ({ number, bytes: 100 * MiB, fault: null,
      sections: [{ uuid, file: number, id: `id${number}`,
        bytes: 100 * MiB }] }) as unknown as StoredFile
  const state = {
    free: 100 * MiB,
    log,
    logs: [log],
    files: [fileOf(1), fileOf(2)],
    damaged: new Set<number>(),
    readFault: null as Error | null,
    pinning: new Set(['u']),
    parts: new Map<string, number>(),
    lost: [] as object[],
    lacksRoom: false,
    fails: 0,
    installing: new Map([['u', false]]),
  }
  const journal = {
    log: () => state.log,
    logs: () => state.logs,
    segments: () => [{ segment: 1, bytes: MiB }],
    useOf: () => ({ spaces: [{ uuid: 'u', last: 8, timeMs: 0 }], unreadSpaces: [],
      isUnread: false }),
    get recovery() {
      return { damaged: state.lost }
    },
  }
  const checkpoints = {
    files: () => state.files,
    find: (_: string, { file }: { file: number }) =>
      state.files.find(({ number }) => number === file)?.sections[0] ?? null,
    noteUnusable: ({ file }: { file: number }, fault: { code: string; reason: string }) => {
      state.files = state.files.map((one) =>
        one.number === file ? { ...one, sections: [], fault } : one
      )
    },
    verify: ({ file }: { file: number }) => {
      steps.push(`verify ${file}`)
      if (state.readFault) return Promise.reject(state.readFault)
      return state.damaged.has(file)
        ? Promise.reject(new CheckpointDamagedError(`${file}`, 'rotten'))
        : Promise.resolve()
    },
    remove: (file: number) => {
      steps.push(`remove ${file}`)
      state.files = state.files.filter(({ number }) => number !== file)
      state.free += 100 * MiB
      return Promise.resolve()
    },
    spacesOfParts: () => Promise.resolve(new Set(state.parts.keys())),
    removeParts: (uuid: string) => {
      steps.push(`part of ${uuid}`)
      state.free += state.parts.get(uuid)!
      state.parts.delete(uuid)
      return Promise.resolve()
    },
  }
  const commits = {
    get lacksRoom() {
      return state.lacksRoom
    },
    hold: () => void steps.push('hold'),
    runShort: () => void steps.push('short'),
    mark: (source: FlushSource) => {
      const [item] = source.take(1)
      if (item?.record.type !== 'checkpoint') return
      if ((state.fails -= 1) >= 0) return item.failed!(full())
      const { record } = item
      steps.push(`record ${record.covers.kept.map(({ file }) => file).join()}`)
      state.log.covers = record.covers
      item.durable!()
    },
  }
  const context = {
    ports: { journal, checkpoints, clock: new VirtualClock(), telemetry: { count: () => {} },
      logger: { info: () => {}, warn: () => {} }, events: { note: () => {} } },
    wire: { publish: () => {} },
    self: { node: 'n1' },
    commits,
  } as unknown as NodeContext
  const member = { uuid: 'u', space: 'demo', context, following: { isSwitching: false } }
  const directory = {
    freeBytes: () => Promise.resolve(state.free),
    reserveBytes: 8 * MiB,
    releaseReserve: () => {
      steps.push('reserve')
      return Promise.resolve(true)
    },
    keepReserve: () => Promise.resolve(true),
  }
  const options = { context, directory, pinning: () => state.pinning,
    installing: () => state.installing }
  const tested = new CheckpointRoom(options)
  const make = (): Promise<unknown> =>
    tested.make(member as unknown as Member, atOnce).then(() => 'room', (error: unknown) => error)
  return { tested, make, state, steps, options, fileOf, kept }
}

test('with room for it nothing goes', async () => {
  const { make, state, steps } = room()
  state.free = 164 * MiB
  assert.is(await make(), 'room')
  assert.equal(steps, [])
})

test('the newer one is read, then named alone, then the older one goes; covered stays', async () => {
  const { make, state, steps, kept } = room()
  const { covered } = state.log.covers
  assert.is(await make(), 'room')
  assert.equal(steps, ['verify 2', 'record 2', 'remove 1'])
  assert.equal(state.log.covers.kept, [kept(2)])
  assert.equal(state.log.covers.covered, covered)
  state.free = 0
  assert.match(String(await make()), /0 B free, and 172 MB are needed/)
  assert.is(steps.length, 3, 'never the last one')
})

test('the newer one is damaged: it goes, and the older one stays', async () => {
  const { make, state, steps, kept } = room()
  state.damaged.add(2)
  assert.is(await make(), 'room')
  assert.equal(steps, ['verify 2', 'verify 1', 'record 1', 'remove 2'])
  assert.equal(state.log.covers.kept, [kept(1)])
})

test('what cannot be read at all, or by this version, lets nothing go', async () => {
  for (const prepare of [
    ({ damaged }: ReturnType<typeof room>['state']) => void damaged.add(1).add(2),
    (state: ReturnType<typeof room>['state']) => {
      state.readFault = new FileSystemError('EIO', 'a bad sector')
    },
    (state: ReturnType<typeof room>['state']) => {
      const fault = { code: 'CHECKPOINT_VERSION', reason: 'later' }
      state.files = state.files.map((one) =>
        one.number === 2 ? { ...one, sections: [], fault } : one
      )
    },
  ]) {
    const { make, state, steps } = room()
    prepare(state)
    assert.instance(await make(), Error)
    assert.equal(steps.filter((step) => !step.startsWith('verify')), [])
    assert.is(state.log.covers.kept.length, 2)
  }
})

test('nothing goes for too little, for a space that keeps no segment, or with others in it',
  async () => {
    for (const prepare of [
      (state: ReturnType<typeof room>['state']) => void (state.free = 63 * MiB),
      (state: ReturnType<typeof room>['state']) => void state.pinning.clear(),
      (state: ReturnType<typeof room>['state']) =>
        void (state.logs = [state.log, { ...state.log, uuid: 'v' }]),
    ]) {
      const { make, state, steps } = room()
      prepare(state)
      assert.match(String(await make()), /enlarge the disk, or remove files from it/)
      assert.equal(steps, [])
    }
  })

test('a record that is not written lets nothing go', async () => {
  const { make, state, steps } = room()
  state.fails = 2
  assert.instance(await make(), JournalFullError)
  assert.equal(steps, ['verify 2', 'reserve', 'short'])
  assert.is(state.files.length, 2)
})

test('a journal that takes nothing waits for it, and the reserve is used, down to half', async () => {
  const { tested, make, state, steps } = room()
  Object.assign(state, { lacksRoom: true, free: 4 * MiB - 1 })
  assert.instance(await make(), Error)
  assert.equal(steps, ['hold', 'reserve'])
  assert.is(await tested.isLeft(1), false)
  tested.release()
  assert.is(await tested.isLeft(1), true)
  state.free += 1
  steps.length = 0
  assert.is(await make(), 'room')
  assert.equal(steps, ['hold', 'reserve', 'verify 2', 'hold', 'record 2', 'remove 1'])
  state.free = 4 * MiB
  await tested.watch()
  state.free -= 1
  assert.match(String(await tested.watch().catch((error: unknown) => error)), /4\.2 MB are needed/)
})

test('while writes go on they come first; not once the other checkpoint was given up', async () => {
  const { tested, make, state, steps } = room()
  state.free = 64 * MiB
  await tested.watch()
  state.free -= 1
  assert.instance(await tested.watch().catch((error: unknown) => error), Error)
  state.free = 100 * MiB
  assert.is(await make(), 'room')
  state.free = 64 * MiB - 1
  steps.length = 0
  await tested.watch()
  assert.equal(steps, ['hold'])
})

test('one checkpoint is left: what just fits the next one is for that', async () => {
  const { tested, state, kept } = room()
  const isAwaited = async (freeMiB: number): Promise<boolean> => {
    state.free = freeMiB * MiB
    return await tested.isAwaited()
  }
  assert.is(await isAwaited(120), false, 'two are there')
  state.log.covers = { ...state.log.covers, kept: [kept(2)] }
  assert.equal([await isAwaited(95), await isAwaited(96), await isAwaited(163),
    await isAwaited(164)], [false, true, true, false])
  state.free = 120 * MiB
  assert.is(await tested.isLeft(1), false)
  state.log.base = { epoch: 0, sequence: 0 }
  assert.is(await isAwaited(120), false, 'nothing was given up')
  Object.assign(state.log, { base: { epoch: 1, sequence: 2 }, damage: 'a bad record' })
  assert.is(await isAwaited(120), false, 'none will be taken')
})

test('files and parts that nobody needs go first, those of an install do not', async () => {
  const { make, state, steps, fileOf } = room()
  state.files = [...state.files, fileOf(3), fileOf(4, 'v'), fileOf(5, 'w')]
  state.parts = new Map([['x', MiB], ['v', MiB]])
  state.installing = new Map([['u', false], ['v', true]])
  assert.is(await make(), 'room')
  assert.equal(steps, ['part of x', 'remove 3'], 'w is of no space here: it may become one')
})

test('a journal that lost records may have lost the names of files', async () => {
  const { state, steps, options, fileOf } = room()
  state.files = [...state.files, fileOf(3)]
  state.lost = [{}]
  await removeUnused(options)
  assert.equal(steps, [])
})

test('the reserve is for what makes room only, and once', async () => {
  const steps: string[] = []
  const of = (has: boolean, keeps: boolean) => ({
    commits: { runShort: () => void steps.push('short') },
    directory: {
      releaseReserve: () => (steps.push('release'), Promise.resolve(has)),
      keepReserve: () => (steps.push('keep'), Promise.resolve(keeps)),
    },
  })
  const failing = (times: number, error: Error) => () =>
    (times -= 1) < 0 ? Promise.resolve('done') : Promise.reject(error)
  const tryOut = async (has: boolean, keeps: boolean, times: number, error: Error = full()) => {
    steps.length = 0
    const end = await withReserve(of(has, keeps), failing(times, error)).catch((e: Error) => e.name)
    return [end, ...steps]
  }
  assert.equal(await tryOut(true, true, 0), ['done'])
  assert.equal(await tryOut(true, true, 1), ['done', 'release', 'short', 'keep'])
  assert.equal(await tryOut(true, false, 1), ['done', 'release', 'short', 'keep', 'short'])
  assert.equal(await tryOut(true, true, 2), ['JournalFullError', 'release', 'short', 'keep'])
  assert.equal(await tryOut(false, true, 1), ['JournalFullError', 'release'])
  const other = new JournalFullError('no', new FileSystemError('EIO', 'a bad sector'))
  assert.equal(await tryOut(true, true, 1, other), ['JournalFullError'])
})

test.run()
