/**
 * Runs the test files, each in a process of its own: those of `npm test`, with `--long` the files
 * called `*.long.test.ts` (what takes long, and rarely fails alone), with `--all` both.
 * `node dist/test/run.js NAME …` runs the files of either kind whose path contains one of the
 * names. The last line is `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

interface Stage {
  /** Beginnings of paths; the first stage that has a file's takes it. */
  readonly paths: readonly string[]
  readonly parallel: number
  readonly timeoutMs: number
  /** Runs beside the stages after it, and gives way to them. */
  readonly isBeside?: boolean
}

/** In this order; files of no stage come last. Integration needs the machine for itself. */
const stages: readonly Stage[] = [
  // In virtual time: it takes what the others leave of the machine.
  { paths: ['sim/', 'machines/'], parallel: 1, timeoutMs: 900_000, isBeside: true },
  { paths: ['actors/', 'runtime/', 'repository/', 'contract/'], parallel: 2, timeoutMs: 180_000 },
  { paths: ['integration/'], parallel: 1, timeoutMs: 600_000 },
  { paths: ['browser/'], parallel: 1, timeoutMs: 300_000 },
  { paths: ['containers/'], parallel: 1, timeoutMs: 240_000 },
  { paths: ['chaos/'], parallel: 1, timeoutMs: 900_000 },
]
const lastStage: Stage = { paths: [''], parallel: 1, timeoutMs: 300_000 }
const kinds = ['--long', '--all'] as const

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Why the file counts as failed, beyond its failed tests. */
  readonly fault: string | null
}

/** Niceness of the stages that run beside others. */
const niceness = 15
const testRoot = fileURLToPath(new URL('.', import.meta.url))
/** In the environment of everything that a test starts, so that nothing is left running. */
const markName = 'ENGRAM_TEST_MARK'
const running = new Map<ChildProcess, string>()

function testFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return testFiles(path)
    return entry.name.endsWith('.test.js') ? [path] : []
  }).toSorted()
}

/** uvu prints these three lines at the end of a file. */
function count(output: string, label: 'Total' | 'Passed' | 'Skipped'): number | null {
  const matches = [...output.matchAll(new RegExp(`^\\s*${label}:\\s+(\\d+)\\s*$`, 'gm'))]
  const last = matches.at(-1)?.[1]
  return last === undefined ? null : Number(last)
}

