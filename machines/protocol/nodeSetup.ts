import { assign, emit, setup } from 'xstate'
import type { Life, NodeId } from '../base/ids.js'

export interface NodeInput {
  readonly node: NodeId
  /** First pause before a reconnect; doubled each time. Default 50 ms. */
  readonly backoffMs?: number
  /** Longest pause before a reconnect. Default 1,000 ms. */
  readonly backoffMaxMs?: number
  /** Longest time of a clean stop. Default 10,000 ms. */
  readonly cleanStopMs?: number
}

/** Result of a recovery, as far as this chart shows it; the journal's report has this type. */
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
  /** Number of this start; 0 until the arbiter's record was compared with the directory's. */
  incarnation: number
  /** Whether the arbiter knows this start; before, it is no candidate and not counted in sync. */
  isRegistered: boolean
  /** Raised at each attempt to connect, so that no two connections share a number. */
  connection: number
  /** Attempts since the bus was last connected. */
  attempt: number
  /** Server of the present connection. */
  server: string | null
  recovery: string | null
  exitCode: number
  lastReason: string
}

/** Past facts. An event of a connection before the present one is ignored, with a reason. */
export type NodeEvent =
  /** The data directory is usable, as far as reading it shows, and is this node's. */
  | { type: 'prepared' }
  /** No other process on this host has the data directory. */
  | { type: 'owned' }
  /** The node must not start, or not with this directory; the error says what to do. */
  | { type: 'refused'; error: string }
  | { type: 'connected'; connection: number; server: string }
  | { type: 'connectFailed'; connection: number; retryable: boolean; error: string }
  /** No other process has the node's name; this start has its number, on disk. */
  | { type: 'identified'; incarnation: number; isRegistered: boolean }
  | { type: 'identifyFailed'; connection: number; error: string }
  /** The arbiter has recorded this start. */
  | { type: 'registered' }
  /** The directory is a copy of the past, and has got another disk id and number. */
  | { type: 'reidentified'; incarnation: number; reason: string }
  | { type: 'recovered'; report: RecoverySummary }
  | { type: 'recoveryFailed'; error: string }
  | { type: 'connectionClosed'; connection: number; reason: string }
  | { type: 'drainRequested'; reason: string }
  | { type: 'drained' }
  /** Everything is closed: journal, store, bus. */
  | { type: 'closed' }
  | { type: 'syncFailed'; error: string }
  | { type: 'fatal'; error: string }
  | { type: 'superseded'; reason: string }

export type NodeEffect =
  /** Check the data directory without a change: `prepared` or `refused`. */
  | { type: 'prepare' }
  /** Make sure that no other process uses it: `owned` or `refused`. */
  | { type: 'own' }
  | { type: 'connect'; attempt: number; connection: number }
  /** Find owner and number of the start: `identified`, `identifyFailed` or `refused`. */
  | { type: 'identify'; connection: number }
  | { type: 'recover'; incarnation: number }
  | { type: 'startSpaces'; life: Life; server: string }
  /** Without a bus, this node is no longer primary of any space. */
  | { type: 'isolate'; reason: string }
  | { type: 'rejoin'; life: Life; server: string }
  /** Hand all spaces over and flush: `drained`. */
  | { type: 'drain'; reason: string }
  /** Leave the bus, close journal and store: `closed`. */
  | { type: 'stop'; reason: string }
  /** The process cannot go on: announce at once, if possible, that it is no longer primary. */
  | { type: 'resign'; reason: string }
  | { type: 'exit'; code: number; reason: string }

type Context = NodeContext
type Event = NodeEvent

export const lifeOf = ({ incarnation, connection }: Context): Life => ({ incarnation, connection })

/** Returns the pause before the next attempt: 50, 100, 200 … up to 1,000 ms. */
export function backoffOf({ attempt, backoffMs, backoffMaxMs }: Context): number {
  return Math.min(backoffMs * 2 ** Math.max(attempt - 1, 0), backoffMaxMs)
}

function summaryOf({ records, bytes, ms, torn, damaged }: RecoverySummary): string {
  const parts = [`${records} records, ${bytes} bytes in ${Math.round(ms)} ms`]
  if (torn) parts.push(`cut a torn flush (${torn.reason})`)
  if (damaged.length > 0) parts.push(`${damaged.length} damaged`)
  return parts.join('; ')
}

/** The delays, guards and actions of the chart. */
export const nodeSetup = setup({
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
    hasServer: ({ context }) => context.server !== null,
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
      { context }: { context: Context },
      params: { effect: (c: Context) => NodeEffect },
    ): NodeEffect => params.effect(context)),
    noteIncarnation: assign({
      incarnation: (
        { context, event },
      ) => ('incarnation' in event ? event.incarnation : context.incarnation),
    }),
    noteRegistration: assign({
      isRegistered: ({ event }) => event.type !== 'identified' || event.isRegistered,
    }),
    noteRecovery: assign({
      recovery: ({ event }) => (event.type === 'recovered' ? summaryOf(event.report) : null),
    }),
    noteServer: assign({
      server: ({ event }) => (event.type === 'connected' ? event.server : null),
    }),
    resetAttempts: assign({ attempt: 0 }),
    loseServer: assign({ server: null }),
    raiseConnection: assign({
      connection: ({ context }) => context.connection + 1,
      attempt: ({ context }) => context.attempt + 1,
    }),
    noteExit: assign({ exitCode: (_, params: { code: number }) => params.code }),
  },
})
