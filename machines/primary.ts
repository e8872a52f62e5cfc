import { assign, emit, setup } from 'xstate'
import type { NodeId } from './base/ids.js'
import type { ProtocolTimes } from './protocol/defaultTimes.js'
import type { MemberChange } from './protocol/memberChange.js'

export interface PrimaryInput {
  readonly space: string
  readonly self: NodeId
  readonly epoch: number
  readonly times: ProtocolTimes
  readonly inSync: readonly NodeId[]
  /** Change of the members that the record of this epoch orders. */
  readonly change: PendingChange | null
}

export type PendingChange = Pick<MemberChange, 'add' | 'remove'>

export interface PrimaryContext extends PrimaryInput {
  /** In-sync set of the compare-and-set in flight; null: none is in flight. */
  proposed: readonly NodeId[] | null
  handoverTo: NodeId | null
  /** Why the journal takes nothing now. Reported once, so it is kept through a failed handover. */
  journalFault: string | null
  lastReason: string
}

export type PrimaryEvent =
  | { type: 'writesSubscribed' }
  | { type: 'leaseLapsed'; reason: string }
  | { type: 'deposed'; reason: string }
  | { type: 'journalFull'; reason: string }
  | { type: 'journalHealed' }
  | { type: 'bufferFull'; reason: string }
  | { type: 'bufferDrained' }
  | { type: 'lossWindowFilled'; reason: string }
  | { type: 'lossWindowCleared'; reason: string }
  | { type: 'memberLost'; node: NodeId; reason: string }
  | { type: 'memberCaughtUp'; node: NodeId; reason: string }
  /** The member that is to be removed may be taken out now. */
  | { type: 'memberLeaves'; node: NodeId; reason: string }
  /** An operator changes the settings, or orders a change of the members. */
  | { type: 'changeRequested'; reason: string }
  /** The record has been changed; `inSync`: its in-sync set now. */
  | { type: 'inSyncChanged'; inSync: readonly NodeId[] }
  /** The record that was adopted last orders this change of the members; null: none. */
  | { type: 'changeSeen'; change: PendingChange | null; reason: string }
  | { type: 'compareAndSetRefused'; reason: string }
  | { type: 'handoverRequested'; to: NodeId; reason: string }
  | { type: 'handoverReady' }
  | { type: 'handoverTargetLost'; reason: string }
  /** The arbiter takes no changes of the record. */
  | { type: 'handoverHindered'; reason: string }
  | { type: 'handedOver' }

export type PrimaryEffect =
  | { type: 'openWrites' }
  | { type: 'pauseWrites' }
  /** The handover was given up. null: it was not ready in time. */
  | { type: 'resumeWrites'; reason: string | null }
  | { type: 'refuseWrites'; code: 'READ_ONLY' | 'OVERLOADED'; reason: string }
  | { type: 'acceptWrites' }
  | { type: 'changeInSync'; inSync: readonly NodeId[]; reason: string }
  /** Take the member out of the in-sync set and of the members. */
  | { type: 'removeMember'; node: NodeId; reason: string }
  /** Carry out the command that was given first. */
  | { type: 'changeRecord' }
  | { type: 'awaitHandover'; to: NodeId }
  | { type: 'transfer'; to: NodeId }
  | { type: 'stepDown'; reason: string }
  | { type: 'progressed'; state: string; reason: string }

export interface PrimaryOutput {
  readonly reason: string
  /** Node that the space was handed over to, if it was. */
  readonly handedTo: NodeId | null
}

/**
 * Time that a handover waits for its target. Shorter than half a lease: a third member that falls
 * silent meanwhile does not end the epoch.
 */
export function handoverPatienceMs(grantMs: number): number {
  return grantMs * 0.4
}

