/**
 * The scripts that prepare a command, in a clone of no content: npm, tsc, Vite and apt-get are
 * stand-ins that report what they were asked for, so that nothing of this machine is touched.
 */
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { removeTemporary, root, temporaryDirectory } from './environment.js'
import { within } from './wait.js'

/** As scripts/system.mjs has it. */
export interface Host {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly platform: string
  readonly uid: number | undefined
  readonly isTerminal: boolean
  readonly folders: readonly string[]
  readonly chromium: string
  readonly hasSystemd: boolean
}

export interface Ended {
  readonly code: number | null
  readonly output: string
}

const drive = `
import { prepare } from './scripts/preparation.mjs'
import { here } from './scripts/system.mjs'
const { options, host } = JSON.parse(process.env.ASKED)
await prepare(options, { ...here, folders: [], ...host })
console.log('PREPARED')
`

const npm = `
const { appendFileSync, cpSync, mkdirSync } = require('node:fs')
appendFileSync('asked.log', 'npm ' + process.argv.slice(2).join(' ') + '\\n')
if (process.env.NPM_FAULT) {
  console.error(process.env.NPM_FAULT)
  process.exit(1)
}
cpSync('tool', 'node_modules/typescript/bin/tsc')
cpSync('tool', 'node_modules/vite/bin/vite.js')
cpSync('package-lock.json', 'node_modules/.package-lock.json')
`

/** Makes what tsc makes of the file `runtime/part.ts`, and what Vite makes. */
const tool = `
const { appendFileSync, existsSync, mkdirSync, writeFileSync } = require('node:fs')
const isVite = process.argv[1].endsWith('vite.js')
appendFileSync('built.log', (isVite ? 'vite' : 'tsc') + '\\n')
if (process.env.TSC_FAULT && !isVite) {
  console.error(process.env.TSC_FAULT)
  process.exit(1)
}
mkdirSync(isVite ? 'dist/page' : 'dist/runtime', { recursive: true })
if (isVite) writeFileSync('dist/page/index.html', '')
else if (existsSync('runtime/part.ts')) writeFileSync('dist/runtime/part.js', '')
`

/** Fails with APT_FAULT; installs what it is asked for into the folder of Chromium and of PATH. */
const aptGet = `#!/bin/sh
echo "apt-get $*" >> asked.log
[ "$1" = install ] || exit 0
if [ -n "$APT_FAULT" ]; then echo "$APT_FAULT" >&2; exit 100; fi
for name; do case $name in
  install|-*) ;;
  *) printf '#!/bin/sh\\n' > "bin/$name"; chmod +x "bin/$name" ;;
esac; done
# A service, which holds the pipes for longer than a test waits.
sleep 300 &
echo $! >> services
`

export class FreshClone {
  readonly folder = temporaryDirectory('clone')
  readonly #bin = join(this.folder, 'bin')

  constructor() {
    cpSync(join(root, 'scripts'), join(this.folder, 'scripts'), { recursive: true })
    mkdirSync(this.#bin)
    const files: Readonly<Record<string, string>> = {
      'package.json': '{"type":"commonjs"}',
      'package-lock.json': '{"packages":{}}',
      'tsconfig.json': '{}',
      'drive.mjs': drive,
      'npm.js': npm,
      tool,
    }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.folder, name), text)
    this.program('apt-get', aptGet)
  }

  get chromium(): string {
    return join(this.#bin, 'chromium')
  }

  program(name: string, text = '#!/bin/sh\n'): void {
    writeFileSync(join(this.#bin, name), text, { mode: 0o755 })
  }

  /** The arguments that npm and apt-get were called with. */
  get asked(): string {
    const file = join(this.folder, 'asked.log')
    return existsSync(file) ? readFileSync(file, 'utf8') : ''
  }

  /** The tools of the build that have run since it was asked last. */
  built(): string[] {
    const file = join(this.folder, 'built.log')
    const tools = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
    rmSync(file, { force: true })
    return tools
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(join(this.folder, name)), { recursive: true })
    writeFileSync(join(this.folder, name), text)
  }

  /** By default root's, on Debian, with no terminal. `env`: of the process. */
  prepare(
    packages: readonly string[],
    host: Partial<Host> = {},
    env: Record<string, string> = {},
    typed?: string,
  ): Promise<Ended> {
    const asked = {
      options: { packages, isYes: false, again: 'npm start' },
      host: {
        uid: 0,
        platform: 'linux',
        chromium: this.chromium,
        hasSystemd: false,
        env: { PATH: this.#bin, ...env },
        ...host,
      },
    }
    return this.run(['drive.mjs'], { ASKED: JSON.stringify(asked), ...env }, typed)
  }

  /** `typed`: at a terminal, by a person; without it there is none. */
  run(args: readonly string[], env: Record<string, string>, typed?: string): Promise<Ended> {
    const words = [process.execPath, ...args]
    const [command = '', ...more] = typed === undefined
      ? words
      : ['script', '--quiet', '--return', '--command', words.join(' '), '/dev/null']
    const child = spawn(command, more, {
      cwd: this.folder,
      stdio: 'pipe',
      env: {
        ENGRAM_TEST_MARK: process.env['ENGRAM_TEST_MARK'],
        PATH: [this.#bin, '/usr/bin', '/bin'].join(delimiter),
        npm_execpath: join(this.folder, 'npm.js'),
        ...env,
      },
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    }
    child.stdin.on('error', () => undefined)
    child.stdin.end(typed ?? '')
    const ended = new Promise<Ended>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => resolve({ code, output: output.replaceAll('\r\n', '\n') }))
    })
    return within(20, args.join(' '), ended)
  }

  /** The end of the services that the stand-in of apt-get started. */
  remove(): void {
    const file = join(this.folder, 'services')
    const pids = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : []
    for (const pid of pids) process.kill(Number(pid))
    removeTemporary(this.folder)
  }
}

/** Why no terminal can be played here; null: one can. */
export function noTerminal(): string | null {
  const { status, stdout } = spawnSync('script', ['--version'], { encoding: 'utf8' })
  return status === 0 && stdout.includes('util-linux') ? null : 'script of util-linux is not here'
}
