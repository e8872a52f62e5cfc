import { assign, emit, setup } from 'xstate'
import type { NodeId } from './base/ids.js'

export interface StreamInput {
  readonly space: string
  readonly peer: NodeId
  /** Measurements in a row without progress, while frames are in flight, before a rewind. */
  readonly stalledMax: number
}

export interface StreamContext extends StreamInput {
  session: number
  /** Sequence at which the session began: earlier entries, which the member had, are never sent. */
  common: number
  /** Sequences of the present session: acked <= sent <= end. */
  acked: number
  sent: number
  end: number
  stalled: number
  rewinds: number
  /** Of an install: least position, source and bytes as last reported. */
  minimum: number
  source: NodeId | null
  doneBytes: number
  totalBytes: number
  lastReason: string
}

export type StreamEvent =
  | { type: 'memberJoined'; session: number; common: number; end: number }
  /** It has to be installed; session 0: it cannot be, and waits. */
  | { type: 'snapshotNeeded'; session: number; minimum: number; reason: string }
  | { type: 'installReported'; source: NodeId | null; doneBytes: number; totalBytes: number }
  | { type: 'measured'; acked: number; sent: number; end: number; windowFull: boolean }
  | { type: 'nacked'; sequence: number; reason: string }
  | { type: 'peerDied'; reason: string }

export type StreamEffect =
  | { type: 'startShipping'; session: number; after: number }
  | { type: 'rewind'; to: number; reason: string }
  | { type: 'stopShipping'; reason: string }
  /** Nothing is kept for an install any more of which nothing is heard. */
  | { type: 'releasePin' }
  | { type: 'progressed'; state: string; reason: string }

/** Without a report for that long, an install keeps nothing in the journal. */
export const reportPatienceMs = 30_000

const machine = setup({
  types: {
    input: {} as StreamInput,
    context: {} as StreamContext,
    events: {} as StreamEvent,
    emitted: {} as StreamEffect,
  },
  delays: { reportPatience: reportPatienceMs },
  guards: {
    hasCaughtUp: (_, params: { acked: number; end: number }) => params.acked >= params.end,
    hasFallenBehind: (_, params: { windowFull: boolean }) => params.windowFull,
    isStalled: ({ context }, params: { acked: number; sent: number }) =>
      isWaiting(context, params) && context.stalled + 1 >= context.stalledMax,
  },
  actions: {
    begin: assign(({ context, event }) =>
      event.type === 'memberJoined'
        ? {
          session: event.session,
          // Progress comes from acks of this session only, never from the join's history.
          common: event.common,
          acked: 0,
          sent: event.common,
          end: event.end,
          stalled: 0,
          lastReason: `session ${event.session} continues after ${event.common}`,
        }
        : context
    ),
    measure: assign(({ context, event }) =>
      event.type === 'measured'
        ? {
          acked: event.acked,
          sent: event.sent,
          end: event.end,
          stalled: isWaiting(context, event) ? context.stalled + 1 : 0,
        }
        : context
    ),
    await: assign(({ context, event }) =>
      event.type === 'snapshotNeeded'
        ? { session: event.session, minimum: event.minimum, source: null, doneBytes: 0,
          totalBytes: 0 }
        : context
    ),
    noteInstall: assign(({ context, event }) =>
      event.type === 'installReported'
        ? { source: event.source, doneBytes: event.doneBytes, totalBytes: event.totalBytes }
        : context
    ),
    releasePin: emit((): StreamEffect => ({ type: 'releasePin' })),
    countRewind: assign(({ context, event }) => ({
      sent: event.type === 'nacked' ? event.sequence : Math.max(context.acked, context.common),
      rewinds: context.rewinds + 1,
      stalled: 0,
      lastReason: event.type === 'nacked' ? event.reason : 'no ack in time',
    })),
    rewind: emit(({ context }): StreamEffect => ({ type: 'rewind', to: context.sent,
      reason: context.lastReason })
    ),
    startShipping: emit(({ context }): StreamEffect => ({ type: 'startShipping',
      session: context.session, after: context.sent })
    ),
    stopShipping: emit(({ context }): StreamEffect => ({ type: 'stopShipping',
      reason: context.lastReason })
    ),
    progress: emit(({ context }, params: { state: string }): StreamEffect => ({ type: 'progressed',
      state: params.state, reason: context.lastReason })
    ),
    explain: assign({ lastReason: (_, params: { reason: string }) => params.reason }),
    explainEvent: assign({
      lastReason: ({ context, event }) => ('reason' in event ? event.reason : context.lastReason),
    }),
  },
})

