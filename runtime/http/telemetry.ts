/** The Telemetry port on prom-client. */
import { Counter, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'
import type { Telemetry } from '../../actors/ports/system.js'
import type { Slices } from '../system/slices.js'
import { instruments } from './instruments.js'
import type { Instrument } from './instruments.js'

const secondBuckets = [
  0.0001,
  0.00025,
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
]
const sizeBuckets = Array.from({ length: 13 }, (_, i) => 256 * 4 ** i)
const countBuckets = Array.from({ length: 16 }, (_, i) => 2 ** i)

export interface PromTelemetry {
  readonly telemetry: Telemetry
  /**
   * The counters of this node's spaces are shown from 0 on, since a rate over a counter misses its
   * first increment; those of spaces that are gone are dropped.
   */
  showSpaces(spaces: readonly string[], slices: Slices): Promise<void>
}

/**
 * Names of the port are words in camelCase: `writes`, `journalFlushMs`, `frameBytes`. A counter
 * becomes `engram_writes_total`. A distribution gets its unit from the end of its name, in base
 * units: `engram_journal_flush_seconds`, `engram_frame_bytes`. Names that are not among the
 * instruments are shown as well; the labels of the first call are those of the metric, and later
 * ones are fitted to it, missing ones empty.
 */
export function promTelemetry(registry: Registry): PromTelemetry {
  const counters = new Map<string, { counter: Counter; labels: readonly string[] }>()
  const histograms = new Map<
    string,
    { histogram: Histogram; labels: readonly string[]; scale: number }
  >()
  const addCounter = ({ name, help, labels }: Omit<Instrument, 'kind'>) => {
    const counter = new Counter({
      name: counterName(name),
      help,
      labelNames: labels,
      registers: [registry],
    })
    const entry = { counter, labels }
    counters.set(name, entry)
    return entry
  }
  const addHistogram = ({ name, help, labels, buckets }: Omit<Instrument, 'kind'>) => {
    const { metric, scale, buckets: ofUnit } = distribution(name)
    const histogram = new Histogram({
      name: metric,
      help,
      labelNames: labels,
      buckets: [...buckets ?? ofUnit],
      registers: [registry],
    })
    const entry = { histogram, labels, scale }
    histograms.set(name, entry)
    return entry
  }
  for (const one of instruments) (one.kind === 'counter' ? addCounter : addHistogram)(one)
  let shown: ReadonlySet<string> = new Set()
  return {
    telemetry: {
      count(name, by = 1, labels = {}) {
        const entry = counters.get(name) ?? addCounter({
          name,
          help: `Number of ${words(name)}.`,
          labels: Object.keys(labels),
        })
        if (entry.labels.length === 0) entry.counter.inc(by)
        else entry.counter.inc(fitted(labels, entry.labels), by)
      },
      observe(name, value, labels = {}) {
        const entry = histograms.get(name) ?? addHistogram({
          name,
          help: `Distribution of ${words(name)}.`,
          labels: Object.keys(labels),
        })
        const scaled = value * entry.scale
        if (entry.labels.length === 0) entry.histogram.observe(scaled)
        else entry.histogram.observe(fitted(labels, entry.labels), scaled)
      },
    },
    async showSpaces(spaces, slices) {
      const before = shown
      shown = new Set(spaces)
      const ofSpaces = [...counters.values()].filter(({ labels }) => labels.includes('space'))
      for (const { counter, labels } of ofSpaces) {
        if (labels.length > 1) continue
        for (const space of shown) {
          counter.inc({ space }, 0)
          if (slices.isOver) await slices.next()
        }
      }
      if ([...before].every((space) => shown.has(space))) return
      for (const { counter } of ofSpaces) await dropOthers(counter, shown, slices)
    },
  }
}

async function dropOthers(
  counter: Counter,
  spaces: ReadonlySet<string>,
  slices: Slices,
): Promise<void> {
  for (const { labels } of (await counter.get()).values) {
    if (!spaces.has(String(labels['space']))) counter.remove(labels)
    if (slices.isOver) await slices.next()
  }
}

function fitted(
  labels: Record<string, string>,
  names: readonly string[],
): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, labels[name] ?? '']))
}

function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).replaceAll('_', ' ')
}

function snake(name: string): string {
  const plain = words(name).trim().replace(/[^a-z0-9]+/gi, '_').toLowerCase()
  return plain.startsWith('engram_') ? plain : `engram_${plain}`
}

function counterName(name: string): string {
  const plain = snake(name)
  return plain.endsWith('_total') ? plain : `${plain}_total`
}

function distribution(name: string): { metric: string; scale: number; buckets: number[] } {
  const plain = snake(name)
  if (plain.endsWith('_ms')) {
    return { metric: plain.replace(/_ms$/, '_seconds'), scale: 1 / 1000, buckets: secondBuckets }
  }
  if (plain.endsWith('_seconds')) return { metric: plain, scale: 1, buckets: secondBuckets }
  return { metric: plain, scale: 1, buckets: plain.endsWith('_bytes') ? sizeBuckets : countBuckets }
}
