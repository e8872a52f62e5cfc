import { assign, emit, setup } from 'xstate'
import type { Life, NodeId } from './protocol.js'

export interface NodeInput {
  readonly node: NodeId
  /** First pause before a reconnect; doubled each time. Default 50 ms. */
  readonly backoffMs?: number
  /** Longest pause before a reconnect. Default 1,000 ms. */
  readonly backoffMaxMs?: number
  /** A drain takes no longer (DESIGN section 10, clean stop). Default 10,000 ms. */
  readonly cleanStopMs?: number
}

/** What recovery found, in as much as this chart shows it; the journal's report fits. */
export interface RecoverySummary {
  readonly records: number
  readonly bytes: number
  readonly ms: number
  readonly torn: { readonly reason: string } | null
  readonly damaged: readonly { readonly reason: string }[]
}

export interface NodeContext {
  readonly node: NodeId
  readonly backoffMs: number
  readonly backoffMaxMs: number
  readonly cleanStopMs: number
  /** Raised at each start, before anything else; 0 until it is known. */
  incarnation: number
  /** Raised at each attempt to connect, so that no two connections share a number. */
  connection: number
  /** Attempts since the bus was last there. */
  attempt: number
  /** Server that the present connection is on. */
  server: string | null
  recovery: string | null
  exitCode: number
  lastReason: string
}

/** Past facts. An event of a connection before the present one is ignored, with a reason. */
export type NodeEvent =
  /** The data directory is locked, its incarnation raised and on disk. */
  | { type: 'opened'; incarnation: number }
  | { type: 'recovered'; report: RecoverySummary }
  | { type: 'recoveryFailed'; error: string }
  | { type: 'connected'; life: Life; server: string }
  | { type: 'connectFailed'; connection: number; retryable: boolean; error: string }
  | { type: 'connectionClosed'; connection: number; reason: string }
  | { type: 'drainRequested'; reason: string }
  | { type: 'drained' }
  /** Everything is closed: journal, store, bus. */
  | { type: 'closed' }
  | { type: 'syncFailed'; error: string }
  | { type: 'fatal'; error: string }
  | { type: 'superseded'; reason: string }

export type NodeEffect =
  /** Lock the data directory, raise the incarnation: `opened` or `fatal`. */
  | { type: 'open' }
  | { type: 'recover'; incarnation: number }
  | { type: 'connect'; attempt: number; life: Life }
  | { type: 'startSpaces'; life: Life; server: string }
  /** No bus: every reign of this node is over. */
  | { type: 'isolate'; reason: string }
  | { type: 'rejoin'; life: Life; server: string }
  /** Hand the reigns over, flush: `drained`. */
  | { type: 'drain'; reason: string }
  /** Leave the bus, close journal and store: `closed`. */
  | { type: 'stop'; reason: string }
  /** The process cannot go on: say at once that its reigns are over, as far as that works. */
  | { type: 'resign'; reason: string }
  | { type: 'exit'; code: number; reason: string }

type Context = NodeContext
type Event = NodeEvent

const lifeOf = ({ incarnation, connection }: Context): Life => ({ incarnation, connection })

/** Pause before the next attempt: 50, 100, 200 … up to 1,000 ms. */
export function backoffOf({ attempt, backoffMs, backoffMaxMs }: Context): number {
  return Math.min(backoffMs * 2 ** Math.max(attempt - 1, 0), backoffMaxMs)
}

function summaryOf({ records, bytes, ms, torn, damaged }: RecoverySummary): string {
  const parts = [`${records} records, ${bytes} bytes in ${Math.round(ms)} ms`]
  if (torn) parts.push(`cut a torn flush (${torn.reason})`)
  if (damaged.length > 0) parts.push(`${damaged.length} damaged`)
  return parts.join('; ')
}

