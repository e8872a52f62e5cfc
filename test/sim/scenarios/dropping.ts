/** Spaces that an operator drops: what goes, what stays, and whatever fails meanwhile. */
import * as assert from 'uvu/assert'
import { framesAfter } from '../../../actors/forks/salvageSlices.js'
import type { CrashPoint } from '../../support/simNode.js'
import type { Begin, Scenario } from './scenario.js'
import type { Stage } from './stage.js'

async function command(stage: Stage, node: string, order: object): Promise<void> {
  const answer = await stage.cluster.command(node, { space: stage.space, by: 'ann', ...order })
  if (answer['ok'] !== true) throw new Error(JSON.stringify({ order, answer }))
}

async function drop(stage: Stage, node: string): Promise<void> {
  stage.say(`an operator drops the space at ${node}`)
  await command(stage, node, { type: 'dropSpace' })
  assert.is(stage.record.state, 'dropped')
}

/** What the node has of the space, in words; empty: nothing. */
async function left(stage: Stage, node: string, uuid: string): Promise<string[]> {
  const { life } = stage.cluster.node(node)
  const context = life?.actor.context
  if (!life || !context) return ['it does not run']
  const { journal, store } = context.ports
  const names = await stage.cluster.node(node).salvageFiles.names()
  return [
    ...(life.actor.spaces.get(stage.space)?.member.uuid === uuid ? ['a role'] : []),
    ...(journal.log(uuid) ? ['a log'] : []),
    ...(store.has(uuid) ? ['a state'] : []),
    ...names.filter((name) => name.includes(uuid.slice(0, 8))),
  ]
}

async function gone(stage: Stage, uuid: string, nodes = ['n1', 'n2', 'n3'], maxMs = 6000) {
  for (const node of nodes) {
    let rest: string[] = []
    for (let ms = 0; ms <= maxMs; ms += 20) {
      rest = await left(stage, node, uuid)
      if (rest.length === 0) break
      await stage.run(20)
    }
    assert.equal(rest, [], `drop: ${node} still has ${rest.join(', ')}`)
  }
}

/** The data of that space is on the node as it was: it was never dropped. */
async function kept(stage: Stage, node: string, uuid: string): Promise<void> {
  const { journal, store } = stage.cluster.node(node).actor.context!.ports
  assert.ok(journal.log(uuid) && store.has(uuid), `I6: ${node} gave up data that nobody dropped`)
}

/** The same, and an alert says so. */
async function unclaimed(stage: Stage, node: string, uuid: string): Promise<void> {
  await kept(stage, node, uuid)
  const isSaid = stage.cluster.node(node).log.some(({ fields }) =>
    (fields as { kind?: string }).kind === 'spaceUnclaimed'
  )
  assert.ok(isSaid, `drop: ${node} says that no record claims its data`)
}

/** Another space of that name, which serves; its log and writes are what counts from now on. */
async function createAgain(stage: Stage): Promise<void> {
  stage.say('a new space gets the name')
  stage.cluster.acknowledged.length = 0
  await stage.cluster.createSpace({ replicas: 2 })
  await stage.until('all are in sync', () => stage.inSync.length === 3, 5000)
  await stage.writes(3, 'committed')
}

const underLoad: Scenario = {
  name: 'drop-under-load',
  title: 'A space is dropped while clients write; the arbiter\'s answer to its primary is late.',
  lesson: 'The primary writes the tombstone, and acknowledges nothing from the moment at which it '
    + 'is sent: what is acknowledged later would be removed a moment after.',
  run: async (begin) => {
    const stage = await begin()
    const { uuid } = stage.record
    stage.arbiter.hindrances = (
      { next },
    ) => (next?.state === 'dropped' ? { afterMs: 150 } : undefined)
    stage.say('clients write; an operator drops the space at n2')
    const answer = command(stage, 'n2', { type: 'dropSpace' })
    await stage.writeOn(600, 3)
    await answer
    assert.is(stage.record.writer, 'n1', 'the primary wrote the tombstone')
    assert.equal(stage.judge.answered.length, 0, 'drop: answered positively after the tombstone')
    await gone(stage, uuid)
    await createAgain(stage)
    await stage.balance()
  },
}

const primaryDies: Scenario = {
  name: 'drop-and-the-primary-dies',
  title: 'The primary dies when it is about to write the tombstone, and once when it just has.',
  lesson: 'Any node writes the tombstone when the primary does not answer. If both do, one of them '
    + 'finds that it is there.',
  run: async (begin) => {
    for (const moment of ['before', 'after'] as const) {
      const stage = await begin()
      const { uuid } = stage.record
      stage.arbiter.hindrances = ({ node, next }) => {
        if (node !== 'n1' || next?.state !== 'dropped') return undefined
        if (moment === 'after') return { afterMs: 100 }
        stage.kill('n1')
        return 'unreachable'
      }
      const answer = drop(stage, 'n2')
      await stage.until('it is dropped', () => stage.record.state === 'dropped', 5000)
      if (moment === 'after') stage.kill('n1')
      await answer
      await gone(stage, uuid, ['n2', 'n3'])
      await stage.run(1000)
      assert.is(stage.cluster.primary(), null, 'drop: nobody is promoted')
      stage.start('n1')
      await gone(stage, uuid)
    }
  },
}

