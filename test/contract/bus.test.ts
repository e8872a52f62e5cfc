/** The behaviour of any bus that actors rely on; run on the fake and on a real nats-server. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BusClosedError, BusConnectError, NoRespondersError,
  RequestTimeoutError } from '../../actors/ports/bus.js'
import type { Bus, BusConnection, BusMessage } from '../../actors/ports/bus.js'
import type { Logger } from '../../actors/ports/system.js'
import { natsBus } from '../../runtime/bus/nats.js'
import { MemoryBroker } from '../fakes/memoryBus.js'
import { NatsFixture, pauseServer, rejection, within } from './natsFixture.js'

interface Setup {
  readonly bus: Bus
  /** The broker ends at once, all connections with it. */
  crash(): Promise<void>
  end(): Promise<void>
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (message: BusMessage): string => new TextDecoder().decode(message.data)

/** All that was published on `from` before has been handled by `to`, were it for `to`. */
async function settle(from: BusConnection, to: BusConnection = from): Promise<void> {
  await from.flush()
  await to.flush()
  await new Promise((resolve) => setImmediate(resolve))
}

const closed = (error: Error): boolean => error instanceof BusClosedError

const logged: string[] = []
const logger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error: (fields, message) => {
    logged.push(`${message} ${JSON.stringify(fields)}`)
  },
}

