import { countText } from '../../machines/base/units.js'
import type { RebuildStatus } from './status.js'

/** How far a store is, for people. */
export function rebuildText({ phase, done, total }: RebuildStatus): string {
  const share = `${Math.floor(done / Math.max(1, total) * 100)} %`
  const counted = `${countText(done)} of ${countText(total)}`
  return phase === 'checkpoint'
    ? `loads its store from a checkpoint: ${share}, ${counted} records`
    : `applies its journal to its store: ${share}, ${counted} entries`
}
