/**
 * The page, in a real Chromium, of a real `engram up --playground`. Needs Chromium; skipped
 * without.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { noBrowser, openPage, playedCluster, seriousFaults,
  startBrowser } from '../support/browser.js'
import type { PlayedCluster, Viewed } from '../support/browser.js'
import { root, temporaryDirectory } from '../support/environment.js'
import { note, shared, skipped, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { lasting, waitFor } from '../support/wait.js'

const tests = suite('browser: page', 280)
const views = ['cluster', 'charts', 'sequence', 'timeline', 'flow', 'try'] as const

interface Played extends PlayedCluster, Viewed {
  readonly browser: Browser
}

async function setUp(stage: Stage): Promise<Played> {
  const cluster = await playedCluster(stage, ['--playground'])
  const browser = await startBrowser(stage)
  return { ...cluster, browser, ...await openPage(browser, cluster.base) }
}

const absent = noBrowser()
const inBrowser: ReturnType<typeof shared<Played>> = absent === null
  ? shared(tests, 'page', setUp)
  : (title) => skipped(tests, title, absent)

async function go(page: Page, view: (typeof views)[number], query = ''): Promise<void> {
  await page.evaluate(`location.hash = '#/${view}${query === '' ? '' : `?${query}`}'`)
  await page.locator(`#tab-${view}[aria-selected=true]`).waitFor()
}

/** Nodes by the role that the page shows of the space `demo`. */
async function withRole(page: Page, role: string): Promise<string[]> {
  return await page.locator(`[data-node]:has([data-space=demo][data-role=${role}])`)
    .evaluateAll((cards) =>
      cards.map((card) => (card as unknown as { dataset: { node: string } }).dataset.node)
    )
}

async function primaryShown(page: Page): Promise<string> {
  return await waitFor('a primary on the page', async () => (await withRole(page, 'primary'))[0])
}

async function committed(page: Page): Promise<number> {
  const cell = page.locator('[data-space-row=demo] td.number').first()
  return Number((await cell.innerText()).replaceAll(',', ''))
}

async function answerOf(page: Page, order: string): Promise<string> {
  const answer = page.locator(`[data-order=${order}] .answer`)
  return await waitFor(`an answer to ${order}`, async () => await answer.innerText() || null)
}

inBrowser('the page loads and lists the nodes with their roles', async ({ page, errors }) => {
  await page.locator('[data-node=n3]').waitFor()
  const nodes = await page.locator('[data-node] h2').allInnerTexts()
  assert.equal(nodes, ['n1', 'n2', 'n3'])
  await waitFor('one primary and two replicas',
    async () =>
      (await withRole(page, 'primary')).length === 1
      && (await withRole(page, 'replica')).length === 2)
  await page.locator('[data-connection=connected]').waitFor()
  assert.match(await page.locator('[data-loss]').innerText(), /second disk/)
  await page.locator('[role=meter][aria-label="Lease remaining"]').waitFor()
  assert.equal(errors, [])
})

inBrowser('the first load is small: under 120 KB of JavaScript, compressed', async (played) => {
  const { page, direct } = played
  const scripts = await page.locator('script[src]').evaluateAll((all) =>
    all.map((one) => (one as unknown as { src: string }).src)
  )
  assert.ok(scripts.length > 0)
  let bytes = 0
  for (const src of scripts) {
    const response = await fetch(`${direct}${new URL(src).pathname}`)
    bytes += gzipSync(await response.text()).length
  }
  note(`${(bytes / 1024).toFixed(0)} KiB`)
  assert.ok(bytes < 120 * 1024, `${bytes} bytes`)
})

inBrowser('a write of the page is seen on the page', async ({ page }) => {
  const before = await committed(page)
  await go(page, 'try')
  await page.locator('[data-order=write] input').first().fill('seen')
  await page.locator('[data-order=write] button').click()
  assert.match(await answerOf(page, 'write'), /sequence \d+/)
  await go(page, 'cluster')
  await waitFor('the commit sequence to grow', async () => await committed(page) > before)
})