const machine = setup({
  types: {
    input: {} as PrimaryInput,
    context: {} as PrimaryContext,
    events: {} as PrimaryEvent,
    emitted: {} as PrimaryEffect,
    output: {} as PrimaryOutput,
  },
  delays: {
    handoverPatience: ({ context }) => handoverPatienceMs(context.times.grantMs),
  },
  guards: {
    isListed: ({ context }, params: { node: NodeId }) => context.inSync.includes(params.node),
    isNotListed: ({ context }, params: { node: NodeId }) => !context.inSync.includes(params.node),
    isSteady: ({ context }) => context.proposed === null,
    isToLeave: ({ context }, params: { node: NodeId }) =>
      context.change?.add === undefined && context.change?.remove === params.node,
    isAdding: ({ context }) => context.change?.add !== undefined,
    isRemoving: ({ context }) => context.change?.remove !== undefined,
    isJournalFull: ({ context }) => context.journalFault !== null,
  },
  actions: {
    explainEvent: assign({
      lastReason: ({ context, event }) => ('reason' in event ? event.reason : context.lastReason),
    }),
    perform: emit((_, params: { effect: PrimaryEffect }) => params.effect),
    stepDown: emit(({ context }): PrimaryEffect => ({ type: 'stepDown',
      reason: context.lastReason })
    ),
    progress: emit(({ context }, params: { state: string }): PrimaryEffect => ({ type: 'progressed',
      state: params.state, reason: context.lastReason })
    ),
    propose: emit(({ context }): PrimaryEffect => ({
      type: 'changeInSync',
      inSync: context.proposed ?? context.inSync,
      reason: context.lastReason,
    })),
    proposeWithout: assign({
      proposed: ({ context }, params: { node: NodeId }) =>
        context.inSync.filter((node) => node !== params.node),
    }),
    adoptInSync: assign({
      inSync: ({ context, event }) =>
        event.type === 'inSyncChanged' ? event.inSync : context.inSync,
      proposed: null,
    }),
    resume: emit(({ context }): PrimaryEffect => ({ type: 'resumeWrites',
      reason: context.lastReason })
    ),
    refuse: emit(({ context }, params: { code: 'READ_ONLY' | 'OVERLOADED' }): PrimaryEffect => ({
      type: 'refuseWrites',
      code: params.code,
      reason: context.lastReason,
    })),
    noteChange: assign({
      change: ({ context, event }) => event.type === 'changeSeen' ? event.change : context.change,
    }),
    noteJournalFull: assign({
      journalFault: ({ context, event }) =>
        event.type === 'journalFull' ? event.reason : context.journalFault,
    }),
    noteJournalHealed: assign({
      journalFault: null,
      lastReason: 'the journal can be written again',
    }),
    explainJournal: assign({
      lastReason: ({ context }) => context.journalFault ?? context.lastReason,
    }),
  },
})

/** A compare-and-set of the in-sync set is in flight: commits and leases need both sets. */
const changing = {
  entry: [{ type: 'progress', params: { state: 'changing the in-sync set' } }, 'propose'],
  on: {
    inSyncChanged: { target: 'steady', actions: 'adoptInSync' },
  },
} as const

/** Ends a handover before its last compare-and-set was sent: the epoch goes on. */
const givenUp = {
  target: '#primary.serving',
  actions: ['explainEvent', 'resume'],
} as const

/**
 * The primary of one epoch, from the subscription to the write subject to its end. Closed is final:
 * a renewed grant never heals a lapse, the node may only win a new epoch.
 */
