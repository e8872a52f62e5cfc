import type { NodeId, SpaceId } from '../base/ids.js'

/** Names were validated on input, so they are single subject tokens. */
const v1 = 'engram.v1'

export const subjects = {
  write: (space: SpaceId) => `${v1}.write.${space}`,
  read: (space: SpaceId) => `${v1}.read.${space}`,
  readAny: (space: SpaceId) => `${v1}.read.${space}.any`,
  wal: (space: SpaceId, node: NodeId) => `${v1}.wal.${space}.${node}`,
  ack: (space: SpaceId, node: NodeId) => `${v1}.ack.${space}.${node}`,
  /** Asks a member for a checkpoint, to install another one. */
  checkpoint: (space: SpaceId, node: NodeId) => `${v1}.checkpoint.${space}.${node}`,
  survey: (space: SpaceId, node: NodeId) => `${v1}.survey.${space}.${node}`,
  heartbeat: (node: NodeId) => `${v1}.heartbeat.${node}`,
  ping: (node: NodeId) => `${v1}.ping.${node}`,
  pingRequest: (node: NodeId) => `${v1}.pingreq.${node}`,
  /** Asks whether there is such a space. Any one node answers. */
  lookup: (space: SpaceId) => `${v1}.lookup.${space}`,
  assignment: (space: SpaceId) => `${v1}.assignment.${space}`,
  alert: (space: SpaceId) => `${v1}.alert.${space}`,
  status: (node: NodeId) => `${v1}.status.${node}`,
  events: (node: NodeId) => `${v1}.status.${node}.events`,
  admin: (node: NodeId) => `${v1}.admin.${node}`,
  inspect: (node: NodeId) => `${v1}.inspect.${node}`,
  actor: (node: NodeId, actor: string) => `${v1}.actor.${node}.${actor}`,
} as const

/** Returns the space that a subject names, for the wildcard subscriptions of a node. */
export function spaceOf(subject: string): SpaceId {
  return subject.split('.')[3] ?? ''
}

const nameRule = /^[A-Za-z0-9_-]{1,64}$/

/** Checks a name of a space or node, before it is used in a path or a subject. */
export function nameFault(name: unknown): string | null {
  if (typeof name === 'string' && nameRule.test(name)) return null
  const shown = typeof name === 'string' ? JSON.stringify(name.slice(0, 80)) : typeof name
  return `a name must be 1 to 64 characters of A-Z a-z 0-9 _ -, not ${shown}`
}
