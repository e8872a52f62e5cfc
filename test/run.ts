/**
 * Runs the test files, each in a process of its own: those of `npm test`, with `--long` the files
 * called `*.long.test.ts` (what takes long, and rarely fails alone), with `--all` both, with
 * `--unit` those that start no cluster.
 * `node dist/test/run.js NAME …` runs the files of either kind whose path contains one of the
 * names; `--test TEXT` only the tests in them whose name contains the text; `--last-failed` the
 * files that failed when they were run last. The last line is `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

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
  {
    paths: ['actors/', 'runtime/', 'bench/', 'repository/', 'contract/'],
    parallel: 2,
    timeoutMs: 180_000,
  },
  { paths: ['integration/'], parallel: 1, timeoutMs: 600_000 },
  { paths: ['browser/'], parallel: 1, timeoutMs: 300_000 },
  // By now nothing runs beside them, and they wait for much.
  { paths: ['chaos/', 'containers/'], parallel: 2, timeoutMs: 900_000 },
]
const lastStage: Stage = { paths: [''], parallel: 1, timeoutMs: 300_000 }
/** The files of `--unit`: none of them starts nodes or a NATS server. */
const unitPaths = ['machines/', 'actors/', 'runtime/', 'bench/', 'repository/']
/** Many of them wait for timers, so more than the processors. */
const unitParallel = 4
const flags = {
  long: { type: 'boolean' },
  all: { type: 'boolean' },
  unit: { type: 'boolean' },
  'last-failed': { type: 'boolean' },
  test: { type: 'string' },
} as const

interface Asked {
  readonly long?: boolean
  readonly all?: boolean
  readonly unit?: boolean
  readonly 'last-failed'?: boolean
  readonly test?: string
}

