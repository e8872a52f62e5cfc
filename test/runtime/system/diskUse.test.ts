/** How much a data directory takes. */
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DiskMeter, type DiskSample } from '../../../runtime/system/diskUse.js'

const test = suite('disk use')
const directory = mkdtempSync(join(tmpdir(), 'engram-disk-use-'))
test.after(() => rmSync(directory, { recursive: true, force: true }))

/** Asks until another sample is there than the last one. */
async function next(meter: DiskMeter, last: DiskSample | null): Promise<DiskSample> {
  for (;;) {
    const sample = meter.sample()
    if (sample !== null && sample !== last) return sample
    await nextTurn()
  }
}

test('counts what is allocated below some folders, and measures again after a while', async () => {
  mkdirSync(join(directory, 'store', 'graph'), { recursive: true })
  writeFileSync(join(directory, 'store', 'graph', 'data'), Buffer.alloc(100_000, 1))
  writeFileSync(join(directory, 'store', 'holes'), '')
  truncateSync(join(directory, 'store', 'holes'), 2 ** 33)
  writeFileSync(join(directory, 'other'), Buffer.alloc(10_000_000, 1))
  let nowMs = 0
  const meter = new DiskMeter(directory, ['store', 'missing'], () => nowMs)
  assert.is(meter.sample(), null)
  const first = await next(meter, null)
  const { store, missing } = first.folders
  assert.ok(store! >= 100_000 && store! < 1_000_000, `${store} bytes`)
  assert.is(missing, 0)
  assert.ok(first.freeBytes > 0 && first.freeBytes < first.totalBytes)
  writeFileSync(join(directory, 'store', 'more'), Buffer.alloc(2_000_000, 1))
  nowMs = 9_999
  assert.is(meter.sample(), first)
  nowMs = 10_000
  const second = await next(meter, first)
  assert.ok(second.folders['store']! > store! + 1_900_000)
})

test('a directory that cannot be read has no size', async () => {
  let nowMs = 0
  const meter = new DiskMeter(join(directory, 'none'), ['store'], () => nowMs)
  for (; nowMs < 100_000; nowMs += 5_000) {
    assert.is(meter.sample(), null)
    await nextTurn()
  }
})

test.run()
