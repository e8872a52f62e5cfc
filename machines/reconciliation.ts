import { assign, emit, setup } from 'xstate'
import type { NodeId } from './base/ids.js'
import type { ProtocolTimes } from './protocol/defaultTimes.js'

/** Pause before an unreadable salvage is tried again, ms: a fault of the disk may pass. */
export const unusableMs = 60_000

export interface ReconciliationInput {
  readonly space: string
  readonly self: NodeId
  readonly times: ProtocolTimes
}

export interface ReconciliationContext extends ReconciliationInput {
  primary: NodeId | null
  /** Epoch that is followed, or was last. */
  epoch: number
  /** Requests sent so far; an answer has the number of its request. */
  requests: number
  /** Set by an operator's command, whatever the space's setting says. */
  isOrdered: boolean
  /** The salvage that is being uploaded. */
  salvage: string
  /** Number of its writes that the primary has taken, and the last entry that it reported. */
  sent: number
  sequence: number
  pauseMs: number
  lastReason: string
}

export type ReconciliationEvent =
  | { type: 'primaryJoined'; primary: NodeId; epoch: number }
  | { type: 'primaryLeft'; reason: string }
  | { type: 'ordered' }
  /** The primary has noted the salvages; `salvage`: the first of them, or null. */
  | { type: 'offered'; number: number; salvage: string | null; isAutomatic: boolean }
  | {
    type: 'sliceTaken'
    number: number
    sent: number
    sequence: number
    isLast: boolean
    /** Pause before the next request, ms: live writes come first. */
    pauseMs: number
  }
  /** `isRefused`: the primary does not know (any more) what was offered. */
  | {
    type: 'requestFailed'
    number: number
    pauseMs: number
    reason: string
    isRefused?: boolean
  }
  /** The last entry made of the salvage is committed. */
  | { type: 'committed' }
  | { type: 'released' }
  | { type: 'salvageUnusable'; reason: string }

export type ReconciliationEffect =
  | { type: 'offer'; primary: NodeId; epoch: number; number: number }
  | {
    type: 'sendSlice'
    primary: NodeId
    epoch: number
    number: number
    salvage: string
    sent: number
  }
  | { type: 'awaitCommit'; epoch: number; sequence: number }
  | { type: 'release'; salvage: string }
  | { type: 'progressed'; state: string; reason: string }

const machine = setup({
  types: {
    input: {} as ReconciliationInput,
    context: {} as ReconciliationContext,
    events: {} as ReconciliationEvent,
    emitted: {} as ReconciliationEffect,
  },
  delays: {
    patience: ({ context }) => context.times.standByMs * 10,
    pause: ({ context }) => context.pauseMs,
    recheck: ({ context }) => context.times.inSyncLagMs,
    repair: unusableMs,
  },
  guards: {
    isAnswer: ({ context }, params: { number: number }) => params.number === context.requests,
    isLevel: ({ context }, params: { number: number; salvage: string | null }) =>
      params.number === context.requests && params.salvage === null,
    mayMerge: ({ context }, params: { number: number; isAutomatic: boolean }) =>
      params.number === context.requests && (params.isAutomatic || context.isOrdered),
    isLastSlice: ({ context }, params: { number: number; isLast: boolean }) =>
      params.number === context.requests && params.isLast,
    isRefusal: ({ context }, params: { number: number; isRefused?: boolean }) =>
      params.number === context.requests && params.isRefused === true,
    isOtherEpoch: ({ context }, params: { primary: NodeId; epoch: number }) =>
      params.epoch !== context.epoch || context.primary === null,
  },
  actions: {
    adoptEpoch: assign(({ context, event }) =>
      event.type === 'primaryJoined'
        ? {
          primary: event.primary,
          epoch: event.epoch,
          lastReason: `${event.primary} is primary in epoch ${event.epoch}`,
        }
        : context
    ),
    forgetEpoch: assign(({ event }) => ({
      primary: null,
      lastReason: 'reason' in event ? event.reason : '',
    })),
    rememberCommand: assign({ isOrdered: true }),
    countRequest: assign({ requests: ({ context }) => context.requests + 1 }),
    offer: emit(({ context }): ReconciliationEffect => ({
      type: 'offer',
      primary: context.primary ?? '',
      epoch: context.epoch,
      number: context.requests,
    })),
    beginSalvage: assign(({ context, event }) =>
      event.type === 'offered'
        ? {
          salvage: event.salvage ?? '',
          sent: 0,
          sequence: 0,
          lastReason: event.salvage === null
            ? 'no salvage is left'
            : `uploads ${event.salvage}`,
        }
        : context
    ),
    noteSlice: assign(({ context, event }) =>
      event.type === 'sliceTaken'
        ? {
          sent: event.sent,
          sequence: Math.max(context.sequence, event.sequence),
          pauseMs: event.pauseMs,
          lastReason: `${event.sent} writes of ${context.salvage} are taken`,
        }
        : context
    ),
    noteFailure: assign(({ context, event }) =>
      event.type === 'requestFailed'
        ? { pauseMs: event.pauseMs, lastReason: event.reason }
        : context
    ),
    explainEvent: assign({
      lastReason: ({ context, event }) => ('reason' in event ? event.reason : context.lastReason),
    }),
    waitForCommit: assign({
      lastReason: ({ context }) =>
        `${context.salvage} is taken; its last entry, `
        + `${context.sequence}, is not yet committed`,
    }),
    explainCommit: assign({
      lastReason: ({ context }) =>
        `entry ${context.sequence} is committed: ${context.salvage} `
        + 'can be removed',
    }),
    explainRelease: assign({ lastReason: ({ context }) => `${context.salvage} was removed` }),
    waitForCommand: assign({
      lastReason: ({ context }) => `${context.salvage} waits for an operator's command`,
    }),
    sendSlice: emit(({ context }): ReconciliationEffect => ({
      type: 'sendSlice',
      primary: context.primary ?? '',
      epoch: context.epoch,
      number: context.requests,
      salvage: context.salvage,
      sent: context.sent,
    })),
    awaitCommit: emit(({ context }): ReconciliationEffect => ({ type: 'awaitCommit',
      epoch: context.epoch, sequence: context.sequence })
    ),
    release: emit(({ context }): ReconciliationEffect => ({ type: 'release',
      salvage: context.salvage })
    ),
    progress: emit(({ context }, params: { state: string }): ReconciliationEffect => ({
      type: 'progressed',
      state: params.state,
      reason: context.lastReason,
    })),
  },
})

