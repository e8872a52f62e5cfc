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

/** A node that starts with these remains, its removals, and whether it said that it removed any. */
async function started(left: Left): Promise<{ left: Left; said: number }> {
  let said = 0
  const { store, parts, salvages, kept } = left
  const ports = {
    journal: { dropped: () => ['0b1f0c00-u', '7c22aa00-v'], logs: () => [] },
    store: { has: (uuid: string) => store.has(uuid),
      drop: async (uuid: string) => void store.delete(uuid) },
    checkpoints: { files: () => [],
      parts: async (uuid: string) => [...parts].filter((one) => one === uuid),
      removeParts: async (uuid: string) => void parts.delete(uuid) },
    salvages: { names: async () => [...salvages], list: async () => [], kept: async () => [...kept],
      remove: async (name: string) => void (salvages.delete(name) || kept.delete(name)) },
    telemetry: { count: () => undefined },
    logger: { info: () => {
      said += 1
    } },
  }
  const context = { ports, self: { node: 'n1' } } as unknown as NodeContext
  const dropping = new Dropping(context)
  dropping.resume([...salvages])
  await dropping.settled()
  return { left, said }
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

test('nothing is left: nothing is said', async () => {
  assert.is((await started(nothing())).said, 0)
})

test.run()