function contract(name: string, open: () => Promise<Setup>): void {
  const x = suite(`bus: ${name}`)
  let setup: Setup
  let a: BusConnection
  let b: BusConnection

  x.before(async () => {
    setup = await open()
  })
  x.after(async () => {
    await setup.end()
  })
  x.before.each(async () => {
    a = await setup.bus.connect()
    b = await setup.bus.connect()
  })
  x.after.each(async () => {
    await a.close()
    await b.close()
  })

  x('messages of one sender arrive in order, on every subscription', async () => {
    const got: string[] = []
    const count = 2000
    b.subscribe('t.order.*', (message) => got.push(text(message)))
    await b.flush()
    for (let i = 0; i < count; i += 1) a.publish(`t.order.${i % 7}`, bytes(String(i)))
    await settle(a, b)
    assert.equal(got, Array.from({ length: count }, (_, i) => String(i)))
  })

  x('delivery is never within publish', async () => {
    let delivered = false
    a.subscribe('t.async', () => {
      delivered = true
    })
    a.publish('t.async', bytes(''))
    assert.not(delivered)
    await settle(a)
    assert.ok(delivered)
  })

  x('wildcards: * is one token, > one or more', async () => {
    const got: string[] = []
    for (const pattern of ['t.w.*', 't.w.>', 't.w.*.c', 't.w.a']) {
      b.subscribe(pattern, (message) => got.push(`${pattern} ${message.subject}`))
    }
    await b.flush()
    for (const subject of ['t.w', 't.w.a', 't.w.b.c', 't.w.b.c.d']) a.publish(subject, bytes(''))
    await settle(a, b)
    assert.equal(got.toSorted(), [
      't.w.* t.w.a',
      't.w.*.c t.w.b.c',
      't.w.> t.w.a',
      't.w.> t.w.b.c',
      't.w.> t.w.b.c.d',
      't.w.a t.w.a',
    ].toSorted())
  })

  x('a queue group gets each message once, other subscribers too', async () => {
    let first = 0
    let second = 0
    let plain = 0
    a.subscribe('t.q', () => {
      first += 1
    }, { queue: 'g' })
    b.subscribe('t.q', () => {
      second += 1
    }, { queue: 'g' })
    b.subscribe('t.q', () => {
      plain += 1
    })
    await settle(a, b)
    for (let i = 0; i < 200; i += 1) a.publish('t.q', bytes(''))
    await settle(a, b)
    assert.is(first + second, 200)
    assert.is(plain, 200)
    assert.ok(first > 0 && second > 0, `${first} and ${second}`)
  })

  x('subscribed on the side connection: the same, with queue groups, until it ends', async () => {
    const got: string[] = []
    const once_ = b.subscribeSide('t.side.*', (message) => got.push(text(message)))
    let shared = 0
    for (const one of [a, b])
      one.subscribeSide('t.side.q', () => {
        shared += 1
      }, { queue: 'g' })
    b.subscribeSide('t.side.ask', (message) => b.publishSide(message.reply!, bytes('yes'), 'reads'))
    await settle(a, b)
    // Moved to its own connection, where there is one.
    for (let tries = 0; tries < 100; tries += 1) await settle(a, b)
    for (let i = 0; i < 50; i += 1) a.publish('t.side.q', bytes(String(i)))
    const answer = await a.request('t.side.ask', bytes('?'), { timeoutMs: 2000 })
    assert.is(text(answer), 'yes')
    for (let tries = 0; tries < 2000 && shared < 50; tries += 1) await settle(a, b)
    assert.is(shared, 50)
    assert.equal(got, [...Array.from({ length: 50 }, (_, i) => String(i)), '?'])
    once_.unsubscribe()
    await settle(b)
    a.publish('t.side.1', bytes('late'))
    await settle(a, b)
    assert.is(got.length, 51)
  })

  x('answers come below the inbox prefix of the connection', async () => {
    assert.is(a.inboxPrefix, '_INBOX_test')
    const replies: string[] = []
    b.subscribe('t.inbox', (message) => {
      replies.push(message.reply ?? '')
      b.publish(message.reply ?? '', bytes('yes'))
    })
    await b.flush()
    assert.is(text(await a.request('t.inbox', bytes(''), { timeoutMs: 1000 })), 'yes')
    assert.match(replies[0] ?? '', /^_INBOX_test\.[^.]+\.[^.]+$/)
  })

  x('headers, reply, bytes and an empty payload arrive', async () => {
    const got: BusMessage[] = []
    b.subscribe('t.h', (message) => got.push(message))
    await b.flush()
    const raw = Uint8Array.from({ length: 256 }, (_, i) => i)
    a.publish('t.h', raw, { reply: 'back.here', headers: { 'Engram-Ack': 'durable', K: 'v: w' } })
    a.publish('t.h', bytes(''))
    await settle(a, b)
    assert.equal([...(got[0]?.data ?? [])], [...raw])
    assert.is(got[0]?.reply, 'back.here')
    assert.is(got[0]?.header('Engram-Ack'), 'durable')
    assert.is(got[0]?.header('K'), 'v: w')
    assert.is(got[0]?.header('Other'), undefined)
    assert.equal([...(got[0]?.headerNames() ?? [])].toSorted(), ['Engram-Ack', 'K'])
    assert.equal(got[1]?.headerNames(), [])
    assert.is(got[1]?.reply, undefined)
    assert.is(got[1]?.header('Engram-Ack'), undefined)
    assert.is(got[1]?.data.length, 0)
  })

  x('a message with a reply subject that nobody gets: its sender hears 503', async () => {
    const got: string[] = []
    a.subscribe(`${a.inboxPrefix}.back.>`,
      (message) =>
        got.push(`${message.subject} ${message.header('Status')} ${message.data.length}`))
    b.subscribe('t.somebody', () => undefined)
    await settle(a, b)
    a.publish('t.nobody.1', bytes('x'), { reply: `${a.inboxPrefix}.back.1` })
    a.publish('t.somebody', bytes('x'), { reply: `${a.inboxPrefix}.back.2` })
    a.publish('t.nobody.2', bytes('x'), { reply: `${b.inboxPrefix}.other.3` })
    a.publish('t.nobody.3', bytes('x'), { reply: `${a.inboxPrefix}.back.4` })
    await settle(a, b)
    assert.equal(got, [`${a.inboxPrefix}.back.1 503 0`, `${a.inboxPrefix}.back.4 503 0`])
  })

  x('messages published on a side connection arrive all the same, in order but for the first',
    async () => {
      const got: string[] = []
      b.subscribe('t.side', (message) => got.push(text(message)))
      await b.flush()
      a.publishSide('t.side', bytes('first'), 'reads')
      a.publishSide('t.side', bytes('first'), 'writes')
      await settle(a, b)
      assert.equal(got.splice(0), ['first', 'first'])
      // The first made it be dialled.
      await new Promise((resolve) => setTimeout(resolve, 50))
      for (let i = 0; i < 1000; i += 1) a.publishSide('t.side', bytes(String(i)), 'reads')
      await within(5000, (async () => {
        while (got.length < 1000) await settle(a, b)
      })())
      assert.equal(got, Array.from({ length: 1000 }, (_, i) => String(i)))
      await a.close()
      assert.throws(() => a.publishSide('t.side', bytes('x'), 'reads'), closed)
    })

  x('requests are answered, each its own, many at once', async () => {
    b.subscribe('t.echo', (message) => {
      b.publish(message.reply ?? '', message.data, { headers: { H: message.header('H') ?? '' } })
    })
    await b.flush()
    const answers = await within(5000, Promise.all(
      Array.from({ length: 500 },
        (_, i) =>
          a.request('t.echo', bytes(String(i)), { timeoutMs: 3000, headers: { H: `h${i}` } })),
    ))
    assert.equal(answers.map((answer) => `${text(answer)} ${answer.header('H')}`),
      Array.from({ length: 500 }, (_, i) => `${i} h${i}`))
  })

  x('a request that nobody subscribes to is rejected at once', async () => {
    const startedAt = performance.now()
    const error = await rejection(a.request('t.nobody', bytes(''), { timeoutMs: 5000 }))
    assert.instance(error, NoRespondersError)
    assert.ok(performance.now() - startedAt < 2000)
  })

  x('an empty answer is an answer', async () => {
    b.subscribe('t.empty', (message) => b.publish(message.reply ?? '', bytes('')))
    await b.flush()
    const answer = await a.request('t.empty', bytes(''), { timeoutMs: 2000 })
    assert.is(answer.data.length, 0)
  })

  x('a published reply subject gets the 503 as a status', async () => {
    const got: (string | undefined)[] = []
    a.subscribe('t.own.*', (message) => got.push(message.header('Status')))
    a.publish('t.nobody', bytes(''), { reply: 't.own.1' })
    await settle(a)
    assert.equal(got, ['503'])
  })

  x('a request without an answer times out; a late answer is dropped', async () => {
    let reply = ''
    b.subscribe('t.silent', (message) => {
      reply = message.reply ?? ''
    })
    await b.flush()
    const error = await rejection(a.request('t.silent', bytes(''), { timeoutMs: 30 }))
    assert.instance(error, RequestTimeoutError)
    b.publish(reply, bytes('late'))
    await settle(b, a)
  })

  x('an error of a handler stops neither it nor others', async () => {
    let count = 0
    const got: string[] = []
    b.subscribe('t.throw', () => {
      count += 1
      throw new Error('a bug in a handler')
    })
    b.subscribe('t.throw', (message) => got.push(text(message)))
    await b.flush()
    for (const part of ['1', '2', '3']) a.publish('t.throw', bytes(part))
    await settle(a, b)
    assert.is(count, 3)
    assert.equal(got, ['1', '2', '3'])
  })

  x('after unsubscribe nothing arrives', async () => {
    let count = 0
    const subscription = b.subscribe('t.unsub', () => {
      count += 1
      subscription.unsubscribe()
    })
    await b.flush()
    for (let i = 0; i < 10; i += 1) a.publish('t.unsub', bytes(''))
    await settle(a, b)
    assert.is(count, 1)
    subscription.unsubscribe()
    await b.flush()
    const error = await rejection(a.request('t.unsub', bytes(''), { timeoutMs: 3000 }))
    assert.instance(error, NoRespondersError)
  })

  x('more than max_payload is a bug of the caller', async () => {
    assert.ok(a.maxPayload >= 1_000_000)
    const tooLong = new Uint8Array(a.maxPayload + 1)
    assert.throws(() => a.publish('t.long', tooLong), (e: Error) => e instanceof RangeError)
    assert.instance(await rejection(a.request('t.long', tooLong, { timeoutMs: 100 })), RangeError)
    const got: number[] = []
    b.subscribe('t.long', (message) => got.push(message.data.length))
    await b.flush()
    a.publish('t.long', new Uint8Array(a.maxPayload))
    await settle(a, b)
    assert.equal(got, [a.maxPayload])
  })

  x('a subject cannot smuggle protocol lines', () => {
    for (const subject of ['', 'a b', 'a\r\nPING\r\n', 'a\tb']) {
      assert.throws(() => a.publish(subject, bytes('')), (e: Error) => e instanceof TypeError)
      assert.throws(() => a.subscribe(subject, () => {}), (e: Error) => e instanceof TypeError)
    }
  })

  x('after close everything throws BusClosedError, and closed gives the reason', async () => {
    assert.not(a.isClosed)
    const subscription = a.subscribe('t.c', () => {})
    await a.close()
    assert.ok(a.isClosed)
    assert.match(await within(1000, a.closed), /closed by this process/)
    assert.throws(() => a.publish('t.c', bytes('')), closed)
    assert.throws(() => a.subscribe('t.c', () => {}), closed)
    assert.instance(await rejection(a.request('t.c', bytes(''), { timeoutMs: 100 })),
      BusClosedError)
    assert.instance(await rejection(a.flush()), BusClosedError)
    subscription.unsubscribe()
    await a.close()
  })

  x('a closed connection is gone for others: 503', async () => {
    b.subscribe('t.gone', () => {})
    await b.flush()
    await b.close()
    // The server notices a closed socket within a moment, not necessarily before our request.
    let error: Error
    do error = await rejection(a.request('t.gone', bytes(''), { timeoutMs: 50 }))
    while (error instanceof RequestTimeoutError)
    assert.instance(error, NoRespondersError)
  })

  x('requests and flushes in flight are rejected when the connection closes', async () => {
    b.subscribe('t.hang', () => {})
    await b.flush()
    const requests = [1, 2, 3].map(() =>
      rejection(a.request('t.hang', bytes(''), { timeoutMs: 60_000 }))
    )
    await a.flush()
    const flush = a.flush().catch((error: Error) => error)
    await a.close()
    for (const error of await within(1000, Promise.all(requests))) {
      assert.instance(error, BusClosedError)
    }
    await within(1000, flush)
  })

  x('both connections are on the same server', () => {
    assert.ok(a.serverId.length > 0)
    assert.is(a.serverId, b.serverId)
  })

  // Last: it takes the broker away.
  x('the end of the broker ends every connection and what is in flight', async () => {
    b.subscribe('t.hang', () => {})
    await b.flush()
    const request = rejection(a.request('t.hang', bytes(''), { timeoutMs: 60_000 }))
    await a.flush()
    await setup.crash()
    for (const connection of [a, b]) {
      assert.ok((await within(2000, connection.closed)).length > 0)
      assert.ok(connection.isClosed)
    }
    assert.instance(await within(1000, request), BusClosedError)
    const error = await within(3000, rejection(setup.bus.connect()))
    assert.instance(error, BusConnectError)
    assert.ok((error as BusConnectError).retryable)
  })

  x.run()
}

