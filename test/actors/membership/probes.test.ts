/** The end of a probe, and the pauses between probes. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Probes } from '../../../actors/membership/probes.js'
import type { Answers } from '../../../actors/messaging/answers.js'
import type { NodeConnection } from '../../../actors/messaging/connection.js'
import { BusClosedError, NoRespondersError,
  RequestTimeoutError } from '../../../actors/ports/bus.js'
import type { NodeIdentityInput, NodePorts } from '../../../actors/ports/node.js'
import { defaultSettings } from '../../../actors/ports/defaultSettings.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('probes')

function probesOver(error: Error): Probes {
  return new Probes({
    ports: { control: controlCodec() } as NodePorts,
    settings: defaultSettings,
    self: {} as NodeIdentityInput,
    mayWitness: () => true,
    wire: { request: () => Promise.reject(error) } as unknown as NodeConnection,
    answers: {} as Answers,
  })
}

test('503 is gone, a timeout is silence; what fails at once for other reasons says nothing', async () => {
  const outcomes = [
    [new NoRespondersError('s'), 'gone'],
    [new RequestTimeoutError('s', 50), 'silent'],
    [new BusClosedError('closed'), 'unknown'],
  ] as const
  for (const [error, expected] of outcomes) {
    assert.is(await probesOver(error).ping('n2'), expected, error.name)
  }
})

test('503 of a witness says nothing of the peer', async () => {
  const life = { incarnation: 1, connection: 1 }
  const outcome = await probesOver(new NoRespondersError('s')).askWitness('n2', life, 's', 'n3')
  assert.is(outcome, 'unknown')
})

test('a node that drains while its connection closes does not probe without a pause', async () => {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  const [node] = cluster.running.filter((one) => one !== cluster.primary())
  const { wire } = node!.actor.context!
  const request = wire.request.bind(wire)
  let requests = 0
  wire.request = (...args) => {
    if ((requests += 1) > 1000) throw new Error('a hot loop')
    return request(...args)
  }
  // The chart drains, and takes no notice of the connection any more.
  node!.actor.drain('the node is stopped')
  wire.detach()
  await cluster.run(1000)
  assert.ok(requests < 100, `${requests} requests in a second`)
})

test.run()
