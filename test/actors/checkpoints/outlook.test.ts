/** When a disk is short of room for the checkpoints to come. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RoomOutlook } from '../../../actors/checkpoints/outlook.js'
import type { NodeContext } from '../../../actors/member/context.js'
import type { Member } from '../../../actors/member/member.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('room outlook')
const MiB = 2 ** 20
const spare = 64 * MiB

/** Spaces `a` and `b`, with checkpoints of 100 and 10 MiB; the journal has 1 MiB more of each. */
function outlook() {
  const clock = new VirtualClock()
  const log = (file: number) => ({ covers: { kept: [{ file }, { file }] }, newBytes: MiB,
    damage: null as string | null })
  const logs: Record<string, ReturnType<typeof log>> = { a: log(100), b: log(10) }
  const state = { free: 1e12, logs, looks: 0, segments: 1, fails: false }
  const context = {
    ports: { clock,
      journal: { log: (uuid: string) => state.logs[uuid],
        segments: () => Array.from({ length: state.segments }, () => ({})) },
      checkpoints: { find: (_: string, { file }: { file: number }) => ({ bytes: file * MiB }) } },
  }
  const tested = new RoomOutlook({
    context: context as unknown as NodeContext,
    members: () => [{ uuid: 'a' }, { uuid: 'b' }, { uuid: 'gone' }] as unknown as Member[],
    directory: { freeBytes: () => {
      state.looks += 1
      return state.fails ? Promise.reject(new Error('no')) : Promise.resolve(state.free)
    } },
  })
  const at = async (free: number): Promise<boolean> => {
    state.free = free
    await tested.look()
    return tested.isShort
  }
  return { clock, state, tested, at }
}

test('below what the space that needs most may need, and is left free', async () => {
  const { at, tested } = outlook()
  assert.is(tested.isShort, false, 'before the first look')
  assert.is(await at(102 * MiB + spare), false)
  assert.is(await at(102 * MiB + spare - 1), true)
})

test('a checkpoint is hurried while it fits, and not later', async () => {
  const { at, tested } = outlook()
  await at(102 * MiB + spare)
  assert.is(tested.isHurried(100 * MiB), false, 'there is room')
  await at(100 * MiB + spare)
  assert.equal([100, 101].map((size) => tested.isHurried(size * MiB)), [true, false])
})

test('what the journal has of it counts; a damaged log is of no use', async () => {
  const { at, state } = outlook()
  state.logs['b']!.newBytes = 200 * MiB
  assert.is(await at(410 * MiB + spare - 1), true)
  state.logs['b'] = { ...state.logs['b']!, damage: 'bits' }
  assert.is(await at(410 * MiB + spare - 1), false)
})

test('the next one frees as much as the older one has', async () => {
  const { at, state } = outlook()
  state.logs['a']!.covers.kept.shift()
  assert.is(await at(202 * MiB + spare - 1), true)
  assert.is(await at(202 * MiB + spare), false)
})

test('without closed segments there is nothing to give up', async () => {
  const { at, state } = outlook()
  state.segments = 0
  assert.is(await at(0), false)
})

test('a disk that does not tell has room', async () => {
  const { at, state } = outlook()
  await at(0)
  state.fails = true
  assert.is(await at(0), false)
})

test('it is looked at once a second', async () => {
  const { clock, state, tested } = outlook()
  for (let times = 0; times < 30; times += 1) {
    tested.tick()
    await clock.advanceAsync(100)
  }
  assert.is(state.looks, 3)
})

test.run()
