/** Records and answers of the arbiter and of surveys, as short words in golden transcripts. */
import type { Life, NodeId, Position } from '../../machines/base/ids.js'
import { showPosition } from '../../machines/log/positions.js'
import type { Assignment, AssignmentAt, AssignmentState,
  SurveyAnswer } from '../../machines/protocol/messages.js'

/** The value, which transcripts (JSON) show as these words. */
function shownAs<T extends object>(value: T, text: string): T {
  return Object.defineProperty(value, 'toJSON', { value: () => text })
}

const members = ['n1', 'n2', 'n3'].map((node) => ({ node, disk: `disk-${node}` }))

export interface RecordOf {
  readonly revision?: number
  readonly epoch?: number
  readonly state?: AssignmentState
  readonly primary?: NodeId | null
  readonly life?: Life
  readonly inSync?: readonly NodeId[]
}

export function assignmentOf(given: RecordOf = {}): Assignment {
  const { epoch = 3, state = 'open', primary = 'n1', inSync = ['n1', 'n2', 'n3'] } = given
  const life = given.life ?? { incarnation: 1, connection: 1 }
  return {
    version: 1,
    space: 'demo',
    uuid: 'u1',
    epoch,
    state,
    primary: primary === null ? null : { node: primary, ...life },
    members,
    inSync,
    settings: { replicas: 2, ack: 'durable', minInSync: 2 },
    forced: false,
    nonce: 'x',
    writer: primary ?? 'n1',
  }
}

/** Shown as `epoch 3 open, n1 of n1+n2+n3 @7`: primary, in-sync members, revision. */
export function recordOf(given: RecordOf = {}): AssignmentAt {
  const { revision = 7 } = given
  const assignment = assignmentOf(given)
  const { epoch, state, primary, inSync } = assignment
  const who = `${primary?.node ?? 'nobody'} of ${inSync.join('+')}`
  return shownAs({ assignment, revision }, `epoch ${epoch} ${state}, ${who} @${revision}`)
}

/** Shown as `(3, 40)`. */
export function positionOf(epoch: number, sequence: number): Position {
  return shownAs({ epoch, sequence }, showPosition({ epoch, sequence }))
}

/** Shown as `n3 at (3, 1042)`, with what is special about it behind. */
export function answerOf(
  node: NodeId,
  position: Position,
  over: Partial<SurveyAnswer> = {},
): SurveyAnswer {
  const answer: SurveyAnswer = {
    node,
    disk: `disk-${node}`,
    incarnation: 1,
    connection: 1,
    position,
    highestEpoch: position.epoch,
    serving: false,
    endedEpoch: 0,
    whole: true,
    committed: { epoch: 0, sequence: 0 },
    ...over,
  }
  const special = [
    ...(answer.serving ? ['serving'] : []),
    ...(answer.whole ? [] : ['damaged']),
    ...(answer.disk === `disk-${node}` ? [] : [`on ${answer.disk}`]),
  ]
  return shownAs(answer, [`${node} at ${showPosition(position)}`, ...special].join(' '))
}
