import { detectorSetup, goneFault, heartbeatFault,
  missedHeartbeatsMax } from './election/failureDetectorSetup.js'
import type { FailureDetectorContext,
  FailureDetectorEvent } from './election/failureDetectorSetup.js'
import { showLife } from './election/grants.js'

export type { DeathVacancy, FailureDetectorContext, FailureDetectorEffect, FailureDetectorEvent,
  FailureDetectorInput } from './election/failureDetectorSetup.js'

type Context = FailureDetectorContext
type Event = FailureDetectorEvent

const say = (sentence: (context: Context, event: Event) => string) =>
  ({ type: 'explain', params: { say: sentence } }) as const

const silentMs = (c: Context) => c.heartbeatMs * c.missedHeartbeatsMax
const shown = (c: Context) => (c.life ? `${c.peer} ${showLife(c.life)}` : c.peer)

const ignoredBecause = (sentence: (context: Context, event: Event) => string) =>
  [say((c, e) => `ignored: ${sentence(c, e)}`), 'ignore'] as const

const heardAgain = [
  'noteHeartbeat',
  say((c) => `a heartbeat of ${shown(c)} arrived: alive`),
  'announceRestart',
  'announceReturn',
] as const

const left = {
  guard: 'isLeaving',
  target: '#failureDetector.left',
  actions: [
    'noteHeartbeat',
    say((c) => `${shown(c)} says that it leaves`),
    'announceRestart',
    'announceLeave',
  ],
} as const

const returned = {
  guard: 'isSignOfLife',
  target: '#failureDetector.alive',
  actions: heardAgain,
} as const

const arrives = {
  guard: 'isSignOfLife',
  target: 'waiting',
  actions: [
    'noteHeartbeat',
    say((c) => `heartbeats of ${shown(c)} arrive`),
    'announceRestart',
  ],
} as const

const refusedHeartbeat = { actions: ignoredBecause((c, e) => heartbeatFault(c, e) ?? '') } as const

const gone = {
  guard: 'isEvidence',
  target: '#failureDetector.dead.gone',
  actions: [
    'noteGone',
    say((c) => `503: the connection of ${shown(c)} is gone`),
    { type: 'announceDeath', params: { vacancy: 'noResponders' } },
  ],
} as const

const refusedGone = { actions: ignoredBecause((c, e) => goneFault(c, e) ?? '') } as const

const expired = {
  target: '#failureDetector.dead.expired',
  actions: [
    say((c) => `the last grant to ${c.peer} has run out, margin included`),
    { type: 'announceDeath', params: { vacancy: 'grantExpired' } },
  ],
} as const

const goneAfterLeaving = {
  guard: 'isEvidence',
  target: '#failureDetector.left.gone',
  actions: [
    'noteGone',
    say((c) => `${shown(c)} has left: its connection is gone`),
    { type: 'announceDeath', params: { vacancy: 'noResponders' } },
  ],
} as const

const expiredAfterLeaving = {
  target: '#failureDetector.left.expired',
  actions: [
    say((c) => `${shown(c)} has left: the last grant to it has run out, margin included`),
    { type: 'announceDeath', params: { vacancy: 'grantExpired' } },
  ],
} as const

const newLifeAnswered = {
  guard: 'isNewLife',
  target: '#failureDetector.suspect',
  actions: [
    'noteNewLife',
    say((c) => `${shown(c)} answers a probe, no heartbeat yet`),
    'announceRestart',
  ],
} as const

/** The peer answers, but its heartbeats do not come: only its process is known to live. */
const answered = [
  newLifeAnswered,
  {
    target: '#failureDetector.suspect',
    actions: [say((c) => `${c.peer} answers probes, its heartbeats do not come`), 'resetProbes'],
  },
] as const

const suspended = ignoredBecause((_, e) => `${e.type} while judgement is suspended`)

