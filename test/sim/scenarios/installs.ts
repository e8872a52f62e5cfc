/** Members that get the state of another one: when, with what, and what an interruption leaves. */
import * as assert from 'uvu/assert'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'
import { assertSameTables } from '../../support/sameTables.js'
import { lost } from './network.js'
import type { Scenario } from './scenario.js'
import type { Stage } from './stage.js'

function installsOf(stage: Stage, node: string): number {
  return stage.cluster.node(node).life?.actor.spaces.get(stage.space)?.member.store.installs ?? 0
}

function stateOf(stage: Stage, node: string): string | undefined {
  return stage.cluster.node(node).life?.actor.spaces.get(stage.space)?.roleState.state
}

/** Of all that the space has. */
async function checkpoint(stage: Stage, node: string): Promise<number> {
  await stage.until(`${node} has applied all`,
    () => stage.at(node).member.store.applied.sequence === stage.end(stage.primary).sequence)
  const { position } = await takeCheckpoint(stage.cluster, stage.cluster.node(node), stage.space)
  stage.say(`${node} has a checkpoint as of ${position.sequence}`)
  return position.sequence
}

function damage(stage: Stage, node: string): void {
  stage.say(`a record of ${node} cannot be read`)
  stage.at(node).member.damaged('a bad record')
}

/** The member is replaced by the state of another one: its log begins after that. */
async function installed(stage: Stage, node: string, source: string): Promise<number> {
  const position = await checkpoint(stage, source)
  damage(stage, node)
  await stage.until(`${node} is installed`,
    () => installsOf(stage, node) === 1 && stage.inSync.includes(node))
  assert.is(stage.at(node).member.log.base, position)
  return position
}

async function wiped(stage: Stage, node: string): Promise<void> {
  stage.kill(node)
  stage.replaceDisk(node)
  await stage.until(`${node} is out`, () => !stage.inSync.includes(node))
  stage.start(node)
}

/** Time for the scenario to do something between the file of an install and its record. */
function lateAnswers(stage: Stage, primary: string, node: string): void {
  stage.network.faults = ({ from, to, kind }) =>
    from === primary && to === node && kind === 'answer' ? 50 : undefined
}

/** From the moment when the file of the install is there, a sync takes 3 s. */
async function slowSyncs(stage: Stage, node: string): Promise<void> {
  await stage.until(`the file is at ${node}`, () => {
    const { life } = stage.cluster.node(node)
    return stateOf(stage, node) === 'installing.switching'
      && life!.actor.context!.ports.checkpoints.list().length > 0
  })
  stage.say(`from now on a sync on the disk of ${node} takes 3 s`)
  stage.cluster.node(node).diskDelayMs = (operation) => (operation === 'datasync' ? 3000 : 0)
}

const listedMember: Scenario = {
  name: 'install-of-a-listed-member',
  title: 'A member in sync finds its log damaged; in the same second the others die.',
  lesson:
    'An install takes a member back to an older state. As long as it is listed in sync, it may '
    + 'be promoted, and commits count on it: so it leaves the set first.',
  run: async (begin) => {
    const stage = await begin()
    await checkpoint(stage, 'n2')
    await stage.writes(4, 'committed')
    stage.say('n3 hears no frames of n1 any more')
    stage.network.faults = lost('n1', 'n3', 'wal')
    damage(stage, 'n3')
    await stage.until('n3 is installed', () => installsOf(stage, 'n3') === 1)
    stage.pause('n2')
    stage.kill('n1')
    await stage.run(4000)
    stage.resume('n2')
    await stage.balance()
    assertSameTables(stage.cluster)
  },
}

const oldCheckpoint: Scenario = {
  name: 'install-from-an-old-checkpoint',
  title: 'The source has a checkpoint that ends before the first entry that the primary keeps.',
  lesson: 'The primary names the least position: with an older state the member could not follow, '
    + 'and would be installed again and again.',
  run: async (begin) => {
    const stage = await begin()
    await checkpoint(stage, 'n1')
    await stage.writes(4, 'committed')
    const base = await installed(stage, 'n2', 'n3')
    await stage.handOver('n2')
    await stage.writes(2, 'committed')
    await wiped(stage, 'n3')
    await stage.until('n3 is in sync', () => stage.inSync.includes('n3'))
    assert.is(stage.at('n3').member.log.base, base)
    await stage.balance()
    assertSameTables(stage.cluster)
  },
}

