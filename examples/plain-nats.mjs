// Writes over plain NATS what no failover loses. `node examples/plain-nats.mjs [url] [space]`
// The three rules it follows are in docs/client.md; the class beside this file follows them.
import { connect } from 'nats'
import { PlainWriter } from './plainWriter.mjs'

const [servers = 'nats://127.0.0.1:4222', space = 'demo'] = process.argv.slice(2)
const connection = await connect({ servers })
const writer = new PlainWriter(connection, space)
for (let n = 1; n <= 20; n += 1) {
  await writer.write(`plain-nats-${n}`, { type: 'StoreNode',
    node: { id: `plain-${n}`, content: `number ${n}` } })
}
console.log(`20 written, ${writer.kept.length} of them not yet safe`)
await writer.flush()
console.log('all safe')
await connection.close()
