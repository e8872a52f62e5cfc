/** Another process with the name of this node. */
import { subjects } from '../../machines/protocol/subjects.js'
import { NoRespondersError } from '../ports/bus.js'
import type { BusConnection } from '../ports/bus.js'
import type { NodeIdentityInput, NodePorts } from '../ports/node.js'
import type { ActorSettings } from '../ports/defaultSettings.js'
import { SupersededError } from './startErrors.js'
import { pause } from '../structures/pause.js'

export interface TwinOptions {
  readonly ports: Pick<NodePorts, 'clock' | 'control' | 'logger'>
  readonly settings: Pick<ActorSettings, 'grantMs' | 'grantMargin'>
  readonly self: NodeIdentityInput
}

/** Time that a living process of the same name has to answer. */
const patienceMs = 300

/**
 * Rejects with SupersededError while another process answers to the name. With `outwait` it also
 * waits one lease if somebody subscribes and stays silent. An earlier connection of this very
 * process is silent, too.
 */
export async function refuseTwin(
  options: TwinOptions,
  connection: BusConnection,
  outwait: boolean,
): Promise<void> {
  const { self, ports } = options
  let isSilent = false
  try {
    const answer = await connection.request(subjects.ping(self.node), new Uint8Array(0), {
      timeoutMs: patienceMs,
    })
    const decoded = ports.control.pingAnswer(answer.data)
    throw livingTwin(self.node, decoded.ok ? decoded.value.incarnation : null)
  } catch (error) {
    if (error instanceof SupersededError) throw error
    isSilent = !(error instanceof NoRespondersError)
    if (isSilent && connection.isClosed) throw error
  }
  if (isSilent && outwait) await outwaitTwin(options, connection)
}

/**
 * Somebody subscribes to the ping subject but does not answer: a stopped process of this name,
 * whose lease may still last. It has ended if it was not heard for one lease.
 */
async function outwaitTwin(
  { self, settings, ports: { clock, control, logger } }: TwinOptions,
  connection: BusConnection,
): Promise<void> {
  let heard: number | null = null
  const subscription = connection.subscribe(subjects.heartbeat(self.node), (message) => {
    const decoded = control.heartbeat(message.data)
    if (decoded.ok) heard = decoded.value.incarnation
  })
  const waitMs = settings.grantMs * settings.grantMargin
  logger.warn({ waitMs },
    'another process with this node\'s name may be alive: waiting for one lease')
  try {
    await Promise.race([pause(clock, waitMs), connection.closed])
    await connection.flush()
  } finally {
    subscription.unsubscribe()
  }
  if (heard !== null) throw livingTwin(self.node, heard)
}

function livingTwin(node: string, incarnation: number | null): SupersededError {
  return new SupersededError(`a living process has the id ${node}`
    + `${incarnation === null ? '' : ` (incarnation ${incarnation})`}: give this node another id, `
    + 'or stop that process first')
}