interface Outcome {
  readonly path: string
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
/** Paths of the files that failed when they were run last. */
const lastFailedFile = join(testRoot, '.last-failed.json')

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

function outcomeOf(
  path: string,
  output: string,
  code: number | null,
  signal: string | null,
): Outcome {
  const total = count(output, 'Total')
  const passed = count(output, 'Passed') ?? 0
  const skipped = count(output, 'Skipped') ?? 0
  if (total === null) {
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`
    return { path, passed: 0, failed: 1, skipped: 0, fault: `it ended without a result (${how})` }
  }
  if (total + skipped === 0) return { path, passed, failed: 1, skipped, fault: 'it ran no test' }
  const failed = total - passed
  if (code === 0 || failed > 0) return { path, passed, failed, skipped, fault: null }
  return { path, passed, failed: 1, skipped, fault: `its tests passed, but exit code ${code}` }
}

/** The process group, and on Linux whatever left it (a daemon, a broker): known by the mark. */
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
  file: string,
  { timeoutMs, isBeside }: Stage,
  picked: string | undefined,
): Promise<{ outcome: Outcome; output: string }> {
  const mark = randomUUID()
  const loader = picked === undefined
    ? []
    : ['--import', new URL('support/pickTests.js', import.meta.url).href]
  const child = spawn(process.execPath, ['--enable-source-maps', ...loader, file], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      NO_COLOR: '1',
      FORCE_COLOR: '0',
      [markName]: mark,
      ...(picked === undefined ? {} : { ENGRAM_TEST_PICKED: picked }),
    },
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
        const outcome = outcomeOf(pathOf(file), output, code, signal)
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

function report(file: string, result: { outcome: Outcome; output: string }, ms: number): void {
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

async function runStage(
  files: string[],
  stage: Stage,
  picked: string | undefined,
): Promise<Outcome[]> {
  const waiting = [...files]
  const outcomes: Outcome[] = []
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const startedMs = performance.now()
      const result = await runFile(file, stage, picked)
      const { passed, failed, skipped } = result.outcome
      // A file without a test of that name is not worth a line.
      const isNotMeant = picked !== undefined && passed + failed === 0 && skipped > 0
      if (!isNotMeant) report(file, result, performance.now() - startedMs)
      outcomes.push(picked === undefined ? result.outcome : { ...result.outcome, skipped: 0 })
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
function chosen(asked: Asked, names: readonly string[]): string[] {
  const failed = new Set(asked['last-failed'] ? lastFailed() : [])
  return testFiles(testRoot).filter((file) => {
    const path = pathOf(file)
    const isLong = path.endsWith('.long.test.js')
    if (names.length > 0 && !names.some((name) => path.includes(name))) return false
    if (asked['last-failed'] && !failed.has(path)) return false
    if (asked.unit) return !isLong && unitPaths.some((begin) => path.startsWith(begin))
    if (names.length > 0 || asked['last-failed']) return true
    return asked.all || (asked.long ?? false) === isLong
  })
}

function lastFailed(): string[] {
  if (!existsSync(lastFailedFile)) return []
  return JSON.parse(readFileSync(lastFailedFile, 'utf8')) as string[]
}

/** Files that were not run keep their place, and so do files of which a part was run. */
function keepFailed(outcomes: readonly Outcome[], isInPart: boolean): void {
  const failed = new Set(lastFailed())
  for (const { path, failed: count } of outcomes) {
    if (count > 0) failed.add(path)
    else if (!isInPart) failed.delete(path)
  }
  writeFileSync(lastFailedFile, `${JSON.stringify([...failed].toSorted())}\n`)
}

function parsed(args: readonly string[]): { asked: Asked; names: string[] } | string {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options: flags,
      allowPositionals: true })
    return { asked: values, names: positionals }
  } catch (error) {
    const known = Object.keys(flags).map((name) => `--${name}`).join(', ')
    return `${(error as Error).message.split('. ')[0]}; there are ${known}`
  }
}

async function main(args: readonly string[]): Promise<void> {
  const wanted = parsed(args)
  if (typeof wanted === 'string') {
    console.error(wanted)
    process.exitCode = 2
    return
  }
  const { asked, names } = wanted
  const files = chosen(asked, names)
  if (asked['last-failed'] && files.length === 0) {
    console.log('no test file failed when it was run last\n0 passed, 0 failed')
    return
  }
  const outcomes = await runStages(files, asked)
  keepFailed(outcomes, asked.test !== undefined)
  const sum = (key: 'passed' | 'failed' | 'skipped'): number =>
    outcomes.reduce((total, outcome) => total + outcome[key], 0)
  const ran = sum('passed') + sum('failed')
  if (files.length === 0) console.log(`no test file matches ${names.join(' ')}`)
  else if (asked.test !== undefined && ran === 0) console.log(`no test matches ${asked.test}`)
  const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : ''
  console.log(`${sum('passed')} passed, ${sum('failed')} failed${skipped}`)
  process.exitCode = sum('failed') === 0 && sum('passed') > 0 ? 0 : 1
}

async function runStages(files: readonly string[], asked: Asked): Promise<Outcome[]> {
  const stageOf = (file: string): number => {
    const path = pathOf(file)
    const index = stages.findIndex(({ paths }) => paths.some((begin) => path.startsWith(begin)))
    return index === -1 ? stages.length : index
  }
  const outcomes: Outcome[] = []
  const beside: Promise<Outcome[]>[] = []
  for (let index = 0; index <= stages.length; index += 1) {
    const ofStage = files.filter((file) => stageOf(file) === index)
    const found = stages[index] ?? lastStage
    const stage = asked.unit && !found.isBeside ? { ...found, parallel: unitParallel } : found
    const running = runStage(ofStage, stage, asked.test)
    if (stage.isBeside) beside.push(running)
    else outcomes.push(...await running)
  }
  for (const done of beside) outcomes.push(...await done)
  return outcomes
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    for (const [child, mark] of running) stopAll(child, mark)
    process.exit(130)
  })
}
await main(process.argv.slice(2))
