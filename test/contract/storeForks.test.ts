/** The Store port: which write made what, and the fork reports. */
import { rm, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { open } from 'lmdb'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SpaceStore } from '../../actors/ports/store.js'
import { strayOriginsMax } from '../../machines/forks/forkReports.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { closedReportsMax } from '../../machines/log/forkNotes.js'
import { prefixEnd, Table, tableKey } from '../../runtime/store/keys.js'
import { openStore } from '../../runtime/store/store.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { draftsArbitrary, firstEpoch, from, ids, logOf, note, opening, placesOf, epochStart,
  salvage, storeEdge, storeNode, update, type Draft } from '../support/forkEntries.js'
import { take } from '../support/lists.js'
import { storeSuite, subjects } from './storeSubjects.js'

/** Applies the drafts where the store's log ends, as one batch. */
async function apply(space: SpaceStore, ...drafts: Draft[]): Promise<void> {
  const { epoch, sequence } = space.applied
  await space.apply(logOf(drafts, { epoch: Math.max(epoch, firstEpoch), sequence }))
}
const plain = (operation: Draft['operation']): Draft => ({ operation })
/** The origin of an entry of the log that is no write of a fork. */
const own = (sequence: number) => ({ epoch: firstEpoch, sequence, timestamp: 1000 + sequence,
  at: sequence })
/** The origin of a write of a fork that is the entry `at`. */
const forked = (epoch: number, sequence: number, at: number) => ({ epoch, sequence,
  timestamp: 100 + sequence, at })
const now = (sequence: number) => ({ epoch: firstEpoch, sequence })

