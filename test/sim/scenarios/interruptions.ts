/** Deaths and operators' commands while a fork is reconciled. */
import * as assert from 'uvu/assert'
import { Forks, isBringing, store } from './forkKit.js'
import { lost } from './network.js'
import type { Scenario } from './scenario.js'
import type { Stage } from './stage.js'

/** The primary dies; resolves when another one is primary, in a later epoch. */
async function failOver(stage: Stage, thenStart = true): Promise<string> {
  const { primary, record: { epoch } } = stage
  stage.kill(primary)
  await stage.until('another is primary', () =>
    stage.isPrimary(stage.primary, epoch + 1)
    && stage.primary !== primary && stage.cluster.primary() !== null, 6000)
  if (thenStart) stage.start(primary)
  return primary
}

/** More than two slices. */
const manyWrites = 300

async function eachOnce(forks: Forks, expected: number): Promise<void> {
  await forks.closed()
  const places = await forks.places()
  const count = places.filter((place) => place === 'merged').length
  assert.is(count, expected, `forks: ${count} of ${expected} were reconciled`)
  for (const node of forks.stage.members) assert.equal(await forks.salvages(node), [])
}

const betweenSlices: Scenario = {
  name: 'failover-between-two-slices',
  title: 'The primary dies when it has taken the first slice of a salvage.',
  lesson: 'The next primary knows by their origin which writes have come: the member begins again, '
    + 'and nothing comes twice.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const operations = Array.from({ length: manyWrites }, (_, index) => store(`f${index}`))
    const { old } = await forks.leaveBehind(operations)
    let slices = 0
    stage.network.faults = (message) => {
      if (!isBringing('slice', message)) return undefined
      slices += 1
      return slices > 1 ? 'lost' : undefined
    }
    stage.start(old)
    await stage.until('a second slice is sent', () => slices > 1, 3000)
    stage.network.faults = () => undefined
    await failOver(stage)
    await eachOnce(forks, manyWrites)
  },
}

const memberBetweenSlices: Scenario = {
  name: 'death-between-two-slices',
  title: 'The member dies when the first slice of its salvage is taken, and comes back.',
  lesson: 'A salvage is taken when all of it is in the log: till then its report stays open.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const operations = Array.from({ length: manyWrites }, (_, index) => store(`f${index}`))
    const { old } = await forks.leaveBehind(operations)
    let slices = 0
    stage.network.faults = (message) => {
      if (!isBringing('slice', message)) return undefined
      slices += 1
      return slices > 1 ? 'lost' : undefined
    }
    stage.start(old)
    await stage.until('a second slice is sent', () => slices > 1, 3000)
    stage.kill(old)
    stage.start(old)
    await stage.until('it is offered again', () => forks.uploadState(old) !== null, 4000)
    await stage.run(300)
    const { outcome, merged } = forks.report(1)
    assert.is(outcome, null, `forks: the report is ${outcome}, with ${merged} of ${manyWrites}`)
    await eachOnce(forks, manyWrites)
  },
}

const beforeTheCommit: Scenario = {
  name: 'failover-before-the-salvage-is-committed',
  title: 'A salvage is taken whole; the primary that has it dies before any other member has.',
  lesson: 'The file goes when its last entry is committed, under the epoch that answered: until '
    + 'then the disk of one primary is all that holds it.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const { old } = await forks.leaveBehind([store('a'), store('b')], ['ka', 'kb'])
    const second = stage.primary
    stage.say('frames are lost from when the salvage is sent')
    stage.network.faults = (message) => {
      if (message.from === old && isBringing('slice', message)) {
        stage.network.faults = lost(second, null, 'wal')
      }
      return undefined
    }
    stage.start(old)
    await stage.until('it is taken', () => forks.hasBeen(old, 'settling'), 3000)
    await stage.run(150)
    assert.is((await forks.salvages(old)).length, 1, 'I6: the salvage is gone, and nothing of it '
      + 'is committed')
    await failOver(stage)
    stage.network.faults = () => undefined
    await eachOnce(forks, 2)
  },
}

