/** The Markdown that `npm run bench` prints: medians of the repeats, and ratios to the floor. */
import type { ClientLoad, ClientResult } from './client.js'
import type { InspectionResult } from './inspection.js'
import { cpuSections } from './cpuReport.js'
import { goalsTable } from './goals.js'
import type { LoadName } from './measured.js'
import { ofLoad } from './results.js'
import type { Results } from './results.js'
import type { Variant } from './settings.js'
import { markdownTable, median, showCount, showMs } from './table.js'

const systems: Readonly<Record<string, string>> = {
  floor: 'floor (bare NATS responder, fdatasync)',
  engram: 'Engram, 2 replicas, `durable`, fdatasync on all three',
  jetstream: 'JetStream R3 file stream (no fdatasync)',
  redis: 'Redis, 2 replicas, `appendfsync always` on all three, pipelined',
}

type Measure = 'p50Ms' | 'p99Ms' | 'perSecond'

export function report(results: Results): string {
  const { machine } = results
  const sections = [
    `\`${results.command}\``,
    `${machine.cores} cores (${machine.model}), ${machine.memoryGiB} GiB, Node ${machine.node}, `
    + `${machine.broker}, ${machine.redis ?? 'no Redis'}; ${results.at.slice(0, 10)}. `
    + `Medians of ${results.repeats} interleaved runs of ${results.seconds} s; nodes, `
    + 'brokers and the load share the machine.',
  ]
  if (Object.keys(results.loads).length > 0) {
    sections.push(latencyTable(results), faults(results), ...cpuSections(results))
  }
  const rows = [...lagRows(results), ...failoverRows(results)]
  if (rows.length > 0) {
    sections.push(markdownTable(['', 'median', 'p99', 'max', 'aim'], rows))
  }
  sections.push(
    clientLine(results),
    settingsTable(results),
    inspectionTable(results),
    recoveryLine(results),
    spacesLine(results),
    goalsTable(results),
  )
  return sections.filter((text) => text !== '').join('\n\n')
}

function latencyTable(results: Results): string {
  const value = (system: string, load: LoadName, measure: Measure): number =>
    ofLoad(results, system, load, (result) => result[measure])
  const cell = (
    system: string,
    load: LoadName,
    measure: Measure,
    show: (n: number) => string,
    ofFloor = load,
  ): string => {
    const own = value(system, load, measure)
    const ratio = own / value('floor', ofFloor, measure)
    if (system === 'floor' || !Number.isFinite(ratio)) return show(own)
    return `${show(own)} (${ratio.toFixed(2)} ×)`
  }
  const rows = Object.keys(results.loads).map((system) => [
    systems[system] ?? system,
    cell(system, 'one', 'p50Ms', showMs),
    cell(system, 'one', 'p99Ms', showMs),
    cell(system, 'open', 'p50Ms', showMs),
    cell(system, 'open', 'p99Ms', showMs),
    cell(system, 'closed', 'perSecond', showCount),
    cell(system, 'closed', 'p99Ms', showMs),
  ])
  const apart = results.loads['redis']?.apart
  if (apart) {
    rows.push([
      'Redis, the same over 256 connections',
      '–',
      '–',
      '–',
      '–',
      cell('redis', 'apart', 'perSecond', showCount, 'closed'),
      cell('redis', 'apart', 'p99Ms', showMs, 'closed'),
    ])
  }
  rows.push(...results.leftOut.map((text) => [text, ...Array<string>(6).fill('–')]))
  return markdownTable([
    'acknowledged writes',
    'one in flight, median',
    'p99',
    '5,000/s, median',
    'p99',
    '256 in flight, per second',
    'p99',
  ], rows)
}

/** Errors, and what the generator itself adds to the latencies of the open loop. */
function faults(results: Results): string {
  const lines: string[] = []
  const late: number[] = []
  for (const [system, loads] of Object.entries(results.loads)) {
    for (const [load, repeats] of Object.entries(loads)) {
      for (const result of repeats) {
        if (load === 'open') late.push(result.lateP99Ms)
        for (const [code, count] of Object.entries(result.errors)) {
          lines.push(`- ${system}, ${load}: ${count} × ${code}`)
        }
      }
    }
  }
  const own = `At 5,000/s latency counts from when a write was due; of that, the generator's own `
    + `lateness is ${showMs(median(late))} at p99.`
  return [own, ...lines.length > 0 ? ['', 'Not answered positively:', '', ...lines] : []].join('\n')
}

function lagRows({ lag }: Results): string[][] {
  if (!lag) return []
  const name = `replica lag at ${showCount(lag.rate)} writes/s`
  return [[name, showMs(lag.p50Ms), showMs(lag.p99Ms), showMs(lag.maxMs), 'p99 ≤ 20 ms']]
}

