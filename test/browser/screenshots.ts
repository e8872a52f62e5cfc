/**
 * Makes the pictures of the page anew: `node dist/test/browser/screenshots.js [FOLDER]`, of all
 * views, light and dark, wide and narrow. Without FOLDER those that the documents show.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { openPage, playedCluster, startBrowser } from '../support/browser.js'
import { root } from '../support/environment.js'
import { Stage } from '../support/scenario.js'
import { lasting, waitFor } from '../support/wait.js'

const views = ['cluster', 'charts', 'sequence', 'timeline', 'flow', 'try'] as const
const [folder] = process.argv.slice(2)
const into = folder ?? join(root, 'runtime', 'page', 'screenshots')

async function order(base: string, body: object): Promise<void> {
  const response = await fetch(`${base}/api/orders`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
  const answer = await response.json() as { ok: boolean; message: string }
  if (!answer.ok) throw new Error(answer.message)
}

async function nodesOf(base: string): Promise<string[]> {
  const status = await (await fetch(`${base}/status`)).json() as { nodes: { id: string }[] }
  return status.nodes.map(({ id }) => id)
}

async function primaryOf(base: string, other: string | null): Promise<string> {
  return await waitFor('a primary', async () => {
    const status = await (await fetch(`${base}/status`)).json() as {
      spaces: { primary: string | null }[]
    }
    const primary = status.spaces[0]?.primary ?? null
    return primary === other ? null : primary
  })
}

/** Of the promotion: the charts of its winner and of the other candidate. */
function sequenceQuery(winner: string, third: string): string {
  const lanes = [`${winner}/space.demo.promotion`, `${winner}/space.demo`, `${third}/space.demo`,
    `${third}/space.demo.promotion`]
  return `?lanes=${lanes.join()}&seconds=30`
}

async function shoot(page: Page, view: string, query: string, name: string): Promise<void> {
  await page.evaluate(`location.hash = '#/${view}${query}'`)
  if (view === 'charts') await page.locator('[data-chart]').waitFor()
  if (view === 'timeline') {
    await page.locator('[data-promotion] button').last().click()
    await page.locator('[data-step]').first().waitFor()
  }
  await lasting(900)
  await page.screenshot({ path: join(into, `${name}.png`) })
}

async function main(stage: Stage): Promise<void> {
  mkdirSync(into, { recursive: true })
  const { direct } = await playedCluster(stage, ['--playground'])
  const browser = await startBrowser(stage)
  const schemes = folder === undefined ? ['light'] as const : ['light', 'dark'] as const
  const widths = folder === undefined ? [1200] : [1440, 390]
  const opened = []
  for (const scheme of schemes) {
    for (const width of widths) {
      const { page } = await openPage(browser, direct, { scheme, width })
      opened.push({ scheme, width, page })
    }
  }
  await order(direct, { type: 'steady', space: 'demo', perSecond: 300 })
  await lasting(12_000)
  const old = await primaryOf(direct, null)
  const nodes = await nodesOf(direct)
  await order(direct, { type: 'killNode', node: old })
  const winner = await primaryOf(direct, old)
  await lasting(6_000)
  const third = nodes.find((id) => id !== old && id !== winner)
  if (third === undefined) throw new Error(`no third node among ${nodes.join()}`)
  const queries: Partial<Record<(typeof views)[number], string>> = {
    charts: `?node=${winner}&actor=space.demo`,
    sequence: sequenceQuery(winner, third),
  }
  for (const { scheme, width, page } of opened) {
    for (const view of views) {
      const query = queries[view] ?? ''
      const name = folder === undefined ? view : `${view}-${scheme}-${width}`
      await shoot(page, view, query, name)
    }
  }
}

const stage = new Stage('screenshots')
try {
  await main(stage)
} finally {
  await stage.dispose()
}
process.exit()
