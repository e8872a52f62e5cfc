/** A run of the simulator as frames of a page. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { flatten } from '../../../runtime/charts/chart.js'
import type { Frame } from '../../../runtime/page/protocol.js'
import { runSeed } from '../../sim/run.js'
import type { FrameOf } from '../../support/page.js'

const test = suite('page recording')

/** Seed 3 begins with a kill of the primary. */
const seed = 3

test('the frames of a run: charts, states, a failover step by step; the run is as without', async () => {
  const plain = await runSeed(seed)
  const { recording, hash } = await runSeed(seed, { record: true })
  assert.is(hash, plain.hash, 'recording changes nothing')
  assert.is(plain.recording, null)
  const frames = recording!.map((line) => JSON.parse(line) as Frame)
  const of = <K extends Frame['kind']>(kind: K) =>
    frames.filter((frame) => frame.kind === kind) as FrameOf<K>[]
  assert.equal(frames.slice(0, 3).map(({ kind }) => kind), ['start', 'charts', 'broker'])
  assert.is(of('start')[0]?.source, 'simulator')
  assert.ok(frames.every(({ atMs }, index) => atMs >= (frames[index - 1]?.atMs ?? 0)),
    'time goes on')

  const story = of('story').map(({ line }) => line)
  const at = (found: (line: typeof story[number]) => boolean): number => story.findIndex(found)
  const killed = at(({ kind, text }) => kind === 'fault' && /kill primary/.test(text))
  const winner = story.find(({ kind, epoch }) => kind === 'epoch' && epoch === 2)?.node
  const steps = ['promoting', 'surveying', 'awaitingVacancy', 'claiming', 'opening', 'confirming',
    'won'].map((state) =>
      at((line) =>
        line.kind === 'promotion' && line.node === winner
        && line.state === state && story.indexOf(line) > killed
      )
    )
  assert.ok(killed >= 0 && steps.every((step, n) => step > (steps[n - 1] ?? killed)), `${steps}`)
  assert.ok(winner)

  const { charts } = of('charts')[0]!
  const transitions = of('inspection').flatMap(({ envelope }) => envelope.events)
    .filter((event) => event.type === 'transition')
  const taken = transitions.flatMap((event) => event.taken ?? [])
  assert.ok(taken.length > 50)
  const edges = new Set(Object.values(charts).flatMap(({ root }) =>
    flatten(root)
      .flatMap((state) =>
        state.transitions.map((edge) =>
          JSON.stringify([state.path, edge.trigger, edge.name, edge.guard, edge.targets])
        )
      )
  ))
  for (const { source, trigger, name, guard, targets } of taken) {
    const edge = JSON.stringify([source, trigger, name, guard, targets])
    assert.ok(edges.has(edge), `${edge} is an edge of a chart`)
  }
  assert.ok(
    of('inspection').some(({ envelope }) =>
      envelope.node === 'n1' && envelope.present !== null && envelope.events.length === 0
    ),
    'a node that was killed has no actors',
  )
  assert.ok(of('status').some(({ status }) => status?.spaces[0]?.primary === 'n2'))
  assert.ok(of('flow').some(({ writesPerSecond }) => writesPerSecond > 0))
  assert.ok(transitions.some(({ timers }) => timers?.some(({ delayMs }) => delayMs > 0)))
})

test('the same seed gives the same recording', async () => {
  const text = async () => (await runSeed(seed, { record: true })).recording!.join('\n')
  const [once, again] = [await text(), await text()]
  assert.ok(once === again, 'two recordings of one seed')
})

test.run()