const nodeSetup = setup({
  types: {
    input: {} as NodeInput,
    context: {} as Context,
    events: {} as Event,
    emitted: {} as NodeEffect,
    output: {} as { readonly code: number; readonly reason: string },
  },
  delays: {
    backoff: ({ context }) => backoffOf(context),
    cleanStop: ({ context }) => context.cleanStopMs,
  },
  guards: {
    isPresentLife: ({ context, event }) =>
      event.type === 'connected' && event.life.incarnation === context.incarnation
      && event.life.connection === context.connection,
    isPresentConnection: ({ context, event }) =>
      'connection' in event && event.connection === context.connection,
    isRefused: ({ context, event }) =>
      event.type === 'connectFailed' && !event.retryable
      && event.connection === context.connection,
  },
  actions: {
    explain: assign({
      lastReason: ({ context, event }, params: { say: (c: Context, e: Event) => string }) =>
        params.say(context, event),
    }),
    perform: emit((
      { context }: { context: Context }, params: { effect: (c: Context) => NodeEffect },
    ): NodeEffect => params.effect(context)),
    noteIncarnation: assign({
      incarnation: ({ context, event }) =>
        event.type === 'opened' ? event.incarnation : context.incarnation,
    }),
    noteRecovery: assign({
      recovery: ({ event }) => (event.type === 'recovered' ? summaryOf(event.report) : null),
    }),
    noteServer: assign({
      server: ({ event }) => (event.type === 'connected' ? event.server : null),
      attempt: 0,
    }),
    loseServer: assign({ server: null }),
    raiseConnection: assign({
      connection: ({ context }) => context.connection + 1,
      attempt: ({ context }) => context.attempt + 1,
    }),
    noteExit: assign({ exitCode: (_, params: { code: number }) => params.code }),
  },
})

const say = (sentence: (context: Context, event: Event) => string) =>
  ({ type: 'explain', params: { say: sentence } }) as const
const perform = (effect: (context: Context) => NodeEffect) =>
  ({ type: 'perform', params: { effect } }) as const

const errorOf = (e: Event) => ('error' in e ? e.error : 'reason' in e ? e.reason : e.type)
const ignored = { actions: say((_, e) => `ignored: ${e.type} of an earlier connection`) } as const

/** Dialling and pausing in turn; `connected` is for the state around it to handle. */
const dialling = {
  entry: ['raiseConnection', perform((c) => (
    { type: 'connect', attempt: c.attempt, life: lifeOf(c) }))],
  on: {
    connectFailed: [
      {
        guard: 'isRefused',
        target: '#node.failed',
        actions: [say((_, e) => `the bus refuses this node: ${errorOf(e)}`)],
      },
      {
        guard: 'isPresentConnection',
        target: 'pausing',
        actions: [say((c, e) =>
          `attempt ${c.attempt}: ${errorOf(e)}; again in ${backoffOf(c)} ms`)],
      },
      ignored,
    ],
  },
} as const

const pausing = {
  after: { backoff: { target: 'dialling', actions: say((c) => `attempt ${c.attempt + 1}`) } },
} as const

const close = {
  target: '#node.draining.closing',
  actions: say((_, e) => `${errorOf(e)}: nothing to hand over`),
} as const

const failWith = (what: string) => ({
  target: '#node.failed', actions: say((_, e) => `${what}: ${errorOf(e)}`),
}) as const

/**
 * The life of a node's process. Without a bus it is isolated: its reigns are over, it dials
 * again with back-off, and comes back as a new connection, which is a new life (section 5).
 */
