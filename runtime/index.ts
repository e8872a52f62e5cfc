/** Exports for programs that use Engram. */
export * from './client/index.js'
export { checkConfig, ConfigError, defaultConfig, options } from './config/options.js'
export type { Config, ConfigFault, OptionName } from './config/options.js'
export { defaultRule } from '../machines/forks/merge.js'
export type { Contender, MergeRule } from '../machines/forks/merge.js'
export * from './standalone/index.js'
