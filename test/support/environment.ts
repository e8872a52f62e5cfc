/** Folders, temporary directories, and the patience of tests. */
import { randomInt } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository: the nearest directory above this file that holds package.json. */
export const root = findRoot()
export const cliFile = join(root, 'dist', 'runtime', 'cli', 'main.js')

/** Multiplies every deadline: TEST_PATIENCE=4 on a slow machine. (ENGRAM_… is for nodes.) */
export const patience = Number(process.env['TEST_PATIENCE'] ?? 1) || 1

function findRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory)
    if (parent === directory) throw new Error(`no package.json above ${import.meta.url}`)
    directory = parent
  }
  return directory
}

const temporary = new Set<string>()
const lastRites: (() => void)[] = []

/** Runs at the very end of this process, however it ends; in reverse order of registration. */
export function atExit(run: () => void): void {
  lastRites.push(run)
}

process.on('exit', () => {
  for (const run of lastRites.toReversed()) {
    try {
      run()
    } catch (error) {
      console.error('cleaning up at exit:', error)
    }
  }
  for (const directory of temporary) rmSync(directory, { recursive: true, force: true })
})
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) {
  process.on(signal, () => process.exit(code))
}

export function temporaryDirectory(label: string): string {
  const directory = mkdtempSync(join(tmpdir(), `engram-test-${label}-`))
  temporary.add(directory)
  return directory
}

export function removeTemporary(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  temporary.delete(directory)
}

/** Below those that systems give to outgoing connections: one of these may take a free port. */
const [firstPort, lastPort] = [10_240, 32_767]

/** A port that nobody listens on, and that no connection takes meanwhile. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(firstPort, lastPort + 1)
    if (await canListen(port)) return port
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true))
    })
  })
}

/** By the mark, test/run.ts finds what a test has left running; the other one names a program. */
const keptNames = ['ENGRAM_TEST_MARK', 'ENGRAM_NATS_SERVER']

/** Environment of a process under test: nothing of the caller's ENGRAM_… settings gets in. */
export function cleanEnvironment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env)
    .filter(([name]) => !name.startsWith('ENGRAM_') || keptNames.includes(name))
  // Primaries stay where a test has them, unless it is about that.
  const own = { NO_COLOR: '1', ENGRAM_AUTO_BALANCE: 'off' }
  return { ...Object.fromEntries(kept), ...own, ...extra }
}
