import { backoffOf, lifeOf, nodeSetup } from './protocol/nodeSetup.js'
import type { NodeContext, NodeEffect, NodeEvent } from './protocol/nodeSetup.js'

export { backoffOf } from './protocol/nodeSetup.js'
export type { NodeContext, NodeEffect, NodeEvent, NodeInput,
  RecoverySummary } from './protocol/nodeSetup.js'

type Context = NodeContext
type Event = NodeEvent

const say = (sentence: (context: Context, event: Event) => string) =>
  ({ type: 'explain', params: { say: sentence } }) as const
const perform = (effect: (context: Context) => NodeEffect) =>
  ({ type: 'perform', params: { effect } }) as const

const errorOf = (e: Event) => ('error' in e ? e.error : 'reason' in e ? e.reason : e.type)
const ignored = { actions: say((_, e) => `ignored: ${e.type} of an earlier connection`) } as const

const dial = ['raiseConnection', perform((c) => (
  { type: 'connect', attempt: c.attempt, connection: c.connection }
))] as const

const refused = {
  guard: 'isRefused',
  target: '#node.failed',
  actions: [say((_, e) => `the bus refuses this node: ${errorOf(e)}`)],
} as const

const failed = {
  guard: 'isPresentConnection',
  target: 'pausing',
  actions: [say((c, e) => `attempt ${c.attempt}: ${errorOf(e)}; again in ${backoffOf(c)} ms`)],
} as const

const looking = 'checks that no other process uses the directory'

/** Dialling and pausing in turn; `connected` is for the state around it to handle. */
const dialling = { entry: dial, on: { connectFailed: [refused, failed, ignored] } } as const

/**
 * Dialling after the bus has taken this node before. An operator may mend the cause of a refusal
 * (users, passwords or limits that were reloaded), so the node goes on dialling.
 */
const redialling = { entry: dial, on: { connectFailed: [failed, ignored] } } as const

const pausing = {
  after: { backoff: { target: 'dialling', actions: say((c) => `attempt ${c.attempt + 1}`) } },
} as const

const close = {
  target: '#node.draining.closing',
  actions: say((c, e) =>
    `${errorOf(e)}: nothing is handed over, `
    + (c.connection > 0 && c.server === null
      ? 'since NATS cannot be reached'
      : 'the node does not run yet')
  ),
} as const

const failWith = (what: string) =>
  ({
    target: '#node.failed',
    actions: say((_, e) => `${what}: ${errorOf(e)}`),
  }) as const

/** A late answer of the arbiter, which may be that the directory is a copy of the past. */
const registration = {
  registered: {
    actions: ['noteRegistration', say(() => 'registered at the arbiter')],
  },
  reidentified: {
    actions: ['noteIncarnation', 'noteRegistration', say((_, e) => errorOf(e))],
  },
} as const

/** A connection that is lost before the node runs is dialled again. */
const lostEarly = {
  connectionClosed: [
    {
      guard: 'isPresentConnection',
      target: '#node.connecting.pausing',
      actions: ['loseServer', say((_, e) => `no bus: ${errorOf(e)}`)],
    },
    ignored,
  ],
} as const

/**
 * The life of a node's process. It writes nothing but a socket into the data directory before
 * these states: owning (no process on this host uses it), connecting, identifying (no other
 * process has the node's name, and the directory is no copy of the past). Without a bus the node
 * is isolated: it is primary of nothing, dials again with back-off, and returns with a new
 * connection, which is a new life.
 */