/**
 * Whether frames are in flight and no ack has come since the last measurement. A session that began
 * at 40 has nothing in flight until more than 40 was sent, though no ack was seen yet.
 */
function isWaiting(context: StreamContext, now: { acked: number; sent: number }): boolean {
  return Math.max(now.acked, context.common) < now.sent && now.acked === context.acked
}

const rewinding = ['countRewind', 'rewind'] as const

/**
 * The primary's view of one replica. The cursor moves in plain code (replicaStream.ts, once per
 * batch). The chart gets measurements at every heartbeat and after acks (while frames flow, after
 * some together), and decides whether the replica has caught up, falls behind, is stalled, has to
 * be rewound (go-back-n), or is gone.
 */
export const streamMachine = machine.createMachine({
  id: 'stream',
  context: ({ input }) => ({
    ...input,
    session: 0,
    common: 0,
    acked: 0,
    sent: 0,
    end: 0,
    stalled: 0,
    rewinds: 0,
    minimum: 0,
    source: null,
    doneBytes: 0,
    totalBytes: 0,
    lastReason: '',
  }),
  initial: 'joining',
  on: {
    memberJoined: { target: '.catchingUp', actions: ['begin', 'startShipping'], reenter: true },
    snapshotNeeded: { target: '.snapshotting', actions: ['await', 'explainEvent'], reenter: true },
    peerDied: { target: '.unreachable', actions: 'explainEvent' },
  },
  states: {
    joining: {},
    catchingUp: {
      entry: { type: 'progress', params: { state: 'catchingUp' } },
      on: {
        measured: [
          {
            guard: { type: 'hasCaughtUp', params: ({ event }) => event },
            target: 'streaming',
            actions: [
              'measure',
              {
                type: 'explain',
                params: ({ event }) => ({ reason: `has everything up to ${event.acked}` }),
              },
            ],
          },
          {
            guard: { type: 'isStalled', params: ({ event }) => event },
            actions: ['measure', ...rewinding],
          },
          { actions: 'measure' },
        ],
        nacked: { actions: [...rewinding] },
      },
    },
    streaming: {
      entry: { type: 'progress', params: { state: 'streaming' } },
      on: {
        measured: [
          {
            guard: { type: 'isStalled', params: ({ event }) => event },
            target: 'catchingUp',
            actions: ['measure', ...rewinding],
          },
          {
            guard: { type: 'hasFallenBehind', params: ({ event }) => event },
            target: 'catchingUp',
            actions: [
              'measure',
              { type: 'explain', params: { reason: 'the window is full: it falls behind' } },
            ],
          },
          { actions: 'measure' },
        ],
        nacked: { target: 'catchingUp', actions: [...rewinding] },
      },
    },
    snapshotting: {
      entry: ['stopShipping', { type: 'progress', params: { state: 'snapshotting' } }],
      initial: 'reporting',
      states: {
        reporting: {
          after: { reportPatience: 'silent' },
          on: { installReported: { target: 'reporting', reenter: true, actions: 'noteInstall' } },
        },
        silent: {
          entry: 'releasePin',
          on: { installReported: { target: 'reporting', actions: 'noteInstall' } },
        },
      },
    },
    unreachable: {
      entry: ['stopShipping', { type: 'progress', params: { state: 'unreachable' } }],
    },
  },
})
