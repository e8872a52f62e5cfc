/** Compare-and-set as the product needs it; run on the fake and on a JetStream bucket. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ArbiterUnavailableError } from '../../actors/ports/arbiter.js'
import type { Arbiter, CompareAndSetOutcome, OpenArbiter } from '../../actors/ports/arbiter.js'
import type { Bus, BusConnection } from '../../actors/ports/bus.js'
import { jetStreamArbiter } from '../../runtime/arbiter/jetstream.js'
import { natsBus } from '../../runtime/bus/nats.js'
import { MemoryBucket } from '../fakes/memoryArbiter.js'
import { MemoryBroker } from '../fakes/memoryBus.js'
import { NatsFixture, pauseServer, rejection, within } from './natsFixture.js'

interface Setup {
  readonly bus: Bus
  readonly open: OpenArbiter
  /** The bucket and all it held are gone. */
  wipe(): Promise<void>
  end(): Promise<void>
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const shown = (value: Uint8Array | undefined): string => new TextDecoder().decode(value)

function applied(outcome: CompareAndSetOutcome): number {
  if (outcome.kind === 'applied') return outcome.revision
  throw new Error(`not applied: ${JSON.stringify(outcome)}`)
}

function contract(name: string, make: () => Promise<Setup>): void {
  const x = suite(`arbiter: ${name}`)
  let setup: Setup
  let connections: BusConnection[] = []
  let a: Arbiter
  let b: Arbiter

  x.before(async () => {
    setup = await make()
  })
  x.after(async () => {
    await setup.end()
  })
  x.before.each(async () => {
    connections = [await setup.bus.connect(), await setup.bus.connect()]
    a = setup.open(connections[0]!)
    b = setup.open(connections[1]!)
  })
  x.after.each(async () => {
    for (const connection of connections) await connection.close()
  })

  x('a missing bucket is not a missing key', async () => {
    const error = await rejection(a.read('space.demo'))
    assert.instance(error, ArbiterUnavailableError)
    assert.match(error.message, /engram/)
    assert.instance(await rejection(a.keys('space.')), ArbiterUnavailableError)
    assert.is((await a.compareAndSet('space.demo', bytes('x'), 0)).kind, 'unknown')
  })

  x('nodes that make the bucket at once get the same one', async () => {
    const ids = await Promise.all([1, 2, 3, 4].flatMap(() => [a.bucketId(), b.bucketId()]))
    assert.is(new Set(ids).size, 1)
    assert.ok(ids[0])
    assert.is(await b.bucketId(), ids[0])
  })

  x('a value that is set is read by all, at its revision', async () => {
    assert.is(await b.read('space.one'), null)
    const made = applied(await a.compareAndSet('space.one', bytes('v1'), 0))
    const read = await b.read('space.one')
    assert.is(shown(read?.value), 'v1')
    assert.is(read?.revision, made)
    const next = applied(await b.compareAndSet('space.one', bytes('v2'), made))
    assert.ok(next > made)
    assert.is(shown((await a.read('space.one'))?.value), 'v2')
  })

  x('another revision is refused and changes nothing', async () => {
    const made = applied(await a.compareAndSet('space.two', bytes('v1'), 0))
    for (const revision of [0, made - 1, made + 1, made + 1000]) {
      assert.equal(await b.compareAndSet('space.two', bytes('no'), revision), { kind: 'refused' })
    }
    assert.equal(await b.compareAndSet('space.absent', bytes('no'), made), { kind: 'refused' })
    assert.is(shown((await a.read('space.two'))?.value), 'v1')
    assert.is(await a.read('space.absent'), null)
  })

  x('a repetition of what was applied is refused', async () => {
    const made = applied(await a.compareAndSet('space.again', bytes('nonce-7'), 0))
    assert.equal(await a.compareAndSet('space.again', bytes('nonce-7'), 0), { kind: 'refused' })
    assert.is((await a.read('space.again'))?.revision, made)
  })

  x('changes of other keys leave a revision valid', async () => {
    const made = applied(await a.compareAndSet('space.three', bytes('v1'), 0))
    applied(await b.compareAndSet('node.n1', bytes('id'), 0))
    applied(await a.compareAndSet('space.three', bytes('v2'), made))
  })

  x('among many at once, exactly one wins', async () => {
    let revision = 0
    for (let round = 0; round < 20; round += 1) {
      const outcomes = await within(5000, Promise.all(Array.from({ length: 10 }, (_, i) =>
        (i % 2 ? a : b).compareAndSet('space.race', bytes(`${round}-${i}`), revision))))
      const winners = outcomes.filter((outcome) =>
        outcome.kind === 'applied'
      )
      assert.is(winners.length, 1)
      assert.is(outcomes.filter((outcome) =>
        outcome.kind === 'refused'
      ).length, 9)
      revision = applied(winners[0]!)
      const index = outcomes.findIndex((outcome) => outcome.kind === 'applied')
      assert.is(shown((await a.read('space.race'))?.value), `${round}-${index}`)
    }
  })

  x('the mark changes with every change, and only then', async () => {
    const first = await a.mark()
    await b.read('space.demo')
    const made = applied(await a.compareAndSet('space.marked', bytes('1'), 0))
    const second = await b.mark()
    assert.is.not(second, first)
    assert.is((await a.compareAndSet('space.marked', bytes('2'), made + 1)).kind, 'refused')
    assert.is(await a.mark(), second)
    applied(await a.compareAndSet('space.marked', bytes('2'), made))
    assert.is.not(await a.mark(), second)
  })

  x('keys are listed by prefix', async () => {
    applied(await a.compareAndSet('node.n2', bytes('id'), 0))
    const keys = await b.keys('node.')
    assert.equal(keys, ['node.n1', 'node.n2'])
    assert.ok((await b.keys('space.')).includes('space.race'))
    assert.equal(await b.keys('space.ra'), ['space.race'])
    assert.equal(await b.keys('nothing.'), [])
    assert.is((await b.keys('')).length, keys.length + (await b.keys('space.')).length)
  })

  x('names that are no keys are bugs', async () => {
    for (const key of ['', 'space.', 'space.*', 'space.>', 'a b', '.x']) {
      assert.instance(await rejection(a.read(key)), TypeError)
    }
  })

  x('bytes come back as they were', async () => {
    const raw = Uint8Array.from({ length: 2000 }, (_, i) => i % 256)
    applied(await a.compareAndSet('space.raw', raw, 0))
    assert.equal([...((await b.read('space.raw'))?.value ?? [])], [...raw])
  })

  x('over a closed connection nothing is definite', async () => {
    await connections[0]?.close()
    assert.instance(await rejection(a.read('space.one')), ArbiterUnavailableError)
    assert.instance(await rejection(a.keys('space.')), ArbiterUnavailableError)
    assert.instance(await rejection(a.mark()), ArbiterUnavailableError)
    assert.instance(await rejection(a.bucketId()), ArbiterUnavailableError)
    assert.is((await a.compareAndSet('space.one', bytes('x'), 1)).kind, 'unknown')
  })

  x('a wiped bucket is noticed, and made anew with another identity', async () => {
    const before = await a.bucketId()
    const mark = await a.mark()
    const old = (await a.read('space.one'))?.revision ?? 0
    await setup.wipe()
    assert.match((await rejection(a.read('space.one'))).message, /does not exist/)
    assert.is((await a.compareAndSet('space.one', bytes('x'), old)).kind, 'unknown')
    assert.match((await rejection(a.mark())).message, /does not exist/)
    const after = await b.bucketId()
    assert.is.not(await a.mark(), mark)
    assert.is.not(after, before)
    assert.is(await a.bucketId(), after)
    assert.is(await a.read('space.one'), null)
    assert.equal(await a.compareAndSet('space.one', bytes('x'), old), { kind: 'refused' })
    assert.is(applied(await a.compareAndSet('space.one', bytes('x'), 0)), 1)
  })

  x.run()
}

