/** Charts hear of a stream's edges, and of its progress now and then: not of every batch. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createFrameCodec } from '../../../runtime/codec/frames.js'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: measurements')

test('while frames flow, the charts of both ends are measured at most every 25 ms', async () => {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(5, 'committed')
  await cluster.converged()
  const measured = new Map<string, number>()
  for (const { life } of cluster.running) {
    life!.host.inspect((event, { node, actor }) => {
      if (event.type !== '@xstate.event' || event.event.type !== 'measured') return
      measured.set(`${node} ${actor}`, (measured.get(`${node} ${actor}`) ?? 0) + 1)
    })
  }
  const beganMs = cluster.clock.monotonicMs()
  await cluster.writes(300, 'committed')
  const passedMs = cluster.clock.monotonicMs() - beganMs
  const flowing = [...measured].filter(([name]) => /replica$|stream\./.test(name))
  assert.is(flowing.length, 4, [...measured.keys()].join(', '))
  for (const [name, count] of flowing) {
    // Once per 25 ms, and once per heartbeat of 100 ms besides.
    assert.ok(count <= passedMs / 25 + passedMs / 100 + 2, `${name}: ${count} in ${passedMs} ms`)
    assert.ok(count >= Math.floor(passedMs / 150), `${name}: ${count} in ${passedMs} ms`)
  }
  await cluster.check()
})

test('while frames flow, they carry the commits, and notices come with heartbeats only', async () => {
  let [frames, notices] = [0, 0]
  const cluster = await SimCluster.start({
    observer: {
      published: (_node, subject, data) => {
        if (!subject.startsWith('engram.v1.wal.')) return
        const wal = createFrameCodec().decodeWal(data)
        if (typeof wal === 'string' || wal.frame) frames += 1
        else notices += 1
      },
    },
  })
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.converged()
  ;[frames, notices] = [0, 0]
  const beganMs = cluster.clock.monotonicMs()
  for (let i = 0; i < 200; i++) {
    await cluster.writes(1, 'committed')
    await cluster.run(3)
  }
  assert.ok(frames >= 400, `${frames} frames`)
  const heartbeats = (cluster.clock.monotonicMs() - beganMs) / 100
  // To two replicas.
  assert.ok(notices <= 2 * heartbeats + 4, `${notices} notices besides ${frames} frames`)
  await cluster.check()
})

test.run()
