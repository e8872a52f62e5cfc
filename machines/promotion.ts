import { assign, emit, setup } from 'xstate'
import { judgeSurvey, isInSync } from './candidates.js'
import type { SurveyResult } from './candidates.js'
import type {
  Assignment, AssignmentAt, NodeId, Position, ProtocolTimes, SurveyAnswer, Vacancy,
} from './protocol.js'

export interface PromotionInput {
  readonly space: string
  readonly self: NodeId
  readonly disk: string
  readonly times: ProtocolTimes
  /** Added to each stand-by, drawn per candidate so that equals do not move in step. */
  readonly jitterMs: number
  /** Ordered by an operator over the in-sync rule (I2 and I5 do not cover such a reign). */
  readonly forced: boolean
  /** A record that already names this life (a handover, or an own claim applied late). */
  readonly adopted: AssignmentAt | null
}

export interface PromotionContext extends PromotionInput {
  record: AssignmentAt | null
  position: Position
  answers: readonly SurveyAnswer[]
  verdict: SurveyResult | null
  vacancy: Vacancy | null
  standBys: number
  missing: readonly NodeId[]
  /** Sequence of the epoch-start entry. */
  epochStart: number
  lastReason: string
}

export type PromotionEvent =
  | { type: 'recordRead'; record: AssignmentAt; position: Position }
  | { type: 'recordUnavailable'; reason: string }
  | { type: 'surveyed'; answers: readonly SurveyAnswer[]; position: Position }
  | { type: 'vacancyProven'; vacancy: Vacancy }
  | { type: 'claimed'; record: AssignmentAt }
  | { type: 'compareAndSetRefused'; reason: string }
  | { type: 'epochStarted'; sequence: number }
  | { type: 'stepFailed'; reason: string }
  | { type: 'grantsHeld' }
  | { type: 'grantsMissing'; nodes: readonly NodeId[]; shrinkable: boolean }
  | { type: 'inSyncShrunk'; record: AssignmentAt }
  | { type: 'opened'; record: AssignmentAt }
  | { type: 'leaseLapsed'; reason: string }
  | { type: 'reignSeen'; reason: string }

export type PromotionEffect =
  | { type: 'readRecord' }
  | { type: 'survey'; record: AssignmentAt }
  | { type: 'watchVacancy'; record: AssignmentAt }
  | { type: 'claim'; record: AssignmentAt; answers: readonly SurveyAnswer[]; vacancy: Vacancy }
  | { type: 'startEpoch'; record: AssignmentAt }
  | { type: 'watchGrants'; record: AssignmentAt }
  | { type: 'shrink'; record: AssignmentAt; without: readonly NodeId[] }
  | { type: 'open'; record: AssignmentAt }
  | { type: 'progressed'; state: string; reason: string }

export type PromotionOutput =
  | { readonly kind: 'won'; readonly record: AssignmentAt; readonly epochStart: number }
  | { readonly kind: 'stoodDown'; readonly reason: string }

/** Stand-bys for one that answers, is better, and does not move: then somebody else must. */
const standBysMax = 4

const machine = setup({
  types: {
    input: {} as PromotionInput,
    context: {} as PromotionContext,
    events: {} as PromotionEvent,
    emitted: {} as PromotionEffect,
    output: {} as PromotionOutput,
  },
  delays: {
    standBy: ({ context }) => context.times.standByMs + context.jitterMs,
    retry: ({ context }) => context.times.standByMs,
    vacancyPatience: ({ context }) => context.times.grantMs * context.times.grantMargin * 1.5,
  },
  guards: {
    isAdopted: ({ context }) => context.adopted !== null,
    mayStand: ({ context }) => context.forced || standsIn(context),
    isServed: ({ context }) => context.verdict?.kind === 'served' && !context.forced,
    isOutdone: ({ context }) =>
      !context.forced && context.verdict?.kind === 'better' && context.standBys < standBysMax,
    /** An operator's order stands over a reign that serves, as in `isServed`. */
    isNotForced: ({ context }) => !context.forced,
    isShrinkable: (_, params: { shrinkable: boolean }) => params.shrinkable,
  },
  actions: {
    progress: emit(({ context }, params: { state: string }): PromotionEffect =>
      ({ type: 'progressed', state: params.state, reason: context.lastReason })),
    explainEvent: assign({
      lastReason: ({ context, event }) => ('reason' in event ? event.reason : context.lastReason),
    }),
    explain: assign({ lastReason: (_, params: { reason: string }) => params.reason }),
    perform: emit(({ context }, params: { effect: (c: PromotionContext) => PromotionEffect }) =>
      params.effect(context)),
  },
})

