/** The proxy between a node and the broker: what it carries, and how it breaks. */
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { Link } from '../../runtime/cluster/faultProxy.js'
import { suite } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const test = suite('chaos: link', 60)

interface Ends {
  readonly link: Link
  readonly far: Socket
  readonly near: Socket
  close(): void
}

/** A client, the link, and a server in the place of the broker. */
async function joined(): Promise<Ends> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const link = await Link.open(`nats://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const near = connect({ host: '127.0.0.1', port: link.port })
  near.on('error', () => undefined)
  const far = await accepted
  return {
    link,
    near,
    far,
    close: () => {
      link.close()
      near.destroy()
      far.destroy()
      server.close()
    },
  }
}

function collect(socket: Socket): () => string {
  let text = ''
  socket.setEncoding('latin1').on('data', (more: string) => {
    text += more
  })
  return () => text
}

test('it carries both ways; stalled, nothing passes; healed, what was held flows', async () => {
  const { link, near, far, close } = await joined()
  const [atNear, atFar] = [collect(near), collect(far)]
  near.write('ping')
  far.write('pong')
  await waitFor('both ways', () => atNear() === 'pong' && atFar() === 'ping')
  link.stall()
  near.write(' 2')
  far.write(' 2')
  await pause(200)
  assert.equal([atNear(), atFar()], ['pong', 'ping'])
  assert.not.ok(near.destroyed || far.destroyed, 'neither end knows')
  link.heal()
  await waitFor('what was held', () => atNear() === 'pong 2' && atFar() === 'ping 2')
  close()
})

test('cut, both ends see it, and no connection is made until it is whole', async () => {
  const { link, near, far, close } = await joined()
  link.cut()
  await waitFor('both ends to close', () => near.destroyed && far.destroyed)
  const refused = connect({ host: '127.0.0.1', port: link.port })
  refused.on('error', () => undefined)
  await waitFor('a refusal', () => refused.destroyed)
  link.heal()
  const again = connect({ host: '127.0.0.1', port: link.port })
  await waitFor('a connection', () => again.readyState === 'open')
  again.destroy()
  close()
})

test('an end that does not read stops the other: nothing piles up between them', async () => {
  const { near, far, close } = await joined()
  far.pause()
  const block = Buffer.alloc(1 << 20)
  let written = 0
  const push = (): void => {
    while (written < 256 && near.write(block)) written += 1
    written += 1
  }
  near.on('drain', push)
  push()
  await pause(1000)
  // Buffers of the system take some megabytes; 256 would mean that the link took them.
  assert.ok(written < 64, `${written} MiB were taken`)
  let read = 0
  far.on('data', (data) => {
    read += data.length
  })
  far.resume()
  await waitFor('more to flow', () => read > 64 * block.length)
  near.destroy()
  close()
})

test.run()
