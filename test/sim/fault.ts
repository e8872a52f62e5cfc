/** The faults of a run, as data. */
/** Kinds that any fault of a run may have; `memberPlan.ts` draws the others. */
export const swarmKinds = [
  'kill',
  'powerCut',
  'crashAt',
  'crashInRecovery',
  'drain',
  'rollingRestart',
  'pause',
  'suspend',
  'wallJump',
  'isolate',
  'cut',
  'partition',
  'strand',
  'delay',
  'drop',
  'duplicate',
  'brokerOutage',
  'cutConnection',
  'slowDisk',
  'fullDisk',
  'failSync',
  'loseDisk',
  'flipBit',
  'arbiterSlow',
  'arbiterDown',
  'arbiterAnswers',
  'arbiterWipe',
  'killActor',
  'handover',
  'forcePromotion',
] as const

export const faultKinds = [...swarmKinds, 'changeMembers', 'restoreDisk'] as const

export type SwarmKind = (typeof swarmKinds)[number]

export type FaultKind = (typeof faultKinds)[number]

/** One fault, complete in itself: it brings its own end, so that it can be left out alone. */
export interface Fault {
  readonly kind: FaultKind
  /** When it begins, ms after the workload did. */
  readonly atMs: number
  /** Duration: a dead node stays down, a cut link cut. */
  readonly forMs: number
  /**
   * The node it concerns, or a role that a node has at that time (`primary`). `other`: the far end
   * of a link, the target of a handover, the node to remove.
   */
  readonly node: string
  readonly other: string
  /** By kind: share of messages, ms of delay, the n-th call, ms that a clock jumps. */
  readonly amount: number
  /** By kind: which port, which way, which actor, what becomes of an answer. */
  readonly mode: string
}
