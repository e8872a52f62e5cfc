/** Writes of a fork that meet others when they are reconciled: concurrent ones, later ones. */
import * as assert from 'uvu/assert'
import { activate, Forks, isBringing, keyed, link, originOf, store } from './forkKit.js'
import type { Scenario } from './scenario.js'

const stronger: Scenario = {
  name: 'concurrent-writes',
  title: 'A fork is reconciled with a log in which the same things were changed meanwhile.',
  lesson: 'Between concurrent writes the higher confidence or weight wins, then the later one; an '
    + 'activation is weighed against an activation, or, by age, against the node that was stored. '
    + 'The write that loses is kept in the quarantine, and nobody is overwritten silently.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    await forks.write([store('n', { activation: 0.1 }), store('m', { activation: 0.1 })], {
      'Engram-Ack': 'committed',
    })
    const { old, answers } = await forks.leaveBehind([
      store('weak', { confidence: 0.1, content: 'fork' }),
      store('strong', { confidence: 0.9, content: 'fork' }),
      store('even', { confidence: 0.5, content: 'fork' }),
      link('a', 'light', 0.1),
      link('a', 'heavy', 0.9),
      activate('n', 0.2),
      activate('m', 0.2),
    ])
    await stage.run(5)
    const live = []
    for (const id of ['weak', 'strong', 'even']) {
      live.push(await forks.write(store(id, { confidence: 0.5, content: 'live' })))
    }
    live.push(await forks.write(link('a', 'light', 0.5)))
    live.push(await forks.write(link('a', 'heavy', 0.5)))
    live.push(await forks.write(activate('n', 0.3)))
    live.push(await forks.write(store('m', { activation: 0.4, content: 'stored later' })))
    stage.start(old)
    await forks.closed()
    assert.equal(await forks.places(), ['quarantined', 'merged', 'quarantined', 'quarantined',
      'merged', 'quarantined', 'quarantined'], 'forks: the rule decides')
    for (const [id, content] of [['weak', 'live'], ['strong', 'fork'], ['even', 'live']] as const) {
      assert.is((await forks.node(id))?.content, content, `forks: the rule decides: ${id}`)
    }
    assert.is((await forks.edge('a', 'light'))?.weight, 0.5)
    assert.is((await forks.edge('a', 'heavy'))?.weight, 0.9)
    assert.is((await forks.node('n'))?.activation, 0.3)
    assert.is((await forks.node('m'))?.activation, 0.4)
    const kept = (await forks.quarantine()).map(({ id }) => id)
    const expected = [...answers.filter((_, index) => ![1, 4].includes(index)),
      ...live.filter((_, index) => [1, 4].includes(index))]
    assert.equal(kept, expected.map(({ epoch, sequence }) => `${epoch}-${sequence}`),
      'forks: whoever lost is in the quarantine')
    assert.is((await forks.fate(live[1]!)).fate, 'quarantined')
    assert.is(forks.alerts('quarantined') > 0, true)
  },
}

const pending: Scenario = {
  name: 'conflict-with-what-is-being-written',
  title: 'A slice arrives while a client\'s write of the same node is on its way to the disk.',
  lesson: 'A write that is taken and not durable yet is in the log before the write that '
    + 'is reconciled: it counts.',
  run: async (begin) => {
    const forks = new Forks(await begin({ fsyncMs: 8 }))
    const { stage } = forks
    const { old } = await forks.leaveBehind([store('a', { confidence: 0.2, content: 'fork' })])
    stage.network.faults = (message) => (isBringing('slice', message) ? 'held' : undefined)
    stage.start(old)
    await stage.until('a slice is sent', () => stage.network.waiting.length > 0, 3000)
    stage.say('a client writes the same node; the slice arrives before that is durable')
    const written = forks.write(store('a', { confidence: 0.8, content: 'live' }))
    await stage.run(1)
    stage.network.release()
    stage.network.faults = () => undefined
    await written
    await forks.closed()
    assert.equal(await forks.places(), ['quarantined'],
      'forks: what is being written counts as standing there')
    assert.is((await forks.node('a'))?.content, 'live')
  },
}

