/** The connections for answers: made when they are needed, and made again when they break. */
import type { NatsConnection } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SideConnection } from '../../../runtime/bus/sideConnection.js'
import { SideSubscriptions } from '../../../runtime/bus/sideSubscriptions.js'
import { quiet } from '../../support/actorKit.js'

const test = suite('side connection')

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

interface Fake {
  readonly nats: NatsConnection
  readonly closed: Promise<void>
  /** As when the server ends it. */
  end(): void
  readonly isClosed: boolean
}

function fake(): Fake {
  let isClosed = false
  let resolveClosed: () => void = () => undefined
  const closed = new Promise<void>((resolve) => {
    resolveClosed = resolve
  })
  const end = (): void => {
    isClosed = true
    resolveClosed()
  }
  const nats = {
    isClosed: () => isClosed,
    closed: () => closed,
    close: () => Promise.resolve(end()),
    flush: () => new Promise(() => undefined),
    async *status() {},
  }
  return {
    nats: nats as unknown as NatsConnection,
    end,
    closed,
    get isClosed() {
      return isClosed
    },
  }
}

function kit(redialMs: number, pings?: { pingIntervalMs: number; maxPingOut: number }) {
  const dialled: { resolve: (nats: NatsConnection) => void; reject: (error: Error) => void }[] = []
  const warnings: object[] = []
  const dial = () =>
    new Promise<NatsConnection>((resolve, reject) => {
      dialled.push({ resolve, reject })
    })
  const logger = { ...quiet, warn: (fields: object) => void warnings.push(fields) }
  return { side: new SideConnection(dial, logger, redialMs, pings), dialled, warnings }
}

test('made once, when it is first needed; made again when it broke', async () => {
  const { side, dialled } = kit(0)
  assert.is(dialled.length, 0)
  assert.is(side.connection, null)
  assert.is(side.connection, null)
  assert.is(dialled.length, 1, 'one at a time')
  const [first, second] = [fake(), fake()]
  dialled[0]!.resolve(first.nats)
  await turn()
  assert.is(side.connection, first.nats)
  first.end()
  assert.is(side.connection, null, 'before anybody was notified')
  await turn()
  assert.is(side.connection, null)
  dialled[1]!.resolve(second.nats)
  await turn()
  assert.is(side.connection, second.nats)
  side.close()
  assert.ok(second.isClosed)
  assert.is(side.connection, null)
  assert.is(dialled.length, 2, 'it is over')
})

test('a failed connection is reported, and not tried at each message', async () => {
  const { side, dialled, warnings } = kit(3_600_000)
  assert.is(side.connection, null)
  dialled[0]!.reject(new Error('too many connections'))
  await turn()
  assert.is(warnings.length, 1)
  assert.is(side.connection, null)
  assert.is(dialled.length, 1)
})

test('closed while it is dialled: it does not stay open', async () => {
  const { side, dialled } = kit(0)
  assert.is(side.connection, null)
  side.close()
  const late = fake()
  dialled[0]!.resolve(late.nats)
  await turn()
  assert.ok(late.isClosed)
})

test('a flush waits a little for a server that takes nothing, and no longer', async () => {
  const { side, dialled } = kit(0)
  await side.flush()
  assert.is(side.connection, null)
  dialled[0]!.resolve(fake().nats)
  await turn()
  await side.flush()
  side.close()
})

test('a server that stopped answering here alone: the connection is made anew', async () => {
  const { side, dialled, warnings } = kit(0, { pingIntervalMs: 1, maxPingOut: 2 })
  assert.is(side.connection, null)
  const first = fake()
  dialled[0]!.resolve(first.nats)
  await turn()
  assert.is(side.connection, first.nats)
  await first.closed
  assert.is(warnings.length, 1)
  assert.is(side.connection, null)
  assert.is(dialled.length, 2)
  side.close()
})

test('kept for subscriptions: made without being needed, and again when it breaks', async () => {
  const { side, dialled, warnings } = kit(1)
  const heard: string[] = []
  side.keepFor({
    stands: () => heard.push('stands'),
    gone: () => heard.push('gone'),
    failed: () => heard.push('failed'),
  })
  const dialledTimes = async (times: number): Promise<void> => {
    while (dialled.length < times) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  for (let times = 1; times <= 3; times += 1) {
    await dialledTimes(times)
    dialled.at(-1)!.reject(new Error('too many connections'))
  }
  await dialledTimes(4)
  assert.is(warnings.length, 1, 'one line, not one per attempt')
  const first = fake()
  dialled.at(-1)!.resolve(first.nats)
  await turn()
  first.end()
  await dialledTimes(5)
  dialled.at(-1)!.resolve(fake().nats)
  await turn()
  side.close()
  await turn()
  assert.equal(heard, ['failed', 'failed', 'failed', 'stands', 'gone', 'stands'])
})

/** A connection that notes what is subscribed on it. */
function place(open: Set<string>, name: string): NatsConnection {
  const nats = { isClosed: () => false, flush: () => Promise.resolve(), name, open }
  return nats as unknown as NatsConnection
}

test('subscriptions move to the connection that stands, and back where there is none', async () => {
  const open = new Set<string>()
  const [first, other] = [place(open, 'first'), place(open, 'other')]
  const side = new SideSubscriptions(first)
  const add = (subject: string) =>
    side.add((nats) => {
      const key = `${(nats as unknown as { name: string }).name} ${subject}`
      open.add(key)
      return { unsubscribe: () => void open.delete(key) }
    })
  const one = add('one')
  assert.equal([...open], ['first one'], 'at once, on the first connection')
  side.stands(other)
  assert.equal([...open], ['first one', 'other one'], 'on both, until the new one is certain')
  await turn()
  add('two')
  assert.equal([...open], ['other one', 'other two'])
  side.gone()
  assert.equal([...open], [], 'nowhere while it is dialled: a flood must not come to the first')
  add('three')
  assert.equal([...open], [])
  side.failed()
  assert.equal([...open], ['first one', 'first two', 'first three'])
  one.unsubscribe()
  side.stands(other)
  await turn()
  assert.equal([...open], ['other two', 'other three'])
})

test('who unsubscribes during a move is subscribed nowhere from then on', async () => {
  const open = new Set<string>()
  const side = new SideSubscriptions(place(open, 'first'))
  const one = side.add((nats) => {
    const key = (nats as unknown as { name: string }).name
    open.add(key)
    return { unsubscribe: () => void open.delete(key) }
  })
  side.stands(place(open, 'other'))
  assert.equal([...open], ['first', 'other'])
  one.unsubscribe()
  assert.equal([...open], [], 'at once, not when the move is over')
  await turn()
  assert.equal([...open], [])
})

test('subscriptions stay where they are if the other connection has closed meanwhile', async () => {
  const open = new Set<string>()
  const side = new SideSubscriptions(place(open, 'first'))
  side.add(() => {
    open.add('one')
    return { unsubscribe: () => void open.delete('one') }
  })
  side.stands({ isClosed: () => true } as unknown as NatsConnection)
  await turn()
  assert.equal([...open], ['one'])
})

test.run()
