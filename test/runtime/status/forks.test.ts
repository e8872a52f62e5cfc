/** The status of forks as operators see it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ForkReport } from '../../../machines/log/forkNotes.js'
import { atRiskText, forksStatusOf, forkLines, openReportOf, openReportsMax, reportText,
  waitText } from '../../../runtime/status/forks.js'
import { mergeStatus } from '../../../runtime/status/mergeStatus.js'
import { asStatusReport } from '../../../runtime/status/status.js'
import type { ClusterMember, ClusterSpace } from '../../../runtime/status/status.js'
import { report, salvage } from '../../support/forksKit.js'
import { report as statusReport } from '../../support/pageKit.js'

const test = suite('forks')

const store = (reports: readonly ForkReport[], quarantineCount = 0) => ({
  openReportCount: reports.filter(({ outcome }) => outcome === null).length,
  quarantineCount,
  reports: () => reports,
})

test('a space without forks costs a look at two numbers', () => {
  const idle = {
    openReportCount: 0,
    quarantineCount: 0,
    reports: () => {
      throw new Error('the reports were read')
    },
  }
  assert.is(forksStatusOf(idle), null)
  // Closed reports are no reason to read them either.
  assert.equal(forksStatusOf({ ...idle, quarantineCount: 7 }), { open: 0, quarantined: 7,
    waiting: 0, salvagesWaiting: 0, reports: [] })
})

test('only open reports count; of many the latest are shown, and all are counted', () => {
  const many = Array.from({ length: openReportsMax + 5 },
    (_, index) => report({ epoch: index + 1, outcome: index === 2 ? 'level' : null }))
  const status = forksStatusOf(store(many, 2))
  assert.is(status?.open, openReportsMax + 4)
  assert.is(status?.reports.length, openReportsMax)
  assert.equal([status?.reports[0]?.epoch, status?.reports.at(-1)?.epoch], [6, openReportsMax + 5])
})

test('entries that a salvage misses do not wait in it', () => {
  const misses = salvage({ begins: 46, spans: [{ epoch: 3, last: 50, writes: 9 }] })
  assert.is(forksStatusOf(store([report({ salvages: [misses] })]))?.waiting, 4)
  const none = salvage({ begins: 51, spans: [{ epoch: 3, last: 50, writes: 10 }] })
  assert.is(forksStatusOf(store([report({ salvages: [none] })]))?.waiting, 0)
})

test('waiting writes: for a fork that several members kept the longest, of its own epoch', () => {
  const reports = [
    report({ salvages: [
      salvage(),
      salvage({ node: 'n3', name: 's3', spans: [{ epoch: 3, last: 45, writes: 5 }] }),
      salvage({ node: 'n4', name: 's4', state: 'taken' }),
    ] }),
    // One salvage may hold entries of two epochs, and is one file.
    report({ epoch: 5, node: 'n3', salvages: [
      salvage({ spans: [{ epoch: 3, last: 50, writes: 9 }, { epoch: 5, last: 60, writes: 2 }] }),
    ] }),
  ]
  const status = forksStatusOf(store(reports))
  assert.equal([status?.waiting, status?.salvagesWaiting], [11, 2])
  assert.equal(status?.reports.map(({ waiting, waitsOn }) => [waiting, waitsOn]), [[9, ['n1',
    'n3']], [2, ['n1']]])
})

test('a report in a sentence', () => {
  const of = (over: Partial<ForkReport>): string => reportText(openReportOf(report(over)))
  assert.is(of({}), 'Epoch 3, primary n1: at least 10 entries at risk; none is reconciled yet.')
  assert.is(of({ lastKnown: 40 }), 'Epoch 3, primary n1: no unreplicated write is known.')
  assert.is(of({ lastKnown: 41 }),
    'Epoch 3, primary n1: at least 1 entry at risk; none is reconciled yet.')
  assert.is(
    of({ lastKnown: 2040, atMost: 5000, resent: 4, merged: 3, quarantined: 1,
      salvages: [salvage()] }),
    'Epoch 3, primary n1: at least 2,000, at most 5,000 entries at risk; '
      + '4 sent again, 3 merged, 1 quarantined, 9 waiting in salvages.',
  )
  assert.is(atRiskText({ atLeast: 0, atMost: 0 }), 'at least 0, at most 0')
})

const member = (node: string, role: ClusterMember['role'] = 'replica') =>
  ({ node, role }) as ClusterMember

test('the reason that a report waits, and the command that helps', () => {
  const of = (
    over: Partial<ForkReport>,
    reconcile: ClusterSpace['reconcile'],
    isHere: boolean,
  ): string =>
    waitText(openReportOf(report(over)), {
      id: 'demo',
      reconcile,
      members: [member('n1', isHere ? 'replica' : 'unknown'), member('n2')],
    })
  assert.is(of({}, 'automatic', false), 'n1 has to come back, or: engram forks close demo 3')
  assert.is(of({}, undefined, true), 'n1 is here, but has not reported all its salvages yet')
  const salvages = [salvage()]
  assert.is(of({ salvages }, 'automatic', true), '9 writes in a salvage of n1, being reconciled')
  assert.is(of({ salvages }, 'automatic', false),
    'n1 keeps 9 writes and has to come back, or: engram forks close demo 3')
  assert.match(of({ salvages }, 'manual', true),
    /of n1\. To reconcile: engram forks reconcile demo$/)
  assert.match(of({ salvages }, 'off', true), /engram space set demo --reconcile automatic/)
})

test('the status: numbers for each space, from its primary', () => {
  const forks = forksStatusOf(store([report({ salvages: [salvage()] })], 2))
  const stale = forksStatusOf(store([report()], 0))
  const { spaces } = mergeStatus([
    statusReport('n2', { books: stale }),
    statusReport('n1', { books: forks, reconcile: 'manual' }),
  ])
  assert.equal(spaces[0]?.forks, { open: 1, quarantined: 2, waiting: 9 })
  assert.is(spaces[0]?.openReports?.length, 1)
  assert.is(spaces[0]?.reconcile, 'manual')
  const [none] = mergeStatus([statusReport('n1')]).spaces
  assert.equal([none?.forks, none?.openReports, none?.reconcile], [{ open: 0, quarantined: 0,
    waiting: 0 }, undefined, 'automatic'])
})

test('fork fields that make no sense are passed over with their report', () => {
  const said = (forks: unknown) =>
    statusReport('n1', {
      minInSync: 1,
      endSequence: 0,
      books: forks as never,
    })
  const forks = forksStatusOf(store([report({ salvages: [salvage()] })]))
  for (const fine of [undefined, null, forks]) assert.ok(asStatusReport(said(fine)))
  for (const wrong of [7, {}, { ...forks, reports: [{}] }, { ...forks, open: '1' }]) {
    assert.is(asStatusReport(said(wrong)), null, JSON.stringify(wrong))
  }
})

test('lines below a space: only what there is', () => {
  const of = (open: number, quarantined: number): string[] =>
    forkLines({ id: 'demo', forks: { open, quarantined, waiting: 0 } })
  assert.equal(of(0, 0), [])
  assert.equal(forkLines({ id: 'demo' }), [])
  assert.equal(of(2, 0), ['2 open fork reports: engram forks demo'])
  assert.equal(of(1, 1), ['1 open fork report: engram forks demo',
    '1 write in quarantine: engram quarantine list demo'])
})

test.run()
