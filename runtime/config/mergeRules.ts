/**
 * A deployment's own merge rules: ES modules that the configuration file names per space. Paths are
 * relative to that file:
 *
 *     { "merge": { "notes": "./longer.mjs" } }
 *
 * The default export is a pure function of what stands and what comes (`MergeRule`). It returns
 * 'standing', 'incoming', or an operation of the same type on the same thing, as the result of
 * both. It must not change what it is given, wait, or ask the time or the disk. Only the primary
 * evaluates it, and every member may become primary: all nodes of a space need the same module.
 * One that orders writes as totally as `defaultRule` does gives the same result in whatever order
 * forks come home; so fall back on it where your own order knows no difference:
 *
 *     // longer.mjs: the longer content wins
 *     import { defaultRule } from 'engram-replication'
 *
 *     const length = ({ operation }) =>
 *       operation.type === 'StoreNode' ? operation.node.content?.length ?? 0 : 0
 *
 *     export default (standing, incoming) => {
 *       const order = length(standing) - length(incoming)
 *       if (order === 0) return defaultRule(standing, incoming)
 *       return order > 0 ? 'standing' : 'incoming'
 *     }
 *
 * A rule that throws, or returns anything else, is logged and counts as 'standing': nothing is
 * lost, the incoming write goes into the quarantine.
 */
import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { types } from 'node:util'
import type { MergeRule } from '../../machines/forks/merge.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import { ConfigError } from './options.js'
import type { ConfigFault } from './options.js'

/** Where the rule of a space is, before it is loaded. */
export interface MergeModule {
  readonly space: string
  /** As the configuration file has it. */
  readonly given: string
  /** Absolute. */
  readonly path: string
}

/** By space; without a prototype, or a space named `constructor` would seem to have a rule. */
export type MergeRules = Readonly<Record<string, MergeRule>>

/** A module that has not loaded by then stops the start. */
export const mergeLoadMs = 10_000

/**
 * What the configuration file says under `merge`, without loading any of it.
 * @throws ConfigError naming all faults found
 */
export function mergeModules(merge: unknown, configFile: string): readonly MergeModule[] {
  if (merge === undefined) return []
  if (typeof merge !== 'object' || merge === null || Array.isArray(merge)) {
    const rule = 'must be an object: { "<space>": "<path of an ES module>" }'
    throw new ConfigError([{ field: 'merge', value: merge, rule }], configFile)
  }
  const faults: ConfigFault[] = []
  const modules: MergeModule[] = []
  for (const [space, given] of Object.entries(merge)) {
    const rule = nameFault(space) ?? pathFault(given)
    if (rule !== null) faults.push({ field: fieldOf(space), value: given, rule })
    else modules.push({ space, given, path: resolve(dirname(resolve(configFile)), given) })
  }
  if (faults.length > 0) throw new ConfigError(faults, configFile)
  return modules
}

/**
 * Loads the rules. Their code runs in this process, with its rights.
 * @throws ConfigError naming every module that cannot be used
 */
export async function loadMergeRules(
  modules: readonly MergeModule[], withinMs = mergeLoadMs,
): Promise<MergeRules> {
  const loaded = await Promise.all(modules.map((module) => load(module, withinMs)))
  const faults = loaded.flatMap((found, index): ConfigFault[] => {
    const module = modules[index]
    if (typeof found !== 'string' || !module) return []
    return [{ field: fieldOf(module.space), value: module.given, rule: found }]
  })
  if (faults.length > 0) throw new ConfigError(faults)
  const rules = Object.create(null) as Record<string, MergeRule>
  for (const [index, { space }] of modules.entries()) {
    const found = loaded[index]
    if (typeof found === 'function') rules[space] = found
  }
  return Object.freeze(rules)
}

function fieldOf(space: string): string {
  return `merge.${space.slice(0, 80)}`
}

function pathFault(given: unknown): string | null {
  return typeof given === 'string' && given !== '' ? null : 'must be the path of an ES module'
}

/** The rule, or why there is none. */
async function load({ path }: MergeModule, withinMs: number): Promise<MergeRule | string> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>((done) => {
    timer = setTimeout(done, withinMs, `must load within ${withinMs} ms`)
  })
  try {
    // Looked at first: the import's own "not found" may mean something that the module imports.
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
      return `must be the path of an ES module, and there is no file ${path}`
    }
    return await Promise.race([imported(path), late])
  } catch (error) {
    return `must load without a fault, and ${path} says: ${String(error)}`
  } finally {
    clearTimeout(timer)
  }
}

async function imported(path: string): Promise<MergeRule | string> {
  const { default: rule } = await import(pathToFileURL(path).href) as { default?: unknown }
  if (typeof rule !== 'function') {
    return `must have a default export that is a function, and ${path} has `
      + (rule === undefined ? 'none' : typeof rule === 'object' ? 'an object' : `a ${typeof rule}`)
  }
  if (types.isAsyncFunction(rule) || types.isGeneratorFunction(rule)) {
    return `must be a function that answers at once, and that of ${path} does not`
  }
  return rule as MergeRule
}