const ownSuccessors: Scenario = {
  name: 'superseded-in-its-own-fork',
  title: 'A client sends the latest of its writes again, the salvage brings those before it.',
  lesson: 'A write is based on all that is before it in its fork: it never takes the place of what '
    + 'came after it, whichever is brought first.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    await forks.write(store('b', { content: 'first' }), { 'Engram-Ack': 'committed' })
    const { old, answers } = await forks.leaveBehind([
      store('a', { confidence: 0.9, content: 'first' }),
      store('b', { content: 'second' }),
      store('a', { confidence: 0.1, content: 'second' }),
    ], ['k1', 'k2', 'k3'])
    const again = await forks.write(store('a', { confidence: 0.1, content: 'second' }), {
      ...keyed('k3'),
      ...originOf(answers[2]!),
    })
    assert.is(again.duplicate, false)
    stage.start(old)
    await forks.closed()
    assert.equal(await forks.places(), ['superseded', 'merged', 'merged'],
      'forks: what came later in the same fork stays')
    assert.is((await forks.node('a'))?.content, 'second')
    assert.is((await forks.node('b'))?.content, 'second', 'it was based on the first')
    assert.equal(await forks.quarantine(), [], 'forks: nobody lost against a concurrent write')
  },
}

const resentTooLate: Scenario = {
  name: 'sent-again-over-a-newer-write',
  title: 'A client sends a write of a fork again, over a stronger one that another has written '
    + 'meanwhile.',
  lesson: 'A write that is sent again is judged as one that a salvage brings: it is as old as it '
    + 'was.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const { old, answers } = await forks.leaveBehind([
      store('a', { confidence: 0.2, content: 'fork' }),
      store('b', { content: 'fork' }),
    ], ['ka', 'kb'])
    await stage.run(5)
    await forks.write(store('a', { confidence: 0.7, content: 'live' }))
    await forks.write(store('b', { content: 'live' }))
    for (const [index, id] of ['a', 'b'].entries()) {
      const over = index === 0 ? { confidence: 0.2 } : {}
      await forks.write(store(id, { ...over, content: 'fork' }), { ...keyed(`k${id}`),
        ...originOf(answers[index]!) })
    }
    for (const id of ['a', 'b']) {
      assert.is((await forks.node(id))?.content, 'live',
        `forks: ${id}, sent again, took the place of a newer write`)
    }
    stage.start(old)
    await forks.closed()
    assert.equal(await forks.places(), ['quarantined', 'quarantined'])
  },
}

const quarantine: Scenario = {
  name: 'quarantine-over-a-failover',
  title: 'An operator applies one write from the quarantine and gives another one up; then the '
    + 'primary dies.',
  lesson: 'The quarantine is made of log entries as all else is: the next primary has the same.',
  run: async (begin) => {
    const forks = new Forks(await begin())
    const { stage } = forks
    const { old, answers } = await forks.leaveBehind(
      ['a', 'b', 'c'].map((id) => store(id, { confidence: 0.1, content: 'fork' })),
    )
    for (const id of ['a', 'b', 'c']) {
      await forks.write(store(id, { confidence: 0.5, content: 'live' }))
    }
    stage.start(old)
    await forks.closed()
    const [a, b, c] = answers.map(({ epoch, sequence }) => `${epoch}-${sequence}`)
    assert.equal((await forks.quarantine()).map(({ id }) => id), [a, b, c])
    await forks.succeeds(stage.primary, { type: 'applyQuarantined', id: a })
    await forks.succeeds(stage.primary, { type: 'discardQuarantined', id: b })
    await stage.cluster.converged()
    const { epoch } = stage.record
    stage.kill(stage.primary)
    await stage.until('another is primary', () =>
      stage.isPrimary(stage.primary, epoch + 1)
      && stage.cluster.primary() !== null, 5000)
    await stage.until('and has applied it', () => forks.reports().length === 2)
    assert.equal((await forks.quarantine()).map(({ id }) => id), [c])
    assert.is((await forks.node('a'))?.content, 'fork')
    assert.is((await forks.node('b'))?.content, 'live')
    const { merged, quarantined, discarded } = forks.report(1)
    assert.equal([merged, quarantined, discarded], [1, 1, 1])
    for (const [type, id] of [['applyQuarantined', a], ['discardQuarantined', b]]) {
      const twice = await forks.command(stage.primary, { type, id })
      assert.is(twice['code'], 'INVALID_OPERATION', JSON.stringify(twice))
    }
    await forks.succeeds(stage.primary, { type: 'discardQuarantined', id: c })
    await forks.closed()
    assert.equal(await forks.quarantine(), [])
    assert.is((await forks.fate(answers[0]!)).via, 'quarantine')
    assert.is((await forks.fate(answers[1]!)).fate, 'superseded')
  },
}

export const conflictScenarios: readonly Scenario[] = [
  stronger,
  pending,
  ownSuccessors,
  resentTooLate,
  quarantine,
]
