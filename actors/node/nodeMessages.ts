import { isHolder } from '../../machines/protocol/members.js'
import type { Announcement } from '../../machines/protocol/messages.js'
import { spaceOf, subjects } from '../../machines/protocol/subjects.js'
import type { CheckpointSource } from '../install/source.js'
import type { NodeContext } from '../member/context.js'
import type { BusMessage, BusSubscription } from '../ports/bus.js'
import type { AdminCommands } from './adminCommands.js'
import type { AdminNode } from './adminNode.js'
import { Lookup } from './lookup.js'
import { StatusService } from './statusService.js'
import type { StatusServiceOptions } from './statusService.js'

/** Subscribes to everything that is sent to this node by name, and to announcements. */
export function listenAs(
  node: AdminNode,
  admin: AdminCommands,
  of: Pick<StatusServiceOptions, 'reporter' | 'names'> & { readonly source: CheckpointSource },
): BusSubscription[] {
  const context = node.context!
  const { wire, self: { node: name } } = context
  const messages = new NodeMessages(node, context)
  const status = new StatusService({ context, spaces: node.spaces, ...of })
  const onStatus = (message: BusMessage): void => status.onMessage(message)
  const handlers: readonly [subject: string, handler: (message: BusMessage) => void][] = [
    [subjects.wal('*', name), (m) => node.spaces.get(spaceOf(m.subject))?.onWal(m)],
    [subjects.ack('*', name), (m) => messages.onAck(m)],
    [subjects.survey('*', name), (m) => messages.onSurvey(m)],
    [subjects.assignment('*'), (m) => messages.onAnnouncement(m)],
    [subjects.admin(name), (m) => void admin.onMessage(m)],
  ]
  const lookup = new Lookup(context)
  return [
    ...handlers.map(([subject, handler]) => wire.subscribe(subject, handler)),
    wire.subscribeSide(subjects.status(name), onStatus),
    wire.subscribeSide(subjects.checkpoint('*', name), (m) => of.source.onMessage(m)),
    wire.subscribeSide(subjects.status('_all'), onStatus),
    // Any one of all nodes answers.
    wire.subscribeSide(subjects.lookup('*'), (m) => lookup.onMessage(m), { queue: 'lookup' }),
  ]
}

/** Decodes messages for a space, and hands them on. */
class NodeMessages {
  constructor(private readonly node: AdminNode, private readonly context: NodeContext) {}

  onAck(message: BusMessage): void {
    const { ports, answers } = this.context
    const decoded = ports.control.ackMessage(message.data)
    if (!decoded.ok) return ports.telemetry.count('badMessages', 1, { kind: 'ack' })
    const asker = answers.asker(message, 'nodes')
    if (asker) this.node.spaces.get(decoded.value.space)?.onAckMessage(decoded.value, asker)
  }

  onSurvey(message: BusMessage): void {
    const { ports, answers } = this.context
    const decoded = ports.control.surveyRequest(message.data)
    const asker = answers.asker(message, 'nodes')
    if (!decoded.ok || !asker) return
    const space = this.node.spaces.get(decoded.value.space)
    if (!space || space.member.uuid !== decoded.value.uuid) return
    const { value } = decoded
    const answer = (): void => answers.answer(asker, ports.control.encode(space.surveyed(value)))
    if (!value.confirm) return answer()
    // Checks that the journal can be written; the answer says so.
    this.context.commits.submit({ type: 'confirm' }).then(answer, answer)
  }

  onAnnouncement(message: BusMessage): void {
    const { ports, self } = this.context
    const decoded = ports.control.announcement(message.data)
    if (!decoded.ok) return ports.telemetry.count('badMessages', 1, { kind: 'announcement' })
    const announcement: Announcement = decoded.value
    const { space, state } = announcement.assignment
    const known = this.node.spaces.get(space)
    if (known) known.onAnnouncement(announcement)
    else if (state === 'dropped' || isHolder(announcement.assignment, self.node)) {
      void this.node.take(space)
    }
  }
}
