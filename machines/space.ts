import { assign, emit, setup } from 'xstate'
import type { AnyActorLogic } from 'xstate'
import type { NodeId } from './base/ids.js'
import type { PrimaryOutput } from './primary.js'
import type { PromotionOutput } from './promotion.js'
import type { AssignmentAt } from './protocol/messages.js'

export interface SpaceInput {
  readonly space: string
  readonly self: NodeId
  /** Why the log cannot be trusted, or null. */
  readonly damage: string | null
}

export interface SpaceContext extends SpaceInput {
  record: AssignmentAt | null
  epochStart: number
  forced: boolean
  adopted: AssignmentAt | null
  promotions: number
  lastReason: string
}

export type SpaceEvent =
  | { type: 'logRecovered' }
  | { type: 'logDamaged'; reason: string }
  | { type: 'logRepaired' }
  | { type: 'vacancyFound'; reason: string }
  | { type: 'primarySeen'; primary: NodeId; epoch: number }
  | { type: 'primaryLost'; reason: string }
  | { type: 'namedPrimary'; record: AssignmentAt }
  | { type: 'promotionOrdered'; reason: string }
  | { type: 'promotionOver'; output: PromotionOutput }
  | { type: 'promotionFailed'; error: unknown }
  | { type: 'handoverStarted' }
  | { type: 'handoverAbandoned' }
  | { type: 'steppedDown'; output: PrimaryOutput }
  | { type: 'primaryFailed'; error: unknown }
  | { type: 'replicaFailed'; error: unknown }
  | { type: 'busLost'; reason: string }

export type SpaceEffect =
  | { type: 'progressed'; state: string; reason: string }
  | { type: 'resign'; reason: string }
  | { type: 'escalate'; error: unknown }

/** Input of the role actors that `provide` binds, each hosted with its own effects. */
export interface RoleInput {
  readonly space: string
  readonly record: AssignmentAt | null
  readonly epochStart: number
  readonly forced: boolean
  readonly adopted: AssignmentAt | null
}

const machine = setup({
  types: {
    input: {} as SpaceInput,
    context: {} as SpaceContext,
    events: {} as SpaceEvent,
    emitted: {} as SpaceEffect,
  },
  actors: {
    replica: {} as AnyActorLogic,
    promotion: {} as AnyActorLogic,
    primary: {} as AnyActorLogic,
  },
  guards: {
    isDamaged: ({ context }) => context.damage !== null,
    isOther: ({ context }, params: { primary: NodeId }) => params.primary !== context.self,
    isWon: (_, params: { output: PromotionOutput }) => params.output.kind === 'won',
  },
  actions: {
    explainEvent: assign({
      lastReason: ({ context, event }) => ('reason' in event ? event.reason : context.lastReason),
    }),
    explainError: assign({
      lastReason: (_, params: { error: unknown }) => `the role failed: ${String(params.error)}`,
    }),
    progress: emit(({ context }, params: { state: string }): SpaceEffect => ({ type: 'progressed',
      state: params.state, reason: context.lastReason })
    ),
    clearCommand: assign({ forced: false, adopted: null }),
    escalate: emit((_, params: { error: unknown }): SpaceEffect => ({ type: 'escalate',
      error: params.error })
    ),
  },
})

const roleInput = ({ context }: { context: SpaceContext }): RoleInput => ({
  space: context.space,
  record: context.record,
  epochStart: context.epochStart,
  forced: context.forced,
  adopted: context.adopted,
})

const escalating = {
  actions: {
    type: 'escalate',
    params: ({ event }: { event: { error: unknown } }) => ({ error: event.error }),
  },
} as const

/**
 * A member's role in one space. The roles are actors of their own; this chart decides which one
 * lives. A role that fails for good ends the epoch or the session, never the space's log.
 */
