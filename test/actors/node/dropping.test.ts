/** What a crash has left of a dropped space goes at the next start, whichever part it is. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NodeContext } from '../../../actors/member/context.js'
import { Dropping } from '../../../actors/node/dropping.js'

const test = suite('actors: dropping')

interface Left {
  readonly store: Set<string>
  readonly parts: Set<string>
  readonly salvages: Set<string>
  /** Checkpoints that are kept beside salvages. */
  readonly kept: Set<string>
}

/**
 * A node that starts with these remains, its removals, whether it said that it removed any, and
 * which drops it need not know any more. `isStuck`: no salvage can be removed.
 */
async function started(
  left: Left,
  isStuck = false,
): Promise<{ left: Left; said: number; forgotten: string[] }> {
  let said = 0
  const forgotten: string[] = []
  const { store, parts, salvages, kept } = left
  const ports = {
    journal: { dropped: () => ['0b1f0c00-u', '7c22aa00-v'], logs: () => [],
      forgetDrop: (uuid: string) => forgotten.push(uuid) },
    store: { has: (uuid: string) => store.has(uuid),
      drop: async (uuid: string) => void store.delete(uuid) },
    checkpoints: { files: () => [],
      parts: async (uuid: string) => [...parts].filter((one) => one === uuid),
      removeParts: async (uuid: string) => void parts.delete(uuid) },
    salvages: { names: async () => [...salvages], list: async () => [], kept: async () => [...kept],
      remove: async (name: string) => {
        if (isStuck) throw new Error('EPERM')
        void (salvages.delete(name) || kept.delete(name))
      } },
    telemetry: { count: () => undefined },
    logger: { error: () => undefined, info: () => {
      said += 1
    } },
  }
  const context = { ports, self: { node: 'n1' } } as unknown as NodeContext
  const dropping = new Dropping(context)
  dropping.resume([...salvages])
  await dropping.settled()
  return { left, said, forgotten }
}

const nothing = (): Left => ({ store: new Set(), parts: new Set(), salvages: new Set(),
  kept: new Set() })

for (const part of ['store', 'parts'] as const) {
  test(`${part}: removed, and what is another space's stays`, async () => {
    const { left, said } = await started({ ...nothing(), [part]: new Set(['0b1f0c00-u', 'w']) })
    assert.equal([...left[part]], ['w'])
    assert.is(said, 1)
  })
}

test('salvages: removed, and what is another space\'s stays', async () => {
  const names = ['demo.0b1f0c00.1-2.1-9.salvage', 'demo.99999999.1-2.1-9.salvage']
  const { left, said } = await started({ ...nothing(), salvages: new Set(names) })
  assert.equal([...left.salvages], names.slice(1))
  assert.is(said, 1)
})

test('a checkpoint beside a salvage: removed, and what is another space\'s stays', async () => {
  const names = ['demo.0b1f0c00.1-2.1-9.checkpoint', 'demo.99999999.1-2.1-9.checkpoint']
  const { left, said } = await started({ ...nothing(), kept: new Set(names) })
  assert.equal([...left.kept], names.slice(1))
  assert.is(said, 1)
})

test('nothing is left: nothing is said, and nothing has to be remembered', async () => {
  const { said, forgotten } = await started(nothing())
  assert.is(said, 0)
  assert.equal(forgotten.toSorted(), ['0b1f0c00-u', '7c22aa00-v'])
})

test('a space of which something is left is remembered', async () => {
  const salvages = new Set(['demo.0b1f0c00.1-2.1-9.salvage'])
  assert.equal((await started({ ...nothing(), salvages }, true)).forgotten, ['7c22aa00-v'])
  assert.equal((await started({ ...nothing(), salvages })).forgotten.toSorted(), ['0b1f0c00-u',
    '7c22aa00-v'])
})

test.run()
