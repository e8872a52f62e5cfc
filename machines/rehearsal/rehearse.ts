/**
 * What would happen to a space if a node were gone now, or hung. The candidates run the chart of
 * the promotion, in virtual time, with the answers that the members would give now.
 */
import type { NodeId, Position, Vacancy } from '../base/ids.js'
import { isInSync } from '../election/candidates.js'
import { msText } from '../base/units.js'
import { standsAsideText } from '../election/claiming.js'
import { holdOf } from '../election/pause.js'
import { vacancyText } from '../election/vacancy.js'
import { isMember } from '../protocol/members.js'
import { Candidate } from './candidate.js'
import type { Stage } from './candidate.js'
import { Outlook } from './outlook.js'
import { drainOf, usualCosts } from './situation.js'
import type { AtRisk, Costs, Failure, RehearsedMember, Situation } from './situation.js'
import { VirtualTime } from './virtualTime.js'
import { noPrimary, weakestPoint } from './weakestPoint.js'
import type { WeakPoint } from './weakestPoint.js'

/**
 * promotion: another member becomes primary. stays: the primary goes on, the node leaves the
 * in-sync set. unaffected: it is no copy that counts. blocked: there is no primary then.
 */
export type RehearsedOutcome = 'promotion' | 'stays' | 'unaffected' | 'blocked'

/** proof: NATS says that the connection is gone. grant: the last grant has to run out first. */
export type Certainty = 'proof' | 'grant' | 'never'

export interface RehearsedCandidate {
  readonly node: NodeId
  /** Null: it does not answer, and its position is not known. */
  readonly position: Position | null
  readonly inSync: boolean
  /** Last state of its promotion; unfit, waiting, absent, unanswered: it would begin none. */
  readonly state: string
  readonly reason: string
}

export interface Rehearsed {
  readonly failure: Failure
  readonly outcome: RehearsedOutcome
  /** Primary afterwards; null: none. */
  readonly winner: NodeId | null
  /** Others that would claim the epoch at the same time: the arbiter decides. */
  readonly orElse: readonly NodeId[]
  /** Evidence on which the winner acts. */
  readonly evidence: Vacancy | null
  readonly certainty: Certainty
  /** About how long no write is taken, or none is committed, ms; null: for good. */
  readonly afterMs: number | null
  readonly reason: string
  readonly candidates: readonly RehearsedCandidate[]
  /** Acknowledged writes above the safe sequence: more cannot be lost. */
  readonly atRisk: AtRisk
  /** Entries of the primary that the winner lacks now; null: no other one is primary then. */
  readonly missing: number | null
  /** In-sync set afterwards. */
  readonly inSync: readonly NodeId[]
  readonly weakest: WeakPoint
}

const nothing: AtRisk = { entries: 0, bytes: 0, ms: 0 }

/** Rehearses one failure of a node. It may hold the space or not. */
export function rehearse(
  situation: Situation,
  lost: NodeId,
  failure: Failure,
  costs: Costs = usualCosts,
): Rehearsed {
  const { record } = situation
  if (record.primary?.node === lost) return promotion(situation, lost, failure, costs)
  const unaffected = !isMember(record, lost) || !record.inSync.includes(lost)
  const outlook = new Outlook(situation, lost, failure, costs)
  return unaffected
    ? untouched(situation, lost, failure, outlook)
    : shrunk(situation, lost, failure, outlook, costs)
}

/** Members that the primary does not hear will not be in sync for long. */
function weakestThen(
  { nodes, members }: Situation,
  record: Situation['record'],
  inSync: readonly NodeId[],
  outlook: Outlook,
): WeakPoint {
  const primary = record.primary!.node
  const on = nodes.get(primary)!
  return weakestPoint(
    record,
    inSync.filter((node) =>
      node === primary || (members.has(node) && outlook.areConnected(on, node))
    ),
    (node) => nodes.get(node)?.zone ?? '',
    (node) => obstacleOf(record, members.get(node)!),
  )
}

/** Why the member could not take over, as far as that is its own matter, or null. */
function obstacleOf(record: Situation['record'], member: RehearsedMember): string | null {
  const { fault, on, arbiter } = member
  if (fault !== null) return standsAsideText(fault)
  const hold = holdOf(record, on, drainOf(member))
  return hold ?? (arbiter.kind === 'reachable' ? null : `${on.node}: ${arbiter.reason}`)
}

function untouched(
  situation: Situation,
  lost: NodeId,
  failure: Failure,
  outlook: Outlook,
): Rehearsed {
  const { record } = situation
  const what = isMember(record, lost) ? 'is not in sync' : 'is no member'
  return {
    ...stays(situation, failure, record.inSync, outlook),
    outcome: 'unaffected',
    certainty: 'proof',
    afterMs: 0,
    reason: `${lost} ${what}: nothing waits for it`,
  }
}

/** What is common to outcomes with the same primary. */
function stays(
  situation: Situation,
  failure: Failure,
  inSync: readonly NodeId[],
  outlook: Outlook,
) {
  const { record } = situation
  return {
    failure,
    winner: record.primary?.node ?? null,
    orElse: [],
    evidence: null,
    candidates: [],
    atRisk: nothing,
    missing: null,
    inSync,
    weakest: weakestThen(situation, record, inSync, outlook),
  }
}

