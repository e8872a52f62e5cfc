import type { AnyActorLogic, AnyEventObject, AnyStateMachine, AnyStateNode } from 'xstate'
import type { BusConnection } from '../../actors/ports/bus.js'
import { natsBus } from '../bus/nats.js'
import type { NatsOptions } from '../bus/natsOptions.js'
import { createActorHost as createHost } from '../host/index.js'
import type { ActorHostOptions, ActorHostRuntime } from '../host/index.js'
import { Traffic } from '../inspect/traffic.js'
import { SystemClock } from '../system/clock.js'
import { openLog } from '../system/logger.js'
import { Connector } from './connector.js'
import { HostInspection } from './inspection.js'

export interface ActorHostSettings extends Partial<Omit<ActorHostOptions, 'node' | 'bus'>> {
  /** Name of this host among all hosts of the NATS system; no two may have the same at a time. */
  readonly node: string
  /** Without it the actors of this host reach each other only. */
  readonly nats?: Omit<NatsOptions, 'servers'> & { readonly servers: string | readonly string[] }
}

export interface StandaloneActorHost extends ActorHostRuntime {
  /**
   * Resolves once this host is on NATS. Rejects when NATS refuses in a way that trying again does
   * not mend, such as a wrong password; the host tries again nevertheless.
   */
  connected(): Promise<void>
  /** Stops all actors, children before parents, and closes the connection. */
  close(): Promise<void>
}

/** A watched node that answers nothing for so long is down. */
const nodeSilentMs = 5_000

/**
 * An actor host with what a program does not want to care for: the clock of this machine, warnings
 * as JSON lines on stderr, a connection that is made again, watched nodes that are down after five
 * silent seconds. Actors take from afar the events that their machine knows. An actor that gives
 * up and has no parent ends the process, as any other uncaught error does.
 */
export function createActorHost(settings: ActorHostSettings): StandaloneActorHost {
  const { nats, ...given } = settings
  const clock = given.clock ?? new SystemClock()
  const logger = given.logger ?? openLog({ level: 'warn', fields: { node: given.node } }).logger
  const bornAtMs = Math.floor(clock.wallMs())
  const incarnation = given.incarnation ?? (() => bornAtMs)
  const host = createHost({
    nodeSilentMs,
    refuseRemote: refuseUnknown,
    onEscalation: endProcess,
    ...given,
    clock,
    logger,
    incarnation,
  })
  if (nats === undefined) {
    return Object.assign(host, {
      connected: () => Promise.reject(new Error('the actor host was created without `nats`')),
      close: () => Promise.resolve(host.shutdown()),
    })
  }
  const traffic = new Traffic()
  const inspection = new HostInspection({
    ...given,
    clock,
    logger,
    incarnation,
    host,
    traffic,
    telemetry: given.telemetry,
  })
  const servers = typeof nats.servers === 'string' ? nats.servers : nats.servers.join(',')
  const connector = new Connector({
    bus: traffic.over(natsBus({ name: `actors of ${given.node}`, ...nats, servers }, logger)),
    clock,
    logger,
    onConnection: (connection: BusConnection | null) => {
      if (connection === null) host.detachBus()
      else host.attachBus(connection)
      inspection.attach(connection)
    },
  })
  return Object.assign(host, {
    connected: () => connector.connected(),
    close: async () => {
      host.shutdown()
      await connector.close()
    },
  })
}

/** Not within the call of whoever caused it. */
function endProcess(error: Error): void {
  queueMicrotask(() => {
    throw error
  })
}

/** A check of types alone: NATS permissions say who may publish to this host's subjects. */
function refuseUnknown({ type }: AnyEventObject, logic: AnyActorLogic): string | null {
  const events = eventsOf(logic)
  if (events === null) return null
  const isKnown = events.some((known) =>
    known === type || known === '*'
    || (known.endsWith('.*') && `${type}.`.startsWith(known.slice(0, -1)))
  )
  return isKnown ? null : `its machine knows no event ${type}`
}

const knownEvents = new WeakMap<AnyActorLogic, readonly string[]>()

/** As the machine writes them, wildcards among them; null: it is no machine. */
function eventsOf(logic: AnyActorLogic): readonly string[] | null {
  if (!('root' in logic)) return null
  const found = knownEvents.get(logic)
    ?? allNodes((logic as AnyStateMachine).root).flatMap((node) => [...node.transitions.keys()])
  knownEvents.set(logic, found)
  return found
}

function allNodes(node: AnyStateNode): AnyStateNode[] {
  return [node, ...Object.values(node.states as Record<string, AnyStateNode>).flatMap(allNodes)]
}
