// Requirements on the system: nats-server, and Chromium for the tests of the page. Used before
// anything is installed, so this file imports only Node's own modules.
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'

/** Properties of this machine. Tests give another one. */
export const here = {
  env: process.env,
  platform: process.platform,
  /** undefined on Windows. */
  uid: process.getuid?.(),
  /** True if a user can read a question and answer it. */
  isTerminal: process.stdin.isTTY === true && process.stderr.isTTY === true,
  /** Searched beside PATH, which lacks /usr/sbin for Debian's users. */
  folders: ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin'],
  chromium: '/usr/bin/chromium',
  hasSystemd: existsSync('/run/systemd/system'),
}

/** Requirements by the names of Debian's packages. */
const requirements = {
  'nats-server': {
    isThere: (host) => Boolean(host.env.ENGRAM_NATS_SERVER) || hasCommand('nats-server', host),
    elsewhere: {
      darwin: 'brew install nats-server',
      win32: 'choco install nats-server',
      other: 'see https://docs.nats.io/running-a-nats-service/introduction/installation',
    },
  },
  chromium: {
    isThere: (host) => isExecutable(chromiumFile(host)),
    elsewhere: {
      darwin: 'brew install --cask chromium, and name it in CHROMIUM',
      win32: 'install Chrome, and name it in CHROMIUM',
      other: 'install Chromium or Chrome, and name it in CHROMIUM',
    },
  },
}

/** Path at which the tests expect Chromium. */
export function chromiumFile(host = here) {
  return host.env.CHROMIUM || host.chromium
}

/** Those of `names` that are missing. */
export function missing(names, host = here) {
  return names.filter((name) => !requirements[name].isThere(host))
}

/** Commands of Debian's package manager, for root. */
export function aptCommands(names) {
  return [
    ['apt-get', 'update'],
    ['apt-get', 'install', '-y', '--no-install-recommends', ...names],
  ]
}

/** Side effects of the packages on this machine, as lines to show. */
export function sideEffects(names, host = here) {
  if (!host.hasSystemd || !names.includes('nats-server')) return ''
  return 'It also starts a service on port 4222, which is not needed here; to end it:\n'
    + '  systemctl disable --now nats-server\n'
}

/** Commands or steps that install `names`. */
export function remedy(names, host = here) {
  if (hasCommand('apt-get', host)) {
    const sudo = host.uid === 0 ? [] : ['sudo']
    return aptCommands(names).map((words) => [...sudo, ...words].join(' ')).join(' && ')
  }
  return names.map((name) => {
    const { elsewhere } = requirements[name]
    return elsewhere[host.platform] ?? elsewhere.other
  }).join('; ')
}

/** Reason why Chromium is missing, with a remedy. null if it is there. */
export function whyNoChromium(host = here) {
  if (missing(['chromium'], host).length === 0) return null
  const { CHROMIUM } = host.env
  if (CHROMIUM) return `CHROMIUM names ${CHROMIUM}, which is no program: correct or unset it`
  return `there is no Chromium at ${host.chromium}: ${remedy(['chromium'], host)}`
}

/**
 * Whether this process may install packages: `no` if it is not root on Debian, `ask` if a user can
 * answer, else `yes`.
 */
export function installation({ isYes }, host = here) {
  if (host.uid !== 0 || !hasCommand('apt-get', host)) return 'no'
  const { CI, npm_config_yes: npmYes } = host.env
  // npm takes the flag itself in `npm start --yes`, without `--` before it.
  const isSaid = isYes || npmYes === 'true' || !['', '0', 'false'].includes(CI ?? '')
  return isSaid || !host.isTerminal ? 'yes' : 'ask'
}

/** Asks a question. Enter means yes, and the end of the input no. */
export async function agrees(question) {
  process.stderr.write(`${question} [Y/n] `)
  // Not as a terminal, so that the system edits the line and Ctrl-C ends the process.
  const lines = createInterface({ input: process.stdin, terminal: false })
  const answer = await new Promise((resolve) => {
    lines.once('line', resolve)
    lines.once('close', () => resolve(null))
  })
  lines.close()
  if (answer === null) process.stderr.write('\n')
  return answer !== null && /^(y(es)?)?$/i.test(answer.trim())
}

function hasCommand(name, { env, folders, platform }) {
  const path = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  const file = platform === 'win32' ? `${name}.exe` : name
  return [...path, ...folders].some((folder) => isExecutable(join(folder, file)))
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}
