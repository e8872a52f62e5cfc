/**
 * This checkout against another commit: a cluster of each runs, and the same load goes to one and
 * then to the other, in pairs. Load and measuring are this checkout's; only the servers differ.
 */
import { startEngram } from './engram.js'
import { inWords, measureIdle, measureLoad, resultInWords, warmUp } from './measured.js'
import type { AgainstOptions, Options, Scene } from './options.js'
import { ownGoesFirst, valuesOf, valuesOfIdle } from './pairs.js'
import type { Comparison, Values } from './pairs.js'
import type { Target } from './target.js'
import { buildCommit } from './worktree.js'

const warmupSeconds = 0.5

export async function compareWith(
  { commit, pairs, scenes }: AgainstOptions,
  { seconds, warmSeconds }: Options,
  progress: (text: string) => void,
): Promise<Comparison> {
  const build = await buildCommit(commit, progress)
  progress(`starting a cluster of this checkout, and one of ${build.commit}`)
  const clusters = [
    await startEngram('bench'),
    await startEngram('bench', { dist: build.dist }),
  ] as const
  const own: Target = { ...clusters[0].target, name: 'this' }
  const other: Target = { ...clusters[1].target, name: 'other' }
  progress('warming up both')
  await Promise.all([own, other].map((target) => warmUp(target, warmSeconds)))
  const comparison: Comparison = { commit: build.commit, seconds, warmSeconds, scenes: {} }
  for (let pair = 0; pair < pairs; pair += 1) {
    for (const scene of scenes) {
      const order = ownGoesFirst(pair) ? [own, other] : [other, own]
      const values = await measureScene(scene, order, seconds, (text) => {
        progress(`${pair + 1}/${pairs} ${scene.padEnd(9)} ${text}`)
      })
      const of = comparison.scenes[scene] ??= []
      of.push({ own: values.get('this') ?? {}, other: values.get('other') ?? {} })
    }
  }
  for (const cluster of clusters) await cluster.stop()
  return comparison
}

async function measureScene(
  scene: Scene,
  targets: readonly Target[],
  seconds: number,
  progress: (text: string) => void,
): Promise<Map<string, Values>> {
  const values = new Map<string, Values>()
  if (scene === 'idle') {
    for (const [name, account] of await measureIdle(targets, seconds)) {
      progress(`${name.padEnd(5)} ${inWords(account)}`)
      values.set(name, valuesOfIdle(account))
    }
    return values
  }
  for (const target of targets) {
    const measured = await measureLoad(target, scene, { seconds, warmupSeconds })
    progress(`${target.name.padEnd(5)} ${resultInWords(measured)}`)
    values.set(target.name, valuesOf(scene, measured))
  }
  return values
}