inBrowser('the chart of the primary is drawn, with its states lit', async ({ page }) => {
  await go(page, 'cluster')
  const primary = await primaryShown(page)
  await go(page, 'charts', `node=${primary}&actor=space.demo.primary`)
  await page.locator(`[data-chart="${primary}/space.demo.primary"]`).waitFor()
  for (const path of ['serving', 'serving.ingest', 'serving.ingest.open', 'serving.lease.valid',
    'serving.membership.steady'])
  {
    await page.locator(`[data-state-path="${path}"][data-active=true]`).waitFor()
  }
  assert.is(await page.locator('[data-state-path=opening][data-active=true]').count(), 0)
  const [peer] = ['n1', 'n2', 'n3'].filter((node) => node !== primary)
  await go(page, 'charts', `node=${primary}&actor=detector.${peer}`)
  await page.locator('[data-state-path="alive.listening.waiting"][data-active=true]').waitFor()
})

inBrowser('keys lead through tabs and actors', async ({ page }) => {
  await go(page, 'charts', 'node=n1')
  await page.locator('#tab-charts').focus()
  await page.keyboard.press('ArrowRight')
  await page.locator('#tab-sequence[aria-selected=true]').waitFor()
  await page.keyboard.press('ArrowLeft')
  const list = page.getByRole('listbox', { name: 'Actors' })
  await list.focus()
  await page.keyboard.press('Home')
  const first = await list.locator('[aria-selected=true]').getAttribute('data-option')
  await page.keyboard.press('ArrowDown')
  const second = await list.locator('[aria-selected=true]').getAttribute('data-option')
  assert.ok(first !== null && second !== null && first !== second, `${first}, ${second}`)
  await page.locator(`[data-chart="n1/${second}"]`).waitFor()
})

/** Facts of the failover that later tests look back to. */
const past = { primary: '', beforeMs: 0, winner: '' }

