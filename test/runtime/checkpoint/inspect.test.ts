/** What is said of checkpoint files without opening the folder: nothing on the disk changes. */
import { crc32c } from '@node-rs/crc32'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Checkpoints, StoredSection } from '../../../actors/ports/checkpoints.js'
import { inspectCheckpoints, type CheckpointReport } from '../../../runtime/checkpoint/inspect.js'
import type { NamedCheckpoint } from '../../../runtime/journal/namedCheckpoints.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { atOnce, directory, fullSpace, openIn, sourceOf, uuids } from '../../support/checkpoints.js'
import { FailingFileSystem } from '../../support/failingFileSystem.js'

interface Context {
  fileSystem: MemoryFileSystem
  checkpoints: Checkpoints
  /** Of files 1 (one section) and 2 (two). */
  sections: readonly StoredSection[]
}

const test = suite<Context>('checkpoint files: inspection')
test.before.each(async (context) => {
  const fileSystem = new MemoryFileSystem()
  const checkpoints = await openIn(fileSystem)
  const space = await fullSpace()
  await checkpoints.write([sourceOf(uuids[0], space)], atOnce)
  await checkpoints.write([sourceOf(uuids[0], space), sourceOf(uuids[1], space)], atOnce)
  Object.assign(context, { fileSystem, checkpoints, sections: checkpoints.list() })
})

const path = (file: number): string => `${directory}/${`${file}`.padStart(10, '0')}.checkpoint`

const nameOf = ({ uuid, file, id, position }: StoredSection): NamedCheckpoint => ({ uuid, file, id,
  position })

/** Nothing that was there changes. */
async function inspect(
  { fileSystem }: Context,
  isWhole: boolean,
  named: readonly NamedCheckpoint[] | null,
): Promise<CheckpointReport> {
  const before = contentOf(fileSystem)
  const counted = new FailingFileSystem(fileSystem, 0, 'EROFS')
  const report = await inspectCheckpoints({
    fileSystem: counted,
    directory,
    isWhole,
    readNamed: async () => named,
  })
  assert.is(counted.calls, 0, 'calls that change something')
  assert.equal(contentOf(fileSystem), before)
  return report
}

function contentOf(fileSystem: MemoryFileSystem): string[] {
  return fileSystem.paths(directory).map((name) =>
    `${name} ${fileSystem.bytesOf(name).toString('base64')}`
  )
}

/** One line for each thing that is reported. */
function linesOf(report: CheckpointReport): string[] {
  const lines: string[] = []
  for (const { file, fault, sections } of report.files) {
    if (fault !== null) lines.push(`${file} ${fault.code}`)
    for (const { uuid, counts, fault: own } of sections) {
      const counted = counts === null ? 'perhaps' : counts ? 'counts' : 'not named'
      lines.push(`${file} ${uuid.slice(0, 2)} ${counted} ${own?.code ?? 'ok'}`)
    }
  }
  for (const { name, bytes, state } of report.unfinished) lines.push(`${name} ${bytes} ${state}`)
  for (const { file, uuid, reason } of report.missing) {
    lines.push(`${file} ${uuid.slice(0, 2)} missing: ${reason}`)
  }
  return [...lines, report.ok ? 'ok' : 'not ok']
}

for (const isWhole of [false, true]) {
  test(`what is whole (${isWhole ? 'all read' : 'heads and ends'})`, async (context) => {
    const { sections } = context
    const [first, second, other] = sections as [StoredSection, StoredSection, StoredSection]
    const named = [first, second].map(nameOf)
    const report = await inspect(context, isWhole, named)
    assert.equal(linesOf(report), ['1 0a counts ok', '2 0a counts ok', '2 0b not named ok', 'ok'])
    const [file] = report.files
    const { uuid, position, digest, bytes, space } = first
    assert.equal(file, {
      file: 1,
      name: '0000000001.checkpoint',
      bytes: context.checkpoints.files()[0]!.bytes,
      id: first.id,
      writtenAtMs: 1234,
      fault: null,
      sections: [{ space, uuid, position, digest, bytes, counts: true, fault: null }],
    })
    assert.equal(linesOf(await inspect(context, isWhole, null)), ['1 0a perhaps ok',
      '2 0a perhaps ok', '2 0b perhaps ok', 'ok'])
    assert.equal(linesOf(await inspect(context, isWhole, [nameOf(other)])), ['1 0a not named ok',
      '2 0a not named ok', '2 0b counts ok', 'ok'])
  })
}

test('a directory without files, and none at all', async () => {
  const report = await inspectCheckpoints({
    fileSystem: new MemoryFileSystem(),
    directory,
    isWhole: true,
    readNamed: async () => [],
  })
  assert.equal(report, { directory, ok: true, files: [], unfinished: [], missing: [] })
})

