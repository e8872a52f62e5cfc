/**
 * `npm run bench:disks -- [--only restart,powerCut,install,checkpoints] [--gib N] [--pairs N]
 * [--members N] [--entry-bytes N] [--json]`: what checkpoints, starts, rebuilds and installs cost
 * real nodes, beside the goals.
 */
import { statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { measureCheckpoints } from './diskCheckpoints.js'
import { measureInstall } from './diskInstall.js'
import { GiB } from './diskKit.js'
import type { Finding, Progress } from './diskKit.js'
import { measurePowerCut } from './diskPowerCut.js'
import { measureRestart } from './diskRestart.js'
import { runProgram } from './processes.js'
import { markdownTable } from './table.js'

export const parts = ['restart', 'powerCut', 'install', 'checkpoints'] as const
export type Part = typeof parts[number]

export interface DiskOptions {
  readonly only: readonly Part[]
  /** Size of what is written for a part; null: that of its goal. */
  readonly gib: number | null
  readonly pairs: number
  /** Of the space whose stores are rebuilt: one alone is done sooner. */
  readonly members: number
  /** Content of each entry of `restart`. */
  readonly entryBytes: number
  readonly json: boolean
}

/** Sizes that the goals are about; 5 million entries are 1.6 GiB. */
const goalGib: Readonly<Record<Part, number>> = { restart: 10, powerCut: 1.6, install: 1,
  checkpoints: 0.1 }
const entriesOfGoal = 5_000_000
/** Disk that a part takes at most, for each byte that it writes, all nodes together. */
const diskPerByte: Readonly<Record<Part, number>> = { restart: 1.5, powerCut: 21, install: 27,
  checkpoints: 20 }
/** Of what is free; others use the disk, too. */
const shareMax = 0.5

export function parseDiskOptions(args: readonly string[]): DiskOptions {
  const { values } = parseArgs({ args: [...args], options: {
    only: { type: 'string' },
    gib: { type: 'string' },
    pairs: { type: 'string', default: '6' },
    members: { type: 'string', default: '3' },
    'entry-bytes': { type: 'string', default: '16000' },
    json: { type: 'boolean', default: false },
  } })
  const names = values.only?.split(',') ?? parts
  const unknown = names.filter((name) => !parts.some((part) => part === name))
  if (unknown.length > 0) throw new Error(`--only knows ${parts.join(', ')}: not ${unknown}`)
  const gib = values.gib === undefined ? null : Number(values.gib)
  if (gib !== null && !(gib > 0)) throw new Error(`--gib is a number above 0: not ${values.gib}`)
  return {
    only: parts.filter((part) => names.includes(part)),
    gib,
    pairs: whole('pairs', values.pairs),
    members: whole('members', values.members),
    entryBytes: whole('entry-bytes', values['entry-bytes']),
    json: values.json,
  }
}

function whole(flag: string, text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value > 0) return value
  throw new Error(`--${flag} is a whole number above 0: not ${text}`)
}

/** Why a part must not run on a disk with so many free bytes; null: it may. */
export function lackOfRoom(part: Part, gib: number | null, freeBytes: number): string | null {
  const bytes = (gib ?? goalGib[part]) * GiB * diskPerByte[part]
  if (bytes <= freeBytes * shareMax) return null
  const [need, free] = [bytes, freeBytes].map((some) => (some / GiB).toFixed(1))
  return `${part} may take ${need} GiB in ${tmpdir()}, and no more than half of the ${free} GiB `
    + 'that are free may be used: choose a smaller --gib'
}

/** Whether a finding has reached its goal; NaN never does. Null: it has none. */
export function isReached({ value, goal }: Finding): boolean | null {
  if (!goal) return null
  return 'least' in goal ? value >= goal.least : value <= goal.most
}

export function findingsTable(findings: readonly Finding[]): string {
  return markdownTable(['', 'measured', 'goal', ''], findings.map((finding) => [
    finding.what,
    shown(finding.value, finding.unit),
    finding.goal ? goalText(finding.goal, finding.unit) : '',
    { true: 'ok', false: 'missed', null: '' }[`${isReached(finding)}`],
  ]))
}

function goalText(goal: NonNullable<Finding['goal']>, unit: string): string {
  return 'least' in goal ? `≥ ${shown(goal.least, unit)}` : `≤ ${shown(goal.most, unit)}`
}

function shown(value: number, unit: string): string {
  if (!Number.isFinite(value)) return '–'
  const digits = Number.isInteger(value) || Math.abs(value) >= 1000
    ? 0
    : Math.abs(value) < 100
    ? 2
    : 1
  const text = value.toLocaleString('en-US', { maximumFractionDigits: digits })
  return unit === '' || unit.startsWith('/') ? `${text}${unit}` : `${text} ${unit}`
}

function measurePart(part: Part, options: DiskOptions, progress: Progress): Promise<Finding[]> {
  const gib = options.gib ?? goalGib[part]
  const entries = Math.ceil(entriesOfGoal * gib / goalGib.powerCut)
  return {
    restart: () => measureRestart(gib, options.entryBytes, progress),
    powerCut: () => measurePowerCut({ entries, members: options.members }, progress),
    install: () => measureInstall(gib, progress),
    checkpoints: () => measureCheckpoints(options.pairs, progress),
  }[part]()
}

async function main(): Promise<number> {
  const options = parseDiskOptions(process.argv.slice(2))
  const progress: Progress = (text) => process.stderr.write(`${text}\n`)
  const results: Partial<Record<Part, Finding[]>> = {}
  for (const part of options.only) {
    const { bavail, bsize } = statfsSync(tmpdir())
    const gib = part === 'checkpoints' ? null : options.gib
    const lack = lackOfRoom(part, gib, bavail * bsize)
    if (lack !== null) throw new Error(lack)
    const findings = await measurePart(part, options, progress)
    results[part] = findings
    if (!options.json) console.log(`${part}\n\n${findingsTable(findings)}\n`)
  }
  if (options.json) console.log(JSON.stringify(results))
  return 0
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) runProgram(main)