export const nodeMachine = nodeSetup.createMachine({
  id: 'node',
  context: ({ input }) => ({
    node: input.node,
    backoffMs: input.backoffMs ?? 50,
    backoffMaxMs: input.backoffMaxMs ?? 1000,
    cleanStopMs: input.cleanStopMs ?? 10_000,
    incarnation: 0,
    isRegistered: false,
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
    // A failed fdatasync is never retried on the same file.
    syncFailed: failWith('fdatasync failed'),
    fatal: failWith('cannot go on'),
    superseded: failWith('another process has this node id'),
    refused: failWith('cannot start'),
  },
  states: {
    starting: {
      entry: perform(() => ({ type: 'prepare' })),
      on: { prepared: { target: 'owning', actions: say(() => looking) } },
    },
    owning: {
      entry: perform(() => ({ type: 'own' })),
      on: { owned: { target: 'connecting', actions: say(() => 'no other process uses it') } },
    },
    connecting: {
      initial: 'dialling',
      on: {
        connected: [
          {
            guard: 'isPresentConnection',
            target: 'identifying',
            actions: ['noteServer', say((c) =>
              `connected to ${c.server}: looks for other `
              + `processes named ${c.node}`
            )],
          },
          ignored,
        ],
      },
      states: { dialling, pausing },
    },
    identifying: {
      entry: perform((c) => ({ type: 'identify', connection: c.connection })),
      on: {
        ...lostEarly,
        identified: {
          target: 'recovering',
          actions: [
            'resetAttempts',
            'noteIncarnation',
            'noteRegistration',
            say((c) =>
              `incarnation ${c.incarnation}`
              + `${c.isRegistered ? '' : ', not registered yet'}: recovers`
            ),
          ],
        },
        identifyFailed: [
          {
            guard: 'isPresentConnection',
            target: '#node.connecting.pausing',
            actions: ['loseServer', say((_, e) => errorOf(e))],
          },
          ignored,
        ],
      },
    },
    recovering: {
      entry: perform((c) => ({ type: 'recover', incarnation: c.incarnation })),
      on: {
        ...registration,
        connectionClosed: [
          {
            guard: 'isPresentConnection',
            actions: ['loseServer', say((_, e) => `recovers, without a bus: ${errorOf(e)}`)],
          },
          ignored,
        ],
        recovered: [
          {
            guard: 'hasServer',
            target: 'running',
            actions: [
              'noteRecovery',
              say((c) => `recovered: ${c.recovery}`),
              perform((c) => (
                { type: 'startSpaces', life: lifeOf(c), server: c.server ?? '' }
              )),
            ],
          },
          {
            target: 'isolated',
            actions: ['noteRecovery', say((c) => `recovered, without a bus: ${c.recovery}`)],
          },
        ],
        recoveryFailed: failWith('recovery failed'),
      },
    },
    running: {
      on: {
        ...registration,
        connectionClosed: [
          {
            guard: 'isPresentConnection',
            target: 'isolated',
            actions: [
              'loseServer',
              say((_, e) => `no bus: ${errorOf(e)}`),
              perform((c) => ({ type: 'isolate', reason: c.lastReason })),
            ],
          },
          ignored,
        ],
        drainRequested: {
          target: 'draining',
          actions: say((c, e) => `${errorOf(e)}: hands over (at most ${c.cleanStopMs} ms)`),
        },
      },
    },
    isolated: {
      initial: 'dialling',
      on: {
        ...registration,
        connected: [
          {
            guard: 'isPresentConnection',
            target: 'running',
            actions: [
              'noteServer',
              'resetAttempts',
              say((c) => `back on ${c.server} as connection ${c.connection}`),
              perform((c) => ({ type: 'rejoin', life: lifeOf(c), server: c.server ?? '' })),
            ],
          },
          ignored,
        ],
      },
      states: { dialling: redialling, pausing },
    },
    draining: {
      initial: 'handingOver',
      // One deadline for the whole stop: the rest is given up then.
      after: {
        cleanStop: {
          target: 'failed',
          actions: say((c) => `the clean stop took more than ${c.cleanStopMs} ms`),
        },
      },
      on: {
        drainRequested: { actions: say(() => 'ignored: already draining') },
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
                  'loseServer',
                  say((_, e) => `no bus to hand over on: ${errorOf(e)}`),
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
