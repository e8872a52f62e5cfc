/** Nodes that were taken out with entries that nobody else has, and are added again. */
import * as assert from 'uvu/assert'
import { Forks, store } from './forkKit.js'
import { fourNodes, membersAre, orders } from './memberKit.js'
import type { Scenario } from './scenario.js'

const forkAddedAgain: Scenario = {
  name: 'learner-with-a-fork',
  title: 'A primary dies with writes that it alone has, is taken out, and is added again.',
  lesson: 'The old log of a learner is like that of any member that was away: what goes beyond the '
    + 'common point is salvaged before it is cut, and reconciled.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const { old } = await forks.leaveBehind([store('a'), store('b')])
    await orders(stage, { remove: old, force: true })
    await membersAre(stage, 'n2', 'n3')
    stage.start(old)
    await stage.writeOn(1000, 100, 'committed')
    assert.is(forks.report(1).outcome, null, 'I6: the report is closed before the fork was seen')
    await orders(stage, { add: old })
    await membersAre(stage, 'n1', 'n2', 'n3')
    await forks.closed()
    assert.equal(await forks.places(), ['merged', 'merged'])
    assert.is(forks.report(1).outcome, 'reconciled')
    await stage.balance()
  },
}

const otherDisk: Scenario = {
  name: 'learner-with-another-disk',
  title: 'A learner has everything, and loses its disk while it is taken in; it comes back with '
    + 'another one.',
  lesson:
    'A session counts for the disk that it began with, and the record lists that one: another '
    + 'is in sync with nothing.',
  run: async (begin) => {
    const stage = await fourNodes(begin)
    stage.say('n1 cannot take n4 in')
    stage.arbiter.hindrances = ({ node, next }) =>
      node === 'n1' && next?.members.length === 4 ? 'unreachable' : undefined
    await orders(stage, { add: 'n4' })
    await stage.until('n4 has all', () =>
      stage.cluster.node('n4').life?.actor.spaces
        .get(stage.space)?.member.log.durable.sequence === stage.end('n1').sequence)
    stage.kill('n4')
    stage.replaceDisk('n4')
    await stage.run(300)
    stage.arbiter.hindrances = () => undefined
    await membersAre(stage, 'n1', 'n2', 'n3', 'n4')
    await stage.until('n4 is out of sync', () => stage.inSync.length === 3)
    await stage.run(3000)
    stage.start('n4')
    await stage.calm()
    const listed = stage.record.members.find(({ node }) => node === 'n4')
    assert.is(listed?.disk, stage.cluster.node('n4').actor.disk,
      'I4: n4 is listed with a disk that it does not have')
    await stage.balance()
  },
}

export const memberForkScenarios: readonly Scenario[] = [forkAddedAgain, otherDisk]
