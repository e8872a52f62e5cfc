/** How an actor host of a program comes to its connection, and keeps one. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BusConnectError } from '../../../actors/ports/bus.js'
import type { BusConnection } from '../../../actors/ports/bus.js'
import { Connector } from '../../../runtime/standalone/connector.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { recordingLogger, Wire } from '../../support/hostKit.js'

const test = suite('connector of an actor host')

/** The bus gives these, one after the other; then it can be reached no more. */
function kit(...gives: (BusConnection | Error)[]) {
  const clock = new VirtualClock()
  const logger = recordingLogger()
  const seen: string[] = []
  const connector = new Connector({
    clock,
    logger,
    bus: {
      connect: () => {
        const next = gives.shift() ?? new BusConnectError('nobody there', true)
        seen.push(`attempt at ${clock.monotonicMs()}`)
        return next instanceof Error ? Promise.reject(next) : Promise.resolve(next)
      },
    },
    onConnection: (connection) => seen.push(connection === null ? 'gone' : 'open'),
  })
  return { clock, connector, logger, seen }
}

test('it tries again, later each time, and soon after a connection has ended', async () => {
  const gone = new BusConnectError('nobody there', true)
  const connection = new Wire().connect()
  const { clock, connector, seen } = kit(gone, gone, connection)
  const connected = connector.connected()
  await clock.settle()
  await clock.advanceAsync(750)
  await connected
  connection.drop()
  await clock.settle()
  await clock.advanceAsync(250)
  assert.equal(seen, ['attempt at 0', 'attempt at 250', 'attempt at 750', 'open', 'gone',
    'attempt at 1000'])
  await connector.close()
  assert.is(clock.pending, 0)
})

test('pauses are bounded', async () => {
  const { clock, connector, seen } = kit()
  await clock.settle()
  await clock.advanceAsync(60_000)
  const times = seen.map((line) => Number(line.split(' ').at(-1)))
  assert.is(times.at(-1)! - times.at(-2)!, 5_000)
  await connector.close()
})

test('a refusal is reported to whoever waits, and tried again nevertheless', async () => {
  const connection = new Wire().connect()
  const { clock, connector, seen, logger } = kit(new BusConnectError('wrong password', false),
    connection)
  const first = await connector.connected().then(() => null, (error: Error) => error.message)
  assert.is(first, 'wrong password')
  assert.equal(logger.lines.map(({ level }) => level), ['error'])
  const second = connector.connected()
  await clock.settle()
  await clock.advanceAsync(250)
  await second
  assert.is(seen.at(-1), 'open')
  await connector.close()
  assert.ok(connection.isClosed)
  assert.match(String(await connector.connected().catch(String)), 'closed')
})

test.run()