/**
 * Upload of the salvages of a member, or of a member that an open fork report names. Offers them to
 * the primary, uploads their writes slice by slice, and removes each one once its last entry is
 * committed. With a new primary it begins again: the log knows each write by where it was logged
 * first.
 */
export const reconciliationMachine = machine.createMachine({
  id: 'reconciliation',
  context: ({ input }) => ({
    ...input,
    primary: null,
    epoch: 0,
    requests: 0,
    isOrdered: false,
    salvage: '',
    sent: 0,
    sequence: 0,
    pauseMs: 0,
    lastReason: 'no primary is known',
  }),
  initial: 'waiting',
  on: {
    primaryJoined: {
      guard: { type: 'isOtherEpoch', params: ({ event }) => event },
      target: '.offering',
      actions: 'adoptEpoch',
      reenter: true,
    },
    primaryLeft: { target: '.waiting', actions: 'forgetEpoch' },
    ordered: { actions: 'rememberCommand' },
  },
  states: {
    waiting: { entry: { type: 'progress', params: { state: 'waiting' } } },
    offering: {
      entry: { type: 'progress', params: { state: 'offering' } },
      initial: 'asking',
      states: {
        asking: {
          entry: ['countRequest', 'offer'],
          after: { patience: { target: 'asking', reenter: true } },
          on: {
            requestFailed: {
              guard: { type: 'isAnswer', params: ({ event }) => event },
              target: 'pausing',
              actions: 'noteFailure',
            },
          },
        },
        pausing: { after: { pause: 'asking' } },
      },
      on: {
        salvageUnusable: { target: 'unusable', actions: 'explainEvent' },
        offered: [
          {
            guard: { type: 'isLevel', params: ({ event }) => event },
            target: 'level',
            actions: 'beginSalvage',
          },
          {
            guard: { type: 'mayMerge', params: ({ event }) => event },
            target: 'merging',
            actions: 'beginSalvage',
          },
          {
            guard: { type: 'isAnswer', params: ({ event }) => event },
            target: 'held',
            actions: 'beginSalvage',
          },
        ],
      },
    },
    held: {
      entry: ['waitForCommand', { type: 'progress', params: { state: 'held' } }],
      on: { ordered: { target: 'merging', actions: 'rememberCommand' } },
      // The settings of the space may have changed.
      after: { recheck: 'offering' },
    },
    merging: {
      entry: { type: 'progress', params: { state: 'merging' } },
      initial: 'sending',
      states: {
        sending: {
          entry: ['countRequest', 'sendSlice'],
          after: { patience: { target: 'sending', reenter: true } },
          on: {
            sliceTaken: [
              {
                guard: { type: 'isLastSlice', params: ({ event }) => event },
                target: '#reconciliation.settling',
                actions: 'noteSlice',
              },
              {
                guard: { type: 'isAnswer', params: ({ event }) => event },
                target: 'pausing',
                actions: 'noteSlice',
              },
            ],
            requestFailed: [
              {
                // The note of the salvage may not have become durable: it is offered again.
                guard: { type: 'isRefusal', params: ({ event }) => event },
                target: '#reconciliation.offering.pausing',
                actions: 'noteFailure',
              },
              {
                guard: { type: 'isAnswer', params: ({ event }) => event },
                target: 'pausing',
                actions: 'noteFailure',
              },
            ],
            // Other salvages may be readable: the next offer leaves this one out.
            salvageUnusable: { target: '#reconciliation.offering', actions: 'explainEvent' },
          },
        },
        pausing: { after: { pause: 'sending' } },
      },
    },
    settling: {
      entry: [
        'waitForCommit',
        'awaitCommit',
        { type: 'progress', params: { state: 'settling' } },
      ],
      on: { committed: { target: 'releasing', actions: 'explainCommit' } },
    },
    releasing: {
      entry: ['release', { type: 'progress', params: { state: 'releasing' } }],
      on: {
        released: { target: 'offering', actions: 'explainRelease' },
        salvageUnusable: { target: 'unusable', actions: 'explainEvent' },
      },
    },
    /** An operator may have to look at the file; its report stays open. */
    unusable: {
      entry: { type: 'progress', params: { state: 'unusable' } },
      on: { ordered: { target: 'offering', actions: 'rememberCommand' } },
      after: { repair: 'offering' },
    },
    level: {
      type: 'final',
      entry: { type: 'progress', params: { state: 'level' } },
    },
  },
})
