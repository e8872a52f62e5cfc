/** Answers: where they may go, and what fits into one. */
import { encode } from '@msgpack/msgpack'
import * as assert from 'uvu/assert'
import type { ErrorAnswer, ReadAnswer } from '../../../actors/ports/clientApi.js'
import type { MemoryNode } from '../../../machines/graph/graph.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import type { Scenario } from './scenario.js'
import type { Stage } from './stage.js'

async function read(stage: Stage, query: object): Promise<ReadAnswer | ErrorAnswer> {
  const answer = await stage.cluster.read(query).catch(() => null)
  assert.ok(answer, `answers: nobody answers ${JSON.stringify(query)}`)
  return answer
}

/** Page after page; what fits no answer is passed over, by the place that its error gives. */
async function listed(stage: Stage): Promise<{ ids: string[]; pages: number; tooLarge: number }> {
  const ids: string[] = []
  let [pages, tooLarge] = [0, 0]
  for (let after: string | number | undefined = ''; after !== undefined;) {
    const answer = await read(stage, { type: 'ListNodes', after, limit: 1000 })
    if (answer.ok) {
      pages += 1
      ids.push(...(answer.value as MemoryNode[]).map(({ id }) => id))
    } else {
      assert.is(answer.code, 'PAYLOAD_TOO_LARGE', `answers: ${answer.message}`)
      tooLarge += 1
    }
    after = !answer.ok || answer.more ? answer.after : undefined
  }
  return { ids, pages, tooLarge }
}

const beyondMaxPayload: Scenario = {
  name: 'answers-beyond-max-payload',
  title: 'Lists are larger than a message may be, and one node alone is.',
  lesson:
    'An answer too large is never just dropped: a list is cut, and says how to go on; an item '
    + 'that fits no answer is an error that does.',
  run: async (begin) => {
    const stage = await begin({ maxPayload: 64 * 1024 })
    const write = async (id: string, content: string): Promise<void> => {
      // As MessagePack: a control character takes one byte there, and six in JSON.
      const body = encode({ type: 'StoreNode', node: { id, content } })
      await stage.cluster.wait(
        stage.cluster.client.request(subjects.write(stage.space), body, { timeoutMs: 2000 }),
      )
    }
    const wanted = Array.from({ length: 40 }, (_, index) => `n${String(index).padStart(2, '0')}`)
    for (const id of wanted) await write(id, 'x'.repeat(4000))
    await write('n20 and more', '\u0001'.repeat(15_000))
    stage.say('41 nodes, 160 KB and one of 90 KB, are asked for over messages of 64 KiB')
    const { ids, pages, tooLarge } = await listed(stage)
    const found = ids.filter((id) => id.startsWith('n'))
    assert.equal(found, wanted, 'answers: each node is in a page, once')
    assert.is(pages, 4, 'answers: pages are as large as they may be')
    assert.is(tooLarge, 1)
    const alone = await read(stage, { type: 'GetNode', nodeId: 'n20 and more' })
    assert.is(!alone.ok && alone.code, 'PAYLOAD_TOO_LARGE', 'answers: the error is sent')
    const entries = await read(stage, { type: 'GetEntries', from: 1, limit: 1000 })
    assert.ok(entries.ok && entries.more, 'answers: the log is cut, too')
    await stage.balance()
  },
}

const toNoInbox: Scenario = {
  name: 'answers-to-no-inbox',
  title: 'A client names a reply subject where only nodes may publish.',
  lesson: 'An answer is published with the rights of the node: whoever may ask could have it '
    + 'written into the arbiter\'s bucket, or be passed on as a node\'s own word.',
  run: async (begin) => {
    const stage = await begin()
    const { client } = stage.cluster
    const heard: string[] = []
    const forbidden = [
      '$KV.engram.space.teams',
      'engram.v1.heartbeat.n9',
      '_INBOX_node.memory1.1',
      '_INBOX.',
      '_INBOX.>',
      '_INBOX.a.*',
      '_INBOX',
      '_INBOXES.x.1',
    ]
    for (const subject of forbidden) client.subscribe(subject, () => heard.push(subject))
    const write = (id: string): Buffer =>
      Buffer.from(JSON.stringify({ type: 'StoreNode', node: { id, content: id } }))
    for (const reply of forbidden) {
      client.publish(subjects.write(stage.space), write(`to ${reply}`), { reply })
      const query = Buffer.from('{"type":"GetHistory"}')
      client.publish(subjects.read(stage.space), query, { reply })
      client.publish(subjects.readAny(stage.space), query, { reply })
    }
    // Commands and status too: nodes ask for these as well.
    for (const reply of forbidden.filter((subject) => !subject.startsWith('_INBOX_node'))) {
      client.publish(subjects.status('n1'), Buffer.alloc(0), { reply })
      client.publish(subjects.admin('n1'), Buffer.from('{"type":"listSpaces"}'), { reply })
    }
    await stage.run(500)
    assert.equal(heard, [], 'answers: something is published where no inbox is')
    client.publish(subjects.write(stage.space), write('to nobody'))
    await stage.run(500)
    const ids = (await stage.cluster.entries('n1')).flatMap(({ operation }) =>
      operation.type === 'StoreNode' ? [operation.node.id] : []
    )
    assert.equal(ids.filter((id) => id.startsWith('to ')), ['to nobody'],
      'answers: what could never be answered is not taken')
    await stage.balance()
  },
}

export const answerScenarios: readonly Scenario[] = [beyondMaxPayload, toNoInbox]
