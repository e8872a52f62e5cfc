import { assign, emit, setup } from 'xstate'
import type { NodeId, Position } from './base/ids.js'
import type { ProtocolTimes } from './protocol/defaultTimes.js'

export interface ReplicaInput {
  readonly space: string
  readonly self: NodeId
  readonly times: ProtocolTimes
  /** Joins requested before: their answers may still be on the way. */
  readonly joins: number
}

export interface ReplicaContext extends Omit<ReplicaInput, 'joins'> {
  primary: NodeId | null
  /** Epoch that is followed, or was last. */
  epoch: number
  session: number
  joins: number
  common: Position
  /** Durable sequence here, and the end of the primary's log as last received. */
  durable: number
  primaryEnd: number
  lastReason: string
}

export type ReplicaEvent =
  | { type: 'primarySeen'; primary: NodeId; epoch: number }
  | {
    type: 'joined'
    number: number
    session: number
    common: Position
    primaryEnd: number
    isFork: boolean
    snapshotNeeded: boolean
  }
  | { type: 'joinFailed'; number: number; reason: string }
  | { type: 'forkTruncated' }
  | { type: 'truncationFailed'; reason: string }
  | { type: 'measured'; durable: number; primaryEnd: number }
  | { type: 'gapFound'; position: Position; reason: string }
  | { type: 'sessionLost'; reason: string }
  | { type: 'primaryLost'; reason: string }

export type ReplicaEffect =
  | { type: 'join'; primary: NodeId; epoch: number; number: number }
  | { type: 'truncate'; common: Position; epoch: number; session: number }
  | { type: 'follow'; primary: NodeId; epoch: number; session: number; common: Position }
  | { type: 'leave' }
  | { type: 'nack'; position: Position; reason: string }
  | { type: 'progressed'; state: string; reason: string }

const machine = setup({
  types: {
    input: {} as ReplicaInput,
    context: {} as ReplicaContext,
    events: {} as ReplicaEvent,
    emitted: {} as ReplicaEffect,
  },
  delays: {
    joinPatience: ({ context }) => context.times.standByMs * 2,
    joinRetry: ({ context }) => context.times.heartbeatMs,
  },
  guards: {
    isAnswerToLastJoin: ({ context }, params: { number: number }) =>
      params.number === context.joins,
    isTruncating: ({ context }, params: { number: number; isFork: boolean }) =>
      params.number === context.joins && params.isFork,
    isInstalling: ({ context }, params: { number: number; snapshotNeeded: boolean }) =>
      params.number === context.joins && params.snapshotNeeded,
    hasCaughtUp: (_, params: { durable: number; primaryEnd: number }) =>
      params.durable >= params.primaryEnd,
    isOtherEpoch: ({ context }, params: { primary: NodeId; epoch: number }) =>
      params.epoch > context.epoch
      || (params.epoch === context.epoch && context.primary === null),
    isWithoutPrimary: ({ context }) => context.primary === null,
  },
  actions: {
    adoptEpoch: assign(({ context, event }) =>
      event.type === 'primarySeen'
        ? {
          primary: event.primary,
          epoch: event.epoch,
          session: 0,
          lastReason: `${event.primary} is primary in epoch ${event.epoch}`,
        }
        : context
    ),
    forgetEpoch: assign(({ event }) => ({
      primary: null,
      session: 0,
      lastReason: 'reason' in event ? event.reason : '',
    })),
    countJoin: assign({ joins: ({ context }) => context.joins + 1, session: 0 }),
    join: emit(({ context }): ReplicaEffect => ({
      type: 'join',
      primary: context.primary ?? '',
      epoch: context.epoch,
      number: context.joins,
    })),
    takeSession: assign(({ context, event }) =>
      event.type === 'joined'
        ? {
          session: event.session,
          common: event.common,
          primaryEnd: event.primaryEnd,
          lastReason: (event.snapshotNeeded ? 'waits for a snapshot: ' : '')
            + `session ${event.session} of ${context.primary}, common point `
            + `(${event.common.epoch}, ${event.common.sequence})`,
        }
        : context
    ),
    measure: assign(({ context, event }) =>
      event.type === 'measured'
        ? { durable: event.durable, primaryEnd: event.primaryEnd }
        : context
    ),
    truncate: emit(({ context }): ReplicaEffect => ({
      type: 'truncate',
      common: context.common,
      epoch: context.epoch,
      session: context.session,
    })),
    follow: emit(({ context }): ReplicaEffect => ({
      type: 'follow',
      primary: context.primary ?? '',
      epoch: context.epoch,
      session: context.session,
      common: context.common,
    })),
    leave: emit((): ReplicaEffect => ({ type: 'leave' })),
    // Field by field: the params are an event, whose own type must not become the effect's.
    nack: emit((_,
      { position, reason }: { position: Position; reason: string }): ReplicaEffect => ({
        type: 'nack',
        position,
        reason,
      })
    ),
    explainEvent: assign({
      lastReason: ({ context, event }) => ('reason' in event ? event.reason : context.lastReason),
    }),
    progress: emit(({ context }, params: { state: string }): ReplicaEffect => ({ type: 'progressed',
      state: params.state, reason: context.lastReason })
    ),
  },
})