export const primaryMachine = machine.createMachine({
  id: 'primary',
  context: ({ input }) => ({
    ...input,
    proposed: null,
    handoverTo: null,
    journalFault: null,
    lastReason: '',
  }),
  initial: 'opening',
  output: ({ context }): PrimaryOutput => ({
    reason: context.lastReason,
    handedTo: context.lastReason === 'handed over' ? context.handoverTo : null,
  }),
  on: {
    leaseLapsed: { target: '.closed', actions: 'explainEvent' },
    deposed: { target: '.closed', actions: 'explainEvent' },
    compareAndSetRefused: { target: '.closed', actions: 'explainEvent' },
    // While no writes are taken (opening, handing over), the fault is only remembered.
    journalFull: { actions: 'noteJournalFull' },
    journalHealed: { actions: 'noteJournalHealed' },
    changeSeen: { actions: 'noteChange' },
  },
  states: {
    opening: {
      entry: { type: 'perform', params: { effect: { type: 'openWrites' } } },
      on: { writesSubscribed: 'serving' },
    },
    serving: {
      type: 'parallel',
      on: {
        handoverRequested: {
          guard: 'isSteady',
          target: 'handingOver',
          actions: ['explainEvent', assign({ handoverTo: ({ event }) => event.to })],
        },
      },
      states: {
        ingest: {
          initial: 'deciding',
          states: {
            deciding: {
              always: [{ guard: 'isJournalFull', target: 'readOnly' }, { target: 'open' }],
            },
            open: {
              entry: { type: 'perform', params: { effect: { type: 'acceptWrites' } } },
              on: {
                journalFull: { target: 'readOnly', actions: 'noteJournalFull' },
                bufferFull: { target: 'throttled', actions: 'explainEvent' },
              },
            },
            throttled: {
              entry: { type: 'refuse', params: { code: 'OVERLOADED' } },
              on: {
                bufferDrained: {
                  target: 'open',
                  actions: assign({ lastReason: 'the disk keeps up again' }),
                },
                journalFull: { target: 'readOnly', actions: 'noteJournalFull' },
              },
            },
            readOnly: {
              entry: [
                'explainJournal',
                { type: 'progress', params: { state: 'readOnly' } },
                { type: 'refuse', params: { code: 'READ_ONLY' } },
              ],
              on: { journalHealed: { target: 'open', actions: 'noteJournalHealed' } },
            },
          },
        },
        // The data path holds answers back by itself, and reports it here once per heartbeat.
        answers: {
          initial: 'prompt',
          states: {
            prompt: {
              on: { lossWindowFilled: { target: 'throttled', actions: 'explainEvent' } },
            },
            throttled: {
              entry: { type: 'progress', params: { state: 'throttled' } },
              on: { lossWindowCleared: { target: 'prompt', actions: 'explainEvent' } },
            },
          },
        },
        lease: {
          initial: 'valid',
          states: {
            valid: { on: { leaseLapsed: { target: 'lapsed', actions: 'explainEvent' } } },
            // Final for the epoch: no later grant leads back from here.
            lapsed: { always: '#primary.closed' },
          },
        },
        // Shows what the record orders; `membership` does it, one compare-and-set after the other.
        change: {
          initial: 'deciding',
          on: { changeSeen: { target: '.deciding', actions: ['explainEvent', 'noteChange'] } },
          states: {
            deciding: {
              always: [
                { guard: 'isAdding', target: 'adding' },
                { guard: 'isRemoving', target: 'removing' },
                { target: 'none' },
              ],
            },
            none: {},
            adding: { entry: { type: 'progress', params: { state: 'adding a member' } } },
            removing: { entry: { type: 'progress', params: { state: 'a member is to leave' } } },
          },
        },
        membership: {
          initial: 'steady',
          states: {
            steady: {
              on: {
                memberLost: {
                  guard: { type: 'isListed', params: ({ event }) => ({ node: event.node }) },
                  target: 'shrinking',
                  actions: [
                    'explainEvent',
                    { type: 'proposeWithout', params: ({ event }) => ({ node: event.node }) },
                  ],
                },
                memberCaughtUp: {
                  guard: { type: 'isNotListed', params: ({ event }) => ({ node: event.node }) },
                  target: 'expanding',
                  actions: [
                    'explainEvent',
                    assign({
                      proposed: ({ context, event }) => [...context.inSync, event.node],
                    }),
                  ],
                },
                memberLeaves: {
                  guard: { type: 'isToLeave', params: ({ event }) => ({ node: event.node }) },
                  target: 'removing',
                  actions: [
                    'explainEvent',
                    { type: 'proposeWithout', params: ({ event }) => ({ node: event.node }) },
                  ],
                },
                changeRequested: {
                  target: 'adjusting',
                  actions: [
                    'explainEvent',
                    assign({ proposed: ({ context }) => context.inSync }),
                  ],
                },
              },
            },
            shrinking: changing,
            expanding: changing,
            removing: {
              entry: [
                { type: 'progress', params: { state: 'removing a member' } },
                emit(({ context }): PrimaryEffect => ({
                  type: 'removeMember',
                  node: context.change?.remove ?? '',
                  reason: context.lastReason,
                })),
              ],
              on: { inSyncChanged: { target: 'steady', actions: 'adoptInSync' } },
            },
            // One change of the record is in flight at a time, whatever it changes.
            adjusting: {
              entry: { type: 'perform', params: { effect: { type: 'changeRecord' } } },
              on: { inSyncChanged: { target: 'steady', actions: 'adoptInSync' } },
            },
          },
        },
      },
    },
    handingOver: {
      initial: 'draining',
      entry: [
        { type: 'progress', params: { state: 'handingOver' } },
        { type: 'perform', params: { effect: { type: 'pauseWrites' } } },
      ],
      states: {
        draining: {
          entry: emit(({ context }): PrimaryEffect => ({ type: 'awaitHandover',
            to: context.handoverTo ?? '' })
          ),
          on: {
            handoverReady: 'transferring',
            handoverTargetLost: givenUp,
            handoverHindered: givenUp,
          },
          after: {
            handoverPatience: {
              target: '#primary.serving',
              actions: [
                assign({ lastReason: 'the handover target did not catch up in time' }),
                { type: 'perform', params: { effect: { type: 'resumeWrites', reason: null } } },
              ],
            },
          },
        },
        // Once this compare-and-set is sent, nothing is answered positively.
        transferring: {
          entry: emit(({ context }): PrimaryEffect => ({ type: 'transfer',
            to: context.handoverTo ?? '' })
          ),
          on: {
            handedOver: {
              target: '#primary.closed',
              actions: assign({ lastReason: 'handed over' }),
            },
          },
        },
      },
    },
    closed: { type: 'final', entry: 'stepDown' },
  },
})
