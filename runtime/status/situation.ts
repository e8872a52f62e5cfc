/** A space as the rehearsal takes it (machines/rehearsal/), from the reports of the nodes. */
import type { NodeId, SpaceId } from '../../machines/base/ids.js'
import { missedHeartbeatsMax } from '../../machines/election/failureDetectorSetup.js'
import { isMember } from '../../machines/protocol/members.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import type { ArbiterView, RehearsedMember, RehearsedNode,
  Situation } from '../../machines/rehearsal/situation.js'
import { electionSchema, timesSchema } from './election.js'
import type { MemberStatus, NodeStatus, NodeStatusReport } from './status.js'

interface View {
  readonly node: NodeStatus
  readonly member: MemberStatus
}

/** What the reports do not say. */
export interface Asked {
  /** The arbiter, as nodes see it that were asked; of the others, the status counts. */
  readonly arbiters: ReadonlyMap<NodeId, ArbiterView>
  /** Nodes that are not connected, as NATS says. */
  readonly absent: ReadonlySet<NodeId>
}

/** Returns the space as its nodes see it, or why that is not known. */
export function situationOf(
  space: SpaceId,
  reports: readonly NodeStatusReport[],
  { arbiters, absent }: Asked,
): Situation | string {
  const views = reports.flatMap(({ node, spaces }) => {
    const member = spaces.find((one) => one.space === space)
    return member ? [{ node, member }] : []
  })
  if (views.length === 0) return 'no node that answers holds it'
  const primary = views.filter(({ member }) => member.role === 'primary')
    .toSorted((a, b) => b.member.epoch - a.member.epoch)[0]
  if (!primary) {
    const why = views.map(({ member }) => member.blocked).find(Boolean)
    return `it has no primary that answers${why ? `: ${why}` : ''}`
  }
  const nodes = new Map(reports.flatMap(({ node }) => {
    const one = nodeOf(node)
    return one ? [[node.id, one] as const] : []
  }))
  const record = recordOf(space, primary)
  const members = new Map(views.flatMap(({ node, member }) => {
    const one = isMember(record, node.id) ? memberOf(nodes.get(node.id), member, arbiters) : null
    return one ? [[node.id, one] as const] : []
  }))
  const { id } = primary.node
  if (!members.has(id)) return `${id} is of an earlier version, which says too little of elections`
  const { lossWindow: { entries, bytes, ms }, endSequence } = primary.member
  return { record, nodes, members, absent, atRisk: { entries, bytes, ms }, endSequence }
}

function nodeOf({ id, disk, natsServer, zone, times, peers }: NodeStatus): RehearsedNode | null {
  const parsed = timesSchema.safeParse(times)
  if (!parsed.success) return null
  const states = Object.values(peers).map((peer) => peer.state)
  // Only doubted: it still counts as heard.
  const nearMs = parsed.data.heartbeatMs * missedHeartbeatsMax
  return {
    node: id,
    disk,
    server: natsServer,
    zone: zone ?? '',
    isTilted: states.includes('tilt'),
    times: parsed.data,
    heard: new Map(Object.entries(peers).map(([peer, { state, silenceMs }]) => [peer, {
      silenceMs: silenceMs ?? Infinity,
      isAlive: state === 'alive' || (state === 'tilt' && (silenceMs ?? Infinity) < nearMs),
      isGone: state === 'dead' || state === 'left',
    }])),
  }
}

function memberOf(
  on: RehearsedNode | undefined,
  member: MemberStatus,
  arbiters: ReadonlyMap<NodeId, ArbiterView>,
): RehearsedMember | null {
  const election = electionSchema.safeParse(member.election)
  if (!on || !election.success) return null
  const { position, committed, highestEpoch, unfit = null, fault = null } = election.data
  const arbiter = arbiterOf(member, arbiters.get(on.node))
  return { on, position, committed, highestEpoch, unfit, fault, arbiter }
}

function arbiterOf(
  { arbiter, arbiterReason }: MemberStatus,
  asked: ArbiterView | undefined,
): ArbiterView {
  if (asked && asked.kind !== 'reachable') return asked
  const reason = arbiterReason ?? 'the arbiter does not answer'
  switch (arbiter) {
    case 'refuses':
      return { kind: 'refuses', reason }
    case 'unreadable':
    case 'newer':
      return { kind: 'unusable', reason }
    case 'unreachable':
      return asked ?? { kind: 'unreachable', reason }
    default:
      return { kind: 'reachable' }
  }
}

/** The record, as far as a primary shows it in its status. */
function recordOf(space: SpaceId, { node, member }: View): Assignment {
  const { uuid, epoch, members, inSync, disks = {}, rf, ack, minInSync, paused } = member
  const { whenUnderReplicated } = electionSchema.safeParse(member.election).data ?? {}
  return {
    version: 1,
    space,
    uuid,
    epoch,
    state: 'open',
    primary: { node: node.id, incarnation: node.incarnation, connection: node.connection },
    members: members.map((one) => ({ node: one, disk: disks[one] ?? '' })),
    inSync,
    settings: { replicas: rf - 1, ack, minInSync, ...(whenUnderReplicated && {
      whenUnderReplicated,
    }) },
    forced: false,
    paused: paused ?? null,
    nonce: '',
    writer: node.id,
  }
}