/** Transitions after a truncation, by the primary that was heard meanwhile. */
const goingOn = [
  { guard: 'isWithoutPrimary', target: '#replica.waiting' },
  { target: '#replica.joining' },
] as const

/**
 * A member that follows a primary: joins it, gives up its fork, catches up, streams. Frames are
 * checked and written in plain code (actors/replica/replica.ts), which reports to the chart.
 */
export const replicaMachine = machine.createMachine({
  id: 'replica',
  context: ({ input }) => ({
    ...input,
    primary: null,
    epoch: 0,
    session: 0,
    common: { epoch: 0, sequence: 0 },
    durable: 0,
    primaryEnd: 0,
    lastReason: 'no primary is known',
  }),
  initial: 'waiting',
  on: {
    primarySeen: {
      guard: { type: 'isOtherEpoch', params: ({ event }) => event },
      target: '.joining',
      actions: 'adoptEpoch',
      reenter: true,
    },
    primaryLost: { target: '.waiting', actions: 'forgetEpoch' },
  },
  states: {
    waiting: { entry: ['leave', { type: 'progress', params: { state: 'waiting' } }] },
    joining: {
      entry: ['leave', { type: 'progress', params: { state: 'joining' } }],
      initial: 'asking',
      states: {
        asking: {
          entry: ['countJoin', 'join'],
          after: { joinPatience: { target: 'asking', reenter: true } },
          on: {
            joinFailed: {
              guard: { type: 'isAnswerToLastJoin', params: ({ event }) => event },
              target: 'pausing',
              actions: 'explainEvent',
            },
          },
        },
        pausing: { after: { joinRetry: 'asking' } },
      },
      on: {
        joined: [
          {
            guard: { type: 'isInstalling', params: ({ event }) => event },
            target: 'installing',
            actions: 'takeSession',
          },
          {
            guard: { type: 'isTruncating', params: ({ event }) => event },
            target: 'truncating',
            actions: 'takeSession',
          },
          {
            guard: { type: 'isAnswerToLastJoin', params: ({ event }) => event },
            target: 'catchingUp',
            actions: ['takeSession', 'follow'],
          },
        ],
      },
    },
    truncating: {
      entry: ['truncate', { type: 'progress', params: { state: 'truncating' } }],
      initial: 'salvaging',
      // A truncation under way is waited for, whatever else is heard. A session with another
      // primary beside it would acknowledge the fork, or its frames would be cut off.
      on: {
        primarySeen: {
          guard: { type: 'isOtherEpoch', params: ({ event }) => event },
          target: '.overtaken',
          actions: 'adoptEpoch',
        },
        primaryLost: { target: '.overtaken', actions: 'forgetEpoch' },
      },
      states: {
        salvaging: {
          on: {
            forkTruncated: { target: '#replica.catchingUp', actions: 'follow' },
            // After a pause: a salvage that the disk refuses would be retried without end.
            truncationFailed: { target: '#replica.joining.pausing', actions: 'explainEvent' },
          },
        },
        overtaken: { on: { forkTruncated: goingOn, truncationFailed: goingOn } },
      },
    },
    installing: { entry: { type: 'progress', params: { state: 'installing' } } },
    catchingUp: {
      entry: { type: 'progress', params: { state: 'catchingUp' } },
      on: {
        measured: [
          {
            guard: { type: 'hasCaughtUp', params: ({ event }) => event },
            target: 'streaming',
            actions: 'measure',
          },
          { actions: 'measure' },
        ],
        gapFound: { actions: { type: 'nack', params: ({ event }) => event } },
        sessionLost: { target: 'joining', actions: 'explainEvent' },
      },
    },
    streaming: {
      entry: { type: 'progress', params: { state: 'streaming' } },
      on: {
        measured: { actions: 'measure' },
        gapFound: {
          target: 'catchingUp',
          actions: { type: 'nack', params: ({ event }) => event },
        },
        sessionLost: { target: 'joining', actions: 'explainEvent' },
      },
    },
  },
})