export const nodeMachine = nodeSetup.createMachine({
  id: 'node',
  context: ({ input }) => ({
    node: input.node,
    backoffMs: input.backoffMs ?? 50,
    backoffMaxMs: input.backoffMaxMs ?? 1000,
    cleanStopMs: input.cleanStopMs ?? 10_000,
    incarnation: 0,
    connection: 0,
    attempt: 0,
    server: null,
    recovery: null,
    exitCode: 0,
    lastReason: 'starts',
  }),
  initial: 'starting',
  output: ({ context }) => ({ code: context.exitCode, reason: context.lastReason }),
  on: {
    drainRequested: close,
    // A failed fdatasync is never retried on the same file (section 7).
    syncFailed: failWith('fdatasync failed'),
    fatal: failWith('cannot go on'),
    superseded: failWith('another process has this node id'),
  },
  states: {
    starting: {
      entry: perform(() => ({ type: 'open' })),
      on: {
        opened: {
          target: 'recovering',
          actions: ['noteIncarnation', say((c) => `incarnation ${c.incarnation}: recovers`)],
        },
      },
    },
    recovering: {
      entry: perform((c) => ({ type: 'recover', incarnation: c.incarnation })),
      on: {
        recovered: {
          target: 'connecting',
          actions: ['noteRecovery', say((c) => `recovered: ${c.recovery}`)],
        },
        recoveryFailed: failWith('recovery failed'),
      },
    },
    connecting: {
      initial: 'dialling',
      on: {
        connected: [
          {
            guard: 'isPresentLife',
            target: 'running',
            actions: [
              'noteServer', say((c) => `connected to ${c.server}: runs`),
              perform((c) => (
                { type: 'startSpaces', life: lifeOf(c), server: c.server ?? '' })),
            ],
          },
          ignored,
        ],
      },
      states: { dialling, pausing },
    },
    running: {
      on: {
        connectionClosed: [
          {
            guard: 'isPresentConnection',
            target: 'isolated',
            actions: [
              'loseServer', say((_, e) => `no bus: ${errorOf(e)}`),
              perform((c) => ({ type: 'isolate', reason: c.lastReason })),
            ],
          },
          ignored,
        ],
        drainRequested: {
          target: 'draining', actions: say((_, e) => `drains: ${errorOf(e)}`),
        },
      },
    },
    isolated: {
      initial: 'dialling',
      on: {
        connected: [
          {
            guard: 'isPresentLife',
            target: 'running',
            actions: [
              'noteServer', say((c) => `back on ${c.server} as connection ${c.connection}`),
              perform((c) => ({ type: 'rejoin', life: lifeOf(c), server: c.server ?? '' })),
            ],
          },
          ignored,
        ],
      },
      states: { dialling, pausing },
    },
    draining: {
      initial: 'handingOver',
      // One deadline for the whole of it; what is not done by then is left undone.
      after: {
        cleanStop: {
          target: 'failed',
          actions: say((c) => `the clean stop took more than ${c.cleanStopMs} ms`),
        },
      },
      on: {
        drainRequested: { actions: say(() => 'ignored: drains already') },
      },
      states: {
        handingOver: {
          entry: perform((c) => ({ type: 'drain', reason: c.lastReason })),
          on: {
            drained: { target: 'closing', actions: say(() => 'drained: closes') },
            connectionClosed: [
              {
                guard: 'isPresentConnection',
                target: 'closing',
                actions: [
                  'loseServer', say((_, e) => `no bus to hand over on: ${errorOf(e)}`),
                ],
              },
              ignored,
            ],
          },
        },
        closing: {
          entry: perform((c) => ({ type: 'stop', reason: c.lastReason })),
          on: {
            closed: { target: '#node.stopped', actions: say(() => 'stopped cleanly') },
          },
        },
      },
    },
    stopped: {
      type: 'final',
      entry: [
        { type: 'noteExit', params: { code: 0 } },
        perform((c) => ({ type: 'exit', code: 0, reason: c.lastReason })),
      ],
    },
    failed: {
      type: 'final',
      entry: [
        { type: 'noteExit', params: { code: 1 } },
        perform((c) => ({ type: 'resign', reason: c.lastReason })),
        perform((c) => ({ type: 'exit', code: 1, reason: c.lastReason })),
      ],
    },
  },
})