/** A replica in sync fails: the primary takes it out of the set, or its lease ends. */
function shrunk(
  situation: Situation,
  lost: NodeId,
  failure: Failure,
  outlook: Outlook,
  costs: Costs,
): Rehearsed {
  const { record, members } = situation
  const primary = members.get(record.primary!.node)!
  const left = record.inSync.filter((node) => node !== lost)
  const { arbiter, on: { times: { grantMs }, node } } = primary
  if (arbiter.kind !== 'reachable') {
    const reason = `${node} cannot take ${lost} out of the in-sync set (${arbiter.reason}), and `
      + `its lease ends without the grant of ${lost}, after ${msText(grantMs)}`
    return { ...stays(situation, failure, record.inSync, outlook), outcome: 'blocked', winner: null,
      certainty: 'never', afterMs: null, reason, atRisk: situation.atRisk, weakest: noPrimary }
  }
  const provenMs = outlook.proofMs(primary.on, lost)
  const isProven = provenMs < grantMs / 2
  const after = isProven
    ? `as NATS says that ${lost} is no longer connected`
    : `when its grant is ${msText(grantMs / 2)} old`
  return {
    ...stays(situation, failure, left, outlook),
    outcome: 'stays',
    certainty: isProven ? 'proof' : 'grant',
    afterMs: Math.round((isProven ? provenMs : grantMs / 2) + costs.arbiterMs),
    reason: `${node} goes on, and takes ${lost} out of the in-sync set ${after}`,
  }
}

/** The primary fails. */
function promotion(
  situation: Situation,
  lost: NodeId,
  failure: Failure,
  costs: Costs,
): Rehearsed {
  const { record, atRisk, endSequence } = situation
  const run = elect(situation, lost, failure, costs)
  const candidates = record.members.filter(({ node }) => node !== lost)
    .map(({ node }) => shown(situation, node, run.candidates.get(node)))
  const { winner } = run
  if (!winner) {
    return { failure, outcome: 'blocked', winner: null, orElse: [], evidence: null,
      certainty: 'never', afterMs: null, reason: blockedReason(candidates), candidates, atRisk,
      missing: null, inSync: record.inSync, weakest: noPrimary }
  }
  const { vacancy, node, member } = winner
  const others = [...run.candidates.values()].filter((one) => one !== winner && one.hasClaimed)
  return {
    failure,
    outcome: 'promotion',
    winner: node,
    orElse: others.map((one) => one.node),
    evidence: vacancy,
    certainty: vacancy === 'grantExpired' ? 'grant' : 'proof',
    afterMs: Math.round(run.ms + 2 * costs.messageMs),
    reason: vacancyText(vacancy ?? 'none', lost),
    candidates,
    atRisk,
    missing: Math.max(0, endSequence - member.position.sequence),
    inSync: run.record.inSync,
    weakest: weakestThen(situation, run.record, run.record.inSync, run.outlook),
  }
}

function elect(situation: Situation, lost: NodeId, failure: Failure, costs: Costs) {
  const time = new VirtualTime()
  const outlook = new Outlook(situation, lost, failure, costs)
  const candidates = new Map<NodeId, Candidate>()
  let winner: Candidate | null = null
  const stage: Stage = {
    time,
    costs,
    outlook,
    record: { assignment: situation.record, revision: 1 },
    answerOf: (node) => {
      const candidate = candidates.get(node)
      return candidate ? answerOf(candidate) : null
    },
    won: (candidate) => {
      winner ??= candidate
    },
  }
  let untilMs = 0
  for (const { node } of situation.record.members) {
    const member = situation.members.get(node)
    if (!member || node === lost) continue
    const candidate = new Candidate(stage, member)
    candidates.set(node, candidate)
    for (const atMs of [outlook.proofMs(member.on, lost), outlook.expiryMs(member.on)]) {
      if (Number.isFinite(atMs)) time.after(atMs, () => candidate.look())
    }
    untilMs = Math.max(untilMs, patienceMs(member))
  }
  time.pass(untilMs, () => winner !== null)
  for (const candidate of candidates.values()) candidate.end()
  return { candidates, winner: winner as Candidate | null, ms: time.nowMs,
    record: stage.record.assignment, outlook }
}

/** After this time, whoever may win has won: grants have run out, and nobody is stood by for. */
function patienceMs({ on: { times } }: RehearsedMember): number {
  return 2 * times.grantMs * times.grantMargin + 20 * times.standByMs + 2 * times.casTimeoutMs
}

function answerOf({ member, unfit }: Candidate) {
  const { on, position, committed, highestEpoch } = member
  return {
    node: on.node,
    disk: on.disk,
    incarnation: 0,
    connection: 0,
    position,
    highestEpoch,
    serving: false,
    endedEpoch: 0,
    whole: unfit === null,
    ...(unfit !== null && { unfit }),
    committed,
  }
}

function shown(
  { record, members, absent }: Situation,
  node: NodeId,
  candidate: Candidate | undefined,
): RehearsedCandidate {
  const member = members.get(node)
  if (member && candidate) {
    const { position, on } = member
    const { state, reason } = candidate
    return { node, position, inSync: isInSync(record, node, on.disk), state, reason }
  }
  const inSync = record.inSync.includes(node)
  if (absent.has(node)) {
    return { node, position: null, inSync, state: 'absent', reason: 'it is not connected to NATS' }
  }
  const reason = 'it does not answer'
    + (inSync ? ': if it lives, and is further than the others, it takes over' : '')
  return { node, position: null, inSync, state: 'unanswered', reason }
}

/** Those that are in sync could be promoted, but for their reasons. */
function blockedReason(candidates: readonly RehearsedCandidate[]): string {
  if (candidates.length === 0) return 'it has no other member'
  const inSync = candidates.filter((one) => one.inSync)
  const counted = inSync.length > 0 ? inSync : candidates
  const reasons = new Map<string, NodeId[]>()
  for (const { node, reason } of counted) {
    reasons.set(reason, [...reasons.get(reason) ?? [], node])
  }
  return [...reasons].map(([reason, nodes]) => `${nodes.join(', ')}: ${reason}`).join('; ')
}
