// The host `worker`, with a printer under supervision. `node worker.mjs [nats://host:port]`
import { createActorHost } from 'engram-replication/host'
import { printer } from './printer.mjs'

const [servers = 'nats://127.0.0.1:4222'] = process.argv.slice(2)
const host = createActorHost({ node: 'worker', nats: { servers } })

host.spawn({
  id: 'printer',
  logic: printer,
  input: () => undefined,
  // Fails more than 3 times in 10 s: give up. Before that it begins anew, after 100, 200, 400 ms.
  supervision: { maxRestarts: 3, withinMs: 10_000, backoffMs: 100, backoffMaxMs: 1_000 },
})
await host.connected()
console.log(`worker ${process.pid} is ready`)

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => host.close())
