/**
 * A deployment's own merge rules: ES modules that the configuration file names per space. Paths are
 * relative to that file:
 *
 *     { "merge": { "notes": "./longer.mjs" } }
 *
 * The default export is a pure function of the standing and the incoming write (`MergeRule`). It
 * returns 'standing', 'incoming', or a merged operation of the same type on the same thing. It must
 * not change its arguments, wait, or use the time or the disk. Only the primary calls it, but every
 * member may become primary: all nodes of a space need the same module. A rule that orders writes
 * as totally as `defaultRule` does gives the same result in whatever order forks are reconciled. So
 * fall back on it where your own order sees no difference:
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
 * A rule that throws, or returns anything else, is logged and counts as 'standing'. Nothing is
 * lost: the incoming write goes into the quarantine.
 */
import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { types } from 'node:util'
import type { MergeRule } from '../../machines/forks/merge.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import { ConfigError } from './options.js'
import type { ConfigFault } from './options.js'

/** Place of a space's rule, before it is loaded. */
export interface MergeModule {
  readonly space: string
  /** As the configuration file has it. */
  readonly given: string
  /** Absolute. */
  readonly path: string
}

/** By space. Has no prototype: otherwise a space named `constructor` would seem to have a rule. */
export type MergeRules = Readonly<Record<string, MergeRule>>

/** A module that has not loaded in this time stops the start. */
export const mergeLoadMs = 10_000

/**
 * Reads the `merge` field of the configuration file; loads nothing.
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
 * Loads the rules. Their code runs in this process, with its permissions.
 * @throws ConfigError naming every module that cannot be used
 */
export async function loadMergeRules(
  modules: readonly MergeModule[],
  withinMs = mergeLoadMs,
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
    // Checked first: the import's own "not found" may be about something that the module imports.
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
      return `must be the path of an ES module; there is no file ${path}`
    }
    return await Promise.race([imported(path), late])
  } catch (error) {
    return `must load without an error; ${path} fails with ${String(error)}`
  } finally {
    clearTimeout(timer)
  }
}

async function imported(path: string): Promise<MergeRule | string> {
  const { default: rule } = await import(pathToFileURL(path).href) as { default?: unknown }
  if (typeof rule !== 'function') {
    return `must have a default export that is a function; ${path} has `
      + (rule === undefined ? 'none' : typeof rule === 'object' ? 'an object' : `a ${typeof rule}`)
  }
  if (types.isAsyncFunction(rule) || types.isGeneratorFunction(rule)) {
    return `must be a function that returns at once; that of ${path} does not`
  }
  return rule as MergeRule
}
