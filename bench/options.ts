/** The flags of `npm run bench`. */
import { parseArgs } from 'node:util'
import { knows, loadNames } from './measured.js'
import type { LoadName } from './measured.js'

export const parts = [
  'latency',
  'cpu',
  'client',
  'lag',
  'settings',
  'inspection',
  'failover',
  'recovery',
  'spaces',
] as const
export type Part = typeof parts[number]
export const systems = ['floor', 'engram', 'jetstream', 'redis'] as const
export type System = typeof systems[number]
/** Measured of two builds: a load, or the rest without any. */
export type Scene = LoadName | 'idle'

export interface Options {
  readonly only: readonly Part[]
  readonly seconds: number
  readonly warmSeconds: number
  readonly rounds: number
  readonly repeats: number
  readonly systems: readonly System[]
  readonly json: boolean
  readonly against: AgainstOptions | null
  /** Kept, so that whoever reads the table can repeat it. */
  readonly command: string
}

export interface AgainstOptions {
  readonly commit: string
  readonly pairs: number
  readonly scenes: readonly Scene[]
}

const flags = {
  only: { type: 'string' },
  seconds: { type: 'string' },
  'warm-seconds': { type: 'string' },
  rounds: { type: 'string' },
  repeats: { type: 'string' },
  systems: { type: 'string' },
  json: { type: 'boolean' },
  against: { type: 'string' },
  pairs: { type: 'string' },
} as const

const scenes: readonly Scene[] = ['idle', ...loadNames.filter((load) => knows('engram', load))]
/** The loads that the goals are about, without the ones that are much like another. */
const usualScenes: readonly Scene[] = ['idle', 'paced', 'one', 'open', 'closed']

export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({ args: [...args], options: flags })
  const against = values.against === undefined ? null : {
    commit: values.against,
    pairs: number('pairs', values.pairs, 6),
    scenes: list('only', values.only, scenes, usualScenes),
  }
  if (!against && values.pairs !== undefined) throw new Error('--pairs needs --against COMMIT')
  const only = against ? [] : list('only', values.only, parts, parts)
  return {
    only,
    against,
    json: values.json ?? false,
    seconds: number('seconds', values.seconds, 2),
    // Until V8 has compiled what is used often; 45 for figures to be published.
    warmSeconds: number('warm-seconds', values['warm-seconds'], 20),
    rounds: number('rounds', values.rounds, 20),
    // CPU per write varies little, and is measured often.
    repeats: number('repeats', values.repeats, only.join() === 'cpu' ? 1 : 3),
    systems: list('systems', values.systems, systems, systems),
    command: ['npm run bench', ...args.length > 0 ? ['--', ...args] : []].join(' '),
  }
}

function list<T extends string>(
  flag: string,
  text: string | undefined,
  known: readonly T[],
  fallback: readonly T[],
): readonly T[] {
  if (text === undefined) return fallback
  const names = text.split(',')
  const unknown = names.filter((name) => !known.some((one) => one === name))
  if (unknown.length > 0) throw new Error(`--${flag} knows ${known.join(', ')}: not ${unknown}`)
  return known.filter((one) => names.includes(one))
}

function number(name: string, text: string | undefined, fallback: number): number {
  const value = Number(text ?? fallback)
  if (!(value > 0)) throw new Error(`--${name} is a number above 0: not ${text}`)
  return value
}

/** The loads that these parts measure. */
export function loadsOf(only: readonly Part[]): readonly LoadName[] {
  if (only.includes('cpu')) return loadNames
  return only.includes('latency') ? ['one', 'open', 'closed'] : []
}
