import { assign, emit, setup } from 'xstate'
import type { Life, NodeId } from '../base/ids.js'
import { showLife } from './grants.js'
import { compareLives } from './vacancy.js'

export interface FailureDetectorInput {
  /** The peer watched. */
  readonly peer: NodeId
  readonly heartbeatMs: number
  readonly probeMs: number
  /** NATS server of the own connection; null while there is none. */
  readonly ownServer: string | null
  /** Heartbeats missed before the peer is suspect. Default 3. */
  readonly missedHeartbeatsMax?: number
  /** Silent probes before it is unreachable. Default 6. */
  readonly silentProbesMax?: number
  /** Whether the peer is primary of a space that this node is a member of. */
  readonly closelyWatched?: boolean
}

export interface FailureDetectorContext {
  readonly peer: NodeId
  readonly heartbeatMs: number
  readonly probeMs: number
  readonly missedHeartbeatsMax: number
  readonly silentProbesMax: number
  ownServer: string | null
  /** Newest life heard, by heartbeat or by the answer to a probe. */
  life: Life | null
  /** Number of the last heartbeat of that life; 0: only a probe's answer was heard. */
  number: number
  /** Server that life was last heard on; null: not known. */
  server: string | null
  /** Whether it was heard on the present own connection: else an own 503 proves nothing. */
  isHeardOnConnection: boolean
  /** Newest life whose end was announced by `peerRestarted`. */
  announced: Life | null
  /** Newest life that a 503 proved gone. It never comes back. */
  goneLife: Life | null
  /** Life that announced that it leaves. */
  leftLife: Life | null
  isCloselyWatched: boolean
  silentProbes: number
  lastReason: string
}

/**
 * Past facts. `probeGone` is sent only for a 503 from the server that the peer was on, to a node
 * that has heard the peer on its present connection. `grantExpired` is sent at each heartbeat
 * interval while the grant is expired, since it is ignored while judgement is suspended.
 */
export type FailureDetectorEvent =
  | { type: 'heartbeatReceived'; life: Life; number: number; server: string; leaving: boolean }
  | { type: 'probeAnswered'; life: Life; server?: string }
  | { type: 'probeGone'; life: Life }
  | { type: 'probeSilent' }
  | { type: 'grantExpired' }
  | { type: 'closelyWatched'; on: boolean }
  /** A heartbeat was missed; `silenceMs`: since the last one, or since the peer is observed. */
  | { type: 'heartbeatOverdue'; silenceMs: number }
  | { type: 'tiltStarted'; reason?: string }
  | { type: 'tiltEnded' }
  | { type: 'isolated' }
  | { type: 'rejoined'; ownServer: string }

export type FailureDetectorEffect =
  /** Ping the peer; `indirect`: ask a witness on its server to do so. */
  | { type: 'probe'; peer: NodeId; life: Life; indirect: boolean; server: string | null }
  | { type: 'peerSuspected'; peer: NodeId; life: Life | null; reason: string }
  | { type: 'peerDied'; peer: NodeId; vacancy: DeathVacancy; life: Life | null; reason: string }
  /** A suspect, unreachable, dead or left peer is heard again. */
  | { type: 'peerReturned'; peer: NodeId; life: Life; reason: string }
  /** A life newer than any heard before (also the first one): every older one is over. */
  | { type: 'peerRestarted'; peer: NodeId; life: Life; reason: string }
  | { type: 'peerLeft'; peer: NodeId; life: Life; reason: string }
  /** An event was refused; for the log. */
  | { type: 'ignored'; peer: NodeId; event: FailureDetectorEvent['type']; reason: string }

export type DeathVacancy = 'noResponders' | 'grantExpired'

type Context = FailureDetectorContext
type Event = FailureDetectorEvent
type Judged = { context: Context; event: Event }

/** Returns why a heartbeat is no sign of life, or null. */
export function heartbeatFault(context: Context, event: Event): string | null {
  if (event.type !== 'heartbeatReceived') return 'not a heartbeat'
  const { peer, life, number, goneLife, leftLife } = context
  const theirs = showLife(event.life)
  if (goneLife && compareLives(event.life, goneLife) <= 0) {
    // Its connection is closed for good: this one was under way, or is a delayed copy.
    return `a heartbeat of ${peer} ${theirs}, whose connection is proven gone`
  }
  if (!life) return null
  const order = compareLives(event.life, life)
  if (order < 0) return `a heartbeat of ${peer} ${theirs}, heard as ${showLife(life)} since`
  if (order === 0 && event.number <= number) {
    return `heartbeat ${event.number} of ${peer} comes after ${number}`
  }
  if (leftLife && compareLives(event.life, leftLife) === 0 && event.leaving) {
    return `${peer} ${theirs} has left already`
  }
  return null
}

/** Heartbeats that are missing when a peer is suspected, and probed. */
export const missedHeartbeatsMax = 3

/** Whether only a witness on the peer's server can prove its death. */
export function isIndirect(
  { server, ownServer, isHeardOnConnection }: Pick<
    Context,
    'server' | 'ownServer' | 'isHeardOnConnection'
  >,
): boolean {
  return !isHeardOnConnection || server === null || server !== ownServer
}

/** Returns why a 503 is no evidence, or null: it counts only for the life last heard. */
export function goneFault(context: Context, event: Event): string | null {
  if (event.type !== 'probeGone') return 'not a 503'
  const { peer, life } = context
  if (!life) return `a 503 of ${peer}, of which nothing was heard`
  if (compareLives(event.life, life) === 0) return null
  return `a 503 for ${peer} ${showLife(event.life)}, last heard as ${showLife(life)}`
}

