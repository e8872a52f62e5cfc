/** True if the disk took what the kernel wrote back: asked rarely, and when it costs little. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Writeback } from '../../../runtime/store/writeback.js'

const test = suite('store: writeback')

function kit() {
  const failed: string[] = []
  const state = { nowMs: 1000, syncs: 0, fault: null as Error | null }
  const writeback = new Writeback({
    sync: () => {
      state.syncs += 1
      return state.fault ? Promise.reject(state.fault) : Promise.resolve()
    },
    nowMs: () => state.nowMs,
    onFailed: (reason) => failed.push(reason),
  })
  const after = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 60_000) {
      state.nowMs += 60_000
      await writeback.tick()
    }
  }
  return { writeback, state, failed, after }
}

test('when nothing was written for a while, once, and not while nothing is written', async () => {
  const { writeback, state, after } = kit()
  await after(600_000)
  assert.is(state.syncs, 0)
  writeback.wrote()
  state.nowMs += 30_000
  await writeback.tick()
  assert.is(state.syncs, 0, 'the kernel may not have written it back')
  await after(600_000)
  assert.is(state.syncs, 1)
})

test('a store that is written all the time: once an hour', async () => {
  const { writeback, state, after } = kit()
  for (let minute = 0; minute < 180; minute += 1) {
    state.nowMs += 55_000
    writeback.wrote()
    state.nowMs += 5000
    await writeback.tick()
  }
  assert.ok(state.syncs >= 2 && state.syncs <= 3, `${state.syncs}`)
  await after(60_000)
  assert.ok(state.syncs <= 4)
})

test('a failed write-back is reported', async () => {
  const { writeback, state, failed, after } = kit()
  state.fault = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
  writeback.wrote()
  await after(120_000)
  assert.equal(failed, ['the disk lost earlier writes of the store: EIO: i/o error, fdatasync'])
})

test.run()