const away: Scenario = {
  name: 'drop-while-a-member-is-away',
  title: 'A member is away when its space is dropped, and returns while the arbiter is away.',
  lesson:
    'A member removes its data when it has read itself that its space was dropped: an arbiter '
    + 'that does not answer, or a record that is not there, says nothing.',
  run: async (begin) => {
    const stage = await begin()
    const { uuid } = stage.record
    stage.kill('n3')
    await drop(stage, 'n2')
    await gone(stage, uuid, ['n1', 'n2'])
    stage.say('n3 does not reach the records of spaces')
    stage.arbiter.hindrances = ({ node, key }) =>
      node === 'n3' && key.startsWith('space.') ? 'unreachable' : undefined
    stage.start('n3')
    await stage.run(5000)
    await kept(stage, 'n3', uuid)
    stage.arbiter.hindrances = () => undefined
    await gone(stage, uuid)
    await createAgain(stage)
    await stage.balance()
  },
}

const usedAgain: Scenario = {
  name: 'name-used-again',
  title: 'A name is dropped and used again, twice, while a member of the first space is away.',
  lesson: 'The record of a space lists those that had its name before and were dropped. By it a '
    + 'member that was away knows that its own is over, and it keeps its hands off the new one.',
  run: async (begin) => {
    const stage = await begin()
    const first = stage.record.uuid
    stage.kill('n3')
    await drop(stage, 'n1')
    await gone(stage, first, ['n1', 'n2'])
    await stage.run(1000)
    await command(stage, 'n1', { type: 'createSpace', replicas: 1 })
    await stage.until('it serves', () => stage.cluster.primary() !== null)
    await stage.writes(3, 'committed')
    const second = stage.record.uuid
    await drop(stage, 'n2')
    await gone(stage, second, ['n1', 'n2'])
    await command(stage, 'n1', { type: 'createSpace', replicas: 1 })
    await stage.until('it serves', () => stage.cluster.primary() !== null)
    const third = stage.record.uuid
    await stage.writes(3, 'committed')
    stage.start('n3')
    await gone(stage, first)
    assert.equal(stage.record.formerly, [first, second])
    await stage.run(3000)
    for (const node of stage.members) await kept(stage, node, third)
    await stage.writes(3, 'committed')
  },
}

/** The arbiter loses everything; a node that never knew the space creates one of its name. */
async function wipedThenCreated(begin: Begin, isDropped = false) {
  const stage = await begin({ nodes: ['n1', 'n2', 'n3', 'n4'], replicas: 3 })
  await command(stage, 'n1', { type: 'dropSpace' })
  await gone(stage, stage.record.uuid, ['n1', 'n2', 'n3', 'n4'])
  const answer = await stage.cluster.command('n1', { type: 'createSpace', space: 'teams' })
  assert.is(answer['ok'], true)
  await stage.until('all are in sync', () => stage.inSync.length === 3, 5000)
  await stage.writes(5, 'committed')
  const { uuid, members } = stage.record
  const mine = members.map(({ node }) => node)
  const stranger = ['n1', 'n2', 'n3', 'n4'].find((node) => !mine.includes(node))!
  stage.say('the arbiter loses its records, and the members do not reach it for a while')
  stage.arbiter.hindrances = ({ node, key }) =>
    mine.includes(node) && key.startsWith('space.') ? 'unreachable' : undefined
  stage.cluster.bucket.wipe()
  stage.kill(stranger)
  stage.cluster.node(stranger).replaceDisk()
  stage.start(stranger)
  await stage.until('it runs', () => {
    const peers = stage.cluster.node(stranger).life?.actor.context?.peers
    return peers?.living().length === 4
  })
  await stage.run(500)
  stage.say(`a space of the same name is created at ${stranger}`)
  await command(stage, stranger, { type: 'createSpace', replicas: 3 })
  assert.is.not(stage.record.uuid, uuid)
  if (isDropped) await drop(stage, stranger)
  stage.arbiter.hindrances = () => undefined
  stage.judge.forget()
  stage.cluster.acknowledged.length = 0
  return { stage, uuid, mine }
}

