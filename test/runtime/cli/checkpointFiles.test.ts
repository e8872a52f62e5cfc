/** engram checkpoint list | verify, on files as a node writes them. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { StoredSection } from '../../../actors/ports/checkpoints.js'
import { openCheckpoints } from '../../../runtime/checkpoint/checkpoints.js'
import { NodeFileSystem } from '../../../runtime/system/fileSystem.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { atOnce, disk, fullSpace, sourceOf, uuids } from '../../support/checkpoints.js'
import { runHere } from '../../support/cli.js'

interface Context {
  /** Data directory of a node with a file of one section, and one of two. */
  data: string
  sections: readonly StoredSection[]
}

const test = suite<Context>('engram checkpoint')
const cwd = mkdtempSync(join(tmpdir(), 'engram-checkpoint-'))
let count = 0

test.after(() => rmSync(cwd, { recursive: true, force: true }))
test.before.each(async (context) => {
  count += 1
  const data = join(cwd, `n${count}`)
  mkdirSync(data)
  const checkpoints = await openCheckpoints({
    directory: join(data, 'checkpoints'),
    fileSystem: new NodeFileSystem(),
    random: new SeededRandom(count),
    nowMs: () => Date.UTC(2026, 0, 2, 3, 4, 5),
    disk,
    numberAbove: 0,
  })
  const space = await fullSpace()
  await checkpoints.write([sourceOf(uuids[0], space)], atOnce)
  await checkpoints.write([sourceOf(uuids[0], space), sourceOf(uuids[1], space)], atOnce)
  Object.assign(context, { data, sections: checkpoints.list() })
})

const engram = (...args: string[]) => runHere(args, { cwd, env: {} })

function change(data: string, file: number, edit: (bytes: Buffer) => Buffer): void {
  const path = join(data, 'checkpoints', `000000000${file}.checkpoint`)
  writeFileSync(path, edit(readFileSync(path)))
}

function flip({ data, sections }: Context, section: number): void {
  const { file, offset } = sections[section]!
  change(data, file, (bytes) => {
    bytes[offset + 40]! ^= 4
    return bytes
  })
}

test('list shows files and sections; --json has all of it', async ({ data, sections }) => {
  const { code, out, err } = await engram('checkpoint', 'list', data)
  assert.equal([code, err], [0, ''])
  const [head, first, ...rest] = out.split('\n')
  assert.match(head!, /^FILE +SIZE +WRITTEN +SPACE +UUID +POSITION +SIZE THERE +COUNTS$/)
  const { epoch, sequence } = sections[0]!.position
  assert.match(first!, /^0000000001\.checkpoint +[\d.]+ KiB +2026-01-02T03:04:05\.000Z +demo /)
  assert.ok(first!.includes(`${uuids[0]}  (${epoch}, ${sequence})`), first)
  assert.match(rest.join('\n'), /0000000002\.checkpoint.*\n0000000002\.checkpoint/)
  const json = JSON.parse((await engram('checkpoint', 'list', data, '--json')).out)
  assert.equal(Object.keys(json), ['directory', 'ok', 'files', 'unfinished', 'missing',
    'countsUnknown'])
  const { file, id, writtenAtMs, uuid, position, digest, bytes, space } = sections[0]!
  assert.equal(json.files[0], {
    file,
    name: '0000000001.checkpoint',
    bytes: readFileSync(join(data, 'checkpoints', '0000000001.checkpoint')).length,
    id,
    writtenAtMs,
    fault: null,
    sections: [{ space, uuid, position, digest, bytes, counts: null, fault: null }],
  })
})

test('verify reads all, and exits 1 if something is damaged', async (context) => {
  const { data } = context
  const whole = await engram('checkpoint', 'verify', data)
  assert.is(whole.code, 0, whole.out)
  assert.match(whole.out, /^ok: everything can be used$/m)
  assert.is(whole.out.match(/ ok$/gm)?.length, 3)
  flip(context, 1)
  const damaged = await engram('checkpoint', 'verify', data)
  assert.is(damaged.code, 1)
  assert.match(damaged.out, /^0000000002.* is damaged: block 0 has a wrong checksum$/m)
  assert.match(damaged.out, /^not ok: not everything can be used$/m)
  const json = await engram('checkpoint', 'verify', data, '--json')
  assert.is(json.code, 1)
  const { ok, files } = JSON.parse(json.out)
  assert.is(ok, false)
  const fault = { code: 'CHECKPOINT_DAMAGED', reason: 'block 0 has a wrong checksum' }
  assert.equal(
    files.flatMap((one: { sections: { fault: unknown }[] }) =>
      one.sections.map((section) => section.fault)
    ),
    [null, fault, null],
  )
  assert.is((await engram('checkpoint', 'list', data)).code, 0, 'it does not read that')
})

test('files that cannot be used, and why', async ({ data }) => {
  change(data, 1, (bytes) => bytes.subarray(0, 100))
  change(data, 2, (bytes) => {
    bytes[4] = 9
    return bytes
  })
  writeFileSync(join(data, 'checkpoints', '0000000003.tmp'), 'x')
  const id = '0e000000-0000-4000-8000-00000000000e'
  writeFileSync(join(data, 'checkpoints', `${uuids[0]}.${id}.part`), 'xx')
  const { code, out } = await engram('checkpoint', 'list', data)
  assert.is(code, 0)
  assert.equal(out.split('\n').slice(0, 4), [
    '0000000001.checkpoint is damaged: its end is missing',
    '0000000002.checkpoint is damaged: its head has a wrong checksum',
    '0000000003.tmp (1 B) is not finished: the node is writing it, or removes it at its next start',
    `${uuids[0]}.${id}.part (2 B) is not finished: it comes from another node, and is resumed `
    + 'after a restart',
  ])
})

test('what is no data directory is refused; a node without checkpoints has none', async () => {
  const none = join(cwd, 'none')
  const missing = await engram('checkpoint', 'verify', none)
  assert.equal([missing.code, missing.out], [2, ''])
  assert.match(missing.err, 'does not exist')
  const other = await engram('checkpoint', 'list', cwd)
  assert.equal([other.code, other.out], [2, ''])
  assert.match(other.err, /is not the data directory of a node\n.*\/n1$/m)
  mkdirSync(join(none, 'journal'), { recursive: true })
  const empty = await engram('checkpoint', 'verify', none)
  assert.equal([empty.code, empty.out], [0, ''])
  assert.match(empty.err, /^no checkpoints in .*none\/checkpoints$/m)
})

test.run()
