/** The time that a promotion took, as status and metrics show it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('promotion time')

for (const seed of [1, 2, 3]) {
  test(`it counts from this vacancy, not from an earlier one that another won, seed ${seed}`,
    async () => {
      // All members are candidates when the space is new, and one wins.
      const cluster = await SimCluster.start({ seed })
      await cluster.createSpace()
      await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
      await cluster.run(20_000)
      const former = cluster.primary()!
      former.kill()
      await cluster.until('another is primary', () => {
        const primary = cluster.primary()
        return primary !== null && primary !== former
      })
      const { lastPromotionMs } = cluster.primary()!.space('teams').succession
      assert.ok(lastPromotionMs !== null && lastPromotionMs < 5000, `${lastPromotionMs} ms`)
    })
}

test.run()