export const spaceMachine = machine.createMachine({
  id: 'space',
  context: ({ input }) => ({
    ...input,
    record: null,
    epochStart: 0,
    forced: false,
    adopted: null,
    promotions: 0,
    lastReason: '',
  }),
  initial: 'recovering',
  on: {
    logDamaged: {
      target: '.damaged',
      actions: [assign({ damage: ({ event }) => event.reason }), 'explainEvent'],
    },
  },
  states: {
    recovering: {
      entry: { type: 'progress', params: { state: 'recovering' } },
      on: {
        logRecovered: [
          { guard: 'isDamaged', target: 'damaged' },
          { target: 'replica' },
        ],
      },
    },
    replica: {
      entry: { type: 'progress', params: { state: 'replica' } },
      invoke: {
        id: 'replica',
        src: 'replica',
        input: roleInput,
        onError: escalating,
      },
      on: {
        vacancyFound: { target: 'promoting', actions: ['clearCommand', 'explainEvent'] },
        promotionOrdered: {
          target: 'promoting',
          actions: [assign({ forced: true, adopted: null }), 'explainEvent'],
        },
        namedPrimary: {
          target: 'promoting',
          actions: assign({
            adopted: ({ event }) => event.record,
            forced: false,
            lastReason: ({ event }) =>
              `the record names this node in epoch ${event.record.assignment.epoch}`,
          }),
        },
        replicaFailed: escalating,
      },
    },
    promoting: {
      entry: { type: 'progress', params: { state: 'promoting' } },
      invoke: {
        id: 'promotion',
        src: 'promotion',
        input: roleInput,
        onError: {
          target: 'replica',
          actions: { type: 'explainError', params: ({ event }) => ({ error: event.error }) },
        },
      },
      on: {
        promotionOver: [
          {
            guard: { type: 'isWon', params: ({ event }) => event },
            target: 'primary',
            actions: assign({
              record: ({ context, event }) =>
                event.output.kind === 'won' ? event.output.record : context.record,
              epochStart: ({ context, event }) =>
                event.output.kind === 'won' ? event.output.epochStart : context.epochStart,
              promotions: ({ context }) => context.promotions + 1,
              lastReason: 'won the promotion',
            }),
          },
          {
            target: 'replica',
            actions: assign({
              lastReason: ({ context, event }) =>
                event.output.kind === 'stoodDown' ? event.output.reason : context.lastReason,
            }),
          },
        ],
        promotionFailed: {
          target: 'replica',
          actions: assign({
            lastReason: ({ event }) => `the promotion failed: ${String(event.error)}`,
          }),
        },
        promotionOrdered: {
          target: 'promoting',
          reenter: true,
          actions: [assign({ forced: true, adopted: null }), 'explainEvent'],
        },
        busLost: { target: 'replica', actions: 'explainEvent' },
      },
    },
    primary: {
      entry: { type: 'progress', params: { state: 'primary' } },
      invoke: {
        id: 'primary',
        src: 'primary',
        input: roleInput,
        onError: {
          target: 'replica',
          actions: { type: 'explainError', params: ({ event }) => ({ error: event.error }) },
        },
      },
      initial: 'reigning',
      states: {
        reigning: { on: { handoverStarted: 'handingOver' } },
        handingOver: {
          entry: { type: 'progress', params: { state: 'handingOver' } },
          on: { handoverAbandoned: 'reigning' },
        },
      },
      on: {
        steppedDown: {
          target: 'replica',
          actions: assign({ lastReason: ({ event }) => event.output.reason }),
        },
        primaryFailed: {
          target: 'replica',
          actions: [
            assign({ lastReason: ({ event }) => `the primary failed: ${String(event.error)}` }),
            emit(({ context }): SpaceEffect => ({ type: 'resign', reason: context.lastReason })),
          ],
        },
        busLost: { target: 'replica', actions: 'explainEvent' },
      },
    },
    damaged: {
      entry: { type: 'progress', params: { state: 'damaged' } },
      initial: 'waiting',
      on: {
        logRepaired: {
          target: 'replica',
          actions: assign({ damage: null, lastReason: 'the log is whole again' }),
        },
      },
      states: {
        waiting: {
          on: {
            primarySeen: {
              guard: { type: 'isOther', params: ({ event }) => event },
              target: 'refetching',
            },
          },
        },
        // The replica has itself installed. It follows nobody before.
        refetching: {
          invoke: {
            id: 'replica',
            src: 'replica',
            input: roleInput,
            onError: escalating,
          },
          on: { replicaFailed: escalating },
        },
      },
    },
  },
})
