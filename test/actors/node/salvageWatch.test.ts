/** Salvages that take much of a disk are told, once, and so is their end. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NodeContext } from '../../../actors/member/context.js'
import { salvageBytesMax, SalvageWatch } from '../../../actors/node/salvageWatch.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('actors: salvage watch')

function watching() {
  const clock = new VirtualClock()
  const alerts: { space: string; kind: string; message: string }[] = []
  const nothing = () => undefined
  const ports = { clock, telemetry: { count: nothing },
    logger: { debug: nothing, info: nothing, warn: nothing }, events: {
      note: ({ space, kind, message }: (typeof alerts)[number]) =>
        alerts.push({ space, kind, message }),
    } }
  const context = { ports, self: { node: 'n1' },
    wire: { publish: nothing } } as unknown as NodeContext
  const state = { files: [] as { name: string; bytes: number }[], looks: 0, fails: false }
  const watch = new SalvageWatch(context, { salvageFiles: async () => {
    state.looks += 1
    if (state.fails) throw new Error('a fault')
    return state.files
  } })
  const look = async (ms = 60_000): Promise<void> => {
    await clock.advanceAsync(ms)
    watch.tick()
    await clock.advanceAsync(1)
  }
  const kinds = () => alerts.map(({ kind }) => kind)
  return { state, alerts, kinds, look }
}

const file = (space: string, bytes: number) => ({ name: `${space}.0b1f0c00.1-2.1-9.salvage`,
  bytes })

test('above the bound it is told once, with the space that has most', async () => {
  const { state, alerts, kinds, look } = watching()
  state.files = [file('a', salvageBytesMax)]
  await look()
  assert.equal(kinds(), [], 'the bound itself is allowed')
  state.files = [file('a', salvageBytesMax / 4), file('b', salvageBytesMax / 2),
    file('a', salvageBytesMax / 2 + 1)]
  for (let times = 0; times < 3; times += 1) await look()
  assert.equal(kinds(), ['salvageBytes'])
  assert.is(alerts[0]!.space, 'a')
  assert.match(alerts[0]!.message, /^the salvages of n1 take 1\.3 GB in 3 files, those of a 805 MB/)
})

test('the end is told to the same space, below three quarters', async () => {
  const { state, alerts, kinds, look } = watching()
  state.files = [file('a', salvageBytesMax + 1)]
  await look()
  state.files = [file('b', salvageBytesMax)]
  await look()
  assert.equal(kinds(), ['salvageBytes'], 'no alarm at each file that comes and goes')
  state.files = [file('b', salvageBytesMax * 0.75)]
  for (let times = 0; times < 3; times += 1) await look()
  assert.equal(kinds(), ['salvageBytes', 'salvageBytesCleared'])
  assert.is(alerts[1]!.space, 'a')
  state.files = [file('b', salvageBytesMax + 1)]
  await look()
  assert.equal(kinds(), ['salvageBytes', 'salvageBytesCleared', 'salvageBytes'])
})

test('it looks once a minute, and a fault of the disk ends nothing', async () => {
  const { state, kinds, look } = watching()
  state.files = [file('a', salvageBytesMax + 1)]
  state.fails = true
  await look(59_000)
  assert.is(state.looks, 0)
  await look(1_000)
  await look(30_000)
  assert.equal([state.looks, kinds()], [1, []])
  state.fails = false
  await look(30_000)
  assert.equal([state.looks, kinds()], [2, ['salvageBytes']])
})

test.run()
