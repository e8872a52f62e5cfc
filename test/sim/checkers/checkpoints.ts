/** I13: each checkpoint that counts has exactly what the log up to its position does. */
import { isDeepStrictEqual } from 'node:util'
import type { LogEntry } from '../../../machines/log/entries.js'
import { contentOf, keptBy, replayed } from '../../support/checkpointContent.js'
import type { SimNode } from '../../support/simNode.js'
import { space } from '../plan.js'

/** Returns what is wrong, or null. */
export async function checkpointFault(
  node: SimNode,
  log: readonly LogEntry[],
): Promise<string | null> {
  for (const kept of keptBy(node, space)) {
    const { epoch, sequence } = kept.position
    const at = `checkpoint ${kept.file} of ${node.id} at (${epoch}, ${sequence})`
    if (log[sequence - 1]?.epoch !== epoch) return `${at}: the log has no such entry`
    const [content, expected] = [await contentOf(node, kept, space),
      await replayed(log.slice(0, sequence))]
    if (!isDeepStrictEqual(content, expected)) return `${at} holds something else than the log`
  }
  return null
}
