/**
 * Shapes and bounds of control messages and arbiter records. Unknown fields are dropped, so that a
 * newer node may send more.
 */
import { z } from 'zod'
import type { EpochHistory } from '../../machines/base/ids.js'
import { vacancies } from '../../machines/election/vacancy.js'
import type { Operation } from '../../machines/graph/graph.js'
import { rootFault } from '../../machines/log/invariants.js'
import { epochsMax, origin } from '../../machines/log/positions.js'
import type { PromotionReport } from '../../machines/protocol/events.js'
import type { Ack, AckMessage, Announcement, Assignment, Heartbeat, JoinAnswer, NodeIdentity,
  PingAnswer, PingRequest, PingRequestAnswer, ReconcileAnswer, SalvageOffer, SalvageSlice,
  SurveyAnswer, SurveyRequest } from '../../machines/protocol/messages.js'
import { bounds, count, http, life, name, position, reason, token } from './basicSchemas.js'
import { install } from './installSchemas.js'
import { keyFault, operationFault } from './validateOperation.js'

export { bounds } from './basicSchemas.js'

const growing = 'must grow from span to span'
const history = {
  // Nodes of earlier releases do not send it.
  root: position.default(origin),
  history: z.array(z.object({ epoch: count, last: count })).max(epochsMax).refine(grows, growing),
}
const rooted = { error: 'the root is not in the first span of the history' }

function isRooted(message: EpochHistory): boolean {
  return rootFault(message) === null
}

function grows(spans: readonly { readonly epoch: number; readonly last: number }[]): boolean {
  return spans.every((span, i) => {
    const before = spans[i - 1]
    return !before || (before.epoch < span.epoch && before.last <= span.last)
  })
}

const heard = z.tuple([count, count, count]).rest(z.unknown())
  .transform((
    [incarnation, connection, number],
  ): [number, number, number] => [incarnation, connection, number])

export const heartbeat: z.ZodType<Heartbeat> = z.object({
  ...life,
  node: name,
  disk: name,
  number: count,
  server: token,
  loopDelayMs: z.number().min(0).max(Number.MAX_SAFE_INTEGER),
  leaving: z.boolean(),
  http,
  // Nodes of earlier releases do not run unless they are registered.
  registered: z.boolean().default(true),
  unfit: z.string().max(256).exactOptional(),
  wallMs: z.number().min(0).max(Number.MAX_SAFE_INTEGER).exactOptional(),
  checkpoints: count.exactOptional(),
  zone: name.exactOptional(),
  evacuates: z.literal(true).exactOptional(),
  heard: z.record(name, heard)
    .refine((peers) => Object.keys(peers).length <= bounds.peers, 'names too many peers'),
})

export const pingAnswer: z.ZodType<PingAnswer> = z.object({
  ...life,
  node: name,
  disk: name,
  server: token,
})

export const pingRequest: z.ZodType<PingRequest> = z.object({ ...life, target: name })

export const pingRequestAnswer: z.ZodType<PingRequestAnswer> = z.object({
  outcome: z.enum(['alive', 'gone', 'silent', 'noWitness']),
})

export const surveyRequest: z.ZodType<SurveyRequest> = z.object({
  space: name,
  uuid: name,
  candidate: name,
  epoch: count,
  position: position.exactOptional(),
  confirm: z.boolean().exactOptional(),
})

export const surveyAnswer: z.ZodType<SurveyAnswer> = z.object({
  ...life,
  node: name,
  disk: name,
  position,
  highestEpoch: count,
  serving: z.boolean(),
  endedEpoch: count,
  whole: z.boolean(),
  // Nodes of earlier releases do not send it.
  committed: position.default({ epoch: 0, sequence: 0 }),
  unfit: reason.exactOptional(),
})

