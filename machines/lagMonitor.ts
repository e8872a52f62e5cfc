import { assign, emit, setup } from 'xstate'
import type { NodeId } from './base/ids.js'
import { bytesText, msText } from './base/units.js'

export interface LagMonitorInput {
  /** Replica that is watched. */
  readonly peer: NodeId
  /** Raised above this many bytes behind the primary. Default 100 MB. */
  readonly lagBytesMax?: number
  /** Raised above this age of the oldest entry the replica lacks. Default 5 s. */
  readonly lagMsMax?: number
  /** Cleared below this share of both. Default 0.8. */
  readonly clearRatio?: number
}

export interface LagMonitorContext {
  readonly peer: NodeId
  readonly lagBytesMax: number
  readonly lagMsMax: number
  readonly clearRatio: number
  lagBytes: number
  lagMs: number
  isAway: boolean
  lastReason: string
}

/** Measure that exceeded its limit. */
export type LagMeasure = 'bytes' | 'time'

export interface LagMeasured {
  readonly type: 'measured'
  /** Whole bytes and milliseconds; for a replica that is away, counted from what it last had. */
  readonly lagBytes: number
  readonly lagMs: number
  /** Whether it has no session; the lag is then a lower bound. */
  readonly isAway: boolean
}
export type LagMonitorEvent = LagMeasured

export type LagMonitorEffect =
  | {
    type: 'lagRaised'
    peer: NodeId
    by: LagMeasure
    lagBytes: number
    lagMs: number
    reason: string
  }
  | { type: 'lagCleared'; peer: NodeId; lagBytes: number; lagMs: number; reason: string }

export const lagDefaults = { lagBytesMax: 100_000_000, lagMsMax: 5000, clearRatio: 0.8 } as const

const machine = setup({
  types: {
    input: {} as LagMonitorInput,
    context: {} as LagMonitorContext,
    events: {} as LagMonitorEvent,
    emitted: {} as LagMonitorEffect,
  },
  guards: {
    exceedsBytes: ({ context, event }) => event.lagBytes > context.lagBytesMax,
    exceedsTime: ({ context, event }) => event.lagMs > context.lagMsMax,
    isClear: ({ context: c, event }) =>
      event.lagBytes < c.lagBytesMax * c.clearRatio && event.lagMs < c.lagMsMax * c.clearRatio,
    bytesGaveWayToTime: ({ context: c, event }) =>
      event.lagBytes < c.lagBytesMax * c.clearRatio && event.lagMs > c.lagMsMax,
    timeGaveWayToBytes: ({ context: c, event }) =>
      event.lagMs < c.lagMsMax * c.clearRatio && event.lagBytes > c.lagBytesMax,
  },
  actions: {
    note: assign(({ event: { lagBytes, lagMs, isAway } }) => ({ lagBytes, lagMs, isAway })),
    explainRaise: assign({
      lastReason: ({ context: c, event }, params: { by: LagMeasure }) => {
        const [lag, limit] = params.by === 'bytes'
          ? [bytesText(event.lagBytes), bytesText(c.lagBytesMax)]
          : [msText(event.lagMs), msText(c.lagMsMax)]
        const away = event.isAway ? 'away and ' : ''
        return `replica ${c.peer} is ${away}${lag} behind (limit ${limit})`
      },
    }),
    explainClear: assign({
      lastReason: ({ context: c, event }) =>
        `replica ${c.peer} has caught up: ${bytesText(event.lagBytes)} and `
        + `${msText(event.lagMs)} behind`,
    }),
    raiseLag: emit(({ context: c }, params: { by: LagMeasure }): LagMonitorEffect => ({
      type: 'lagRaised',
      peer: c.peer,
      by: params.by,
      lagBytes: c.lagBytes,
      lagMs: c.lagMs,
      reason: c.lastReason,
    })),
    clearLag: emit(({ context: c }): LagMonitorEffect => ({
      type: 'lagCleared',
      peer: c.peer,
      lagBytes: c.lagBytes,
      lagMs: c.lagMs,
      reason: c.lastReason,
    })),
  },
})

/**
 * Alarm on one replica's lag. It is raised above a threshold and cleared below 80 % of both, so
 * that a replica at the threshold does not flap. `bytes` and `time` name the measure that raised
 * it. The state changes when that one is clear while the other is above its threshold.
 */
export const lagMonitorMachine = machine.createMachine({
  id: 'lagMonitor',
  context: ({ input }) => ({
    peer: input.peer,
    lagBytesMax: input.lagBytesMax ?? lagDefaults.lagBytesMax,
    lagMsMax: input.lagMsMax ?? lagDefaults.lagMsMax,
    clearRatio: input.clearRatio ?? lagDefaults.clearRatio,
    lagBytes: 0,
    lagMs: 0,
    isAway: false,
    lastReason: 'nothing measured yet',
  }),
  initial: 'healthy',
  states: {
    healthy: {
      on: {
        measured: [
          {
            guard: 'exceedsBytes',
            target: 'lagging.bytes',
            actions: [
              'note',
              { type: 'explainRaise', params: { by: 'bytes' } },
              { type: 'raiseLag', params: { by: 'bytes' } },
            ],
          },
          {
            guard: 'exceedsTime',
            target: 'lagging.time',
            actions: [
              'note',
              { type: 'explainRaise', params: { by: 'time' } },
              { type: 'raiseLag', params: { by: 'time' } },
            ],
          },
          { actions: 'note' },
        ],
      },
    },
    lagging: {
      initial: 'bytes',
      on: {
        measured: [
          {
            guard: 'isClear',
            target: 'healthy',
            actions: ['note', 'explainClear', 'clearLag'],
          },
          { actions: 'note' },
        ],
      },
      states: {
        bytes: {
          on: {
            measured: {
              guard: 'bytesGaveWayToTime',
              target: 'time',
              actions: [
                'note',
                { type: 'explainRaise', params: { by: 'time' } },
                { type: 'raiseLag', params: { by: 'time' } },
              ],
            },
          },
        },
        time: {
          on: {
            measured: {
              guard: 'timeGaveWayToBytes',
              target: 'bytes',
              actions: [
                'note',
                { type: 'explainRaise', params: { by: 'bytes' } },
                { type: 'raiseLag', params: { by: 'bytes' } },
              ],
            },
          },
        },
      },
    },
  },
})