inBrowser('killing the primary leads to a promotion within 5 s', async ({ page }) => {
  await go(page, 'cluster')
  const old = await primaryShown(page)
  await go(page, 'try')
  await page.locator('[data-order=steady] input').fill('200')
  await page.locator('[data-order=steady] button').click()
  await answerOf(page, 'steady')
  await waitFor('writes', async () => {
    await go(page, 'cluster')
    return await committed(page) > 100
  })
  Object.assign(past, { primary: old, beforeMs: Date.now() })
  await go(page, 'try')
  await page.getByRole('button', { name: `Kill ${old}` }).click()
  const killedAt = performance.now()
  await go(page, 'cluster')
  const winner = await waitFor('another primary',
    async () => (await withRole(page, 'primary')).find((node) => node !== old), { seconds: 10 })
  const tookMs = performance.now() - killedAt
  note(`kill in the page to the new primary in the page: ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs < 5_000, `the new primary was shown after ${tookMs.toFixed(0)} ms`)
  await page.locator(`[data-node=${old}][data-state=dead]`).waitFor()
  past.winner = winner
  const headline = page.locator('[data-headline=demo][data-state=open]')
  await headline.getByText(`${winner} took over demo from ${old}`).waitFor()
  await headline.getByText('Writes were interrupted for').waitFor()
  await headline.getByText(`This is settled when ${old} returns`).waitFor()
  await lasting(1_000)
  const ways = await page.locator('.marks i').evaluateAll((marks) =>
    marks.map((mark) => (mark as unknown as { dataset: { from: string; to: string } }).dataset)
  )
  assert.equal(ways.filter(({ from, to }) => from === old || to === old), [],
    'nothing runs from or to a node that is gone')
}, 60)

inBrowser('late viewers see what happened, also by a link to then', async (played, stage) => {
  const { page, errors } = await openPage(played.browser, played.base)
  stage.onEnd(() => page.close())
  await page.locator('[data-headline=demo]')
    .getByText(`${past.winner} took over demo from ${past.primary}`).waitFor()
  await go(page, 'timeline')
  await page.locator('[data-entry=promotion][data-past=true]')
    .getByText(`${past.winner} is the primary of demo, in epoch`).waitFor()
  await page.locator('[data-entry=node][data-past=true]').getByText(`${past.primary} is gone`)
    .waitFor()
  await go(page, 'cluster', `at=${Math.round(past.beforeMs)}`)
  await page.locator('[data-notice=before]').waitFor()
  await page.locator('[data-notice=before] button').click()
  await page.locator('[data-headline=demo]').waitFor()
  assert.equal(errors, [])
}, 60)

inBrowser('the promotion opens into its steps, with times and reasons', async ({ page }) => {
  await go(page, 'timeline')
  const promotion = page.locator(`[data-promotion][data-winner=${past.winner}]`).first()
  await promotion.locator('button').first().click()
  const steps = promotion.locator(`tr[data-node=${past.winner}]`)
  await steps.first().waitFor()
  const shown = await steps.evaluateAll((rows) =>
    rows.map((row) => (row as unknown as { dataset: { step: string } }).dataset.step)
  )
  const wanted = ['vacancy found', 'surveyed', 'vacancy proven', 'claimed', 'opened',
    'writes subscribed']
  assert.equal(shown.filter((step) => wanted.includes(step)), wanted, shown.join(', '))
  assert.match(await promotion.innerText(), new RegExp(`Why ${past.winner}\\?`))
  assert.match(await promotion.innerText(), /noResponders|restarted/)
  await waitFor('it to be announced',
    async () =>
      /is the new primary of demo/.test(await page.locator('[data-announcement]').innerText()))
})

inBrowser('the slider goes back: the charts show the state of then', async ({ page }) => {
  await go(page, 'cluster')
  const slider = page.locator('[data-slider]')
  await slider.evaluate((input, value) => {
    const range = input as unknown as { value: string; dispatchEvent(event: Event): void }
    range.value = String(value)
    range.dispatchEvent(new Event('input', { bubbles: true }))
  }, past.beforeMs)
  await waitFor('the old primary',
    async () => (await withRole(page, 'primary')).join() === past.primary)
  assert.match(await page.evaluate('location.hash') as string, /at=\d+/)
  // One event after another, forwards: the candidates appear.
  await go(page, 'charts', `node=${past.winner}&actor=space.demo&at=${Math.round(past.beforeMs)}`)
  const lit = (path: string) => page.locator(`[data-state-path="${path}"][data-active=true]`)
  await lit('replica').waitFor()
  await waitFor('the step in which it stands', async () => {
    if (await lit('promoting').count() === 1) return true
    await page.getByRole('button', { name: 'Next event' }).click()
    return false
  })
  await page.locator('[data-last-transition]').getByText('vacancy found').waitFor()
  await page.getByRole('button', { name: 'Live' }).click()
  await lit('primary').waitFor()
})

inBrowser('a recording is saved, opened and addressed', async ({ browser, base, page }, stage) => {
  const [download] = await Promise.all(
    [page.waitForEvent('download'), page.locator('[data-save]').click()],
  )
  const file = await download.path()
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  assert.is((JSON.parse(lines[0] ?? '') as { kind: string }).kind, 'start')
  assert.ok(!lines.some((line) => line.includes('a memory')), 'contents of memories stay out')
  const other = await openPage(browser, base)
  stage.onEnd(() => other.page.close())
  await other.page.locator('[data-open]').setInputFiles(file)
  await other.page.locator('[data-connection=file]').waitFor()
  await go(other.page, 'cluster', `at=${Math.round(past.beforeMs)}`)
  await waitFor('the old primary',
    async () => (await withRole(other.page, 'primary')).join() === past.primary)
  await go(other.page, 'timeline')
  await other.page.locator(`[data-promotion][data-winner=${past.winner}]`).waitFor()
  await other.page.locator('[data-open]').setInputFiles(
    { name: 'no.ndjson', mimeType: 'text/plain', buffer: Buffer.from('{"a":1}') },
  )
  await other.page.getByRole('alert').getByText('line 1 is not a frame').waitFor()
  assert.equal(other.errors, [])
})

inBrowser('a recording of the simulator is opened', async ({ browser, base }, stage) => {
  const file = join(temporaryDirectory('page-sim'), 'run.ndjson')
  const { status, stderr } = spawnSync(process.execPath, [
    join(root, 'dist', 'test', 'sim', 'main.js'),
    '--seed',
    '7',
    '--recording',
    file,
  ], { encoding: 'utf8' })
  assert.is(status, 0, stderr)
  const { page, errors } = await openPage(browser, base)
  stage.onEnd(() => page.close())
  await page.locator('[data-open]').setInputFiles(file)
  await page.locator('[data-connection=file]').waitFor()
  await go(page, 'timeline')
  await page.locator('[data-promotion]').first().waitFor()
  await go(page, 'charts')
  await page.locator('[data-chart]').waitFor()
  await page.locator('[data-active=true]').first().waitFor()
  assert.equal(errors, [])
}, 60)

inBrowser('the killed node is started from the page and is a replica again', async ({ page }) => {
  await go(page, 'try')
  const row = page.locator(`[data-try-node=${past.primary}]`)
  assert.ok(await row.getByRole('button', { name: 'Kill' }).isDisabled(), 'it stays where it was')
  await row.getByRole('button', { name: `Start ${past.primary}` }).click()
  await row.locator('.answer').getByText('runs again').waitFor()
  await go(page, 'cluster')
  await waitFor('three members',
    async () => (await withRole(page, 'replica')).includes(past.primary))
  await page.locator('[data-headline=demo][data-state=settled]').getByText('Settled').waitFor()
}, 60)

inBrowser('an actor is killed and handed over to its supervisor', async ({ page }) => {
  await go(page, 'try')
  await page.locator('[data-order=killActor] select').first().selectOption(past.primary)
  await page.locator('[data-order=killActor] select').nth(1).selectOption('space.demo.replica')
  await page.locator('[data-order=killActor] button').click()
  await answerOf(page, 'killActor')
  await go(page, 'timeline')
  await page.locator('[data-entry=actor]').getByText('was killed').first().waitFor()
  await go(page, 'cluster')
  await waitFor('the replica again',
    async () => (await withRole(page, 'replica')).includes(past.primary))
})

inBrowser('lag and flow are drawn', async ({ page }) => {
  await go(page, 'flow')
  // Plots are drawn after the view is there.
  await page.locator('[data-plot] canvas').nth(5).waitFor()
  assert.is(await page.locator('[data-plot] canvas').count(), 6)
  const values = page.locator('[data-plot="Durable writes per second"] .values b')
  await waitFor('writes per second', async () => Number(await values.innerText()) > 0)
  await go(page, 'sequence')
  await waitFor('batches and acks', async () =>
    await page.locator('[data-kind=wal]').count() > 0
    && await page.locator('[data-kind=ack]').count() > 0)
})

inBrowser('axe-core finds no serious fault, light and dark, wide and narrow', async (played) => {
  const { browser, base } = played
  for (const options of [{ scheme: 'light' }, { scheme: 'dark' }, { width: 390 }] as const) {
    const { page } = await openPage(browser, base, options)
    for (const view of views) {
      await go(page, view)
      if (view === 'charts') await page.locator('[data-chart]').waitFor()
      if (view === 'cluster') await page.locator('[data-node]').first().waitFor()
      const faults = await seriousFaults(page)
      assert.equal(faults, [], `${view} ${JSON.stringify(options)}: ${faults.join('\n')}`)
      const overflow = await page.evaluate(
        'document.documentElement.scrollWidth - document.documentElement.clientWidth',
      ) as number
      assert.ok(overflow <= 0, `${view} ${JSON.stringify(options)}: ${overflow} px too wide`)
    }
    await page.close()
  }
}, 90)

inBrowser('no console error, and no request left the machine', ({ errors, foreign }) => {
  assert.equal(errors, [])
  assert.equal(foreign, [])
  return Promise.resolve()
})

inBrowser('a broker that is gone is shown, and that it is back', async ({ page, broker }) => {
  await go(page, 'cluster')
  await broker.kill()
  await page.locator('[data-notice=broker]').waitFor()
  await page.locator('[data-broker=disconnected]').waitFor()
  await broker.start()
  await page.locator('[data-broker=connected]').waitFor()
  await waitFor('a primary', async () => (await withRole(page, 'primary')).length === 1)
  assert.is(await page.locator('[data-notice=broker]').count(), 0)
}, 60)

inBrowser('a server that is gone is shown; the page connects again', async (played) => {
  const { page, link, errors } = played
  link.cut()
  await page.locator('[data-notice=disconnected]').waitFor()
  await page.locator('[data-connection=lost]').waitFor()
  link.heal()
  await page.locator('[data-connection=connected]').waitFor()
  await page.locator('[data-notice=disconnected]').waitFor({ state: 'detached' })
  await waitFor('a primary', async () => (await withRole(page, 'primary')).length === 1)
  const other = errors.filter((error) => !/Failed to load resource: net::ERR_/.test(error))
  assert.equal(other, [], 'nothing but the connections that were refused')
})

inBrowser('without --playground the page only looks', async ({ browser }, stage) => {
  const looked = await playedCluster(stage)
  const { page } = await openPage(browser, looked.base)
  await go(page, 'try')
  await page.locator('[data-hint=playground]').waitFor()
  assert.is(await page.locator('[data-order]').count(), 0)
}, 60)

tests.run()
