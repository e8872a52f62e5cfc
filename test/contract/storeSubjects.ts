/** The subjects of the Store port's contract: the LMDB store and its twin in memory. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, type Test } from 'uvu'
import type { SpaceStore, Store } from '../../actors/ports/store.js'
import { openStore } from '../../runtime/store/store.js'
import { MemoryStore } from '../fakes/memoryStore.js'

export interface Made {
  store: Store
  reopen(): Promise<Store>
  remove(): Promise<void>
}

/** The context of each test; `space` is u1. */
export interface StoreContext extends Made {
  space: SpaceStore
}

export interface Subject {
  readonly name: string
  /** A store and a way to open it again after a close. */
  make(): Promise<Made>
}

export const subjects: readonly Subject[] = [
  {
    name: 'memory',
    async make() {
      const store = new MemoryStore()
      return { store, reopen: async () => store, remove: async () => undefined }
    },
  },
  {
    name: 'lmdb',
    async make() {
      const directory = await mkdtemp(join(tmpdir(), 'engram-store-'))
      return {
        store: await openStore(directory),
        reopen: () => openStore(directory),
        remove: () => rm(directory, { recursive: true, force: true }),
      }
    },
  },
]

/** A suite whose tests have a new store each. */
export function storeSuite(name: string, { make }: Subject): Test<StoreContext> {
  const test = suite<StoreContext>(name)
  test.before.each(async (context) => {
    Object.assign(context, await make())
    context.space = context.store.space('u1')
  })
  test.after.each(async (context) => {
    await context.store.close()
    await context.remove()
  })
  return test
}
