/** Shared by the tests of the inspection stream: a host with a chart, and a feed over it. */
import { assign, setup } from 'xstate'
import { NodeConnection } from '../../actors/messaging/connection.js'
import { workLanes } from '../../actors/messaging/workLanes.js'
import type { BusConnection } from '../../actors/ports/bus.js'
import { defaultSettings } from '../../actors/ports/defaultSettings.js'
import type { Serving } from '../../runtime/inspect/eventService.js'
import { Feed } from '../../runtime/inspect/feed.js'
import { NodeRecorder } from '../../runtime/inspect/recorder.js'
import { readEnvelope } from '../../runtime/inspect/schema.js'
import type { Envelope, InspectionStreamEvent } from '../../runtime/inspect/schema.js'
import { Traffic } from '../../runtime/inspect/traffic.js'
import type { VirtualClock } from '../fakes/virtualClock.js'
import { answersOver, quiet, rethrow } from './actorKit.js'
import { kit } from './hostKit.js'

interface LampContext {
  presses: number
  lastReason: string
  secret: string
}
type LampEvent = { type: 'pressed'; secret?: string } | { type: 'looked' }

/** The secret stands for the content of a memory. */
export const secret = 'the content of a memory'

export const lamp = setup({ types: { context: {} as LampContext, events: {} as LampEvent } })
  .createMachine({
    id: 'lamp',
    context: { presses: 0, lastReason: '', secret },
    initial: 'off',
    on: { looked: { actions: assign({ secret }) } },
    states: {
      off: {
        on: {
          pressed: {
            target: 'on',
            actions: assign({
              presses: ({ context }) => context.presses + 1,
              lastReason: 'it was dark',
            }),
          },
        },
      },
      on: { on: { pressed: { target: 'off', actions: assign({ lastReason: 'it is day' }) } } },
    },
  })

export function feedKit(options: { payloads?: boolean } = {}) {
  const it = kit()
  const traffic = new Traffic()
  let observations = 0
  let ended = 0
  const host = {
    inspect: (observer: Parameters<typeof it.host.inspect>[0]) => {
      observations += 1
      const end = it.host.inspect(observer)
      return () => {
        ended += 1
        end()
      }
    },
    report: () => it.host.report(),
  }
  const events = new NodeRecorder({ node: 'n1', clock: it.clock })
  events.begin(null)
  const feed = new Feed({
    node: 'n1',
    incarnation: () => 7,
    clock: it.clock,
    host,
    traffic,
    events,
    payloads: options.payloads ?? false,
  })
  const spawn = (id: string, parent?: string) =>
    it.host.spawn({
      id,
      logic: lamp,
      input: () => undefined,
      ...(parent === undefined ? {} : { parent }),
      supervision: { maxRestarts: 3, withinMs: 1_000, backoffMs: 10, backoffMaxMs: 10 },
    })
  return { ...it, feed, traffic, events, spawn, hooks: () => ({ observations, ended }) }
}

/** `eager`: what waits for its turn has it at once, and no time has to pass. */
export function servingOver(
  clock: VirtualClock,
  connection: BusConnection,
  { eager = false } = {},
): Serving {
  const wire = new NodeConnection(1, quiet, rethrow)
  wire.attach(connection, { incarnation: 1, connection: 1 })
  const own = !eager ? clock : Object.assign(
    Object.create(clock) as VirtualClock,
    { nextTurn: queueMicrotask },
  )
  return {
    answers: answersOver(clock, (to, data) => wire.publish(to, data)),
    lanes: workLanes(own, defaultSettings, wire, rethrow),
  }
}

export function read(text: string | Uint8Array): Envelope {
  const envelope = readEnvelope(text)
  if (typeof envelope === 'string') throw new Error(envelope)
  return envelope
}

export function eventsOf(texts: readonly string[]): InspectionStreamEvent[] {
  return texts.flatMap((text) => read(text).events)
}

export function only<T extends InspectionStreamEvent['type']>(
  events: readonly InspectionStreamEvent[],
  type: T,
): Extract<InspectionStreamEvent, { type: T }>[] {
  return events.filter((event) => event.type === type) as Extract<InspectionStreamEvent,
    { type: T }>[]
}