for (const subject of subjects) {
  const test = storeSuite(`store: versions and forks: ${subject.name}`, subject)

  test('starts empty', ({ space }) => {
    assert.equal(space.nodeState('a'), { node: undefined, stored: undefined, activated: undefined })
    assert.is(space.edgeState('a', 'b', 'k'), undefined)
    assert.is(space.origin(1, 1), undefined)
    assert.equal(space.reports(), [])
    assert.equal([space.openReportCount, space.quarantineCount], [0, 0])
    assert.equal(take(space.quarantine(''), 10), [])
    assert.is(space.quarantined('1-1'), undefined)
  })

  test('each entry makes a version; storing a node ends that of its activation', async (context) => {
    const { space } = context
    await apply(space, plain(storeNode('a', 'one', 0.5)), plain(storeEdge('a', 'b', 1)))
    assert.equal(space.nodeState('a'), {
      node: { id: 'a', content: 'one', activation: 0.5 },
      stored: own(1),
      activated: undefined,
    })
    assert.equal(space.edgeState('a', 'b', 'k'), {
      edge: { source: 'a', target: 'b', kind: 'k', weight: 1 },
      version: own(2),
    })
    await apply(space, plain(update('a', 0.25)), plain(update('x', 1)))
    assert.equal(space.nodeState('a'), {
      node: { id: 'a', content: 'one', activation: 0.25 },
      stored: own(1),
      activated: own(3),
    })
    assert.is(space.nodeState('x').node, undefined)
    await apply(space, plain(update('a', 0.75)), from(3, 41, storeEdge('a', 'b', 0)))
    assert.equal(space.nodeState('a').activated, own(5))
    assert.equal(space.edgeState('a', 'b', 'k')!.version, forked(3, 41, 6))
    await apply(space, from(3, 42, storeNode('a', 'two')), from(3, 43, update('a', 1)))
    assert.equal(space.nodeState('a'), {
      node: { id: 'a', content: 'two', activation: 1 },
      stored: forked(3, 42, 7),
      activated: forked(3, 43, 8),
    })
    await apply(space, plain(storeNode('a')))
    assert.equal(space.nodeState('a'), { node: { id: 'a' }, stored: own(9), activated: undefined })
    await context.store.close()
    context.store = await context.reopen()
    assert.equal(context.store.space('u1').edgeState('a', 'b', 'k')!.version, forked(3, 41, 6))
    assert.equal(context.store.space('u1').nodeState('a').stored, own(9))
  })

  test('a superseded or quarantined write has no effect', async ({ space }) => {
    const by = { epoch: firstEpoch, sequence: 1 }
    await apply(space, plain(storeNode('a', 'one')))
    const { digest } = space
    await apply(space,
      from(3, 41, storeNode('a', 'two'), { outcome: 'superseded', by: { epoch: 3, sequence: 42 } }))
    assert.is(space.digest, digest)
    await apply(space, from(3, 42, storeNode('b'), { outcome: 'quarantined', by }),
      from(3, 43, update('x', 1), { outcome: 'quarantined', by, displaces: 'value' }),
      from(3, 44, storeEdge('a', 'b', 1), { outcome: 'quarantined', by }))
    assert.equal([space.nodeCount, space.edgeCount, space.ignoredCount], [1, 0, 0])
    assert.equal(space.nodeState('a'), { node: { id: 'a', content: 'one' }, stored: own(1),
      activated: undefined })
    assert.equal(space.origin(3, 41), {
      outcome: 'superseded',
      via: 'salvage',
      now: now(2),
      by: { epoch: 3, sequence: 42 },
    })
    assert.equal(space.origin(3, 42), { outcome: 'quarantined', via: 'salvage', now: now(3), by })
    assert.is(space.quarantineCount, 3)
    assert.equal(space.quarantined('3-42'), {
      id: '3-42',
      operation: storeNode('b'),
      origin: { epoch: 3, sequence: 42 },
      timestamp: 142,
      since: now(3),
      by,
    })
  })

  for (const isOneBatch of [true, false]) {
    const how = isOneBatch ? 'within a batch' : 'over batches'
    const applyAll = async (space: SpaceStore, ...drafts: Draft[]): Promise<void> => {
      if (isOneBatch) await apply(space, ...drafts)
      else for (const draft of drafts) await apply(space, draft)
    }

    test(`an activation is kept with who set it, ${how}`, async ({ space }) => {
      const keeps = { keepsActivation: true }
      await applyAll(space, plain(storeNode('a', 'one', 0.5)), plain(update('a', 0.25)),
        from(3, 41, storeNode('a', 'two', 1), keeps), from(3, 42, storeNode('a', 'three'), keeps),
        plain(storeNode('b', 'one', 0.5)), from(3, 43, storeNode('b', 'two', 1), keeps),
        plain(update('c', 0.5)), from(3, 44, storeNode('c', 'two'), keeps))
      assert.equal(space.nodeState('a'), {
        node: { id: 'a', content: 'three', activation: 0.25 },
        stored: forked(3, 42, 4),
        activated: own(2),
      })
      assert.equal(space.nodeState('b'), {
        node: { id: 'b', content: 'two', activation: 1 },
        stored: forked(3, 43, 6),
        activated: undefined,
      }, 'an activation of the stored value is no other write')
      assert.equal(space.nodeState('c'), {
        node: { id: 'c', content: 'two' },
        stored: forked(3, 44, 8),
        activated: undefined,
      }, 'an activation without effect is not kept')
    })

    test(`a displaced write goes into the quarantine, ${how}`, async ({ space }) => {
      const value = { displaces: 'value' } as const
      await applyAll(space, plain(storeNode('a', 'one')), plain(update('a', 0.25)),
        plain(storeEdge('a', 'b', 1)), from(3, 41, storeNode('a', 'two'), value),
        plain(update('a', 0.5)), from(3, 42, update('a', 1), { displaces: 'activation' }),
        from(3, 43, storeEdge('a', 'b', 0), value), from(3, 44, storeNode('x'), value),
        from(3, 45, storeEdge('x', 'x', 0), value),
        from(3, 46, update('x', 0.5), { displaces: 'activation' }))
      assert.equal(take(space.quarantine(''), 10), [
        {
          id: `${firstEpoch}-1`,
          operation: storeNode('a', 'one', 0.25),
          origin: now(1),
          timestamp: 1001,
          since: now(4),
          by: { epoch: 3, sequence: 41 },
        },
        {
          id: `${firstEpoch}-3`,
          operation: storeEdge('a', 'b', 1),
          origin: now(3),
          timestamp: 1003,
          since: now(7),
          by: { epoch: 3, sequence: 43 },
        },
        {
          id: `${firstEpoch}-5`,
          operation: update('a', 0.5),
          origin: now(5),
          timestamp: 1005,
          since: now(6),
          by: { epoch: 3, sequence: 42 },
        },
      ])
      assert.equal(space.node('a'), { id: 'a', content: 'two', activation: 1 })
      assert.is(space.origin(firstEpoch, 1), undefined, 'it is no write of a fork')
    })

    test(`a write of a fork that is displaced moves in its report, ${how}`, async ({ space }) => {
      await applyAll(space, epochStart(opening(2), opening(3)), from(2, 11, storeNode('a', 'one')),
        from(2, 12, storeNode('b', 'one'), { via: 'client' }),
        from(3, 21, storeNode('a', 'two'), { displaces: 'value' }))
      assert.equal(counts(space, 2), { resent: 1, merged: 0, superseded: 0, quarantined: 1,
        discarded: 0 })
      assert.equal(counts(space, 3), { resent: 0, merged: 1, superseded: 0, quarantined: 0,
        discarded: 0 })
      assert.equal(space.origin(2, 11), {
        outcome: 'quarantined',
        via: 'salvage',
        now: now(4),
        by: { epoch: 3, sequence: 21 },
      })
      await applyAll(space,
        from(2, 11, storeNode('a', 'one'), { via: 'quarantine', displaces: 'value' }),
        note({ note: 'discarded', id: '3-21' }))
      assert.equal(counts(space, 2), { resent: 1, merged: 1, superseded: 0, quarantined: 0,
        discarded: 0 })
      assert.equal(counts(space, 3), { resent: 0, merged: 0, superseded: 0, quarantined: 0,
        discarded: 1 })
      assert.is(space.quarantineCount, 0)
      assert.is(space.node('a')!.content, 'one')
    })
  }

  test('the quarantine is listed by epoch and sequence, as numbers', async ({ space }) => {
    const lost = { outcome: 'quarantined', by: { epoch: 5, sequence: 1 } } as const
    const places = [[12, 345], [2, 10], [12, 9], [2, 9], [12, 1000]] as const
    await apply(space, ...places.map(([epoch, sequence]) =>
      from(epoch, sequence, storeNode('a'), lost)
    ))
    const list = (after: string, limit: number) =>
      take(space.quarantine(after), limit).map((item) => item.id)
    assert.equal(list('', 10), ['2-9', '2-10', '12-9', '12-345', '12-1000'])
    assert.equal(list('2-10', 2), ['12-9', '12-345'])
    assert.equal(list('11-7', 1), ['12-9'], 'after one that is not there')
    assert.equal(list('12-1000', 5), [])
    assert.equal(list('', 0), [])
    assert.equal(list('x', 5), [])
    assert.is(space.quarantined('2-09'), undefined)
    assert.is(space.quarantined('2-9')!.origin.sequence, 9)
  })

  test('reports, items and origins outlast a restart', async (context) => {
    const { space } = context
    await apply(space, epochStart(opening(3, 40), opening(4)),
      note({ note: 'salvaged', salvage: salvage('s1', 'n1', 3) }), from(3, 41, storeNode('a')),
      from(3, 42, storeNode('b'), { outcome: 'quarantined', by: now(1) }),
      note({ note: 'resent', writes: [{ epoch: 3, sequence: 43, now: now(2) }] }),
      note({ note: 'closed', epoch: 4, outcome: 'level', lost: 0, reason: 'nothing beyond' }))
    const reports = space.reports()
    assert.equal(reports.map((report) => [report.epoch, report.outcome]), [[3, null], [4, 'level']])
    assert.equal(reports[0], {
      ...opening(3, 40),
      opened: now(1),
      openedAtMs: 1001,
      closedAtMs: null,
      outcome: null,
      reason: '',
      resent: 1,
      merged: 1,
      superseded: 0,
      quarantined: 1,
      discarded: 0,
      lost: 0,
      salvages: [{ ...salvage('s1', 'n1', 3), state: 'waiting' }],
    })
    await context.store.close()
    context.store = await context.reopen()
    const again = context.store.space('u1')
    assert.equal(again.reports(), reports)
    assert.equal([again.openReportCount, again.quarantineCount], [1, 1])
    assert.equal(again.origin(3, 43), { outcome: 'resent', via: 'client', now: now(2), by: null })
    await apply(again, note({ note: 'taken', name: 's1', node: 'n1' }))
    assert.is(again.reports()[0]!.salvages[0]!.state, 'taken')
    assert.equal(context.store.space('u2').reports(), [])
    assert.is(context.store.space('u2').origin(3, 43), undefined)
  })

  test('a report that comes late counts what came before', async ({ space }) => {
    await apply(space, from(3, 41, storeNode('a')), from(3, 40, storeNode('b')))
    await apply(space, from(3, 42, storeNode('a'), { via: 'client' }),
      note({ note: 'opened', opening: opening(3, 40) }), from(3, 43, storeNode('a')))
    assert.equal(counts(space, 3), { resent: 1, merged: 2, superseded: 0, quarantined: 0,
      discarded: 0 })
    assert.equal([40, 41, 42, 43].map((sequence) => space.origin(3, sequence)?.now.sequence), [2, 1,
      3, 5])
  })

  test('the latest closed reports stay, and the origins of their epochs', async (context) => {
    const { space } = context
    await apply(space, epochStart(opening(1)))
    const last = closedReportsMax + 2
    for (let epoch = 2; epoch <= last; epoch += 1) {
      await apply(space, note({ note: 'opened', opening: opening(epoch) }),
        from(epoch, 7, storeNode('a')),
        note({ note: 'closed', epoch, outcome: 'reconciled', lost: 0, reason: '' }))
    }
    assert.equal(space.reports().map(({ epoch }) => epoch), [1,
      ...Array.from({ length: closedReportsMax }, (_, index) => index + 3)],
      'open ones stay whatever their epoch')
    assert.is(space.origin(2, 7), undefined)
    assert.ok(space.origin(3, 7))
    assert.is(space.openReportCount, 1)
    await apply(space, note({ note: 'closed', epoch: 1, outcome: 'lost', lost: 1, reason: '' }))
    assert.is(space.reports().length, closedReportsMax)
    await apply(space, note({ note: 'opened', opening: opening(2) }))
    assert.equal(counts(space, 2), { resent: 0, merged: 0, superseded: 0, quarantined: 0,
      discarded: 0 }, 'what was forgotten is not counted when the report is opened again')
    await context.store.close()
    context.store = await context.reopen()
    assert.is(context.store.space('u1').origin(2, 7), undefined)
    assert.is(context.store.space('u1').reports().length, closedReportsMax + 1)
  })

  test('origins of epochs without a report: the lowest are forgotten', async ({ space }) => {
    const writes = Array.from({ length: strayOriginsMax },
      (_, index) => ({ epoch: 3, sequence: index + 1, now: now(1) }))
    await apply(space, note({ note: 'resent', writes }))
    assert.ok(space.origin(3, 1))
    await apply(space, from(4, 1, storeNode('a')), from(3, strayOriginsMax + 1, storeNode('a')))
    assert.equal([1, 2, 3].map((sequence) => space.origin(3, sequence) === undefined), [true, true,
      false])
    await apply(space, note({ note: 'opened', opening: opening(3) }), from(4, 2, storeNode('a')))
    assert.is(counts(space, 3).resent + counts(space, 3).merged, strayOriginsMax - 1)
    assert.ok(space.origin(3, 3))
    assert.ok(space.origin(4, 1))
  })

  test('an origin that is forgotten may come again, in the same batch too', async ({ space }) => {
    const writes = Array.from({ length: strayOriginsMax - 1 },
      (_, index) => ({ epoch: 3, sequence: index + 1, now: now(1) }))
    await apply(space, note({ note: 'resent', writes }), from(4, 1, storeNode('a')))
    const again = { outcome: 'superseded', by: now(1) } as const
    // One too many: (3, 1) goes. Those of epoch 4 get a report: there is room for it again.
    await apply(space, from(4, 2, storeNode('a')), note({ note: 'opened', opening: opening(4) }),
      from(3, 1, storeNode('a'), again))
    assert.is(space.origin(3, 1)!.outcome, 'superseded')
    assert.is(space.origin(3, 2)!.outcome, 'resent')
    assert.equal(counts(space, 4).merged, 2)
  })

  test('property: the same fork reports, graph and digest, whatever the batches', async (context) => {
    let number = 0
    await fc.assert(
      fc.asyncProperty(draftsArbitrary(60),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 }),
        async (drafts, cuts) => {
          number += 1
          const space = context.store.space(`property-${number}`)
          const twin = new MemoryStore().space('twin')
          const log = logOf(drafts)
          for (let at = 0, cut = 0; at < log.length; cut += 1) {
            const size = cuts[cut % cuts.length]!
            await space.apply(log.slice(at, at + size))
            at += size
          }
          await twin.apply(log)
          assertSameState(space, twin, log)
        }),
      { numRuns: 150 },
    )
  })

  test('property: the same after a restart, and from there on', async (context) => {
    let number = 0
    await fc.assert(
      fc.asyncProperty(draftsArbitrary(30), fc.nat({ max: 30 }), async (drafts, cut) => {
        number += 1
        const name = `property-${number}`
        const twin = new MemoryStore().space('twin')
        const log = logOf(drafts)
        await context.store.space(name).apply(log.slice(0, cut))
        await context.store.close()
        context.store = await context.reopen()
        await context.store.space(name).apply(log.slice(cut))
        await twin.apply(log)
        assertSameState(context.store.space(name), twin, log)
      }),
      { numRuns: 15 },
    )
  })

  test.run()
}