contract('memory', () => {
  const broker = new MemoryBroker()
  return Promise.resolve({
    bus: broker.bus('_INBOX_test'),
    crash: () => Promise.resolve(broker.stop()),
    end: () => Promise.resolve(),
  })
})

contract('nats-server', async () => {
  const fixture = new NatsFixture()
  const { url } = await fixture.start()
  return {
    bus: natsBus({ servers: url, name: 'contract', inboxPrefix: '_INBOX_test' }, logger),
    crash: async () => {
      fixture.server.kill('SIGKILL')
      await fixture.server.exited
    },
    end: () => fixture.stop(),
  }
})

const x = suite('bus: only on a real server')
const fixture = new NatsFixture()
x.before(async () => {
  await fixture.start()
})
x.after(async () => {
  await fixture.stop()
})
const busModule = new URL('../../runtime/bus/nats.js', import.meta.url).href
const options = (): { servers: string } => ({ servers: fixture.server.url })

x('handler errors were logged', () => {
  assert.ok(logged.some((line) => /handler threw.*a bug in a handler/.test(line)), logged.join())
})

x('a hung server is noticed in 1 to 1.5 s, also with full buffers', async () => {
  const idle = await natsBus(options()).connect()
  const busy = await natsBus(options()).connect()
  const startedAt = performance.now()
  fixture.server.kill('SIGSTOP')
  try {
    // Far more than socket buffers take, so that the last bytes can never be written.
    for (let i = 0; i < 40; i += 1) busy.publish('t.flood', new Uint8Array(1_000_000))
    const reasons = await within(4000, Promise.all([idle.closed, busy.closed]))
    for (const reason of reasons) assert.match(reason, /stopped answering pings/)
    const tookMs = performance.now() - startedAt
    assert.ok(tookMs > 800 && tookMs < 2500, `${tookMs} ms`)
    const error = await rejection(natsBus({ ...options(), connectTimeoutMs: 200 }).connect())
    assert.match(error.message, /no greeting/)
  } finally {
    fixture.server.kill('SIGCONT')
  }
})