const afterTheCommit: Scenario = {
  name: 'death-before-the-salvage-is-removed',
  title: 'The member dies when it is about to remove its salvage, and the primary with it.',
  lesson: 'A salvage that is offered again is known by its writes\' origins: it goes, and nothing '
    + 'comes twice.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const { old } = await forks.leaveBehind([store('a'), store('b')])
    stage.start(old)
    await stage.until('it is taken', () => forks.uploadState(old) === 'settling', 3000)
    stage.cluster.node(old).crash = {
      port: 'disk',
      operation: 'remove',
      calls: 1,
      moment: 'before',
      die: () => stage.kill(old),
    }
    await stage.until('it dies', () => stage.cluster.node(old).life === null, 4000)
    await failOver(stage)
    stage.start(old)
    await stage.until('it is there', () => stage.cluster.node(old).life?.actor.context !== null)
    assert.is((await forks.salvages(old)).length, 1, 'it died before the file went')
    await eachOnce(forks, 2)
  },
}

const deathInEachState: Scenario = {
  name: 'death-in-each-state-of-a-reconciliation',
  title: 'A member with a salvage dies in each state of bringing it home.',
  lesson: 'Each step may be done again: the file stays until what it holds is committed.',
  run: async (begin) => {
    for (const state of ['waiting', 'offering', 'merging', 'settling', 'releasing']) {
      const forks = new Forks(await begin())
      const { stage } = forks
      const { old } = await forks.leaveBehind([store('a'), store('b')])
      // So long that no state is over before it is seen.
      stage.network.faults = ({ kind }) => (['ack', 'answer'].includes(kind) ? 5 : undefined)
      stage.start(old)
      await stage.until(`it is ${state}`, () => forks.hasBeen(old, state), 4000)
      stage.kill(old)
      stage.start(old)
      await eachOnce(forks, 2)
    }
  },
}

const held: Scenario = {
  name: 'salvage-that-waits-for-a-command',
  title: 'A space takes salvages by command only, or not at all.',
  lesson: 'Its report stays open and says where the salvage waits; a command, or another setting, '
    + 'has it taken.',
  run: async (begin) => {
    const forks = new Forks(await begin({ settings: { reconcile: 'manual' } }))
    const { stage } = forks
    const { old } = await forks.leaveBehind([store('a')])
    stage.start(old)
    await stage.until('it is held', () => forks.uploadState(old) === 'held', 4000)
    await stage.cluster.converged()
    assert.equal(await forks.places(), ['salvaged'])
    assert.is((await forks.fate(forks.left[0]!)).fate, 'salvaged')
    await failOver(stage)
    await stage.until('it is offered to the next one', () =>
      forks.uploadState(old) === 'held'
      && forks.report(1).salvages.some(({ state }) => state === 'waiting'), 6000)
    assert.is(forks.report(1).outcome, null, 'forks: a report is closed and a salvage waits')
    await forks.succeeds(stage.primary, { type: 'setSpace', settings: { reconcile: 'off' } })
    await stage.run(500)
    const refused = await forks.command(old, { type: 'reconcile' })
    assert.is(refused['code'], 'INVALID_OPERATION', JSON.stringify(refused))
    assert.equal(await forks.places(), ['salvaged'])
    await forks.succeeds(stage.primary, { type: 'setSpace', settings: { reconcile: 'manual' } })
    await stage.until('it is known',
      () => stage.at(old).member.known.record?.assignment.settings.reconcile === 'manual', 3000)
    await forks.succeeds(old, { type: 'reconcile' })
    await eachOnce(forks, 1)
  },
}

const ownSalvage: Scenario = {
  name: 'salvage-of-the-primary-itself',
  title: 'The member with a salvage that waits becomes the primary.',
  lesson: 'A primary uploads its own salvages as any member does.',
  run: async (begin) => {
    const forks = new Forks(await begin({ settings: { reconcile: 'manual' } }))
    const { stage } = forks
    const { old } = await forks.leaveBehind([store('a')])
    stage.start(old)
    await stage.until('it is held', () =>
      forks.uploadState(old) === 'held'
      && stage.inSync.length === 3, 4000)
    await stage.handOver(old)
    assert.is(forks.report(1).outcome, null)
    await forks.succeeds(old, { type: 'setSpace', settings: { reconcile: 'automatic' } })
    await forks.succeeds(old, { type: 'reconcile' })
    await eachOnce(forks, 1)
    assert.is(stage.primary, old)
  },
}

