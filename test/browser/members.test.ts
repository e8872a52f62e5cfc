/**
 * The page of a cluster whose members change: its nodes are reports of this test. Needs Chromium;
 * skipped without.
 */
import * as assert from 'uvu/assert'
import type { MemberStatus, NodeStatusReport } from '../../runtime/status/status.js'
import { noBrowser, openPage, seriousFaults } from '../support/browser.js'
import { report } from '../support/pageKit.js'
import { type ShownReports, showReports } from '../support/pageOfReports.js'
import { shared, skipped, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const tests = suite('browser: members', 120)

const change = { add: 'n3', remove: 'n2', since: '2026-11-30T12:00:00Z', by: 'ann@ops',
  ageMs: 12_000, waitsFor: 'n3 has entries up to 40 and needs those up to 60' }

/** `first`: what the primary says. */
function reports(first: Partial<MemberStatus>): NodeStatusReport[] {
  const member = { members: ['n1', 'n2'], inSync: ['n1', 'n2'], rf: 2, minInSync: 2, reason: '',
    digest: '', durableSequence: 60, commitSequence: 60, safeSequence: 60 }
  return [
    report('n1', { ...member, state: 'serving', ...first }),
    report('n2', { ...member, state: 'streaming' }),
    report('n3', { ...member, state: 'catchingUp', durableSequence: 40, role: 'learner' }),
    report('n4', { ...member, state: 'waiting', role: 'removed', durableSequence: 7 }),
  ]
}

const setUp = (stage: Stage): Promise<ShownReports> => showReports(stage, { change }, reports)

const absent = noBrowser()
const inBrowser: ReturnType<typeof shared<ShownReports>> = absent === null
  ? shared(tests, 'members', setUp)
  : (title) => skipped(tests, title, absent)

inBrowser('the learner, a node that was taken out, and what the change waits for',
  async (shown) => {
    const { page, errors } = await openPage(shown.browser, shown.base)
    const card = (node: string) => page.locator(`[data-node=${node}] .role`)
    const under = page.locator('[data-change=demo]')
    await under.waitFor()
    assert.match(await under.innerText(), 'replace n2 by n3, ordered by ann@ops')
    assert.match(await under.innerText(), 'n3 has entries up to 40 and needs those up to 60.')
    assert.is(await card('n3').getAttribute('data-role'), 'learner')
    assert.match(await card('n3').innerText(), /learner[^]*catchingUp · at 40 · .*no member yet/)
    assert.is(await card('n4').getAttribute('data-role'), 'removed')
    assert.match(await card('n4').innerText(), 'no member any more, and still has its data')
    assert.not.match(await card('n4').innerText(), / lag /)
    assert.not.match(await card('n2').innerText(), 'member')

    // It is done: n3 is a member, and n2 is none.
    shown.change({ members: ['n1', 'n3'], inSync: ['n1', 'n3'], change: null })
    await waitFor('the change to go', async () => await under.count() === 0)
    await waitFor('n3 to be a replica',
      async () => await card('n3').getAttribute('data-role') === 'replica')
    assert.is(await card('n2').getAttribute('data-role'), 'removed')
    assert.equal(errors, [])
    shown.change({ change })
    await page.close()
  })

inBrowser('axe-core finds no serious fault, light and dark, wide and narrow', async (shown) => {
  for (const options of [{ scheme: 'light' }, { scheme: 'dark' }, { width: 390 }] as const) {
    const { page } = await openPage(shown.browser, shown.base, options)
    await page.locator('[data-change=demo]').waitFor()
    const faults = await seriousFaults(page)
    assert.equal(faults, [], `${JSON.stringify(options)}: ${faults.join('\n')}`)
    await page.close()
  }
}, 60)

tests.run()