contract('memory', () => {
  const bucket = new MemoryBucket()
  return Promise.resolve({
    bus: new MemoryBroker().bus(),
    open: bucket.open,
    wipe: () => Promise.resolve(bucket.wipe()),
    end: () => Promise.resolve(),
  })
})

contract('JetStream', async () => {
  const fixture = new NatsFixture()
  const { url } = await fixture.start()
  const bus = natsBus({ servers: url })
  return {
    bus,
    open: jetStreamArbiter(),
    wipe: async () => {
      const connection = await bus.connect()
      await connection.request('$JS.API.STREAM.DELETE.KV_engram', bytes(''), { timeoutMs: 2000 })
      await connection.close()
    },
    end: () => fixture.stop(),
  }
})

const x = suite('arbiter: JetStream only')
const fixture = new NatsFixture()
let connection: BusConnection
const bus = (): Bus => natsBus({ servers: fixture.server.url })

x.before(async () => {
  await fixture.start()
})
x.after(async () => {
  await fixture.stop()
})
x.before.each(async () => {
  connection = await bus().connect()
})
x.after.each(async () => {
  await connection.close()
})

x('a server killed and started again keeps the bucket and what it confirmed', async () => {
  const open = jetStreamArbiter()
  const id = await open(connection).bucketId()
  const revision = applied(await open(connection).compareAndSet('space.k', bytes('kept'), 0))
  fixture.server.kill('SIGKILL')
  await connection.closed
  await fixture.server.exited
  await fixture.start()
  connection = await bus().connect()
  const again = open(connection)
  assert.is(await again.bucketId(), id)
  assert.equal(await again.read('space.k'), { value: bytes('kept'), revision })
  applied(await again.compareAndSet('space.k', bytes('next'), revision))
})

