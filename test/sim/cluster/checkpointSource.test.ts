/** What a member gives to those that have to be installed: what counts, how much, how fast. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CheckpointAnswer,
  CheckpointRequest } from '../../../machines/protocol/installMessages.js'
import { chunkBytesMax } from '../../../machines/protocol/installMessages.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimOptions } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'

const test = suite('cluster: source of checkpoints')
const control = controlCodec()

async function started(options: SimOptions = {}): Promise<{ cluster: SimCluster; node: SimNode }> {
  const cluster = await SimCluster.start(options)
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  for (let count = 0; count < 5; count += 1) await cluster.writes(20, 'committed')
  await cluster.converged()
  return { cluster, node: cluster.running.find((node) => node !== cluster.primary())! }
}

async function ask(
  cluster: SimCluster,
  node: SimNode,
  request: CheckpointRequest,
  timeoutMs = 5000,
): Promise<CheckpointAnswer> {
  const subject = subjects.checkpoint('teams', node.id)
  const { data } = await cluster.client.request(subject, control.encode(request), { timeoutMs })
  const decoded = control.checkpointAnswer(data)
  assert.ok(decoded.ok, decoded.ok ? '' : decoded.reason)
  return decoded.value
}

function open(node: SimNode, over: Partial<CheckpointRequest & { kind: 'open' }> = {}) {
  const { uuid } = node.space().member
  return { kind: 'open', version: 1, uuid, node: 'n9', minimum: 0, formats: 1, id: null,
    ...over } as const
}

test('without a checkpoint it says so; with one it gives the whole file, and then no more', async () => {
  const { cluster, node } = await started()
  const none = await cluster.wait(ask(cluster, node, open(node)))
  assert.equal(none, { kind: 'none', newest: 0, reason: 'it has no checkpoint yet' })
  const section = await takeCheckpoint(cluster, node)
  const opened = await cluster.wait(ask(cluster, node, open(node)))
  assert.ok(opened.kind === 'opened')
  assert.equal([opened.id, opened.position], [section.id, section.position])
  const parts: Uint8Array[] = []
  for (let offset = 0; offset < opened.bytes;) {
    const chunk = await cluster.wait(
      ask(cluster, node, { kind: 'chunk', node: 'n9', id: opened.id, offset, bytes: 1000 }),
    )
    assert.ok(chunk.kind === 'chunk')
    parts.push(Buffer.from(chunk.data))
    offset += chunk.data.length
  }
  // The file has one section, so it is sent as it is but for the head and foot.
  const [path] = node.disk.paths('/data/checkpoints')
  assert.is(Buffer.concat(parts).length, node.disk.bytesOf(path!).length)
  const close = { kind: 'close', node: 'n9', id: opened.id } as const
  assert.equal(await cluster.wait(ask(cluster, node, close)), { kind: 'closed' })
  const late = { kind: 'chunk', node: 'n9', id: opened.id, offset: 0, bytes: 10 } as const
  assert.equal(await cluster.wait(ask(cluster, node, late)), { kind: 'gone' })
})

test('one below the minimum is none, and another id than that of the newest is found, too', async () => {
  const { cluster, node } = await started()
  const first = await takeCheckpoint(cluster, node)
  await cluster.writes(3, 'committed')
  await cluster.converged()
  const second = await takeCheckpoint(cluster, node)
  const opened = async (over: object) => {
    const answer = await cluster.wait(ask(cluster, node, open(node, over)))
    return answer.kind === 'opened' ? answer.id : answer.kind
  }
  assert.is(await opened({}), second.id)
  assert.is(await opened({ id: first.id }), first.id)
  assert.is(await opened({ id: first.id, minimum: second.position.sequence }), second.id)
  assert.is(await opened({ minimum: second.position.sequence + 1 }), 'none')
})

test('one that does not open does not count any more, and another one is taken', async () => {
  const { cluster, node } = await started()
  const section = await takeCheckpoint(cluster, node)
  const [path] = node.disk.paths('/data/checkpoints')
  // In the manifest: the file's head and end are as they were.
  node.disk.flipBit(path!, section.offset + 40, 0)
  const none = await cluster.wait(ask(cluster, node, open(node)))
  assert.equal(none, { kind: 'none', newest: 0, reason: 'its newest checkpoint cannot be used' })
  const answer = async () => (await cluster.wait(ask(cluster, node, open(node)))).kind
  for (let n = 0; n < 30 && await answer() !== 'opened'; n += 1) await cluster.run(500)
  assert.is(await answer(), 'opened')
})

test('refused: another space, a reader of other formats, a damaged log, more than two at a time', async () => {
  const { cluster, node } = await started()
  await takeCheckpoint(cluster, node)
  const answer = async (over: object) => {
    const answered = await cluster.wait(ask(cluster, node, open(node, over)))
    return 'reason' in answered ? answered.reason : answered.kind
  }
  assert.is(await answer({ uuid: 'another' }), 'this node does not have that space')
  assert.match(await answer({ formats: 0 }), /checkpoints here have format 1, and it reads up to 0/)
  assert.is(await answer({ node: 'n7' }), 'opened')
  assert.is(await answer({ node: 'n8' }), 'opened')
  assert.is(await answer({ node: 'n9' }), 'it serves 2 other installs')
  assert.is(await answer({ node: 'n8' }), 'opened')
  await cluster.run(29_000)
  assert.is(await answer({ node: 'n9' }), 'it serves 2 other installs')
  await cluster.run(2000)
  assert.is(await answer({ node: 'n9' }), 'opened', 'those of which nothing was heard are closed')
  node.space().member.damaged('a bad record')
  assert.is(await answer({ node: 'n9' }), 'the log here is damaged')
})

test('the rate is that of the setting, and what is asked beyond four that wait is dropped', async () => {
  const { cluster, node } = await started({ settings: { installBytesPerSecond: 1000 } })
  await takeCheckpoint(cluster, node)
  const opened = await cluster.wait(ask(cluster, node, open(node)))
  assert.ok(opened.kind === 'opened')
  const begunMs = cluster.clock.monotonicMs()
  const times: number[] = []
  const asked = Array.from({ length: 8 }, async (_, index) => {
    await ask(cluster, node, { kind: 'chunk', node: 'n9', id: opened.id, offset: index * 100,
      bytes: 500 }, 10_000).then(
        () => times.push(Math.round(cluster.clock.monotonicMs() - begunMs)),
        () => times.push(-1),
      )
  })
  await cluster.wait(Promise.all(asked))
  assert.equal(times.map((ms) => Math.floor(ms / 500)), [0, 1, 2, 3, 4, -1, -1, -1])
})

test('a request that asks for more than a chunk is refused by the codec', () => {
  const request = { kind: 'chunk', node: 'n9', id: 'x', offset: 0, bytes: chunkBytesMax + 1 }
  assert.not(control.checkpointRequest(control.encode(request)).ok)
})

test.run()