const anotherAnswer: Scenario = {
  name: 'switch-after-another-answer',
  title: 'Between the load of a state and the switch to it, the space is handed over to a primary '
    + 'that has the whole log.',
  lesson: 'The member follows the new primary from its own log on, and acknowledges. What was '
    + 'loaded for the former one is older by then: it is discarded.',
  run: async (begin) => {
    const stage = await begin()
    await installed(stage, 'n2', 'n1')
    await stage.handOver('n2')
    stage.say('a rename on the disk of n3 takes 3 s')
    await wiped(stage, 'n3')
    stage.cluster.node('n3').diskDelayMs = (operation) =>
      operation === 'rename' ? 3000 : operation === 'datasync' ? 1 : 0
    await stage.until('n3 has loaded it', () => stateOf(stage, 'n3') === 'installing.switching')
    await stage.cluster.command('n2', { type: 'promote', space: stage.space, to: 'n1' })
    await stage.until('n3 follows n1', () => stage.follows('n3', 'n1'))
    await stage.until('n3 is in sync', () => stage.inSync.includes('n3'))
    await stage.writes(5, 'committed')
    await stage.run(4000)
    stage.say('n3 is the only one left')
    stage.pause('n2')
    stage.kill('n1')
    await stage.run(4000)
    await stage.balance()
    assert.is(installsOf(stage, 'n3'), 0)
    assertSameTables(stage.cluster)
  },
}

const powerCut: Scenario = {
  name: 'power-cut-in-the-switch',
  title: 'The record of a switch is written and not yet durable when the power fails.',
  lesson: 'Nothing is joined or acknowledged on the strength of a record that the disk may not '
    + 'have: the member would be listed in sync, and have nothing.',
  run: async (begin) => {
    const stage = await begin()
    await installed(stage, 'n2', 'n3')
    await stage.handOver('n2')
    await checkpoint(stage, 'n1')
    lateAnswers(stage, 'n2', 'n3')
    await wiped(stage, 'n3')
    await slowSyncs(stage, 'n3')
    await stage.run(2000)
    stage.network.faults = () => undefined
    stage.powerCut('n3')
    stage.loseStore('n3')
    stage.kill('n1')
    stage.kill('n2')
    stage.cluster.node('n3').diskDelayMs = null
    stage.start('n3')
    await stage.run(4000)
    await stage.balance()
    assertSameTables(stage.cluster)
  },
}

const formerFloor: Scenario = {
  name: 'floor-of-the-log-before',
  title: 'How far a log was committed is written in the flush in which the log is replaced.',
  lesson: 'A floor that is higher than the end of its log means that entries are missing: the next '
    + 'start would take the new log for damaged.',
  run: async (begin) => {
    const stage = await begin()
    await checkpoint(stage, 'n2')
    lateAnswers(stage, 'n1', 'n3')
    await stage.writes(4, 'committed')
    const { log, context: { commits, floors } } = stage.at('n3').member
    await stage.until('n3 knows that all is committed',
      () => log.commitSequence === stage.end('n1').sequence)
    damage(stage, 'n3')
    await slowSyncs(stage, 'n3')
    stage.say('a flush begins, and the floor of n3 is due before it ends')
    void commits.submit({ type: 'confirm' })
    floors.note(log)
    await stage.run(200)
    floors.stop()
    stage.network.faults = lost('n1', 'n3', 'wal')
    await stage.until('n3 is installed', () => installsOf(stage, 'n3') === 1)
    stage.cluster.node('n3').diskDelayMs = null
    stage.kill('n3')
    stage.network.faults = () => undefined
    stage.start('n3')
    await stage.until('n3 follows', () => stage.follows('n3', 'n1'))
    assert.is(installsOf(stage, 'n3'), 1, 'I15: it was installed once')
    await stage.balance()
    assertSameTables(stage.cluster)
  },
}

const killedBetween: Scenario = {
  name: 'kill-between-record-and-store',
  title: 'A member is killed after the record of its switch, before its store is switched.',
  lesson: 'Store and journal say how often they were replaced. A store of the former log may have '
    + 'more entries than the new one: that says nothing.',
  run: async (begin) => {
    const stage = await begin()
    await checkpoint(stage, 'n2')
    await stage.writes(4, 'committed')
    const n3 = stage.cluster.node('n3')
    damage(stage, 'n3')
    stage.say('n3 is killed when its store is to be switched')
    n3.crash = { port: 'store', operation: 'adopt', calls: 1, moment: 'before',
      die: () => stage.kill('n3') }
    await stage.until('n3 is dead', () => n3.life === null)
    stage.start('n3')
    await stage.until('n3 follows', () => stage.follows('n3', 'n1'))
    assert.is(stage.at('n3').member.damage, null)
    assert.is(installsOf(stage, 'n3'), 1, 'I15: it was installed once')
    await stage.balance()
    assertSameTables(stage.cluster)
  },
}

export const installScenarios: readonly Scenario[] = [
  listedMember,
  oldCheckpoint,
  anotherAnswer,
  powerCut,
  formerFloor,
  killedBetween,
]
