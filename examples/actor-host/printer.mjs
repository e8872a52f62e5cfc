// A machine as one writes it for XState; of the actor host it knows `reply` alone.
import { reply } from 'engram-replication/host'
import { assign, emit, setup } from 'xstate'

export const printer = setup({
  actions: {
    count: assign({
      printed: ({ context }, { pages }) => {
        // Whatever a machine throws makes its actor fail.
        if (pages < 1) throw new Error(`${pages} pages cannot be printed`)
        return context.printed + pages
      },
    }),
    answer: emit(({ context, event }) => reply(event, { printed: context.printed })),
  },
  delays: { warmUpMs: 200 },
}).createMachine({
  id: 'printer',
  context: { printed: 0 },
  initial: 'cold',
  on: { status: { actions: 'answer' } },
  states: {
    cold: { after: { warmUpMs: 'ready' } },
    ready: {
      on: {
        print: { actions: { type: 'count', params: ({ event }) => ({ pages: event.pages }) } },
      },
    },
  },
})