const join = z.object({
  ...life,
  kind: z.literal('join'),
  space: name,
  uuid: name,
  node: name,
  disk: name,
  epoch: count,
  number: count,
  ...history,
  // Nodes of earlier releases do not send the following, and cannot be installed.
  applied: count.default(0),
  floor: count.default(0),
  damaged: z.boolean().default(false),
  rebuilding: z.boolean().default(false),
  reads: count.default(0),
  departing: z.literal(true).exactOptional(),
}).refine(isRooted, rooted)

const ack: z.ZodType<Ack> = z.object({
  kind: z.literal('ack'),
  space: name,
  node: name,
  epoch: count,
  session: count,
  durableSequence: count,
  appliedSequence: count,
  digest: token,
  rebuilding: z.literal(true).exactOptional(),
})

const nack = z.object({
  kind: z.literal('nack'),
  space: name,
  node: name,
  epoch: count,
  session: count,
  position,
  reason,
})

/** It is written into the log, but never used as a path. */
const fileName = z.string().regex(/^[A-Za-z0-9_.-]{1,248}$/, 'is no name of a salvage')

const offer: z.ZodType<SalvageOffer> = z.object({
  kind: z.literal('offer'),
  space: name,
  uuid: name,
  node: name,
  disk: name,
  epoch: count,
  number: count,
  salvages: z.array(z.object({
    name: fileName,
    node: name,
    common: position,
    spans: z.array(z.object({ epoch: count, last: count, writes: count })).max(epochsMax)
      .refine(grows, growing),
    begins: count.min(1).exactOptional(),
    checkpoint: position.exactOptional(),
  })).max(bounds.salvages),
  // Nodes of earlier releases offer all they have, or fail.
  isComplete: z.boolean().default(true),
})

/** Everything that enters the log is validated, whatever its source. */
const operation = z.custom<Operation>((value) => operationFault(value) === null, {
  error: ({ input }) => operationFault(input) ?? '',
})
const key = z.string().refine((text) => keyFault(text) === null, {
  error: ({ input }) => keyFault(input) ?? '',
})

const slice: z.ZodType<SalvageSlice> = z.object({
  kind: z.literal('slice'),
  space: name,
  uuid: name,
  node: name,
  epoch: count,
  number: count,
  salvage: fileName,
  writes: z.array(z.object({
    origin: z.object({
      epoch: count.min(1),
      sequence: count.min(1),
      node: z.literal('').or(name),
    }),
    copy: z.object({ epoch: count.min(1), sequence: count.min(1) }).exactOptional(),
    timestamp: count,
    writeId: key.nullable(),
    operation,
  })).max(bounds.sliceWrites),
  isLast: z.boolean(),
})

/** By `kind`. Acks come by the thousand, so the kind is read before any schema is used. */
export const ackMessages: Readonly<Record<AckMessage['kind'], z.ZodType<AckMessage>>> = {
  ack,
  nack,
  join,
  offer,
  slice,
  install,
}

export const joinAnswer: z.ZodType<JoinAnswer> = z.object({
  kind: z.enum(['joined', 'refused']),
  number: count,
  node: name,
  epoch: count,
  session: count,
  common: position,
  commitSequence: count,
  endSequence: count,
  // Nodes of earlier releases do not send it.
  endedEpoch: count.default(0),
  snapshotNeeded: z.boolean(),
  install: z.object({
    minimum: count,
    sources: z.array(name).max(bounds.members),
    replaces: z.boolean(),
    salvageAfter: count,
  }).exactOptional(),
  code: token.exactOptional(),
  salvageAfter: count.exactOptional(),
  reason,
})

export const reconcileAnswer: z.ZodType<ReconcileAnswer> = z.object({
  kind: z.enum(['taken', 'busy', 'refused']),
  number: count,
  node: name,
  epoch: count,
  sequence: count,
  retryAfterMs: z.number().min(0).max(Number.MAX_SAFE_INTEGER),
  isAutomatic: z.boolean(),
  reason,
})

