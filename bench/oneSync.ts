/**
 * The unit for wakes of a thread pool. A call to it costs one wake when it does not wait itself;
 * an fdatasync waits for the disk, and each of these waits is another one. How many they are
 * depends on the file system, so one append and its fdatasync are counted, alone, on this disk.
 */
import { closeSync, fdatasync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { accountBetween, takeSnapshot } from './account.js'
import { temporaryDirectory } from './processes.js'

const rounds = 200
const everyMs = 5
const bytes = Buffer.alloc(300, 'x')

/** Wakes of the pool per fdatasync; NaN where there is no /proc. */
export async function wakesOfOneSync(): Promise<number> {
  const file = openSync(join(temporaryDirectory('one-sync'), 'log'), 'a')
  const sync = (): Promise<void> =>
    new Promise((resolve, reject) => {
      writeSync(file, bytes)
      fdatasync(file, (error) => error ? reject(error) : resolve())
    })
  // The first call starts the pool.
  await sync()
  const pids = { primary: [process.pid] }
  const before = takeSnapshot(pids)
  for (let round = 0; round < rounds; round += 1) {
    await sync()
    await delay(everyMs)
  }
  const after = takeSnapshot(pids)
  closeSync(file)
  const perSecond = accountBetween(before, after).primary?.wakesPerSecond.pool ?? NaN
  return perSecond * (after.atMs - before.atMs) / 1000 / rounds
}
