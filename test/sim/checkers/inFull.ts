import type { EpochHistory, EpochSpan, Position } from '../../../machines/base/ids.js'

/** Where the log of an epoch begins: what it continues. */
type Begins = ReadonlyMap<number, Position>

/** The history with the epochs that are summed up in its root, by how frames continue each other. */
export function inFull({ root, history }: EpochHistory, begins: Begins): readonly EpochSpan[] {
  const below: EpochSpan[] = []
  for (let before = begins.get(root.epoch); before && before.epoch > 0;
    before = begins.get(before.epoch))
  {
    below.unshift({ epoch: before.epoch, last: before.sequence })
  }
  return [...below, ...history]
}