/** After a tilt, proven facts stay; all else is observed anew. */
const afterTilt = (actions: readonly 'noteServer'[]) =>
  [
    {
      guard: 'isLeftAndGone',
      target: '#failureDetector.left.gone',
      actions: [...actions, say((c) => `tilt over: ${shown(c)} has left`)],
    },
    {
      guard: 'isGone',
      target: '#failureDetector.dead.gone',
      actions: [...actions, say((c) => `tilt over: ${shown(c)} is known to be gone`)],
    },
    {
      guard: 'isLeft',
      target: '#failureDetector.left',
      actions: [...actions, say((c) => `tilt over: ${shown(c)} has left`)],
    },
    {
      target: '#failureDetector.alive',
      actions: [
        ...actions,
        say((c) => `tilt over: ${shown(c)} is observed anew`),
        'announceRestart',
      ],
    },
  ] as const

const both = (sentence: string) =>
  ({ target: 'isolatedAndStalled', actions: say(() => `tilt: ${sentence}`) }) as const

const tiltOver = afterTilt([])
const rejoinOver = afterTilt(['noteServer'])

/**
 * Watches one peer. Silence makes it a suspect, only proof makes it dead. While this node doubts
 * itself, it observes and does not act (Sentinel's TILT).
 *
 * A 503 for a life is final: a later heartbeat of that life was under way when the connection
 * closed, and only a newer life revives the peer. `grantExpired` proves only that the lease is
 * over: the same life may be heard again.
 */