x('a connection closed with bytes buffered does not send them later', async () => {
  const watcher = await natsBus(options()).connect()
  const got: string[] = []
  watcher.subscribe('t.buffered', (message) => got.push(text(message)))
  await watcher.flush()
  const sender = await natsBus(options()).connect()
  sender.publish('t.buffered', bytes('not to be sent'))
  await sender.close()
  await settle(watcher)
  assert.equal(got, [])
  await watcher.close()
})

x('a peer that does not keep up is closed by the server, and learns it', async () => {
  const config = 'max_payload: 1MB\nmax_pending: 1MB\nwrite_deadline: "100ms"\n'
    + 'jetstream { store_dir: $ENGRAM_NATS_STORE }\n'
  const slow = new NatsFixture()
  try {
    const { url } = await slow.start({ config })
    const reader = await natsBus({ servers: url }).connect()
    reader.subscribe('t.slow', () => {})
    await reader.flush()
    const writer = spawn(process.execPath, ['--input-type=module', '-e', `
      import { natsBus } from ${JSON.stringify(busModule)}
      const connection = await natsBus({ servers: '${url}' }).connect()
      for (let i = 0; i < 64; i += 1) connection.publish('t.slow', new Uint8Array(900_000))
      await connection.flush().catch(() => {})
      process.exit()`], { stdio: 'ignore' })
    const ended = new Promise((resolve) => writer.once('exit', resolve))
    // This thread reads nothing meanwhile, so 57 MB pile up for it at the server.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500)
    assert.ok((await within(5000, reader.closed)).length > 0)
    await within(5000, ended)
  } finally {
    await slow.stop()
  }
})

