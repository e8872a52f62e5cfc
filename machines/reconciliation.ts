import { assign, emit, setup } from 'xstate'
import type { NodeId } from './base/ids.js'
import type { ProtocolTimes } from './protocol/messages.js'

/** What cannot be read is tried again after this long, ms: a fault of the disk may pass. */
export const unusableMs = 60_000

export interface ReconciliationInput {
  readonly space: string
  readonly self: NodeId
  readonly times: ProtocolTimes
}

export interface ReconciliationContext extends ReconciliationInput {
  primary: NodeId | null
  /** The reign that is followed, or was last. */
  epoch: number
  /** Requests sent so far; an answer bears the number of its request. */
  requests: number
  /** An operator wants it, whatever the space's setting says. */
  isOrdered: boolean
  /** The salvage that is being taken into the log. */
  salvage: string
  /** Its writes that the primary has taken, and the entry of the log that was told last. */
  sent: number
  sequence: number
  pauseMs: number
  lastReason: string
}

export type ReconciliationEvent =
  | { type: 'primaryJoined'; primary: NodeId; epoch: number }
  | { type: 'primaryLeft'; reason: string }
  | { type: 'ordered' }
  /** The primary has noted which salvages there are; `salvage`: the first of them, or null. */
  | { type: 'offered'; number: number; salvage: string | null; isAutomatic: boolean }
  | {
      type: 'sliceTaken'
      number: number
      sent: number
      sequence: number
      isLast: boolean
      /** Before the next one, ms: live writes come first. */
      pauseMs: number
    }
  /** `isRefused`: the reign does not know what was offered (any more). */
  | {
      type: 'requestFailed'
      number: number
      pauseMs: number
      reason: string
      isRefused?: boolean
    }
  /** The last entry that came of the salvage is committed. */
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
    adoptEpoch: assign(({ context, event }) => event.type === 'primaryJoined'
      ? {
          primary: event.primary,
          epoch: event.epoch,
          lastReason: `${event.primary} reigns in epoch ${event.epoch}`,
        }
      : context),
    forgetEpoch: assign(({ event }) => ({
      primary: null, lastReason: 'reason' in event ? event.reason : '',
    })),
    rememberOrder: assign({ isOrdered: true }),
    countRequest: assign({ requests: ({ context }) => context.requests + 1 }),
    offer: emit(({ context }): ReconciliationEffect => ({
      type: 'offer', primary: context.primary ?? '', epoch: context.epoch,
      number: context.requests,
    })),
    beginSalvage: assign(({ context, event }) => event.type === 'offered'
      ? {
          salvage: event.salvage ?? '', sent: 0, sequence: 0,
          lastReason: event.salvage === null
            ? 'no salvage is left' : `${event.salvage} is to be taken into the log`,
        }
      : context),
    noteSlice: assign(({ context, event }) => event.type === 'sliceTaken'
      ? {
          sent: event.sent,
          sequence: Math.max(context.sequence, event.sequence),
          pauseMs: event.pauseMs,
          lastReason: `${event.sent} writes of ${context.salvage} are taken`,
        }
      : context),
    noteFailure: assign(({ context, event }) => event.type === 'requestFailed'
      ? { pauseMs: event.pauseMs, lastReason: event.reason } : context),
    explainEvent: assign({
      lastReason: ({ context, event }) => ('reason' in event ? event.reason : context.lastReason),
    }),
    waitForCommit: assign({
      lastReason: ({ context }) => `${context.salvage} is taken; its last entry, `
        + `${context.sequence}, is not yet committed`,
    }),
    explainCommit: assign({
      lastReason: ({ context }) => `entry ${context.sequence} is committed: ${context.salvage} `
        + 'may go',
    }),
    explainRelease: assign({ lastReason: ({ context }) => `${context.salvage} is gone` }),
    waitForOrder: assign({
      lastReason: ({ context }) => `${context.salvage} is kept until an operator orders it`,
    }),
    sendSlice: emit(({ context }): ReconciliationEffect => ({
      type: 'sendSlice', primary: context.primary ?? '', epoch: context.epoch,
      number: context.requests, salvage: context.salvage, sent: context.sent,
    })),
    awaitCommit: emit(({ context }): ReconciliationEffect =>
      ({ type: 'awaitCommit', epoch: context.epoch, sequence: context.sequence })),
    release: emit(({ context }): ReconciliationEffect =>
      ({ type: 'release', salvage: context.salvage })),
    progress: emit(({ context }, params: { state: string }): ReconciliationEffect =>
      ({ type: 'progressed', state: params.state, reason: context.lastReason })),
  },
})

/**
 * A member that has salvages of a space, or is named by an open fork report: offers them to the
 * reigning primary, has their writes taken into the log slice by slice, and removes each once its
 * last entry is committed. Whatever ends a reign in its middle, it begins again at the next one:
 * the log knows each write by where it was logged first.
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
    lastReason: 'no reign is known',
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
    ordered: { actions: 'rememberOrder' },
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
      entry: ['waitForOrder', { type: 'progress', params: { state: 'held' } }],
      on: { ordered: { target: 'merging', actions: 'rememberOrder' } },
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
                // Its note may not have become durable: it is news to the reign again.
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
            // Others may be readable: the next offer leaves this one out.
            salvageUnusable: { target: '#reconciliation.offering', actions: 'explainEvent' },
          },
        },
        pausing: { after: { pause: 'sending' } },
      },
    },
    settling: {
      entry: [
        'waitForCommit', 'awaitCommit', { type: 'progress', params: { state: 'settling' } },
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
    /** Somebody may have to look at the file; its report stays open. */
    unusable: {
      entry: { type: 'progress', params: { state: 'unusable' } },
      on: { ordered: { target: 'offering', actions: 'rememberOrder' } },
      after: { repair: 'offering' },
    },
    level: {
      type: 'final',
      entry: { type: 'progress', params: { state: 'level' } },
    },
  },
})