export const failureDetectorMachine = detectorSetup.createMachine({
  id: 'failureDetector',
  context: ({ input }) => ({
    peer: input.peer,
    heartbeatMs: input.heartbeatMs,
    probeMs: input.probeMs,
    missedHeartbeatsMax: input.missedHeartbeatsMax ?? missedHeartbeatsMax,
    silentProbesMax: input.silentProbesMax ?? 6,
    ownServer: input.ownServer,
    life: null,
    number: 0,
    server: null,
    isHeardOnConnection: false,
    announced: null,
    goneLife: null,
    leftLife: null,
    isCloselyWatched: input.closelyWatched ?? false,
    silentProbes: 0,
    lastReason: 'watched from now on',
  }),
  initial: 'alive',
  on: {
    tiltStarted: {
      target: '.tilt.stalled',
      actions: say((_, e) => `tilt: ${'reason' in e && e.reason ? e.reason : 'own loop stalled'}`),
    },
    isolated: { target: '.tilt.isolated', actions: say(() => 'tilt: this node is isolated') },
    closelyWatched: { actions: 'noteWatch' },
    // A detector that was started while its node was isolated learns its server here.
    rejoined: { actions: 'noteServer' },
  },
  states: {
    alive: {
      type: 'parallel',
      on: {
        heartbeatReceived: [left, refusedHeartbeat],
        probeGone: [gone, refusedGone],
        probeAnswered: {
          guard: 'isNewLife',
          actions: [
            'noteNewLife',
            say((c) => `${shown(c)} answers a probe: a new life`),
            'announceRestart',
          ],
        },
        grantExpired: {
          actions: ignoredBecause((c) => `no grant to ${c.peer} is left, but it is no suspect yet`),
        },
      },
      states: {
        listening: {
          initial: 'waiting',
          states: {
            waiting: {
              on: { heartbeatReceived: [left, arrives], heartbeatOverdue: 'overdue' },
            },
            overdue: {
              after: {
                restOfSilence: {
                  target: '#failureDetector.suspect',
                  actions: [
                    'resetProbes',
                    say((c) => `${shown(c)} silent for ${silentMs(c)} ms: suspect`),
                    'announceSuspicion',
                  ],
                },
              },
              on: { heartbeatReceived: [left, arrives] },
            },
          },
        },
        watch: {
          initial: 'judging',
          states: {
            judging: {
              always: [{ guard: 'isCloselyWatched', target: 'close' }, { target: 'loose' }],
            },
            loose: {
              on: { closelyWatched: { target: 'judging', actions: 'noteWatch' } },
            },
            // Checked in the turn of each own heartbeat, without an event here.
            close: {
              on: { closelyWatched: { target: 'judging', actions: 'noteWatch' } },
            },
          },
        },
      },
    },
    suspect: {
      entry: 'probe',
      always: {
        guard: 'hasNoLife',
        target: 'unreachable',
        actions: say((c) => `nothing was heard of ${c.peer}: its grant has to run out`),
      },
      after: { probeInterval: { target: 'suspect', reenter: true } },
      on: {
        heartbeatReceived: [left, returned, refusedHeartbeat],
        probeAnswered: { actions: say((c) => `${c.peer} answers probes, no heartbeats`) },
        probeSilent: {
          target: 'probing',
          actions: [
            'noteSilentProbe',
            say((c) => `${shown(c)} silent for ${silentMs(c)} ms, and to a probe: probing`),
          ],
        },
        probeGone: [gone, refusedGone],
        grantExpired: expired,
      },
    },
    probing: {
      entry: 'probe',
      after: { probeInterval: { target: 'probing', reenter: true } },
      on: {
        heartbeatReceived: [left, returned, refusedHeartbeat],
        probeAnswered: answered,
        probeSilent: [
          {
            guard: 'isLastSilentProbe',
            target: 'unreachable',
            actions: [
              'noteSilentProbe',
              say((c) => `${shown(c)} silent to ${c.silentProbes} probes: unreachable`),
            ],
          },
          { actions: 'noteSilentProbe' },
        ],
        probeGone: [gone, refusedGone],
        grantExpired: expired,
      },
    },
    unreachable: {
      entry: 'probe',
      after: { heartbeatInterval: { target: 'unreachable', reenter: true } },
      on: {
        heartbeatReceived: [left, returned, refusedHeartbeat],
        probeAnswered: answered,
        probeGone: [gone, refusedGone],
        grantExpired: expired,
      },
    },
    dead: {
      initial: 'gone',
      on: { heartbeatReceived: [left, returned, refusedHeartbeat] },
      states: {
        gone: {
          on: {
            probeAnswered: newLifeAnswered,
            probeGone: { actions: ignoredBecause((c) => `${shown(c)} is known to be gone`) },
            // The 503 ended the epochs of that life only; this ends those of lives never heard.
            grantExpired: expired,
          },
        },
        expired: {
          on: {
            probeAnswered: answered,
            probeGone: [gone, refusedGone],
          },
        },
      },
    },
    // The peer announced it. It stays `left`, whatever its connection does, until heard anew.
    left: {
      initial: 'leaving',
      on: {
        heartbeatReceived: [returned, refusedHeartbeat],
        probeAnswered: newLifeAnswered,
      },
      states: {
        // Its resignation may have been lost: proof of its death ends its epochs.
        leaving: {
          after: {
            heartbeatInterval: { target: 'leaving', reenter: true, actions: 'probe' },
          },
          on: { probeGone: [goneAfterLeaving, refusedGone], grantExpired: expiredAfterLeaving },
        },
        gone: {
          on: {
            probeGone: { actions: ignoredBecause((c) => `${shown(c)} is known to be gone`) },
            grantExpired: expiredAfterLeaving,
          },
        },
        expired: {
          on: { probeGone: [goneAfterLeaving, refusedGone] },
        },
      },
    },
    tilt: {
      initial: 'stalled',
      on: {
        heartbeatReceived: [
          {
            guard: 'isSignOfLife',
            actions: ['noteHeartbeat', say((c) => `tilt: a heartbeat of ${shown(c)} is noted`)],
          },
          refusedHeartbeat,
        ],
        probeAnswered: {
          guard: 'isNewLife',
          actions: ['noteNewLife', say((c) => `tilt: ${shown(c)} answers a probe, noted`)],
        },
        probeGone: { actions: suspended },
        grantExpired: { actions: suspended },
      },
      states: {
        stalled: {
          on: {
            tiltStarted: { actions: say(() => 'tilt: own loop stalled again') },
            isolated: both('this node is isolated too'),
            tiltEnded: tiltOver,
          },
        },
        isolated: {
          on: {
            isolated: { actions: say(() => 'tilt: this node is isolated still') },
            tiltStarted: both('own loop stalled too'),
            rejoined: rejoinOver,
          },
        },
        isolatedAndStalled: {
          on: {
            isolated: { actions: say(() => 'tilt: this node is isolated still') },
            tiltStarted: { actions: say(() => 'tilt: own loop stalled again') },
            tiltEnded: { target: 'isolated', actions: say(() => 'tilt: this node is isolated') },
            rejoined: {
              target: 'stalled',
              actions: ['noteServer', say(() => 'tilt: own loop stalled')],
            },
          },
        },
      },
    },
  },
})