x('bytes that the server has not taken yet are counted', async () => {
  const sender = await natsBus(options()).connect()
  assert.is(sender.bufferedBytes, 0)
  await pauseServer(fixture.server)
  try {
    for (let i = 0; i < 40; i += 1) sender.publish('t.big', new Uint8Array(900_000))
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(sender.bufferedBytes > 10_000_000, `${sender.bufferedBytes} bytes`)
  } finally {
    fixture.server.kill('SIGCONT')
  }
  await sender.flush()
  assert.is(sender.bufferedBytes, 0)
  await sender.close()
})

x('a flood on the side connection delays nothing else', async () => {
  const receiver = await natsBus(options()).connect()
  const sender = await natsBus(options()).connect()
  const count = 20_000
  let [asked, askedBefore] = [0, -1]
  receiver.subscribeSide('t.flood.side', () => {
    asked += 1
  })
  receiver.subscribe('t.heartbeat', () => {
    askedBefore = asked
  })
  await settle(receiver)
  // Until it has moved: a message of the first connection comes behind one that was sent before.
  for (let rounds = 0; rounds < 50 && (askedBefore < 0 || askedBefore >= count); rounds += 1) {
    ;[asked, askedBefore] = [0, -1]
    for (let i = 0; i < count; i += 1) sender.publish('t.flood.side', new Uint8Array(100))
    sender.publish('t.heartbeat', bytes(''))
    for (let turns = 0; turns < 2000 && (asked < count || askedBefore < 0); turns += 1) {
      await settle(sender, receiver)
    }
    assert.ok(asked >= count, `${asked} of ${count} came`)
  }
  assert.ok(askedBefore < count / 2, `${askedBefore} of ${count} before the heartbeat`)
  await receiver.close()
  await sender.close()
})

