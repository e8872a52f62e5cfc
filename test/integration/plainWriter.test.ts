/** The writer over plain NATS of docs/client.md, at work while the primary and its disk are lost. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { NatsConnection } from 'nats'
import * as assert from 'uvu/assert'
import { readLogs } from '../support/audit.js'
import { positive } from '../support/client.js'
import { space } from '../support/cluster.js'
import { root } from '../support/environment.js'
import { note, scenario, suite } from '../support/scenario.js'

const plain = suite('integration: the writer over plain NATS', 120)
const file = join(root, 'examples', 'plainWriter.mjs')
const { PlainWriter } = await import(pathToFileURL(file).href) as {
  PlainWriter: new(nc: NatsConnection, of: string) => {
    readonly kept: readonly { readonly key: string }[]
    write(key: string, operation: object): Promise<void>
    flush(): Promise<void>
  }
}
const operation = (key: string) => ({ type: 'StoreNode', node: { id: key, content: 'plain' } })

scenario(plain, 'survives the primary and its disk, by three rules', async (stage) => {
  const cluster = await stage.cluster()
  const { node, epoch } = await cluster.primary()
  const writer = new PlainWriter(await cluster.connect('plain writer'), space)
  const keys = Array.from({ length: 60 }, (_, n) => `plain-${n}`)
  for (const key of keys.slice(0, 20)) await writer.write(key, operation(key))
  await writer.flush()
  const replicas = cluster.others(node)
  for (const replica of replicas) replica.pause()
  for (const key of keys.slice(20, 40)) await writer.write(key, operation(key))
  await cluster.node(node).kill()
  cluster.node(node).wipe()
  const kept = writer.kept.map(({ key }) => key)
  assert.equal(kept, keys.slice(20, 40), 'what the primary alone had')
  await Promise.all(replicas.map((replica) => replica.kill()))
  await Promise.all(replicas.map((replica) => replica.start()))
  for (const key of keys.slice(40)) await writer.write(key, operation(key))
  await writer.flush()

  const primary = await cluster.primary({ above: epoch })
  const end = (await cluster.member(primary.node)).endSequence
  const log = (await readLogs(cluster, [primary], end)).get(primary.node)!
  const logged = log.flatMap(({ writeId }) => (writeId === null ? [] : [writeId]))
  assert.equal(logged, keys, 'each once, in order')
  const again = log.filter(({ epoch: of, writeId }) => of > epoch && kept.includes(writeId ?? ''))
  note(`${again.length} of ${kept.length} were lost and sent again`)
  assert.ok(again.length > 0, 'there was something to lose')
  const first = await cluster.client.write(operation(keys[0]!) as never, { key: keys[0]! })
  assert.ok(positive(first, 'the first once more').duplicate)
})

const shown = readFileSync(join(root, 'docs', 'client.md'), 'utf8').split('```')
  .find((block) => block.startsWith('js\n') && block.includes('class PlainWriter'))
plain('docs/client.md shows this very writer', () => {
  assert.is(shown, `js\n${readFileSync(file, 'utf8')}`)
})

plain.run()