const isNewer = (a: Life, b: Life | null) => !b || compareLives(a, b) > 0
const isGone = ({ life, goneLife }: Context) =>
  life !== null && goneLife !== null && !isNewer(life, goneLife)
const hasLeft = ({ life, leftLife }: Context) =>
  life !== null && leftLife !== null && !isNewer(life, leftLife)
const plain = ({ incarnation, connection }: Life): Life => ({ incarnation, connection })

function lifeOf(context: Context): Life {
  if (!context.life) throw new Error(`failureDetector ${context.peer}: no life was heard`)
  return context.life
}

const typed = setup({
  types: {
    input: {} as FailureDetectorInput,
    context: {} as Context,
    events: {} as Event,
    emitted: {} as FailureDetectorEffect,
  },
})

/** The delays, guards and actions of the chart. */
export const detectorSetup = typed.extend({
  delays: {
    restOfSilence: ({ context, event }) => {
      const silentMs = context.heartbeatMs * context.missedHeartbeatsMax
      return event.type === 'heartbeatOverdue' ? Math.max(0, silentMs - event.silenceMs) : silentMs
    },
    heartbeatInterval: ({ context }) => context.heartbeatMs,
    probeInterval: ({ context }) => context.probeMs,
  },
  guards: {
    isLeaving: ({ context, event }: Judged) =>
      event.type === 'heartbeatReceived' && event.leaving && !heartbeatFault(context, event),
    isSignOfLife: ({ context, event }: Judged) => !heartbeatFault(context, event),
    isEvidence: ({ context, event }: Judged) => !goneFault(context, event),
    isNewLife: ({ context, event }: Judged) =>
      event.type === 'probeAnswered' && isNewer(event.life, context.life)
      && isNewer(event.life, context.goneLife),
    isGone: ({ context }) => isGone(context),
    isLeft: ({ context }) => hasLeft(context),
    isLeftAndGone: ({ context }) => hasLeft(context) && isGone(context),
    isCloselyWatched: ({ context }) => context.isCloselyWatched,
    isLastSilentProbe: ({ context }) => context.silentProbes + 1 >= context.silentProbesMax,
    hasNoLife: ({ context }) => context.life === null,
  },
  actions: {
    noteHeartbeat: assign(({ event }) => {
      if (event.type !== 'heartbeatReceived') return {}
      return {
        life: plain(event.life),
        number: event.number,
        server: event.server,
        isHeardOnConnection: true,
        silentProbes: 0,
        leftLife: event.leaving ? plain(event.life) : null,
      }
    }),
    // It may be on another server than before: unless that is known, a witness has to be asked.
    noteNewLife: assign(({ event }) =>
      event.type === 'probeAnswered'
        ? {
          life: plain(event.life),
          number: 0,
          server: event.server ?? null,
          isHeardOnConnection: true,
          silentProbes: 0,
          leftLife: null,
        }
        : {}
    ),
    noteGone: assign({
      goneLife: ({ context, event }) =>
        event.type === 'probeGone' ? plain(event.life) : context.goneLife,
    }),
    noteSilentProbe: assign({ silentProbes: ({ context }) => context.silentProbes + 1 }),
    noteWatch: assign({
      isCloselyWatched: ({ context, event }) =>
        event.type === 'closelyWatched' ? event.on : context.isCloselyWatched,
    }),
    noteServer: assign(({ context, event }) => ({
      ownServer: event.type === 'rejoined' ? event.ownServer : context.ownServer,
      isHeardOnConnection: false,
    })),
    resetProbes: assign({ silentProbes: 0 }),
    explain: assign({
      lastReason: ({ context, event }, params: { say: (c: Context, e: Event) => string }) =>
        params.say(context, event),
    }),
    probe: typed.enqueueActions(({ context, enqueue }) => {
      const { peer, life, server } = context
      if (life) enqueue.emit({ type: 'probe', peer, life, indirect: isIndirect(context), server })
    }),
    announceRestart: typed.enqueueActions(({ context, enqueue }) => {
      const { peer, life, announced } = context
      if (!life || !isNewer(life, announced)) return
      const reason = announced
        ? `${peer} has the new life ${showLife(life)}: ${showLife(announced)} is over`
        : `discovered ${peer}, life ${showLife(life)}`
      enqueue.assign({ announced: life })
      enqueue.emit({ type: 'peerRestarted', peer, life, reason })
    }),
    announceSuspicion: typed.emit(({ context }) => ({
      type: 'peerSuspected',
      peer: context.peer,
      life: context.life,
      reason: context.lastReason,
    })),
    announceDeath: emit((
      { context }: { context: Context },
      params: { vacancy: DeathVacancy },
    ): FailureDetectorEffect => ({
      type: 'peerDied',
      peer: context.peer,
      vacancy: params.vacancy,
      life: context.life,
      reason: context.lastReason,
    })),
    announceReturn: typed.emit(({ context }) => ({
      type: 'peerReturned',
      peer: context.peer,
      life: lifeOf(context),
      reason: context.lastReason,
    })),
    announceLeave: typed.emit(({ context }) => ({
      type: 'peerLeft',
      peer: context.peer,
      life: lifeOf(context),
      reason: context.lastReason,
    })),
    ignore: typed.emit(({ context, event }) => ({
      type: 'ignored',
      peer: context.peer,
      event: event.type,
      reason: context.lastReason,
    })),
  },
})