function failoverRows({ failover }: Results): string[][] {
  const said = {
    kill: { name: 'kill -9 of the primary', aim: 'median ≤ 400 ms, max ≤ 1 s' },
    pause: { name: 'SIGSTOP of the primary', aim: 'max ≤ 3 s' },
  }
  return failover.map((result) => [
    `${said[result.fault].name} to the first positive answer, ${result.rounds} ×`,
    showMs(result.medianMs),
    '–',
    showMs(result.maxMs),
    said[result.fault].aim,
  ])
}

function clientLine({ client }: Results): string {
  if (!client) return ''
  const of = (loads: ClientResult['bare'], measure: keyof ClientLoad): number =>
    median(loads.map((load) => load[measure]))
  const { protect, bare } = client
  const show = (loads: ClientResult['bare']): string =>
    `${showCount(of(loads, 'perSecond'))}/s, `
    + `${of(loads, 'cpuMicros').toFixed(1)} µs of CPU per write, p99 ${showMs(of(loads, 'p99Ms'))}`
  return `The TypeScript client, \`durable\`, ${client.inFlight} in flight: protected `
    + `${show(protect)}; with \`protect: false\` ${show(bare)}. Kept at most: `
    + `${Math.round(of(protect, 'keptBytesMax') / 1024)} KiB.`
}

function settingsTable({ settings }: Results): string {
  if (!settings) return ''
  const said: Readonly<Record<Variant, string>> = {
    plain: 'no key, no bound',
    header: 'an unused header with every write',
    keys: 'a key with every write',
    loss1000: '`maxLoss` 1,000 entries',
    loss100: '`maxLoss` 100 entries',
    loss10: '`maxLoss` 10 entries',
  }
  const rows = (Object.keys(said) as Variant[]).map((name) => {
    const of = (key: 'perSecond' | 'p50Ms' | 'p99Ms') =>
      median(settings[name].map((result) => result[key]))
    // Within each repeat, since the machine is another one a minute later.
    const ratios = settings[name]
      .map(({ perSecond }, n) => perSecond / (settings.plain[n]?.perSecond ?? NaN))
    const change = `${((median(ratios) - 1) * 100).toFixed(1)} %`
    const windowMax = Math.max(...settings[name].map((result) => result.windowMax))
    return [
      said[name],
      showCount(of('perSecond')),
      name === 'plain' ? '–' : change,
      showMs(of('p50Ms')),
      showMs(of('p99Ms')),
      showCount(windowMax),
      name === 'keys' ? 'at most 10 % lost to the header alone' : '',
    ]
  })
  return markdownTable([
    '`durable` with 256 in flight',
    'per second',
    'change',
    'median',
    'p99',
    'most above the safe sequence',
    'aim',
  ], rows)
}

function inspectionTable({ inspection }: Results): string {
  if (!inspection) return ''
  const { off } = inspection
  const of = (mode: keyof InspectionResult, name: 'perSecond' | 'p99Ms' | 'cpuUs'): number =>
    median(inspection[mode].map((result) => result[name]))
  const said = {
    off: 'no viewer',
    reading: 'one viewer that reads',
    hanging: 'one viewer that hangs',
  } as const
  const rows = (Object.keys(said) as (keyof InspectionResult)[]).map((mode) => {
    // Within each repeat, since the machine is another one a minute later.
    const ratios = inspection[mode]
      .map(({ perSecond }, n) => perSecond / (off[n]?.perSecond ?? NaN))
    const change = (median(ratios) - 1) * 100
    return [
      said[mode],
      showCount(of(mode, 'perSecond')),
      mode === 'off' ? '–' : `${change.toFixed(1)} %`,
      showMs(of(mode, 'p99Ms')),
      `${of(mode, 'cpuUs').toFixed(1)} µs`,
      mode === 'off' ? '' : 'less than 10 % lost',
    ]
  })
  return markdownTable(
    ['`durable` with 256 in flight, page open', 'per second', 'change', 'p99',
      'CPU per write, nodes and page', 'aim'],
    rows,
  )
}

function recoveryLine({ recovery }: Results): string {
  if (!recovery) return ''
  const { mebibytes, ms, mebibytesPerSecond } = recovery
  return `Recovery: ${mebibytes} MiB of journal in ${showMs(ms)}, ${mebibytesPerSecond} MiB/s `
    + '(aim ≥ 100).'
}

function spacesLine({ spaces }: Results): string {
  if (!spaces) return ''
  const { count, kibPerSpace, idleCpuPercent, failedOver, halfMs, allMs } = spaces
  return `${showCount(count)} spaces on three nodes: ${kibPerSpace} KiB of each node's memory per `
    + `idle space (aim ≤ 64), ${idleCpuPercent} % of a core per node while idle; after kill -9 of `
    + `the node that was primary of ${failedOver} of them, half took writes again after `
    + `${showMs(halfMs)}, all after ${showMs(allMs)} (aim < 2 s).`
}