const damaged: Scenario = {
  name: 'damaged-salvage',
  title: 'A bit of one of two salvages has flipped.',
  lesson:
    'A file that cannot be read is reported, and no report of its node is closed until somebody has '
    + 'looked at the file: it may hold writes of any epoch. The other one is reconciled all the same.',
  run: async (begin) => {
    const forks = new Forks(await begin({ settings: { reconcile: 'manual' } }))
    const { stage } = forks
    const first = await forks.leaveBehind([store('a')])
    stage.start(first.old)
    await stage.until('it is in sync', () =>
      stage.inSync.length === 3
      && forks.uploadState(first.old) === 'held', 5000)
    await stage.handOver(first.old)
    const { epoch } = stage.record
    const second = await forks.leaveBehind([store('b')])
    assert.is(second.old, first.old, 'one node has both')
    const { disk } = stage.cluster.node(first.old)
    const [file] = disk.paths('/data/salvage')
    stage.say('a bit of the first salvage flips')
    const flip = () => disk.flipBit(file!, disk.bytesOf(file!).length - 20, 3)
    flip()
    stage.start(first.old)
    await stage.until('it follows', () => stage.follows(first.old, stage.primary), 4000)
    await forks.succeeds(stage.primary, { type: 'setSpace', settings: { reconcile: 'automatic' } })
    await stage.until('the other one is home', () => forks.report(epoch).merged === 1, 15_000)
    await stage.until('it is reported', () => forks.uploadState(first.old) === 'unusable', 4000)
    assert.ok(forks.alerts('salvageUnusable') > 0)
    await stage.calm()
    await forks.level()
    assert.is(forks.report(1).outcome, null,
      `forks: the report is ${forks.report(1).outcome} (${forks.report(1).reason}), and a salvage `
        + 'cannot be read')
    assert.equal(await forks.places(forks.left.slice(1)), ['merged'])
    assert.is(forks.report(epoch).outcome, null)
    assert.is((await forks.salvages(first.old)).length, 1)
    await forks.succeeds(stage.primary, { type: 'closeFork', epoch: 1 })
    await stage.until('it is given up', () => forks.report(1).outcome === 'dismissed')
    stage.say('somebody mends the file')
    flip()
    await stage.until('the other report is closed',
      () => forks.report(epoch).outcome === 'reconciled', 65_000)
    assert.is(forks.report(1).merged, 1)
  },
}

const settingsInFlight: Scenario = {
  name: 'settings-change-while-the-set-changes',
  title: 'An operator changes the settings while a change of the in-sync set is in flight.',
  lesson: 'One change of the record is in flight at a time, and neither undoes the other.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    stage.say('the arbiter is slow to answer n1')
    stage.arbiter.hindrances = (
      { node, operation },
    ) => (node === 'n1' && operation === 'compareAndSet'
      ? { beforeMs: 150, afterMs: 150 }
      : undefined)
    stage.kill('n3')
    await stage.until('n3 is to be taken off',
      () =>
        stage.at('n1').roleState.state.includes('hrinking')
        || stage.cluster.node('n1').log.some(({ message }) =>
          /n3/.test(message)
          && /primary: /.test(message)
        ), 3000)
    const settings = { maxLoss: { entries: 100 }, reconcile: 'manual' }
    await forks.succeeds('n1', { type: 'setSpace', settings })
    await stage.until('both are in the record', () =>
      stage.inSync.length === 2
      && stage.record.settings.reconcile === 'manual', 5000)
    assert.equal(stage.record.settings.maxLoss, { entries: 100 })
    assert.is(stage.record.epoch, 1)
    stage.arbiter.hindrances = () => undefined
    stage.start('n3')
    await stage.balance()
    assert.is(stage.record.settings.reconcile, 'manual')
  },
}

export const interruptionScenarios: readonly Scenario[] = [
  betweenSlices,
  memberBetweenSlices,
  beforeTheCommit,
  afterTheCommit,
  deathInEachState,
  held,
  ownSalvage,
  damaged,
  settingsInFlight,
]
