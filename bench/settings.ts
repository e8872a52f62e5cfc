/**
 * The cost of a space's settings: an idempotency key with every write, and bounds on the loss
 * window; `durable` writes, 256 in flight, by turns in one run.
 */
import type { SpaceSettings } from '../machines/protocol/messages.js'
import type { EngramCluster } from './engram.js'
import { measure } from './load.js'
import type { LoadResult } from './load.js'

export type Variant = 'plain' | 'header' | 'keys' | 'loss1000' | 'loss100' | 'loss10'

const variants: Record<Variant, {
  readonly settings: Partial<SpaceSettings>
  readonly header?: string
}> = {
  plain: { settings: {} },
  // The cost of any header for generator, broker and nodes.
  header: { settings: {}, header: 'Unused-Header' },
  keys: { settings: {}, header: 'Nats-Msg-Id' },
  loss1000: { settings: { maxLoss: { entries: 1000 } } },
  loss100: { settings: { maxLoss: { entries: 100 } } },
  loss10: { settings: { maxLoss: { entries: 10 } } },
}

/** One result per repeat. */
export type SettingsResult = Readonly<Record<Variant, LoadResult[]>>

const inFlight = 256
const warmupSeconds = 1

export async function measureSettings(
  cluster: EngramCluster,
  seconds: number,
  repeats: number,
  progress: (text: string) => void,
): Promise<SettingsResult> {
  const names = Object.keys(variants) as Variant[]
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Variant,
    LoadResult[]>
  for (const name of names) await cluster.createSpace(name, variants[name].settings)
  const { url, okPrefix } = cluster.target.endpoint
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    // Another one first each time: what comes later finds more in the store.
    for (let turn = 0; turn < names.length; turn += 1) {
      const name = names[(repeat + turn) % names.length]!
      const { header } = variants[name]
      const result = await measure({
        url,
        okPrefix,
        subject: `engram.v1.write.${name}`,
        inFlight,
        seconds,
        warmupSeconds,
        ...(header && { header }),
      })
      results[name].push(result)
      progress(`${repeat + 1}/${repeats} settings ${name.padEnd(8)} ${result.perSecond}/s, `
        + `p99 ${result.p99Ms} ms, at most ${result.windowMax} above safe`)
    }
  }
  return results
}
