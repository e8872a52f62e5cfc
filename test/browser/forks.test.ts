/**
 * The page of a cluster that had a failover and is not level with it yet: its nodes are reports
 * of this test. Needs Chromium; skipped without.
 */
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { forksStatusOf } from '../../runtime/status/forks.js'
import type { MemberStatus, NodeStatusReport } from '../../runtime/status/status.js'
import { noBrowser, openPage, seriousFaults } from '../support/browser.js'
import { report as forkReport, salvage } from '../support/forksKit.js'
import { report } from '../support/pageKit.js'
import { type ShownReports, showReports } from '../support/pageOfReports.js'
import { shared, skipped, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const tests = suite('browser: forks', 120)

/** n2 is primary of `demo`; of n1, which is away, ten entries are missed. */
function reports(over: Partial<MemberStatus>): NodeStatusReport[] {
  const member = {
    primary: 'n2',
    members: ['n1', 'n2', 'n3'],
    inSync: ['n2', 'n3'],
    endSequence: 60,
    durableSequence: 60,
    appliedSequence: 60,
    commitSequence: 60,
    safeSequence: 57,
    lossWindow: { entries: 3, bytes: 420, ms: 4 },
    minInSync: 2,
    rf: 3,
    ack: 'durable' as const,
    state: 'serving',
    reason: '',
    digest: '',
    throttled: false,
    maxLoss: { entries: 1000, ms: 800 },
    ...over,
  }
  return [
    report('n2', { ...member, role: 'primary' }),
    report('n3', { ...member, role: 'replica', books: null }),
  ]
}

const forks = forksStatusOf({
  openReportCount: 2,
  quarantineCount: 7,
  reports: () => [
    forkReport({ atMost: 1000, merged: 3, quarantined: 1, salvages: [salvage({ node: 'n3' })] }),
    forkReport({ epoch: 5 }),
  ],
})

const setUp = (stage: Stage): Promise<ShownReports> => showReports(stage, { books: forks }, reports)

const absent = noBrowser()
const inBrowser: ReturnType<typeof shared<ShownReports>> = absent === null
  ? shared(tests, 'forks', setUp)
  : (title) => skipped(tests, title, absent)

async function go(page: Page, view: 'cluster' | 'flow'): Promise<void> {
  await page.evaluate(`location.hash = '#/${view}'`)
  await page.locator(`#tab-${view}[aria-selected=true]`).waitFor()
}

inBrowser('open reports in plain words, with what each waits for', async ({ browser, base }) => {
  const { page, errors } = await openPage(browser, base)
  const first = page.locator('[data-forks=demo] [data-fork-report="3"]')
  assert.is((await first.innerText()).replaceAll(/\s+/g, ' '),
    'Epoch 3, primary n1: at least 10, at most 1,000 entries at risk; 3 merged, 1 quarantined, '
      + '9 waiting in salvages. 9 writes in a salvage of n3, being reconciled.')
  assert.match(await page.locator('[data-fork-report="5"]').innerText(),
    /n1 has to come back, or: engram forks close demo 5$/)
  assert.match(await page.locator('[data-quarantined="7"]').innerText(),
    /^7 writes in quarantine: +engram quarantine list demo$/)
  assert.equal(errors, [])
  await page.close()
})

inBrowser('the loss window is drawn with its bounds, which have a text too', async (shown) => {
  const { page, errors } = await openPage(shown.browser, shown.base)
  await go(page, 'flow')
  const label = async (title: string): Promise<string | null> =>
    await page.locator(`[data-plot="${title}"] [role=img]`).getAttribute('aria-label')
  assert.is(await label('Loss window'), 'Loss window: writes 3, maxLoss at 1,000')
  assert.is(await label('Loss window, age'), 'Loss window, age: oldest 4 ms, maxLoss at 800 ms')
  assert.is(await page.locator('[data-plot="Loss window, bytes"]').count(), 0)
  assert.equal(errors, [])
  await page.close()
})

inBrowser('axe-core finds no serious fault, light and dark, wide and narrow', async (shown) => {
  for (const options of [{ scheme: 'light' }, { scheme: 'dark' }, { width: 390 }] as const) {
    const { page } = await openPage(shown.browser, shown.base, options)
    await page.locator('[data-forks=demo]').waitFor()
    for (const view of ['cluster', 'flow'] as const) {
      await go(page, view)
      const faults = await seriousFaults(page)
      assert.equal(faults, [], `${view} ${JSON.stringify(options)}: ${faults.join('\n')}`)
      const overflow = await page.evaluate(
        'document.documentElement.scrollWidth - document.documentElement.clientWidth',
      ) as number
      assert.ok(overflow <= 0, `${view} ${JSON.stringify(options)}: ${overflow} px too wide`)
    }
    await page.close()
  }
}, 60)

inBrowser('where all is settled there is no panel', async ({ browser, base, change }) => {
  const { page } = await openPage(browser, base)
  await page.locator('[data-forks=demo]').waitFor()
  change({ books: null, maxLoss: null })
  await waitFor('the panel to go', async () => await page.locator('[data-forks]').count() === 0)
  await go(page, 'flow')
  assert.match(await page.locator('[data-plot="Loss window"] [role=img]')
    .getAttribute('aria-label') ?? '', /^Loss window: writes 3$/)
  await page.close()
})

tests.run()