const wiped: Scenario = {
  name: 'bucket-wiped-then-created',
  title: 'The arbiter loses its records, and a new space gets the name of one that was lost.',
  lesson: 'A record of another space that does not name the own one is no drop. The members of the '
    + 'old space stop serving, since two spaces cannot share the subjects of one name; their data '
    + 'stays, and an alert says so. It stays even when the new space is dropped.',
  run: async (begin) => {
    const { stage, uuid, mine } = await wipedThenCreated(begin)
    await stage.until('the new space serves', () => {
      const served = stage.cluster.primary()?.space().member.uuid
      return served !== undefined && served !== uuid
    }, 3000)
    await stage.until('and all are in sync', () => stage.inSync.length === 4, 8000)
    await stage.writes(3, 'committed')
    for (const node of mine) await unclaimed(stage, node, uuid)
    await stage.balance()
    await drop(stage, 'n1')
    await stage.run(3000)
    for (const node of mine) await kept(stage, node, uuid)
  },
}

const wipedThenDropped: Scenario = {
  name: 'bucket-wiped-then-dropped',
  title: 'The arbiter loses its records; a new space gets the name of one that was lost, and is '
    + 'dropped before the members of the lost one hear of it.',
  lesson: 'A tombstone ends the space of its uuid, and no other one that had the name.',
  run: async (begin) => {
    const { stage, uuid, mine } = await wipedThenCreated(begin, true)
    await stage.run(8000)
    for (const node of mine) await unclaimed(stage, node, uuid)
    assert.is(stage.cluster.primary(), null, 'drop: the lost space is not served')
  },
}

const lostTombstone: Scenario = {
  name: 'tombstone-that-the-arbiter-loses',
  title:
    'A member has seen the tombstone of its space; the arbiter loses it before the member acts.',
  lesson:
    'The record is read once more right before the data goes. What is not there any more says '
    + 'nothing, and the space does not come back either: an operator drops it again.',
  run: async (begin) => {
    const stage = await begin()
    const { uuid } = stage.record
    let reads = 0
    stage.arbiter.hindrances = ({ node, operation, key }) => {
      if (node !== 'n3' || operation !== 'read' || key !== 'space.teams') return undefined
      if (stage.cluster.record()?.state !== 'dropped') return undefined
      reads += 1
      return reads > 1 ? 'unreachable' : undefined
    }
    await drop(stage, 'n1')
    await gone(stage, uuid, ['n1', 'n2'])
    await kept(stage, 'n3', uuid)
    await stage.until('n3 has seen it', () => reads > 1, 6000)
    stage.say('the arbiter loses its records')
    stage.cluster.bucket.wipe()
    stage.arbiter.hindrances = () => undefined
    await stage.run(8000)
    await kept(stage, 'n3', uuid)
    assert.is(stage.cluster.record(), null, 'drop: it does not come back')
    await drop(stage, 'n3')
    await gone(stage, uuid)
  },
}

/** Each call of these ports that a member makes for a drop, and somewhat more. */
const points: readonly Omit<CrashPoint, 'die' | 'calls'>[] = [
  { port: 'disk', operation: null, moment: 'before' },
  { port: 'disk', operation: null, moment: 'after' },
  { port: 'store', operation: 'drop', moment: 'before' },
  { port: 'store', operation: 'drop', moment: 'after' },
]
const callsMax = 14

async function withSalvage(stage: Stage, node: string): Promise<void> {
  const { member } = stage.at(node)
  const { uuid, space, self, log } = member
  await stage.cluster.wait(member.context.ports.salvages.save({
    space,
    uuid,
    node: self,
    common: { epoch: 1, sequence: 1 },
    end: log.end,
    joinedEpoch: 1,
    savedAtMs: 1,
  }, framesAfter(member, 1, log.end.sequence)))
}

const crashes: Scenario = {
  name: 'crash-between-any-two-steps-of-a-drop',
  title: 'A member that removes a dropped space loses power before and after each of its steps.',
  lesson:
    'The record in the journal comes first, and decides: a start continues with what is left. '
    + 'Without it, the member reads the tombstone again.',
  run: async (begin) => {
    let deaths = 0
    for (const point of points) {
      for (let calls = 1; calls <= callsMax; calls += 1) {
        const stage = await begin({ settings: { reconcile: 'off' } })
        const { uuid } = stage.record
        await withSalvage(stage, 'n3')
        let isDead = false
        stage.cluster.node('n3').crash = {
          ...point,
          calls,
          die: () => {
            isDead = true
            stage.powerCut('n3')
          },
        }
        await drop(stage, 'n1')
        for (let ms = 0; ms < 6000 && !isDead; ms += 20) {
          if ((await left(stage, 'n3', uuid)).length === 0) break
          await stage.run(20)
        }
        stage.cluster.node('n3').crash = null
        if (!isDead) break
        deaths += 1
        stage.start('n3')
        await gone(stage, uuid)
      }
    }
    assert.ok(deaths >= 8, `it died at ${deaths} steps`)
  },
}

export const droppingScenarios: readonly Scenario[] = [
  underLoad,
  primaryDies,
  away,
  usedAgain,
  wiped,
  wipedThenDropped,
  lostTombstone,
  crashes,
]
