/**
 * Recovery: a journal of some hundred MiB, as a busy node leaves it, opened again after a kill.
 * Alone: `node dist/bench/recovery.js [MiB]`.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Logger } from '../actors/ports/system.js'
import { createFrameCodec } from '../runtime/codec/frames.js'
import { openJournal } from '../runtime/journal/journal.js'
import { NodeFileSystem } from '../runtime/system/fileSystem.js'
import { SystemRandom } from '../runtime/system/random.js'
import { writePayload } from './inbox.js'
import { runProgram, temporaryDirectory } from './processes.js'

export interface RecoveryResult {
  readonly mebibytes: number
  readonly records: number
  readonly ms: number
  readonly mebibytesPerSecond: number
}

/** Writes of one frame: what a flush takes at some thousand writes a second. */
const writesPerFrame = 20
const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

export async function measureRecovery(mebibytes: number): Promise<RecoveryResult> {
  const options = {
    directory: join(temporaryDirectory('recovery'), 'journal'),
    fileSystem: new NodeFileSystem(),
    random: new SystemRandom(),
    logger: quiet,
  }
  const codec = createFrameCodec()
  const journal = await openJournal(options)
  const uuid = options.random.uuid()
  for (let first = 1; journal.stats().bytes < mebibytes * 2 ** 20; first += writesPerFrame) {
    const builder = codec.builder()
    for (let i = 0; i < writesPerFrame; i++) {
      const encoded = [Buffer.concat([Buffer.of(1), writePayload(first + i)])]
      builder.add({ operations: [], encoded, key: `key-${first + i}` }, Date.now())
    }
    const frame = builder.seal({
      uuid,
      epoch: 1,
      first,
      previousEpoch: first === 1 ? 0 : 1,
      node: 'n1',
      clock: { n1: first - 1 },
    })
    await journal.write([{ type: 'frame', frame }])
  }
  await journal.sync()
  await journal.close()
  const again = await openJournal(options)
  const { bytes, records, ms } = again.recovery
  await again.close()
  const read = bytes / 2 ** 20
  return {
    mebibytes: Math.round(read),
    records,
    ms: Math.round(ms),
    mebibytesPerSecond: Math.round(read / ms * 1000),
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runProgram(async () => {
    console.log(JSON.stringify(await measureRecovery(Number(process.argv[2] ?? 256))))
    return 0
  })
}
