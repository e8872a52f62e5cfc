import { assign, emit, setup } from 'xstate'
import type { NodeId, Position } from './base/ids.js'
import type { InstallOffer } from './protocol/installMessages.js'
import type { ReplicaContext, ReplicaEffect, ReplicaEvent,
  ReplicaInput } from './protocol/replicaTypes.js'

export type * from './protocol/replicaTypes.js'

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
    isInstalling: ({ context }, params: { number: number; install: InstallOffer | null }) =>
      params.number === context.joins && params.install !== null,
    isStuck: ({ context }, params: { number: number; snapshotNeeded: boolean }) =>
      params.number === context.joins && params.snapshotNeeded,
    hasCaughtUp: (_, params: { durable: number; primaryEnd: number }) =>
      params.durable >= params.primaryEnd,
    isOtherEpoch: ({ context }, params: { primary: NodeId; epoch: number }) =>
      params.epoch > context.epoch
      || (params.epoch === context.epoch && context.primary === null),
    isWithoutPrimary: ({ context }) => context.primary === null,
    isSwitching: ({ context }) => context.isSwitching,
    isOvertaken: ({ context }, params: { primary: NodeId; epoch: number }) =>
      context.isSwitching && (params.epoch > context.epoch
        || (params.epoch === context.epoch && context.primary === null)),
    hasNoSession: ({ context }) => context.session === 0,
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
          install: event.install,
          source: null,
          doneBytes: 0,
          totalBytes: 0,
          lastReason: (event.snapshotNeeded ? 'has to be installed: ' : '')
            + `session ${event.session} of ${context.primary}, common point `
            + `(${event.common.epoch}, ${event.common.sequence})`,
        }
        : context
    ),
    takeSource: assign(({ context, event }) =>
      event.type === 'checkpointOpened'
        ? {
          source: event.source,
          doneBytes: 0,
          totalBytes: event.totalBytes,
          lastReason: `is installed from ${event.source}, with the state as of `
            + `(${event.position.epoch}, ${event.position.sequence})`,
        }
        : context
    ),
    measureInstall: assign(({ context, event }) =>
      event.type === 'installMeasured'
        ? { doneBytes: event.doneBytes, totalBytes: event.totalBytes }
        : context
    ),
    salvage: emit(({ context }): ReplicaEffect => ({
      type: 'salvage',
      primary: context.primary ?? '',
      epoch: context.epoch,
      session: context.session,
      offer: context.install!,
    })),
    perform: emit((_, params: { effect: ReplicaEffect }) => params.effect),
    explainSwitch: assign({
      lastReason: ({ context, event }) =>
        event.type === 'switched'
          ? `has the state as of (${event.position.epoch}, ${event.position.sequence})`
          : context.lastReason,
    }),
    loseSession: assign({ session: 0 }),
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

const perform = (type: 'openCheckpoint' | 'pull' | 'load' | 'askToSwitch' | 'switch') =>
  ({ type: 'perform', params: { effect: { type } } }) as const

const progress = (state: string) => ({ type: 'progress', params: { state } }) as const

/** A member that the log cannot bring up to date gets a state, and follows on from there. */
const installingState = machine.createStateConfig({
  initial: 'waiting',
  on: {
    installMeasured: { actions: 'measureInstall' },
    sessionLost: { target: 'joining', actions: 'explainEvent' },
  },
  states: {
    // For a primary that can install it, or whose log reaches back further.
    waiting: { entry: progress('installing') },
    salvaging: {
      entry: [progress('installing.salvaging'), 'salvage'],
      on: {
        forkSalvaged: 'asking',
        salvageFailed: { target: '#replica.joining.pausing', actions: 'explainEvent' },
      },
    },
    asking: {
      entry: [progress('installing.asking'), perform('openCheckpoint')],
      on: {
        checkpointOpened: { target: 'pulling', actions: 'takeSource' },
        noSource: { actions: 'explainEvent' },
      },
    },
    pulling: {
      entry: [progress('installing.pulling'), perform('pull')],
      on: {
        pulled: 'verifying',
        sourceLost: { target: 'asking', actions: 'explainEvent' },
      },
    },
    verifying: {
      entry: [progress('installing.verifying'), perform('load')],
      on: {
        verified: 'switching',
        unusable: { target: 'asking', actions: 'explainEvent' },
      },
    },
    // Once its record may be in the journal, the switch is waited for, whatever else is heard.
    switching: {
      entry: [progress('installing.switching'), perform('askToSwitch')],
      exit: assign({ isSwitching: false }),
      on: {
        switchAllowed: { actions: [assign({ isSwitching: true }), perform('switch')] },
        switched: [
          { guard: 'isWithoutPrimary', target: '#replica.waiting', actions: 'explainSwitch' },
          { target: '#replica.joining', actions: 'explainSwitch' },
        ],
        switchRefused: [
          { guard: 'isWithoutPrimary', target: '#replica.waiting' },
          { guard: 'hasNoSession', target: '#replica.joining.pausing', actions: 'explainEvent' },
          { target: 'asking', actions: 'explainEvent' },
        ],
        primarySeen: {
          guard: { type: 'isOvertaken', params: ({ event }) => event },
          actions: 'adoptEpoch',
        },
        primaryLost: { guard: 'isSwitching', actions: 'forgetEpoch' },
        sessionLost: { guard: 'isSwitching', actions: ['loseSession', 'explainEvent'] },
      },
    },
  },
})

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
    install: null,
    source: null,
    doneBytes: 0,
    totalBytes: 0,
    isSwitching: false,
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
            target: 'installing.salvaging',
            actions: 'takeSession',
          },
          {
            guard: { type: 'isStuck', params: ({ event }) => event },
            target: 'installing.waiting',
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
    installing: installingState,
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
