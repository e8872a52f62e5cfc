/** A real Chromium, and what its page complained of and asked for. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import type { Browser, Page } from 'playwright-core'
import { Link } from '../../runtime/cluster/faultProxy.js'
import { Broker } from './broker.js'
import { Child, processesNaming } from './child.js'
import { cliFile, patience, removeTemporary, root, temporaryDirectory } from './environment.js'
import type { Stage } from './scenario.js'

/** The expected place of Chromium, which the preparation of the tests knows too. */
const { chromiumFile, whyNoChromium } = await import(
  pathToFileURL(join(root, 'scripts', 'system.mjs')).href
) as {
  chromiumFile(): string
  whyNoChromium(): string | null
}

/** Why the tests of the page are left out; null: they run. Throws where that is not allowed. */
export function noBrowser(): string | null {
  const reason = process.env['ENGRAM_NO_BROWSER'] === '1' ? 'ENGRAM_NO_BROWSER=1' : whyNoChromium()
  if (reason === null || process.env['CHROMIUM_REQUIRED'] !== '1') return reason
  throw new Error(`CHROMIUM_REQUIRED=1, and ${reason}`)
}

/** With a new, empty profile; closed at the end of the stage. */
export async function startBrowser(stage: Stage): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: chromiumFile(),
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
  stage.onEnd(() => browser.close())
  return browser
}

export interface Viewed {
  readonly page: Page
  /** Errors on the console, exceptions, and what the content policy refused. */
  readonly errors: string[]
  /** Addresses that were asked for, other than those of the page's own server. */
  readonly foreign: string[]
}

export interface ViewOptions {
  readonly width?: number
  readonly scheme?: 'light' | 'dark'
}

export async function openPage(
  browser: Browser,
  base: string,
  options: ViewOptions = {},
): Promise<Viewed> {
  const { width = 1440, scheme = 'light' } = options
  const context = await browser.newContext({
    viewport: { width, height: width < 500 ? 844 : 900 },
    colorScheme: scheme,
    acceptDownloads: true,
  })
  const page = await context.newPage()
  page.setDefaultTimeout(15_000 * patience)
  const errors: string[] = []
  const foreign: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text())
  })
  page.on('pageerror', (error) => errors.push(String(error.stack ?? error)))
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(base) && !url.startsWith('blob:')) foreign.push(url)
  })
  await page.goto(`${base}/`)
  return { page, errors, foreign }
}

interface Violation {
  readonly id: string
  readonly impact: string | null
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[]
}

/** Faults of accessibility that axe-core calls serious or critical, in words. */
export async function seriousFaults(page: Page): Promise<string[]> {
  const require = createRequire(import.meta.url)
  const { source } = require('axe-core') as { source: string }
  // By the debugger: the content policy of the page refuses foreign scripts.
  await page.evaluate(source)
  const { violations } = await page.evaluate(
    'axe.run(document, { resultTypes: ["violations"] })',
  ) as { violations: Violation[] }
  return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) =>
      `${id}: ${
        nodes.slice(0, 3).map(({ html, failureSummary }) =>
          `${html.slice(0, 160)} ${failureSummary ?? ''}`
        ).join('; ')
      }`
    )
}

export interface PlayedCluster {
  readonly broker: Broker
  readonly child: Child
  /** Between the browser and the page's server. */
  readonly link: Link
  /** Address of the page, through the link. */
  readonly base: string
  /** Address of the page's server itself. */
  readonly direct: string
}

/** `engram up --playground` on a broker of its own; all of it ends with the stage. */
export async function playedCluster(stage: Stage, more: string[] = []): Promise<PlayedCluster> {
  const directory = temporaryDirectory('page')
  stage.onEnd(() => removeTemporary(directory))
  const broker = await Broker.start(join(directory, 'nats'))
  stage.onEnd(() => broker.kill())
  const data = join(directory, 'data')
  stage.onEnd(() => {
    // Their command lines name the directory that is this test's own.
    const left = processesNaming(data).map((line) => Number.parseInt(line, 10))
    for (const pid of left) process.kill(pid, 'SIGKILL')
  })
  const child = stage.child(new Child({
    label: 'engram up',
    command: process.execPath,
    group: true,
    logFile: join(directory, 'up.log'),
    args: [cliFile, 'up', '--json', '--nats', broker.url, '--data', data, '--http', '127.0.0.1:0',
      ...more],
  }))
  const ready = await child.firstLine((line) => JSON.parse(line) as { http: string }, 40)
  const link = await Link.open(ready.http)
  stage.onEnd(() => link.close())
  return { broker, child, link, base: `http://127.0.0.1:${link.port}`, direct: ready.http }
}
