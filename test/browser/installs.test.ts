/**
 * The page of a cluster with a member that is installed, and one whose store is rebuilt: its nodes
 * are reports of this test. Needs Chromium; skipped without.
 */
import * as assert from 'uvu/assert'
import type { MemberStatus, NodeStatusReport } from '../../runtime/status/status.js'
import { noBrowser, openPage, seriousFaults } from '../support/browser.js'
import { report } from '../support/pageKit.js'
import { type ShownReports, showReports } from '../support/pageOfReports.js'
import { shared, skipped, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const tests = suite('browser: installs', 120)

const install = { phase: 'pulling', source: 'n2', doneBytes: 412 * 2 ** 20, totalBytes: 2 ** 30,
  bytesPerSecond: 31 * 2 ** 20, etaMs: 19_741, minimum: 7 } as const

const progressing: Partial<MemberStatus> = {
  install,
  state: 'installing.pulling',
}

function reports(third: Partial<MemberStatus>): NodeStatusReport[] {
  const member = { members: ['n1', 'n2', 'n3'], inSync: ['n1', 'n2'], rf: 3, minInSync: 2,
    state: 'serving', reason: '', digest: '', durableSequence: 60, commitSequence: 60,
    safeSequence: 60 }
  return [
    report('n1', member),
    report('n2', { ...member, state: 'streaming',
      rebuilding: { phase: 'checkpoint', done: 620, total: 1_000 } }),
    report('n3', { ...member, state: 'streaming', ...third }),
  ]
}

const setUp = (stage: Stage): Promise<ShownReports> => showReports(stage, progressing, reports)

const absent = noBrowser()
const inBrowser: ReturnType<typeof shared<ShownReports>> = absent === null
  ? shared(tests, 'installs', setUp)
  : (title) => skipped(tests, title, absent)

inBrowser('the card has a bar of the install, and of the rebuild', async ({ browser, base }) => {
  const { page, errors } = await openPage(browser, base)
  const bar = (node: string, name: string) =>
    page.locator(`[data-node=${node}] [role=progressbar][aria-label=${name}]`)
  await bar('n3', 'Install').waitFor()
  const text = 'installs 412 of 1,024 MiB from n2, 31 MiB/s, 20 s'
  assert.is(await bar('n3', 'Install').getAttribute('aria-valuenow'), '40')
  assert.is(await bar('n3', 'Install').getAttribute('aria-valuetext'), text)
  assert.match(await page.locator('[data-node=n3] .role').innerText(), text)
  assert.not.match(await page.locator('[data-node=n3] .role').innerText(), / lag /)
  assert.is(await bar('n2', 'Rebuild').getAttribute('aria-valuenow'), '62')
  assert.match(await page.locator('[data-node=n2] .role').innerText(),
    'loads its store from a checkpoint: 62 %, 620 of 1,000 records')
  assert.is(await page.locator('[data-node=n1] [role=progressbar]').count(), 0)
  assert.equal(errors, [])
  await page.close()
})

inBrowser('axe-core finds no serious fault, light and dark, wide and narrow', async (shown) => {
  for (const options of [{ scheme: 'light' }, { scheme: 'dark' }, { width: 390 }] as const) {
    const { page } = await openPage(shown.browser, shown.base, options)
    await page.locator('[data-progress=install]').waitFor()
    const faults = await seriousFaults(page)
    assert.equal(faults, [], `${JSON.stringify(options)}: ${faults.join('\n')}`)
    await page.close()
  }
}, 60)

inBrowser('before a state is chosen the bar is empty, and at the end it goes', async (shown) => {
  const { page } = await openPage(shown.browser, shown.base)
  const bar = page.locator('[data-progress=install] [role=progressbar]')
  await bar.waitFor()
  shown.change({ install: { ...install, phase: 'asking', doneBytes: 0, totalBytes: 0 } })
  await waitFor('the state to be unknown',
    async () => await bar.getAttribute('aria-valuenow') === null)
  assert.match(await bar.getAttribute('aria-valuetext') ?? '', 'looks for a state')
  shown.change({})
  await waitFor('the bar to go', async () => await bar.count() === 0)
  await page.close()
})

tests.run()