function outcomeOf(output: string, code: number | null, signal: string | null): Outcome {
  const total = count(output, 'Total')
  const passed = count(output, 'Passed') ?? 0
  const skipped = count(output, 'Skipped') ?? 0
  if (total === null) {
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`
    return { passed: 0, failed: 1, skipped: 0, fault: `it ended without a result (${how})` }
  }
  if (total + skipped === 0) return { passed, failed: 1, skipped, fault: 'it ran no test' }
  const failed = total - passed
  if (code === 0 || failed > 0) return { passed, failed, skipped, fault: null }
  return { passed, failed: 1, skipped, fault: `its tests passed, but exit code ${code}` }
}

/** The process group, and on Linux whatever left it (a daemon, a broker): told by the mark. */
function stopAll(child: ChildProcess, mark: string): void {
  const pids = child.pid === undefined ? [] : [-child.pid]
  for (const pid of [...pids, ...marked(mark)]) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It is over already.
    }
  }
}

function marked(mark: string): number[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc').map(Number).filter((pid) => {
    if (!Number.isInteger(pid) || pid === process.pid) return false
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`${markName}=${mark}`)
    } catch {
      return false
    }
  })
}

/** Waits for the end of the process itself: grandchildren may hold its pipes open. */
function runFile(
  file: string, { timeoutMs, isBeside }: Stage,
): Promise<{ outcome: Outcome; output: string }> {
  const mark = randomUUID()
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0', [markName]: mark },
  })
  running.set(child, mark)
  if (isBeside && child.pid !== undefined) setPriority(child.pid, niceness)
  const chunks: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk))
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    stopAll(child, mark)
  }, timeoutMs)
  return new Promise((resolve) => {
    const finish = (code: number | null, signal: string | null): void => {
      clearTimeout(timer)
      stopAll(child, mark)
      // The pipes may still hold output.
      setTimeout(() => {
        running.delete(child)
        const output = Buffer.concat(chunks).toString('utf8')
        const outcome = outcomeOf(output, code, signal)
        const failed = Math.max(1, outcome.failed)
        const late = { ...outcome, failed, fault: `over ${timeoutMs} ms` }
        resolve({ outcome: isLate ? late : outcome, output })
      }, 30)
    }
    child.once('exit', finish)
    child.once('error', (error) => {
      chunks.push(Buffer.from(String(error)))
      finish(1, null)
    })
  })
}

function tell(file: string, result: { outcome: Outcome; output: string }, ms: number): void {
  const { passed, failed, skipped, fault } = result.outcome
  const name = pathOf(file).replace(/\.test\.js$/, '')
  const seconds = (ms / 1_000).toFixed(1)
  if (failed === 0) {
    const more = skipped > 0 ? `, ${skipped} skipped` : ''
    console.log(`ok    ${name}  ${passed} passed${more}  ${seconds} s`)
    for (const [line] of result.output.matchAll(/SKIP  .*$/gm)) console.log(`      ${line}`)
    return
  }
  const why = fault ?? `${failed} of ${passed + failed} tests`
  console.log(`FAIL  ${name}  ${why}  ${seconds} s\n${result.output.trimEnd()}\n`)
}

async function runStage(files: string[], stage: Stage): Promise<Outcome[]> {
  const waiting = [...files]
  const outcomes: Outcome[] = []
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const startedMs = performance.now()
      const result = await runFile(file, stage)
      tell(file, result, performance.now() - startedMs)
      outcomes.push(result.outcome)
    }
  }
  await Promise.all(Array.from({ length: stage.parallel }, work))
  return outcomes
}

/** Below test/, as it is written everywhere. */
function pathOf(file: string): string {
  return relative(testRoot, file).replaceAll('\\', '/')
}

/** The files to run. */
function chosen(flags: readonly string[], names: readonly string[]): string[] {
  return testFiles(testRoot).filter((file) => {
    const path = pathOf(file)
    if (names.length > 0) return names.some((name) => path.includes(name))
    return flags.includes('--all') || flags.includes('--long') === path.endsWith('.long.test.js')
  })
}

async function main(args: readonly string[]): Promise<void> {
  const flags = args.filter((arg) => arg.startsWith('-'))
  const names = args.filter((arg) => !flags.includes(arg))
  const wrong = flags.filter((flag) => !kinds.some((kind) => kind === flag))
  if (wrong.length > 0) {
    console.error(`unknown: ${wrong.join(' ')}; there are ${kinds.join(' and ')}`)
    process.exitCode = 2
    return
  }
  const files = chosen(flags, names)
  const stageOf = (file: string): number => {
    const path = pathOf(file)
    const index = stages.findIndex(({ paths }) => paths.some((begin) => path.startsWith(begin)))
    return index === -1 ? stages.length : index
  }
  const outcomes: Outcome[] = []
  const beside: Promise<Outcome[]>[] = []
  for (let index = 0; index <= stages.length; index += 1) {
    const ofStage = files.filter((file) => stageOf(file) === index)
    const stage = stages[index] ?? lastStage
    const running = runStage(ofStage, stage)
    if (stage.isBeside) beside.push(running)
    else outcomes.push(...await running)
  }
  for (const done of beside) outcomes.push(...await done)
  const sum = (key: 'passed' | 'failed' | 'skipped'): number =>
    outcomes.reduce((total, outcome) => total + outcome[key], 0)
  if (files.length === 0) console.log(`no test file matches ${names.join(' ')}`)
  const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : ''
  console.log(`${sum('passed')} passed, ${sum('failed')} failed${skipped}`)
  process.exitCode = sum('failed') === 0 && sum('passed') > 0 ? 0 : 1
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    for (const [child, mark] of running) stopAll(child, mark)
    process.exit(130)
  })
}
await main(process.argv.slice(2))