export const assignment: z.ZodType<Assignment> = z.object({
  version: z.literal(1),
  space: name,
  uuid: name,
  epoch: count,
  state: z.enum(['vacant', 'claimed', 'open', 'dropped']),
  primary: z.object({ ...life, node: name }).nullable(),
  members: z.array(z.object({ node: name, disk: name })).max(bounds.members),
  inSync: z.array(name).max(bounds.members),
  settings: z.object({
    replicas: count.max(bounds.members - 1),
    ack: z.enum(['memory', 'durable', 'committed']),
    minInSync: count.max(bounds.members),
    maxLoss: z.object({
      entries: count.optional(),
      bytes: count.optional(),
      ms: count.optional(),
    }).optional(),
    whenUnderReplicated: z.enum(['accept', 'wait', 'refuse']).optional(),
    reconcile: z.enum(['automatic', 'manual', 'off']).optional(),
    keys: z.object({ ms: count.optional(), count: count.optional() }).optional(),
    retain: z.object({ bytes: count.optional(), ms: count.optional() }).optional(),
  }),
  forced: z.boolean(),
  start: position.optional(),
  ended: z.array(z.object({
    node: name,
    disk: name,
    epoch: count,
    start: position,
    last: count.exactOptional(),
    atMost: count.nullable().exactOptional(),
  })).max(bounds.ended).optional(),
  paused: z.object({ since: z.string().max(40), by: z.string().max(128) }).nullable().optional(),
  promotedBy: z.string().max(128).exactOptional(),
  change: z.object({
    add: name.exactOptional(),
    remove: name.exactOptional(),
    since: z.string().max(40),
    by: z.string().max(128),
  }).exactOptional(),
  removed: z.array(z.object({ node: name, at: z.string().max(40) })).max(bounds.removed)
    .exactOptional(),
  dropped: z.object({ since: z.string().max(40), by: z.string().max(128) }).exactOptional(),
  formerly: z.array(name).max(bounds.formerly).exactOptional(),
  nonce: token.min(1),
  writer: name,
}).superRefine((record, context) => {
  const fault = membershipFault(record)
  if (fault) context.addIssue({ code: 'custom', message: fault })
})

/** Checks members, in-sync members and the primary against each other. */
function membershipFault(
  record: Pick<Assignment, 'state' | 'primary' | 'members' | 'inSync' | 'change'>,
): string | null {
  const members = new Set(record.members.map((member) => member.node))
  if (members.size !== record.members.length) return 'a node is listed twice in members'
  if (new Set(record.inSync).size !== record.inSync.length) return 'a node is twice in inSync'
  const stranger = record.inSync.find((node) => !members.has(node))
  if (stranger !== undefined) return `${stranger} is in sync but not a member`
  if (record.change?.add !== undefined && members.has(record.change.add)) {
    return `${record.change.add} is to be added, and is a member`
  }
  const isHeld = record.state === 'claimed' || record.state === 'open'
  if (isHeld && !record.primary) return `state ${record.state} names no primary`
  if (record.state === 'vacant' && record.primary) return 'state vacant names a primary'
  if (isHeld && record.primary && !record.inSync.includes(record.primary.node)) {
    return `the primary ${record.primary.node} is not in sync`
  }
  return null
}

export const vacancy = z.enum(vacancies)

export const promotionReport: z.ZodType<PromotionReport> = z.object({
  atMs: z.number(),
  space: name,
  epoch: count,
  from: name.nullable(),
  to: name,
  vacancy,
  reason,
  ms: count,
  atRisk: count.nullable(),
})

export const announcement: z.ZodType<Announcement> = z.object({
  kind: z.enum(['changed', 'resigned']),
  assignment,
  revision: count,
  ...history,
  reason,
  // A value that is not understood (of a later release) is left out.
  promotion: promotionReport.optional().catch(undefined),
}).refine(isRooted, rooted)

export const nodeIdentity: z.ZodType<NodeIdentity> = z.object({
  version: z.literal(1),
  node: name,
  disk: name,
  incarnation: count,
  pid: count,
  host: z.string().max(255),
  http,
  nonce: token.min(1),
})