x('a hung server gives unknown within the timeout, and may apply it later', async () => {
  const arbiter = jetStreamArbiter({ timeoutMs: 100 })(connection)
  await arbiter.bucketId()
  await pauseServer(fixture.server)
  let outcome: CompareAndSetOutcome
  try {
    outcome = await within(800, arbiter.compareAndSet('space.late', bytes('late'), 0))
    assert.match((await rejection(arbiter.read('space.late'))).message, /no answer/)
  } finally {
    fixture.server.kill('SIGCONT')
  }
  assert.is(outcome.kind, 'unknown')
  await connection.flush()
  assert.is(shown((await arbiter.read('space.late'))?.value), 'late')
  assert.equal(await arbiter.compareAndSet('space.late', bytes('late'), 0), { kind: 'refused' })
})

x('the bucket is a file store of one value per key, without direct get', async () => {
  const message = await connection.request(
    '$JS.API.STREAM.INFO.KV_engram',
    bytes(''),
    { timeoutMs: 1000 },
  )
  const { config } = JSON.parse(shown(message.data)) as { config: Record<string, unknown> }
  assert.is(config['storage'], 'file')
  assert.is(config['max_msgs_per_subject'], 1)
  assert.is(config['allow_direct'] ?? false, false)
  assert.is(config['deny_purge'], true)
  assert.equal(config['subjects'], ['$KV.engram.>'])
})

x('a marker that `nats kv del` left counts as no key', async () => {
  const arbiter = jetStreamArbiter()(connection)
  applied(await arbiter.compareAndSet('space.del', bytes('x'), 0))
  await connection.request('$KV.engram.space.del', bytes(''), {
    timeoutMs: 1000,
    headers: { 'KV-Operation': 'DEL' },
  })
  assert.is(await arbiter.read('space.del'), null)
  applied(await arbiter.compareAndSet('space.del', bytes('y'), 0))
  assert.equal(await arbiter.compareAndSet('space.del', bytes('z'), 0), { kind: 'refused' })
})

/** A stream that somebody else made, under the name of the bucket. */
async function makeStream(bucket: string, over: object): Promise<void> {
  const message = await connection.request(`$JS.API.STREAM.CREATE.KV_${bucket}`, bytes(
    JSON.stringify({
      name: `KV_${bucket}`,
      subjects: [`$KV.${bucket}.>`],
      retention: 'limits',
      storage: 'file',
      num_replicas: 1,
      max_msgs_per_subject: 1,
      discard: 'new',
      ...over,
    }),
  ), { timeoutMs: 2000 })
  assert.not.ok(JSON.parse(shown(message.data)).error, shown(message.data))
}

x('a bucket that is full, or takes no record of that size, says so in its own words', async () => {
  await makeStream('small', { max_msg_size: 300 })
  const small = jetStreamArbiter({ bucket: 'small' })(connection)
  const long = await small.compareAndSet('space.x', new Uint8Array(400), 0)
  assert.is(long.kind, 'rejected')
  assert.match(long.kind === 'rejected' ? long.reason : '', /small: message size exceeds maximum/)
  await makeStream('full', { max_bytes: 600 })
  const full = jetStreamArbiter({ bucket: 'full' })(connection)
  applied(await full.compareAndSet('space.x', new Uint8Array(400), 0))
  const second = await full.compareAndSet('space.y', new Uint8Array(400), 0)
  assert.match(second.kind === 'rejected' ? second.reason : second.kind, /full: maximum bytes/)
  assert.equal(await full.compareAndSet('space.x', bytes('x'), 99), { kind: 'refused' })
})

