/** kill -9 while two spaces get checkpoints in shared files: what the journal names is there. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { removeFormer } from '../../actors/checkpoints/formerFiles.js'
import type { StoredSection } from '../../actors/ports/checkpoints.js'
import { namedFiles } from '../../actors/ports/journal.js'
import { NodeFileSystem } from '../../runtime/system/fileSystem.js'
import { atOnce } from '../support/checkpoints.js'
import { DataFiles } from '../support/dataFiles.js'
import { A, B, quiet } from '../support/journalKit.js'
import { runsIntoKill } from '../support/killedChild.js'

const CHILD = 'ENGRAM_SHARED_FILES_CHILD'
const rounds = 4

interface Order {
  readonly data: string
  /** The call to the checkpoint files or the journal at which the process ends. */
  readonly at: number
}

/** Ends the process before or after that call, in turn. */
class KillingFileSystem extends NodeFileSystem {
  private calls = 0

  constructor(private readonly at: number) {
    super()
  }

  override async open(path: string, mode: 'create' | 'readWrite' | 'read') {
    const handle = await super.open(path, mode)
    for (const name of ['write', 'datasync', 'truncate'] as const) {
      const call = handle[name].bind(handle) as (...args: unknown[]) => Promise<void>
      Object.assign(handle, { [name]: (...args: unknown[]) => this.counted(() => call(...args)) })
    }
    return handle
  }

  override rename(from: string, to: string): Promise<void> {
    return this.counted(() => super.rename(from, to))
  }

  override remove(path: string): Promise<void> {
    return this.counted(() => super.remove(path))
  }

  override syncDirectory(path: string): Promise<void> {
    return this.counted(() => super.syncDirectory(path))
  }

  private async counted(call: () => Promise<void>): Promise<void> {
    this.calls += 1
    const isLast = this.calls === this.at
    if (isLast && this.at % 2 === 0) process.kill(process.pid, 'SIGKILL')
    await call()
    if (isLast) process.kill(process.pid, 'SIGKILL')
  }
}

/** As the checkpointer does: the file, one flush of records, then what nobody names goes. */
async function write({ data, at }: Order): Promise<void> {
  const files = await DataFiles.open(data, new KillingFileSystem(at))
  const { journal, checkpoints } = files
  let older: readonly StoredSection[] = []
  for (let round = 0; round < rounds; round += 1) {
    await files.write(A, 2)
    // From the second round on, B is idle every other time: its sections stay in older files.
    const isShared = round % 2 === 0
    if (isShared) await files.write(B, 1)
    const sections = isShared ? await files.checkpoint(A, B) : await files.checkpoint(A)
    const before = [A, B].map((uuid) => journal.log(uuid)!.covers)
    await files.nameAll(sections.map((section) => {
      const former = older.find(({ uuid }) => uuid === section.uuid)
      return former ? [former, section] : [section]
    }))
    older = [...sections, ...older.filter(({ uuid }) => sections.every((one) => one.uuid !== uuid))]
    await removeFormer({ journal, checkpoints, logger: quiet }, ...before)
  }
}

const test = suite<{ directory: string }>('shared checkpoint files: crash')
test.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-shared-'))
})
test.after.each((context) => rm(context.directory, { recursive: true, force: true }))

test('what counts is whole after each kill, and nothing else stays', async ({ directory }) => {
  let named = 0
  let at = 1
  for (;; at += 6) {
    const data = join(directory, `${at}`)
    const isKilled = await runsIntoKill(import.meta.url, CHILD, { data, at })
    const { journal, checkpoints } = await DataFiles.open(data)
    await checkpoints.keepOnly(namedFiles(journal))
    for (const { uuid, covers } of journal.logs()) {
      for (const kept of covers.kept) {
        const section = checkpoints.find(uuid, kept)
        assert.ok(section, `${uuid} ${kept.file} at ${at}`)
        await checkpoints.verify(section, atOnce)
        named += 1
      }
    }
    assert.equal(checkpoints.files().map(({ number }) => number),
      [...namedFiles(journal)].toSorted((a, b) => a - b))
    await journal.close()
    if (!isKilled) break
  }
  assert.ok(at > 40 && named > 20, `${at} calls, ${named} checkpoints`)
})

const order = process.env[CHILD]
if (order === undefined) test.run()
else await write(JSON.parse(order) as Order)
