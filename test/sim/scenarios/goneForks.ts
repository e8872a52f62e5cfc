/** Forks of which a member no longer keeps all entries. */
import * as assert from 'uvu/assert'
import { giveUpCovered } from '../../support/giveUp.js'
import { assertSameTables } from '../../support/sameTables.js'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'
import { Forks } from './forkKit.js'
import type { Scenario } from './scenario.js'
import type { Stage } from './stage.js'

async function applied(stage: Stage, ...nodes: string[]): Promise<void> {
  await stage.until(`${nodes.join(' and ')} have applied all`,
    () =>
      nodes.every((node) =>
        stage.at(node).member.store.applied.sequence === stage.end(nodes[0]!).sequence
      ))
}

/** Returns the last entry that the node gave up. */
async function givenUp(stage: Stage, node: string): Promise<number> {
  const base = await giveUpCovered(stage.cluster, stage.cluster.node(node))
  stage.say(`two checkpoints of ${node} cover its log; it gives up entries up to ${base}`)
  return base
}

const afterRetention: Scenario = {
  name: 'forced-epoch-after-retention',
  title:
    'A member without the latest entries is forced; the others, which have them, have given up '
    + 'a part of these before.',
  lesson: 'What a member has given up as committed can be in no salvage. The salvage says so, and '
    + 'the report counts it: otherwise writes that were answered as committed would be gone without '
    + 'a word. A checkpoint with their effect is kept.',
  run: async (begin) => {
    const stage = await begin({ segmentBytes: 4096 })
    const forks = new Forks(stage)
    const { epoch } = stage.record
    const common = stage.end('n3').sequence
    stage.kill('n3')
    await stage.until('n3 is out', () => !stage.inSync.includes('n3'))
    for (let n = 0; n < 30; n += 1) await stage.writes(1, 'committed')
    await applied(stage, 'n1', 'n2')
    const bases: number[] = []
    for (const node of ['n1', 'n2']) bases.push(await givenUp(stage, node))
    const base = Math.min(...bases)
    assert.ok(base > common + 5, `${common} to ${base}`)
    await stage.writes(4, 'committed')
    const end = stage.end('n1').sequence
    stage.kill('n1')
    stage.kill('n2')
    stage.start('n3')
    await stage.run(4000)
    stage.say('an operator forces n3; what was answered as committed holds no longer')
    stage.judge.forget()
    await forks.succeeds('n3', { type: 'promote', to: 'n3', force: true })
    await stage.until('n3 serves', () => stage.cluster.primary()?.id === 'n3')
    await stage.writes(2)
    await applied(stage, 'n3')
    await takeCheckpoint(stage.cluster, stage.cluster.node('n3'))
    stage.start('n1', 'n2')
    await stage.until('all are in sync', () => stage.inSync.length === 3, 30_000)
    await stage.calm()
    await stage.until('the report is closed', () => forks.report(epoch).outcome !== null)
    await stage.cluster.converged()
    const { outcome, lost, reason, merged } = forks.report(epoch)
    stage.say(`the report on epoch ${epoch}: ${outcome}, ${lost} lost, ${merged} merged: ${reason}`)
    assert.is(lost, base - common,
      `I6: ${base - common} writes are nowhere; the report says ${lost} `
        + `and ${outcome}`)
    assert.is(outcome, 'lost')
    assert.is(merged, end - base)
    for (const node of ['n1', 'n2']) {
      const kept = stage.cluster.node(node).disk.paths('/data/salvage')
      assert.is(kept.length, 1, `${node} keeps ${kept.join()}`)
      assert.match(kept[0]!, /\.checkpoint$/)
    }
    assertSameTables(stage.cluster)
  },
}

export const goneForkScenarios: readonly Scenario[] = [afterRetention]