x('a client that takes nothing holds up its side connection, and nothing else', async () => {
  const sender = await natsBus(options()).connect()
  const [reader, { port }] = [new Socket(), new URL(fixture.server.url)]
  reader.connect(Number(port), '127.0.0.1')
  await once(reader, 'data')
  reader.pause()
  reader.write('CONNECT {"verbose":false}\r\nSUB t.stuck 1\r\n')
  // The side connections are there when something has gone over each.
  const got: string[] = []
  sender.subscribe('t.probe.*', (message) => got.push(message.subject))
  for (const way of ['reads', 'writes'] as const) sender.publishSide('t.probe.1', bytes(''), way)
  while (sender.bufferedBytes > 0 || got.length < 2) await settle(sender)
  await new Promise((resolve) => setTimeout(resolve, 200))
  // Until the server rests: it takes a message each 100 ms, and ends the reader in a while.
  for (let i = 0, turns = 0; i < 100 && turns < 50; i += 1) {
    sender.publishSide('t.stuck', new Uint8Array(900_000), 'reads')
    for (turns = 0; turns < 50 && sender.bufferedBytes > 8_000_000; turns += 1) {
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }
  assert.ok(sender.bufferedBytes > 0, 'the server takes nothing of it')
  const startedAt = performance.now()
  got.length = 0
  sender.publishSide('t.probe.2', bytes(''), 'writes')
  sender.publish('t.probe.3', bytes(''))
  while (got.length < 2) await settle(sender)
  const tookMs = performance.now() - startedAt
  assert.ok(tookMs < 600, `${tookMs} ms`)
  reader.destroy()
  await sender.close()
})

x('answers that the server does not take are dropped, rather than kept without bound', async () => {
  const sender = await natsBus(options(), logger).connect()
  sender.publishSide('t.full', bytes(''), 'reads')
  await settle(sender)
  // The side connection is there when something has gone over it.
  await new Promise((resolve) => setTimeout(resolve, 200))
  await pauseServer(fixture.server)
  try {
    for (let i = 0; i < 100; i += 1) {
      sender.publishSide('t.full', new Uint8Array(900_000), 'reads')
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.ok(sender.bufferedBytes < 20_000_000, `${sender.bufferedBytes}`)
  } finally {
    fixture.server.kill('SIGCONT')
  }
  await sender.close()
})

x('the event loop turns while a burst comes in', async () => {
  const [sender, reader] = [
    await natsBus(options()).connect(),
    await natsBus(options()).connect(),
  ]
  const count = 40_000
  let [got, ofTurn, mostOfTurn] = [0, 0, 0]
  const all = new Promise<void>((resolve) => {
    reader.subscribe('t.burst', (message) => {
      got += 1
      ofTurn += message.data.length
      mostOfTurn = Math.max(mostOfTurn, ofTurn)
      if (got === count) resolve()
    })
  })
  await reader.flush()
  for (let i = 0; i < count; i += 1) sender.publish('t.burst', new Uint8Array(100))
  void sender.flush()
  while (got < count) {
    ofTurn = 0
    await new Promise((resolve) => setImmediate(resolve))
  }
  await all
  assert.ok(mostOfTurn < 128 * 1024, `${mostOfTurn} bytes in one turn`)
  await Promise.all([sender.close(), reader.close()])
})

x('a port where nobody or something else listens', async () => {
  const other = createServer((socket) => socket.end('SSH-2.0-OpenSSH_9\r\n'))
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  const wrong = await rejection(natsBus({ servers: `nats://127.0.0.1:${port}` }).connect())
  assert.match(wrong.message, /is not a NATS server/)
  await new Promise((resolve) => other.close(resolve))
  const none = await rejection(natsBus({ servers: `nats://127.0.0.1:${port}` }).connect())
  assert.instance(none, BusConnectError)
  assert.match(none.message, /ECONNREFUSED/)
})

x('among several servers, the one that lives is taken', async () => {
  const servers = `nats://127.0.0.1:1,${fixture.server.url},nats://127.0.0.1:2`
  for (let i = 0; i < 4; i += 1) {
    const connection = await natsBus({ servers }).connect()
    await connection.close()
  }
})

x('files of credentials that are missing stop the start', async () => {
  for (const missing of [{ credsFile: '/nowhere/x.creds' }, { nkeySeedFile: '/nowhere/x' }]) {
    const error = await rejection(natsBus({ ...options(), ...missing }).connect())
    assert.match(error.message, /nowhere/)
    assert.not((error as BusConnectError).retryable)
  }
})

x.run()