x('a danger to the records of an existing bucket is reported, with a remedy', async () => {
  const faults = async (bucket: string, over: object, replicas = 1) => {
    await makeStream(bucket, over)
    return await jetStreamArbiter({ bucket, replicas })(connection).faults()
  }
  assert.equal(await faults('fine', { max_msgs_per_subject: 64, description: 'mine' }), [])
  const [expiring] = await faults('ttl', { max_age: 3_600_000_000_000 })
  assert.match(expiring!, /expire after 3600 s; .*nats stream edit KV_ttl --max-age=0/)
  const limited = await faults('limits', { max_bytes: 1000, max_msgs: 5, max_msg_size: 500 })
  assert.is(limited.length, 3, limited.join('\n'))
  assert.match((await faults('memory', { storage: 'memory' }))[0]!, /memory/)
  assert.match((await faults('copies', {}, 3))[0]!, /has 1 of 3 required copies/)
  const own = jetStreamArbiter({ bucket: 'own' })(connection)
  await own.bucketId()
  assert.equal(await own.faults(), [], 'that the product makes')
})

x('hundreds of keys are listed', async () => {
  const arbiter = jetStreamArbiter({ timeoutMs: 5000 })(connection)
  await Promise.all(
    Array.from({ length: 500 }, (_, i) => arbiter.compareAndSet(`many.k${i}`, bytes('x'), 0)),
  )
  assert.is((await arbiter.keys('many.')).length, 500)
})

x.run()

const p = suite('arbiter: permissions')

p('without the permission to write, or to ask, it says so at once', async () => {
  const denied = new NatsFixture()
  const config = `jetstream { store_dir: ${JSON.stringify(denied.directory)} }
    authorization { users = [
      { user: all, password: x }
      { user: some, password: x, permissions: { publish: {
        deny: ["$KV.engram.>", "$JS.API.STREAM.MSG.GET.>"]
      } } }
    ] }`
  const { url } = await denied.start({ config })
  try {
    const all = await natsBus({ servers: url, user: 'all', password: 'x' }).connect()
    await jetStreamArbiter()(all).bucketId()
    const some = await natsBus({ servers: url, user: 'some', password: 'x' }).connect()
    const arbiter = jetStreamArbiter({ timeoutMs: 5000 })(some)
    const outcome = await within(1000, arbiter.compareAndSet('space.x', bytes('x'), 0))
    assert.match(outcome.kind === 'rejected' ? outcome.reason : outcome.kind,
      /may not publish to .*\$KV\.engram\.space\.x/)
    const error = await within(1000, rejection(arbiter.read('space.x')))
    assert.instance(error, ArbiterUnavailableError)
    assert.match(error.message, /may not publish to .*STREAM\.MSG\.GET/)
    await Promise.all([all.close(), some.close()])
  } finally {
    await denied.stop()
  }
})

p.run()

const m = suite('arbiter: faults of the memory bucket')

m('lost answers: applied, lost, late', async () => {
  const bucket = new MemoryBucket()
  const arbiter = bucket.open(await new MemoryBroker().bus().connect())
  await arbiter.bucketId()
  bucket.loseAnswers('applied', 'lost', 'late')
  for (const key of ['k.applied', 'k.lost', 'k.late']) {
    assert.is((await arbiter.compareAndSet(key, bytes('x'), 0)).kind, 'unknown')
  }
  assert.equal([...bucket.snapshot().keys()], ['k.applied'])
  bucket.release()
  assert.equal([...bucket.snapshot().keys()], ['k.applied', 'k.late'])
  bucket.available = false
  assert.instance(await rejection(arbiter.read('k.late')), ArbiterUnavailableError)
  assert.is((await arbiter.compareAndSet('k.x', bytes('x'), 0)).kind, 'unknown')
})

m('a rejection stores nothing; a revision that has moved is refused all the same', async () => {
  const bucket = new MemoryBucket()
  const arbiter = bucket.open(await new MemoryBroker().bus().connect())
  await arbiter.bucketId()
  bucket.rejects = 'full'
  assert.equal(await arbiter.compareAndSet('k.a', bytes('x'), 0), { kind: 'rejected',
    reason: 'full' })
  assert.equal(await arbiter.compareAndSet('k.a', bytes('x'), 7), { kind: 'refused' })
  assert.is(bucket.snapshot().size, 0)
})

m.run()
