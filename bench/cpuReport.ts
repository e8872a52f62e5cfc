/** Tables of the processor's use: CPU per write by system, by role, and wakes. */
import { serversCpu } from './account.js'
import type { Role, Usage } from './account.js'
import { cpuPerWrite, poolWakesPerBatch, wakesPerWrite } from './measured.js'
import type { LoadName, Measured } from './measured.js'
import { ofIdle, ofLoad } from './results.js'
import type { Results } from './results.js'
import { markdownTable } from './table.js'

const columns: readonly LoadName[] = ['paced', 'one', 'open', 'closed']
const titles = ['200/s', 'one in flight', '5,000/s', '256 in flight']
const names: Readonly<Record<string, string>> = {
  floor: 'floor',
  engram: 'Engram',
  jetstream: 'JetStream R3',
  redis: 'Redis',
}
const serverRoles: readonly Role[] = ['primary', 'replicas', 'broker', 'up']
/** Systems whose processes are Node's: kinds of threads are known of these. */
const nodeProcesses: readonly [string, Role, string][] = [
  ['floor', 'primary', 'floor'],
  ['engram', 'primary', 'Engram, primary'],
  ['engram', 'replicas', 'Engram, a replica'],
]

export function cpuSections(results: Results): readonly string[] {
  if (Object.keys(results.idle).length === 0) return []
  return [cpuTable(results), rolesTable(results), wakesTable(results), oneSyncLine(results)]
}

function oneSyncLine({ oneSyncWakes }: Results): string {
  return oneSyncWakes === null || !Number.isFinite(oneSyncWakes)
    ? ''
    : `On this disk one append and its fdatasync, alone, wake a thread pool ${
      oneSyncWakes.toFixed(1)
    } times.`
}

function cpuTable(results: Results): string {
  const rows = Object.keys(results.idle).map((system) => [
    names[system] ?? system,
    percent(ofIdle(results, system, serversCpu)),
    ...columns.map((load) => micros(ofLoad(results, system, load, cpuPerWrite))),
  ])
  const apart = ofLoad(results, 'redis', 'apart', cpuPerWrite)
  if (Number.isFinite(apart)) {
    rows.push(['Redis, 256 connections', '–', ...columns.map((load) =>
      load === 'closed' ? micros(apart) : '–'
    )])
  }
  return markdownTable(['CPU per write of all servers', 'idle', ...titles], rows)
}

/** The replicas together, as they count in the sum. */
function rolesTable(results: Results): string {
  const rows = Object.keys(results.idle).flatMap((system) => {
    const account = results.idle[system]?.[0]
    const known = serverRoles.filter((role) => account?.[role])
    return [...known, 'load' as const].map((role) => {
      const count = account?.[role]?.processes ?? 1
      return [
        `${names[system] ?? system}: ${role}${count > 1 ? ` (${count} together)` : ''}`,
        percent(ofIdle(results, system, (one) => one[role]?.cpuMsPerSecond ?? NaN)),
        ...columns.map((load) =>
          micros(ofLoad(results, system, load, (measured) => cpuPerWrite(measured, role)))
        ),
      ]
    })
  })
  return markdownTable(['CPU per write by process', 'idle', ...titles], rows)
}

function wakesTable(results: Results): string {
  const known = nodeProcesses.filter(([system]) => results.idle[system])
  const rows = known.map(([system, role, name]) => {
    const idle = (value: (usage: Usage) => number): number =>
      ofIdle(results, system, (account) => {
        const usage = account[role]
        return usage ? value(usage) / usage.processes : NaN
      })
    const at = (load: LoadName, value: (measured: Measured) => number, digits = 2): string =>
      plain(ofLoad(results, system, load, value), digits)
    // The floor counts no batches; with one write at a time each is one.
    const batches: (measured: Measured) => number = system === 'floor'
      ? (measured) => wakesPerWrite(measured, role, 'pool')
      : (measured) => poolWakesPerBatch(measured, role)
    return [
      name,
      plain(idle((usage) => usage.wakesPerSecond.main), 0),
      at('paced', (measured) => wakesPerWrite(measured, role, 'main')),
      at('one', (measured) => wakesPerWrite(measured, role, 'main')),
      at('paced', batches),
      at('one', batches),
      micros(ofLoad(results, system, 'paced', (measured) => othersPerWrite(measured, role))),
      at('closed', ({ account }) => {
        const usage = account[role]
        return usage ? (usage.batchesPerSecond ?? NaN) / usage.processes : NaN
      }, 0),
    ]
  })
  return markdownTable([
    'wakes, per process',
    'main thread, idle, per second',
    '200/s, per write',
    'one in flight, per write',
    'pool, 200/s, per batch',
    'one in flight, per batch',
    'CPU of V8\'s own threads, 200/s, per write',
    'batches per second, 256 in flight',
  ], rows)
}

function othersPerWrite({ account, perSecond }: Measured, role: Role): number {
  const usage = account[role]
  return usage ? usage.othersCpuMsPerSecond * 1000 / usage.processes / perSecond : NaN
}

/** Share of a core, from ms per second. */
function percent(msPerSecond: number): string {
  return Number.isFinite(msPerSecond) ? `${(msPerSecond / 10).toFixed(1)} %` : '–'
}

function micros(us: number): string {
  if (!Number.isFinite(us)) return '–'
  return `${us < 100 ? us.toFixed(1) : Math.round(us).toLocaleString('en-US')} µs`
}

function plain(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '–'
}