function standsIn({ record, self, disk }: PromotionContext): boolean {
  return record !== null && isInSync(record.assignment, self, disk)
}

function recordOf(context: PromotionContext): AssignmentAt {
  if (!context.record) throw new Error('promotion: no record was read before this step')
  return context.record
}

function blockedReason({ record, self, disk }: PromotionContext): string {
  const listed: Assignment | undefined = record?.assignment
  const inSync = listed?.inSync.join(', ') || 'nobody'
  const otherDisk = listed?.members.some((m) => m.node === self && m.disk !== disk)
  return otherDisk
    ? `blocked: ${self} came back with another disk; waiting for one of ${inSync}`
    : `blocked: ${self} is not in sync; waiting for one of ${inSync}`
}

/**
 * From a vacant reign to an open one (DESIGN section 5, promotion). Each step is a state; the
 * two compare-and-sets, claim and open, are what makes two winners of one epoch impossible and
 * two serving primaries too: without the second, a claim answered late could open a reign that
 * a later claim has already ended (../shared model, hole 1).
 */
export const promotionMachine = machine.createMachine({
  id: 'promotion',
  context: ({ input }) => ({
    ...input,
    record: input.adopted,
    position: { epoch: 0, sequence: 0 },
    answers: [],
    verdict: null,
    vacancy: null,
    standBys: 0,
    missing: [],
    epochStart: 0,
    lastReason: '',
  }),
  initial: 'deciding',
  output: ({ context }): PromotionOutput =>
    context.lastReason === 'won'
      ? { kind: 'won', record: recordOf(context), epochStart: context.epochStart }
      : { kind: 'stoodDown', reason: context.lastReason },
  on: { stepFailed: { target: '.stoodDown', actions: 'explainEvent' } },
  states: {
    deciding: {
      always: [{ guard: 'isAdopted', target: 'opening' }, { target: 'surveying' }],
    },
    surveying: {
      initial: 'reading',
      on: {
        reignSeen: {
          guard: 'isNotForced', target: '#promotion.stoodDown', actions: 'explainEvent',
        },
      },
      states: {
        reading: {
          entry: { type: 'perform', params: { effect: () => ({ type: 'readRecord' }) } },
          on: {
            recordRead: {
              target: 'judgingRecord',
              actions: assign({
                record: ({ event }) => event.record,
                position: ({ event }) => event.position,
              }),
            },
            recordUnavailable: { target: 'waitingForArbiter', actions: 'explainEvent' },
          },
        },
        waitingForArbiter: {
          entry: { type: 'progress', params: { state: 'waitingForArbiter' } },
          after: { retry: 'reading' },
        },
        judgingRecord: {
          always: [
            { guard: 'mayStand', target: 'asking' },
            { target: '#promotion.blocked' },
          ],
        },
        asking: {
          entry: {
            type: 'perform',
            params: { effect: (c) => ({ type: 'survey', record: recordOf(c) }) },
          },
          on: {
            surveyed: {
              target: 'judgingAnswers',
              actions: assign(({ context, event }) => {
                const self = { node: context.self, position: event.position }
                const verdict = judgeSurvey(self, recordOf(context).assignment, event.answers)
                return {
                  answers: event.answers,
                  position: event.position,
                  verdict,
                  lastReason: verdict.reason,
                }
              }),
            },
          },
        },
        judgingAnswers: {
          always: [
            { guard: 'isServed', target: '#promotion.stoodDown' },
            { guard: 'isOutdone', target: '#promotion.standingBy' },
            { target: '#promotion.awaitingVacancy' },
          ],
        },
      },
    },
    standingBy: {
      entry: [
        assign({ standBys: ({ context }) => context.standBys + 1 }),
        { type: 'progress', params: { state: 'standingBy' } },
      ],
      after: { standBy: 'surveying' },
      on: {
        reignSeen: { target: '#promotion.stoodDown', actions: 'explainEvent' },
      },
    },
    blocked: {
      entry: [
        { type: 'explain', params: ({ context }) => ({ reason: blockedReason(context) }) },
        { type: 'progress', params: { state: 'blocked' } },
      ],
      after: { retry: 'surveying' },
      on: {
        reignSeen: { target: '#promotion.stoodDown', actions: 'explainEvent' },
      },
    },
    awaitingVacancy: {
      entry: [
        { type: 'progress', params: { state: 'awaitingVacancy' } },
        {
          type: 'perform',
          params: { effect: (c) => ({ type: 'watchVacancy', record: recordOf(c) }) },
        },
      ],
      on: {
        vacancyProven: {
          target: 'claiming',
          actions: assign({
            vacancy: ({ event }) => event.vacancy,
            lastReason: ({ event }) => `the reign is over: ${event.vacancy}`,
          }),
        },
        reignSeen: {
          guard: 'isNotForced', target: '#promotion.stoodDown', actions: 'explainEvent',
        },
      },
      after: {
        vacancyPatience: {
          target: 'stoodDown',
          actions: {
            type: 'explain',
            params: { reason: 'the primary is heard: no proof that its reign is over' },
          },
        },
      },
    },
    claiming: {
      entry: [
        { type: 'progress', params: { state: 'claiming' } },
        {
          type: 'perform',
          params: {
            effect: (c) => ({
              type: 'claim',
              record: recordOf(c),
              answers: c.answers,
              vacancy: c.vacancy ?? 'none',
            }),
          },
        },
      ],
      on: {
        claimed: { target: 'opening', actions: assign({ record: ({ event }) => event.record }) },
        compareAndSetRefused: { target: '#promotion.stoodDown', actions: 'explainEvent' },
      },
    },
    opening: {
      initial: 'appending',
      on: {
        compareAndSetRefused: { target: '#promotion.stoodDown', actions: 'explainEvent' },
        reignSeen: { target: '#promotion.stoodDown', actions: 'explainEvent' },
      },
      states: {
        appending: {
          entry: [
            {
              type: 'explain',
              params: ({ context }) =>
                ({ reason: `epoch ${recordOf(context).assignment.epoch} is claimed` }),
            },
            { type: 'progress', params: { state: 'opening' } },
            {
              type: 'perform',
              params: { effect: (c) => ({ type: 'startEpoch', record: recordOf(c) }) },
            },
          ],
          on: {
            epochStarted: {
              target: 'awaitingGrants',
              actions: assign({ epochStart: ({ event }) => event.sequence }),
            },
          },
        },
        awaitingGrants: {
          entry: {
            type: 'perform',
            params: { effect: (c) => ({ type: 'watchGrants', record: recordOf(c) }) },
          },
          on: {
            grantsHeld: '#promotion.confirming',
            grantsMissing: [
              {
                guard: {
                  type: 'isShrinkable',
                  params: ({ event }) => ({ shrinkable: event.shrinkable }),
                },
                target: 'shrinking',
                actions: assign({
                  missing: ({ event }) => event.nodes,
                  lastReason: ({ event }) => `no grant from ${event.nodes.join(', ')}`,
                }),
              },
              {
                actions: assign({
                  missing: ({ event }) => event.nodes,
                  lastReason: ({ event }) => `waits for the grants of ${event.nodes.join(', ')}`,
                }),
              },
            ],
          },
        },
        shrinking: {
          entry: [
            { type: 'progress', params: { state: 'opening' } },
            {
              type: 'perform',
              params: {
                effect: (c) => ({ type: 'shrink', record: recordOf(c), without: c.missing }),
              },
            },
          ],
          on: {
            inSyncShrunk: {
              target: 'awaitingGrants',
              actions: assign({ record: ({ event }) => event.record, missing: [] }),
            },
          },
        },
      },
    },
    confirming: {
      entry: [
        { type: 'explain', params: { reason: 'the grants of all in-sync members are held' } },
        { type: 'progress', params: { state: 'confirming' } },
        { type: 'perform', params: { effect: (c) => ({ type: 'open', record: recordOf(c) }) } },
      ],
      on: {
        opened: { target: 'won', actions: assign({ record: ({ event }) => event.record }) },
        compareAndSetRefused: { target: '#promotion.stoodDown', actions: 'explainEvent' },
        leaseLapsed: { target: '#promotion.stoodDown', actions: 'explainEvent' },
      },
    },
    won: { type: 'final', entry: { type: 'explain', params: { reason: 'won' } } },
    stoodDown: {
      type: 'final',
      entry: { type: 'progress', params: { state: 'stoodDown' } },
    },
  },
})