function counts(space: SpaceStore, epoch: number) {
  const report = space.reports().find((one) => one.epoch === epoch)!
  const { resent, merged, superseded, quarantined, discarded } = report
  return { resent, merged, superseded, quarantined, discarded }
}

function assertSameState(space: SpaceStore, twin: SpaceStore, log: readonly LogEntry[]): void {
  assert.equal(space.reports(), twin.reports())
  assert.equal(take(space.quarantine(''), 1000), take(twin.quarantine(''), 1000))
  assert.equal([space.openReportCount, space.quarantineCount], [twin.openReportCount,
    twin.quarantineCount])
  for (const { epoch, sequence } of placesOf(log)) {
    assert.equal(space.origin(epoch, sequence), twin.origin(epoch, sequence))
    const id = `${epoch}-${sequence}`
    assert.equal(space.quarantined(id), twin.quarantined(id))
  }
  for (const id of ids) {
    assert.equal(space.nodeState(id), twin.nodeState(id))
    assert.equal(space.node(id), twin.nodeState(id).node)
    for (const target of ids) {
      assert.equal(space.edgeState(id, target, 'k'), twin.edgeState(id, target, 'k'))
    }
  }
  assert.equal([space.nodeCount, space.edgeCount, space.ignoredCount], [twin.nodeCount,
    twin.edgeCount, twin.ignoredCount])
  assert.is(space.digest, twin.digest)
}

