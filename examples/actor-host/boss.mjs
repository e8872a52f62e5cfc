// The host `boss`, which uses the printer of `worker`. `node boss.mjs [nats://host:port]`
import { setTimeout as pause } from 'node:timers/promises'
import { AskError, createActorHost } from 'engram-replication/host'
import { assign, createMachine } from 'xstate'

const [servers = 'nats://127.0.0.1:4222'] = process.argv.slice(2)
const host = createActorHost({ node: 'boss', nats: { servers }, nodeSilentMs: 2_000 })
await host.connected()

// The boss is an actor, too: it ends when the printer is gone.
const day = createMachine({
  id: 'boss',
  context: { why: null },
  initial: 'atWork',
  states: {
    atWork: {
      on: {
        printerGone: { target: 'over', actions: assign({ why: ({ event }) => event.kind }) },
      },
    },
    over: { type: 'final' },
  },
  output: ({ context }) => context.why,
})

const boss = host.spawn({
  id: 'boss',
  logic: day,
  input: () => undefined,
  onUndelivered: ({ to, reason }) => console.log(`${to.node}/${to.actor} got nothing: ${reason}`),
  onExit: ({ output }) => {
    console.log(`the printer is gone (${output})`)
    void host.close()
  },
})

// A reference costs nothing, and says nothing of whether the actor is there. The last argument:
// in whose name it sends.
const printer = host.ref('worker', 'printer', 'boss')

/** Asks until the printer says what is waited for: it may be starting, or between two lives. */
async function status(isFine) {
  for (;;) {
    try {
      const answer = await printer.ask({ type: 'status' }, { timeoutMs: 500 })
      if (isFine(answer)) return answer
    } catch (error) {
      if (!(error instanceof AskError)) throw error
    }
    await pause(100)
  }
}

await status(() => true)
host.watchRemote('worker', 'printer', ({ kind }) => boss.send({ type: 'printerGone', kind }))

// Sent at most once, and ignored while the printer is cold: so it asks whether it was done.
const { printed } = await status(({ printed: pages }) => {
  if (pages < 3) printer.send({ type: 'print', pages: 3 })
  return pages >= 3
})
console.log(`printed: ${printed >= 3}`)

// It throws, and is restarted with a fresh context. A restart is no death, and is not reported.
printer.send({ type: 'print', pages: 0 })
console.log(`after a failure: ${(await status((answer) => answer.printed === 0)).printed} pages`)

host.ref('worker', 'scanner', 'boss').send({ type: 'scan' })
console.log('now kill the worker')
