import { assign, emit, setup } from 'xstate'
import type { NodeId } from './protocol.js'

export interface LagMonitorInput {
  /** The replica watched. */
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
  lastReason: string
}

export type LagKind = 'bytes' | 'time'

export type LagMonitorEvent = { type: 'measured'; lagBytes: number; lagMs: number }

export type LagMonitorEffect =
  | {
    type: 'lagRaised'
    peer: NodeId
    kind: LagKind
    lagBytes: number
    lagMs: number
    reason: string
  }
  | { type: 'lagCleared'; peer: NodeId; lagBytes: number; lagMs: number; reason: string }

/** DESIGN section 10. */
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
    note: assign(({ event }) => ({ lagBytes: event.lagBytes, lagMs: event.lagMs })),
    explainRaise: assign({
      lastReason: ({ context: c, event }, params: { kind: LagKind }) =>
        params.kind === 'bytes'
          ? `${c.peer} is ${event.lagBytes} bytes behind, above ${c.lagBytesMax}: lagging`
          : `${c.peer} is ${event.lagMs} ms behind, above ${c.lagMsMax} ms: lagging`,
    }),
    explainClear: assign({
      lastReason: ({ context: c, event }) =>
        `${c.peer} is ${event.lagBytes} bytes and ${event.lagMs} ms behind, below `
        + `${Math.round(c.clearRatio * 100)} % of both thresholds: healthy`,
    }),
    raiseLag: emit(({ context: c }, params: { kind: LagKind }): LagMonitorEffect => ({
      type: 'lagRaised', peer: c.peer, kind: params.kind, lagBytes: c.lagBytes, lagMs: c.lagMs,
      reason: c.lastReason,
    })),
    clearLag: emit(({ context: c }): LagMonitorEffect => ({
      type: 'lagCleared', peer: c.peer, lagBytes: c.lagBytes, lagMs: c.lagMs,
      reason: c.lastReason,
    })),
  },
})

/**
 * Alarm on one replica's lag: raised above a threshold, cleared below 80 % of both, so that a
 * replica at the threshold does not flap. `bytes` and `time` name what raised it; it changes
 * when that one is clear while the other is above its threshold.
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
              'note', { type: 'explainRaise', params: { kind: 'bytes' } },
              { type: 'raiseLag', params: { kind: 'bytes' } },
            ],
          },
          {
            guard: 'exceedsTime',
            target: 'lagging.time',
            actions: [
              'note', { type: 'explainRaise', params: { kind: 'time' } },
              { type: 'raiseLag', params: { kind: 'time' } },
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
                'note', { type: 'explainRaise', params: { kind: 'time' } },
                { type: 'raiseLag', params: { kind: 'time' } },
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
                'note', { type: 'explainRaise', params: { kind: 'bytes' } },
                { type: 'raiseLag', params: { kind: 'bytes' } },
              ],
            },
          },
        },
      },
    },
  },
})