const files = suite<{ directory: string }>('store: room for the fork reports')
files.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-store-'))
})
files.after.each((context) => rm(context.directory, { recursive: true, force: true }))

files('origins of a forgotten report go from the file, some with each batch', async (context) => {
  const { directory } = context
  const store = await openStore(directory)
  const space = store.space('u1')
  const writes = Array.from({ length: 2500 },
    (_, index) => ({ epoch: 1, sequence: index + 1, now: now(1) }))
  await apply(space, epochStart(opening(1), opening(2)), note({ note: 'resent', writes }),
    note({ note: 'resent', writes: [{ epoch: 2, sequence: 1, now: now(1) }] }))
  const closed = Array.from({ length: closedReportsMax + 1 }, (_, index) => index + 1)
  await apply(space, ...closed.flatMap((epoch) => [
    note({ note: 'opened', opening: opening(epoch) }),
    note({ note: 'closed', epoch, outcome: 'level', lost: 0, reason: '' }),
  ]))
  assert.is(space.origin(1, 2500), undefined, 'at once for readers')
  for (let batch = 0; batch < 4; batch += 1) await apply(space, plain(storeNode('a')))
  await store.close()
  const records = open<Buffer, Buffer>({
    path: join(directory, 'graph'),
    encoding: 'binary',
    keyEncoding: 'binary',
    maxDbs: 1,
  })
  const countOf = (table: Table): number => {
    const start = tableKey(1, table)
    return records.getKeysCount({ start, end: prefixEnd(start) })
  }
  assert.equal([countOf(Table.origin), countOf(Table.forgotten), countOf(Table.report)], [1, 0,
    closedReportsMax])
  await records.close()
})

files.run()
