import { assign, emit, setup } from 'xstate'
import { judgeSurvey, isInSync } from './election/candidates.js'
import type { PromotionContext, PromotionEffect, PromotionEvent, PromotionInput,
  PromotionOutput } from './election/promotionTypes.js'
import { isMember } from './protocol/members.js'
import type { Assignment, AssignmentAt } from './protocol/messages.js'

export type * from './election/promotionTypes.js'

/** Stand-bys after which a held member reads the record again, in case an announcement was lost. */
const heldStandBys = 10

/** Doublings of the wait for the arbiter: up to 16 stand-bys, some five seconds. */
const doublingsMax = 4

/** Stand-bys for a better candidate that answers and does not act; then this one goes on. */
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
    heldRetry: ({ context }) => context.times.standByMs * heldStandBys + context.jitterMs,
    blockedRetry: ({ context: { obstructions, times, jitterMs } }) => (obstructions === 0
      ? times.standByMs
      : times.standByMs * 2 ** Math.min(obstructions, doublingsMax) + jitterMs),
    vacancyPatience: ({ context }) => context.times.grantMs * context.times.grantMargin * 1.5,
  },
  guards: {
    isAdopted: ({ context }) => context.adopted !== null,
    isEligible: ({ context }) => (context.forced ? isOfMembers(context) : isListed(context)),
    isHeld: ({ context }) => !context.forced && isListed(context) && context.hold !== null,
    isServed: ({ context }) => context.verdict?.kind === 'served' && !context.forced,
    isOutdone: ({ context }) =>
      !context.forced && context.verdict?.kind === 'better' && context.standBys < standBysMax,
    /** An operator's command overrides a primary that serves, as in `isServed`. */
    isNotForced: ({ context }) => !context.forced,
    isShrinkable: (_, params: { shrinkable: boolean }) => params.shrinkable,
  },
  actions: {
    progress: emit(({ context }, params: { state: string }): PromotionEffect => ({
      type: 'progressed',
      state: params.state,
      reason: context.lastReason,
    })),
    explainEvent: assign({
      lastReason: ({ context, event }) => ('reason' in event ? event.reason : context.lastReason),
    }),
    obstructed: assign({
      obstacle: ({ context, event }) => ('reason' in event ? event.reason : context.obstacle),
      obstructions: ({ context }) => context.obstructions + 1,
    }),
    unobstructed: assign({ obstacle: null, obstructions: 0 }),
    explain: assign({ lastReason: (_, params: { reason: string }) => params.reason }),
    perform: emit(({ context }, params: { effect: (c: PromotionContext) => PromotionEffect }) =>
      params.effect(context)
    ),
  },
})

function isListed({ record, self, disk }: PromotionContext): boolean {
  return record !== null && isInSync(record.assignment, self, disk)
}

function isOfMembers({ record, self }: PromotionContext): boolean {
  return record !== null && isMember(record.assignment, self)
}

function recordOf(context: PromotionContext): AssignmentAt {
  if (!context.record) throw new Error('promotion: no record was read before this step')
  return context.record
}

function blockedReason(context: PromotionContext): string {
  const { record, self, disk, obstacle } = context
  if (obstacle !== null) return `blocked: ${obstacle}`
  if (record && !isOfMembers(context)) return `blocked: ${self} is no member of the space`
  const listed: Assignment | undefined = record?.assignment
  const inSync = listed?.inSync.join(', ') || 'nobody'
  const otherDisk = listed?.members.some((m) => m.node === self && m.disk !== disk)
  return otherDisk
    ? `blocked: ${self} came back with another disk; waiting for one of ${inSync}`
    : `blocked: ${self} is not in sync; waiting for one of ${inSync}`
}

/**
 * Promotion of a member: from a vacancy to an open epoch. Each step is a state. The first of the
 * two compare-and-sets, the claim, makes two winners of one epoch impossible; the second, the
 * opening, makes two serving primaries impossible. Without it, a claim that is answered late could
 * open an epoch that a later claim has already ended.
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
    hold: null,
    obstacle: null,
    obstructions: 0,
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
        primarySeen: {
          guard: 'isNotForced',
          target: '#promotion.stoodDown',
          actions: 'explainEvent',
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
                hold: ({ event }) => event.hold ?? null,
              }),
            },
            recordUnavailable: { target: 'waitingForArbiter', actions: 'explainEvent' },
            recordUnusable: { target: '#promotion.blocked', actions: 'obstructed' },
          },
        },
        waitingForArbiter: {
          entry: { type: 'progress', params: { state: 'waitingForArbiter' } },
          after: { retry: 'reading' },
        },
        judgingRecord: {
          always: [
            { guard: 'isHeld', target: '#promotion.held' },
            { guard: 'isEligible', target: 'asking' },
            { target: '#promotion.blocked', actions: 'unobstructed' },
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
        primarySeen: { target: '#promotion.stoodDown', actions: 'explainEvent' },
      },
    },
    // The member is fit, but an operator has paused failover or drained this node.
    held: {
      entry: [
        { type: 'explain', params: ({ context }) => ({ reason: `held: ${context.hold ?? ''}` }) },
        { type: 'progress', params: { state: 'held' } },
      ],
      after: { heldRetry: 'surveying' },
      on: {
        released: { target: 'surveying', actions: 'explainEvent' },
        primarySeen: { target: '#promotion.stoodDown', actions: 'explainEvent' },
      },
    },
    blocked: {
      entry: [
        { type: 'explain', params: ({ context }) => ({ reason: blockedReason(context) }) },
        { type: 'progress', params: { state: 'blocked' } },
      ],
      after: { blockedRetry: 'surveying' },
      on: {
        primarySeen: { target: '#promotion.stoodDown', actions: 'explainEvent' },
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
            lastReason: ({ event }) => `the epoch is over: ${event.vacancy}`,
          }),
        },
        primarySeen: {
          guard: 'isNotForced',
          target: '#promotion.stoodDown',
          actions: 'explainEvent',
        },
      },
      after: {
        vacancyPatience: {
          target: 'stoodDown',
          actions: {
            type: 'explain',
            params: { reason: 'the primary is heard: no proof that its epoch is over' },
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
        claimed: {
          target: 'opening',
          actions: ['unobstructed', assign({ record: ({ event }) => event.record })],
        },
        compareAndSetRejected: { target: '#promotion.blocked', actions: 'obstructed' },
        compareAndSetRefused: { target: '#promotion.stoodDown', actions: 'explainEvent' },
      },
    },
    opening: {
      initial: 'appending',
      on: {
        compareAndSetRejected: { target: '#promotion.blocked', actions: 'obstructed' },
        compareAndSetRefused: { target: '#promotion.stoodDown', actions: 'explainEvent' },
        primarySeen: { target: '#promotion.stoodDown', actions: 'explainEvent' },
      },
      states: {
        appending: {
          entry: [
            {
              type: 'explain',
              params: ({ context }) => ({
                reason: `epoch ${recordOf(context).assignment.epoch} is claimed`,
              }),
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
        compareAndSetRejected: { target: '#promotion.blocked', actions: 'obstructed' },
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
