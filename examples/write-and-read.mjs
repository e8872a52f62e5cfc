// Writes a node and reads it. `node examples/write-and-read.mjs [nats://host:port] [space]`
import { connect, WriteRefusedError } from 'engram-replication/client'

const [servers = 'nats://127.0.0.1:4222', space = 'demo'] = process.argv.slice(2)
const client = await connect({ servers })
try {
  // `committed`: answered when a majority of the replicas has it. With a key of your own the
  // write takes effect once, however often this program is run.
  const answer = await client.write(space, { type: 'StoreNode',
    node: { id: 'tea', content: 'two minutes' } }, { ack: 'committed', key: 'example-tea' })
  console.log(`written in epoch ${answer.epoch} at sequence ${answer.sequence}`
    + (answer.duplicate ? ' (by an earlier run)' : ''))

  const { value } = await client.read(space, { type: 'GetNode', nodeId: 'tea' })
  console.log(`tea: ${value?.content}`)

  // A refusal is definite: nothing was written, the node `milk` neither.
  await client.write(space, [
    { type: 'StoreNode', node: { id: 'milk', content: 'first or last' } },
    { type: 'StoreNode', node: { id: '', content: 'a node needs an id' } },
  ])
} catch (error) {
  if (!(error instanceof WriteRefusedError)) throw error
  console.log(`refused: ${error.code}`)
} finally {
  await client.close()
}
