// Installs, builds, and finds what must come from the system, each only when needed. On a fresh
// clone nothing is installed: this file imports Node's own modules and its neighbours only. It
// writes to stderr, because stdout belongs to `--json`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { plannedBuild, run } from './build.mjs'
import { agrees, aptCommands, here, installation, missing, remedy, sideEffects,
  whyNoChromium } from './system.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const aptTimeoutMs = 600_000

/**
 * Prepares for a command. `packages` are those that it needs from the system, by Debian's names.
 * Without Chromium the tests of the page are skipped; all others are required. `isYes` installs
 * them without asking. `again` is the command as a user types it. Ends the process with a remedy if
 * something cannot be installed.
 */
export async function prepare({ packages, isYes, again }, host = here) {
  checkNode()
  const lacking = await settle(missing(packages, host), { isYes, again }, host)
  const steps = []
  if (!isInstalled()) {
    steps.push({ name: 'dependencies (npm ci)', seconds: 30, work: installDependencies })
  }
  if (lacking.length > 0) {
    const seconds = lacking.includes('chromium') ? 90 : 30
    const work = () => installPackages(lacking, host)
    steps.push({ name: `${lacking.join(' and ')} (apt-get)`, seconds, work })
  }
  const { tools, work } = plannedBuild()
  if (tools.length > 0) steps.push({ name: `build (${tools.join(', ')})`, seconds: 5, work })
  if (steps.length > 1) {
    const parts = steps.map(({ name, seconds }) => `${name} ${seconds} s`).join(', ')
    say(`to be done first, this once; about: ${parts}`)
  }
  for (const [n, { name, work }] of steps.entries()) {
    await step(steps.length > 1 ? `${n + 1} of ${steps.length}: ${name}` : name, work)
  }
}

function say(line) {
  process.stderr.write(`engram: ${line}\n`)
}

function give(up) {
  say(up)
  process.exit(1)
}

/** Shows progress: counting seconds on a terminal, otherwise one line before and one after. */
async function step(title, work) {
  const startedMs = performance.now()
  const seconds = () => `${Math.round((performance.now() - startedMs) / 1000)} s`
  const isLive = process.stderr.isTTY === true
  const show = () => process.stderr.write(`\r\x1b[Kengram: ${title}: ${seconds()}`)
  if (isLive) show()
  else say(title)
  const timer = isLive ? setInterval(show, 1000) : undefined
  const fault = await work()
  clearInterval(timer)
  if (isLive) process.stderr.write('\r\x1b[K')
  if (fault) give(`${title}: failed after ${seconds()}\n${fault}`)
  say(`${title}: done in ${seconds()}`)
}

// ---------------------------------------------------------------- Node

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  give(`Node ${process.versions.node} is too old: 20.19 or later is needed (https://nodejs.org)`)
}

/** Missing packages to install. Asks at the beginning, not after other steps. */
async function settle(lacking, { isYes, again }, host) {
  if (lacking.length === 0) return []
  const how = installation({ isYes }, host)
  if (how === 'yes' || (how === 'ask' && await agreesTo(lacking, host))) return lacking
  if (lacking.some(isNeeded)) {
    const fate = how === 'ask' ? 'not installed' : 'cannot be installed here'
    give(`${described(lacking)} not found, and ${fate}. By hand:\n  ${remedy(lacking, host)}\n`
      + `Then again: ${again}`)
  }
  say(`the tests of the page are skipped: ${whyNoChromium(host)}`)
  return []
}

function isNeeded(name) {
  return name !== 'chromium'
}

function described(names) {
  return names.map((name) => (isNeeded(name) ? name : `${name} (for the tests of the page)`))
    .join(' and ')
}

function agreesTo(names, host) {
  const commands = aptCommands(names).map((words) => `  ${words.join(' ')}\n`).join('')
  const it = names.length === 1 ? 'it' : 'them'
  return agrees(`engram: ${described(names)} not found. Debian's package manager can install `
    + `${it}:\n${commands}${sideEffects(names, host)}Install ${it} now?`)
}

async function installPackages(names, host) {
  let fault = null
  for (const [command, ...args] of aptCommands(names)) {
    // A failed update may still leave a usable list.
    fault = await run(command, args, {
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      timeout: aptTimeoutMs,
    })
  }
  const still = missing(names, host)
  if (still.length === 0) return null
  const message = `${fault ?? ''}\nnot there after apt-get: ${still.join(' and ')}`.trimStart()
  if (still.some(isNeeded)) return `${message}\nBy hand: ${remedy(still, host)}`
  say(`${message}\nengram: the tests of the page are skipped`)
  return null
}

/** npm keeps what it installed in node_modules/.package-lock.json, written last. */
function isInstalled() {
  const wanted = packagesOf(join(root, 'package-lock.json'))
  if (wanted === null) give('package-lock.json is missing or broken: restore it, e.g. from git')
  const found = packagesOf(join(root, 'node_modules', '.package-lock.json'))
  if (found === null) return false
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === '') return true
    // Optional packages are installed only if the platform fits.
    const there = found[path]
    return there === undefined ? optional === true : there.version === version
  })
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? null
  } catch {
    return null
  }
}

function installDependencies() {
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund']
  const script = process.env.npm_execpath
  const isScript = script !== undefined && /\.c?js$/.test(script)
  return isScript ? run(process.execPath, [script, ...args]) : run('npm', args)
}