test('a section that does not verify: found by reading all, bad if it counts', async (context) => {
  const { fileSystem, sections } = context
  const [first, second, other] = sections as [StoredSection, StoredSection, StoredSection]
  fileSystem.flipBit(path(2), second.offset + second.bytes - 100, 3)
  const named = [first, second, other].map(nameOf)
  assert.is(linesOf(await inspect(context, false, named)).at(-1), 'ok')
  const report = await inspect(context, true, named)
  assert.equal(linesOf(report), ['1 0a counts ok', '2 0a counts CHECKPOINT_DAMAGED',
    '2 0b counts ok', 'not ok'])
  assert.match(report.files[1]!.sections[0]!.fault!.reason, /^block \d+ has a wrong checksum/)
  assert.equal(linesOf(await inspect(context, true, [first, other].map(nameOf))), ['1 0a counts ok',
    '2 0a not named CHECKPOINT_DAMAGED', '2 0b counts ok', 'ok'])
  assert.is(linesOf(await inspect(context, true, null)).at(-1), 'not ok')
})

test('a file without its end: what counts in it is missing', async (context) => {
  const { fileSystem, sections } = context
  const [first, second] = sections as [StoredSection, StoredSection]
  fileSystem.cut(path(1), 200)
  const cut = await inspect(context, false, [first, second].map(nameOf))
  assert.equal(linesOf(cut), ['1 CHECKPOINT_DAMAGED', '2 0a counts ok', '2 0b not named ok',
    '1 0a missing: its file cannot be used: its end is missing', 'not ok'])
  assert.equal([cut.files[0]!.id, cut.files[0]!.writtenAtMs], [null, null])
  assert.is(linesOf(await inspect(context, true, [nameOf(second)])).at(-1), 'ok', 'not named')
  assert.is(linesOf(await inspect(context, true, null)).at(-1), 'not ok', 'nobody knows')
})

test('a file of a later version is not called damaged', async (context) => {
  const { fileSystem } = context
  const later = Buffer.from(fileSystem.bytesOf(path(1)))
  later[4] = 2
  later.writeUInt32LE(crc32c(later.subarray(0, 60)), 60)
  const handle = await fileSystem.open(path(3), 'create')
  await handle.write([later], 0)
  const { files } = await inspect(context, true, null)
  const reason = 'it has format 2, this one reads up to 1'
  assert.equal(files[2]!.fault, { code: 'CHECKPOINT_VERSION', reason })
})

test('the file that is there is not the one that was named', async (context) => {
  const [first, second, other] = context.sections as [StoredSection, StoredSection, StoredSection]
  const named: NamedCheckpoint[] = [
    { ...nameOf(first), file: 7 },
    { ...nameOf(first), id: other.id },
    { ...nameOf(second), position: { epoch: 3, sequence: 6 } },
    { ...nameOf(other), file: 1, id: first.id },
  ]
  const { epoch, sequence } = second.position
  assert.equal(linesOf(await inspect(context, false, named)).slice(3), [
    '7 0a missing: its file is not there',
    '1 0a missing: its file is another one than the journal names',
    `2 0a missing: its file has the space as of (${epoch}, ${sequence})`,
    '1 0b missing: its file does not have the space',
    'not ok',
  ])
})

test('files that are not finished are named, and stay', async (context) => {
  const { fileSystem, checkpoints, sections } = context
  const handle = await fileSystem.open(`${directory}/0000000009.tmp`, 'create')
  await handle.write([Buffer.alloc(10)], 0)
  const id = '0e000000-0000-4000-8000-00000000000e'
  const part = await checkpoints.receive({ uuid: uuids[1], id, totalBytes: 100 })
  await part.append(Buffer.alloc(20))
  const lines = linesOf(await inspect(context, true, [nameOf(sections[0]!)]))
  assert.equal(lines.slice(3), ['0000000009.tmp 10 unfinished',
    `${uuids[1]}.${id}.part 20 beingReceived`, 'ok'])
})

test('a file that cannot be read', async (context) => {
  const { fileSystem, sections } = context
  fileSystem.failNext('read')
  assert.equal(linesOf(await inspect(context, true, [nameOf(sections[1]!)])), ['1 EIO',
    '2 0a counts ok', '2 0b not named ok', 'ok'])
})

/** A node on the same files takes another checkpoint and removes one, so often. */
function beside(
  { fileSystem, checkpoints, sections }: Context,
  changes: number,
): Promise<CheckpointReport> {
  let kept = [sections[0]!, sections[1]!]
  let left = changes
  const readNamed = async (): Promise<NamedCheckpoint[]> => {
    const named = kept.map(nameOf)
    if (left === 0) return named
    left -= 1
    const [newest] = await checkpoints.write([sourceOf(uuids[0], await fullSpace())], atOnce)
    await checkpoints.remove(kept[0]!.file)
    kept = [kept[1]!, newest!]
    return named
  }
  return inspectCheckpoints({ fileSystem, directory, isWhole: true, readNamed })
}

test('a node that goes on beside it: only what counts at the end is judged', async (context) => {
  const report = await beside(context, 3)
  assert.equal(linesOf(report), ['4 0a counts ok', '5 0a counts ok', 'ok'])
})

test('a node that changes the files without end is not waited for', async (context) => {
  try {
    await beside(context, 1000)
    assert.unreachable()
  } catch (error) {
    assert.is((error as { code?: string }).code, 'CHECKPOINTS_CHANGING')
  }
})

test.run()
