/** engram checkpoint list | verify and engram journal verify, on files as a node writes them. */
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync,
  writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { StoredSection } from '../../../actors/ports/checkpoints.js'
import { chosenOf } from '../../../runtime/cli/salvageRemove.js'
import { openCheckpoints } from '../../../runtime/checkpoint/checkpoints.js'
import { createSalvageFiles } from '../../../runtime/journal/salvage.js'
import { NodeFileSystem } from '../../../runtime/system/fileSystem.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { atOnce, disk, fullSpace, sourceOf } from '../../support/checkpoints.js'
import { runHere } from '../../support/cli.js'
import { DataFiles, writtenAtMs } from '../../support/dataFiles.js'
import { A, B, frameOf, quiet } from '../../support/journalKit.js'

interface Context {
  /** Data directory of a node with files 1 (A), 2 (A and B) and 3 (A); 2 and 3 count for A. */
  data: string
  sections: readonly StoredSection[]
}

const test = suite<Context>('commands on files')
const cwd = mkdtempSync(join(tmpdir(), 'engram-files-'))
let count = 0

test.after(() => rmSync(cwd, { recursive: true, force: true }))
test.before.each(async (context) => {
  count += 1
  const data = join(cwd, `n${count}`)
  mkdirSync(data)
  const files = await DataFiles.open(data)
  await files.write(A, 1)
  await files.checkpoint(A)
  await files.write(A, 8)
  await files.write(B, 1)
  const [older] = await files.checkpoint(A, B)
  await files.write(A, 1)
  const [newer] = await files.checkpoint(A)
  await files.name(older!, newer!)
  await files.write(B, 1)
  await files.journal.close()
  Object.assign(context, { data, sections: files.checkpoints.list() })
})

const engram = (...args: string[]) => runHere(args, { cwd, env: {} })

interface Printed {
  readonly code: number
  /** Read from JSON. */
  readonly said: any
}

async function json(...args: string[]): Promise<Printed> {
  const { code, out, err } = await engram(...args, '--json')
  assert.is(err, '')
  return { code, said: JSON.parse(out) }
}

const pathOf = (data: string, file: number): string =>
  join(data, 'checkpoints', `000000000${file}.checkpoint`)

function change(path: string, edit: (bytes: Buffer) => Buffer): void {
  writeFileSync(path, edit(readFileSync(path)))
}

function flip({ data, sections }: Context, section: number): void {
  const { file, offset } = sections[section]!
  change(pathOf(data, file), (bytes) => {
    bytes[offset + 40]! ^= 4
    return bytes
  })
}

test('list shows files and sections; --json has all of it', async ({ data, sections }) => {
  const { code, out, err } = await engram('checkpoint', 'list', data)
  assert.equal([code, err], [0, ''])
  const [head, ...rows] = out.split('\n')
  assert.match(head!, /^FILE +SIZE +WRITTEN +SPACE +UUID +POSITION +SIZE THERE +COUNTS$/)
  const shown = (i: number): [string, ...string[]] => rows[i]!.split(/ {2,}/) as [string]
  assert.equal(shown(0).filter((_, i) => i !== 1 && i !== 6), ['0000000001.checkpoint',
    '2026-01-02T03:04:05.000Z', 'alpha', A, '(1, 1)', 'no'])
  assert.equal([1, 2, 3].map((i) => [shown(i)[0].slice(9, 10), shown(i)[3], shown(i).at(-1)]), [[
    '2',
    'alpha',
    'yes',
  ], ['2', 'beta', 'no'], ['3', 'alpha', 'yes']])
  assert.match(rows[4]!, /^What does not count is not named by the journal/)
  const { said } = await json('checkpoint', 'list', data)
  assert.equal(Object.keys(said), ['directory', 'ok', 'files', 'unfinished', 'missing',
    'countsUnknown'])
  const { file, id, uuid, position, digest, bytes, space } = sections[3]!
  assert.equal(said.files[2], {
    file,
    name: '0000000003.checkpoint',
    bytes: readFileSync(pathOf(data, 3)).length,
    id,
    writtenAtMs,
    fault: null,
    sections: [{ space, uuid, position, digest, bytes, counts: true, fault: null }],
  })
  assert.equal([said.ok, said.countsUnknown], [true, null])
})

test('verify reads all, and exits 1 if what counts cannot be used', async (context) => {
  const { data } = context
  const whole = await engram('checkpoint', 'verify', data)
  assert.is(whole.code, 0, whole.out)
  assert.match(whole.out, /^ok: everything that counts can be used$/m)
  assert.is(whole.out.match(/ ok$/gm)?.length, 4)
  flip(context, 0)
  const unnamed = await engram('checkpoint', 'verify', data)
  assert.is(unnamed.code, 0, unnamed.out)
  assert.match(unnamed.out, /^0000000001.* no +is damaged: block 0 has a wrong checksum$/m)
  flip(context, 3)
  const damaged = await engram('checkpoint', 'verify', data)
  assert.is(damaged.code, 1)
  assert.match(damaged.out, /^0000000003.* yes +is damaged: block 0 has a wrong checksum$/m)
  assert.match(damaged.out, /^not ok: not everything that counts can be used$/m)
  const { code, said } = await json('checkpoint', 'verify', data)
  assert.equal([code, said.ok], [1, false])
  const fault = { code: 'CHECKPOINT_DAMAGED', reason: 'block 0 has a wrong checksum' }
  assert.equal(
    said.files.map((file: Printed['said']) => file.sections.map((section: any) => section.fault)),
    [[fault], [null, null], [fault]],
  )
  assert.is((await engram('checkpoint', 'list', data)).code, 0, 'it does not read that')
})

test('files that cannot be used, and why', async ({ data }) => {
  change(pathOf(data, 2), (bytes) => bytes.subarray(0, 100))
  rmSync(pathOf(data, 3))
  writeFileSync(join(data, 'checkpoints', '0000000004.tmp'), 'x')
  const id = '0e000000-0000-4000-8000-00000000000e'
  writeFileSync(join(data, 'checkpoints', `${A}.${id}.part`), 'xx')
  const { code, out } = await engram('checkpoint', 'verify', data)
  assert.is(code, 1)
  assert.equal(out.split('\n').slice(2, 7), [
    '0000000002.checkpoint is damaged: its end is missing',
    `missing: the journal names a checkpoint of ${A} in file 2, at (1, 9), but its file cannot be `
    + 'used: its end is missing',
    `missing: the journal names a checkpoint of ${A} in file 3, at (1, 10), but its file is not `
    + 'there',
    '0000000004.tmp (1 B) is not finished: the node is writing it, or removes it at its next start',
    `${A}.${id}.part (2 B) is not finished: it comes from another node, and is resumed after a `
    + 'restart',
  ])
  const { said } = await json('checkpoint', 'verify', data)
  assert.equal(said.missing.map(({ file, reason }: any) => [file, reason]), [
    [2, 'its file cannot be used: its end is missing'],
    [3, 'its file is not there'],
  ])
  assert.equal(said.unfinished, [
    { name: '0000000004.tmp', bytes: 1, state: 'unfinished' },
    { name: `${A}.${id}.part`, bytes: 2, state: 'beingReceived' },
  ])
})

test('without a journal nobody knows what counts', async (context) => {
  const { data } = context
  rmSync(join(data, 'journal'), { recursive: true })
  const { code, out } = await engram('checkpoint', 'verify', data)
  assert.is(code, 0)
  assert.match(out, /^0000000001.* - +ok$/m)
  assert.match(out, /^not known which ones count: there are no journal segments in /m)
  assert.match(out, /^ok: everything can be used$/m)
  flip(context, 0)
  const damaged = await json('checkpoint', 'verify', data)
  assert.is(damaged.code, 1)
  assert.match(damaged.said.countsUnknown, 'there are no journal segments')
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

test('journal verify says what is kept, and why', async ({ data }) => {
  const { code, out } = await engram('journal', 'verify', data)
  assert.is(code, 0, out)
  const lines = out.split('\n')
  assert.match(lines[0]!, /^.*journal: journal [-0-9a-f]{36}, \d segments, \d+ records, .* KiB, of/)
  assert.match(lines[1]!, /^SPACE +FIRST +END +FLOOR +SIZE +CHECKPOINTS +COVERED +BASE IN +STATE$/)
  assert.match(out, new RegExp(`^${A} +1 +\\(1, 10\\) +10 .* 2 +\\(1, 9\\) +journal +whole$`, 'm'))
  assert.match(out, /^the oldest segment \(1\) may be given up$/m)
  assert.match(out, /^indexes of closed segments: \d sound, 0 unusable$/m)
  assert.is(lines.at(-2), 'ok')
  const { said } = await json('journal', 'verify', data)
  assert.equal(said.bases, [])
  assert.equal(said.logs.map(({ uuid, firstSequence, pin }: any) => [uuid, firstSequence, pin]), [[
    A,
    1,
    null,
  ], [B, 1, null]])
  assert.ok(said.retainedBytes > 0 && said.retainedBytes < said.bytes)
})

test('what was given up has to be in a checkpoint (I14)', async (context) => {
  const { data } = context
  const files = await DataFiles.open(data)
  await files.journal.remove(1)
  await files.journal.close()
  const base = files.journal.log(A)!.base
  const whole = await json('journal', 'verify', data)
  assert.is(whole.code, 0)
  assert.equal(whole.said.bases, [{ uuid: A, base, checkpoints: 2, fault: null, warning: null }])
  const table = (await engram('journal', 'verify', data)).out
  assert.match(table, new RegExp(`^${A} +${base.sequence + 1} .* 2 usable +whole$`, 'm'))
  flip(context, 3)
  const one = await engram('journal', 'verify', join(data, 'journal'))
  assert.is(one.code, 0)
  assert.match(one.out, new RegExp(`^warning: space ${A}: entries up to ${base.sequence} are no `
    + 'longer in the journal, and one checkpoint only has them', 'm'))
  flip(context, 1)
  const none = await engram('journal', 'verify', data)
  assert.is(none.code, 1)
  assert.match(none.out, new RegExp(`^fault: space ${A}: entries up to ${base.sequence} `, 'm'))
  assert.match(none.out, /^not ok$/m)
  const { code, said } = await json('journal', 'verify', data)
  assert.equal([code, said.ok, said.bases[0].checkpoints], [1, false, 0])
})

test('journal verify shows what pins the oldest segment', async ({ data }) => {
  const files = await DataFiles.open(data)
  await files.name(files.checkpoints.list()[3]!)
  await files.journal.close()
  const { code, out } = await engram('journal', 'verify', data)
  assert.is(code, 0)
  assert.match(out, new RegExp('^the oldest segment \\(1\\) has to stay:\n'
    + ` {2}space ${A}: 1 checkpoint\\(s\\) are kept, and not two$`, 'm'))
})

test('what is kept beside a salvage is listed, and shown as operations', async ({ data }) => {
  const fileSystem = new NodeFileSystem()
  const checkpoints = await openCheckpoints({ directory: join(data, 'checkpoints'), fileSystem,
    random: new SeededRandom(8), nowMs: () => writtenAtMs, disk, numberAbove: 9 })
  const [newer] = await checkpoints.write([sourceOf(A, await fullSpace())], atOnce)
  const { space, uuid, position } = newer!
  const directory = join(data, 'salvage')
  const files = createSalvageFiles({ directory, fileSystem, logger: quiet })
  const name = await files.save({
    space,
    uuid,
    node: 'n1',
    common: { epoch: 1, sequence: 2 },
    end: position,
    joinedEpoch: 2,
    savedAtMs: writtenAtMs,
    missing: { begins: position.sequence + 1, spans: [{ epoch: 1, last: position.sequence }],
      checkpoint: position },
  }, (async function* none() {})(), checkpoints.pathOf(newer!))
  const kept = name.replace(/salvage$/, 'checkpoint')
  const { code, said } = await json('salvage', 'list', data)
  assert.is(code, 0)
  assert.equal([said.salvages.length, said.salvages[0].entries, said.unreadable, said.unusable], [1,
    0, [], []])
  assert.equal(said.checkpoints, [{ name: kept, bytes: said.checkpoints[0].bytes, space, uuid,
    position, writtenAtMs }])
  const table = (await engram('salvage', 'list', data)).out
  assert.match(table, new RegExp(` 3 to ${position.sequence} `))
  assert.match(table,
    new RegExp(`KEPT CHECKPOINT[^]*${kept}.*\\(${position.epoch}, ${position.sequence}\\)`))
  const shown = await json('salvage', 'show', data, kept)
  assert.is(shown.said.checkpoint.name, kept)
  const lines = (await engram('salvage', 'show', data, kept)).out.trim().split('\n')
  assert.equal(lines.map((line) => JSON.parse(line) as object), shown.said.operations)
  assert.ok(shown.said.operations.length > 0)
  assert.equal(
    shown.said.operations.map(({ type, node, edge }: any) => [type, node?.content ?? edge.weight]),
    [['StoreNode', 'one'], ['StoreNode', 'two'], ['StoreNode', 'four'], ['StoreNode', 'stray'], [
      'StoreEdge',
      0.5,
    ]],
  )
  change(join(directory, kept), (bytes) => {
    bytes[bytes.length >> 1]! ^= 4
    return bytes
  })
  const broken = await engram('salvage', 'show', data, kept, '--json')
  assert.is(broken.code, 1)
  assert.match((JSON.parse(broken.out) as { error: string }).error, /is damaged/)
  const preview = await json('salvage', 'remove', data, '--all')
  assert.equal([preview.code, preview.said], [2, { removed: false, files: [
    { name, bytes: statSync(join(directory, name)).size, entries: 0 },
    { name: kept, bytes: statSync(join(directory, kept)).size, entries: null },
  ], others: [] }])
  const { said: removed } = await json('salvage', 'remove', data, name, '--yes')
  assert.equal([removed.removed, removed.others], [true, [kept]])
  assert.equal(readdirSync(directory), [kept])
  change(join(directory, kept), (bytes) => bytes.subarray(0, 100))
  const alone = await engram('salvage', 'list', data)
  assert.match(alone.err, /the checkpoint .* is damaged, and is not used: its end is missing/)
  assert.match((await engram('salvage', 'show', data, 'none.checkpoint')).err,
    /there is no checkpoint none/)
})

test('salvages that are still to be uploaded go with --yes only', async ({ data }) => {
  const directory = join(data, 'salvage')
  const files = createSalvageFiles({ directory, fileSystem: new NodeFileSystem(), logger: quiet })
  const names: string[] = []
  for (const first of [3, 5]) {
    names.push(await files.save({
      space: 'demo',
      uuid: A,
      node: 'n1',
      common: { epoch: 1, sequence: first - 1 },
      end: { epoch: 1, sequence: first + 1 },
      joinedEpoch: 2,
      savedAtMs: 0,
    }, (async function* frames() {
      yield [frameOf(A, first), frameOf(A, first + 1)]
    })()))
  }
  writeFileSync(join(directory, 'demo.x.salvage'), 'unreadable')
  const here = () => readdirSync(directory).toSorted()
  const before = here()
  const shown = await engram('salvage', 'remove', data, '--all')
  assert.is(shown.code, 2)
  assert.match(shown.out, new RegExp(`^${names[0]} .* 2\n`, 'm'))
  assert.match(shown.err, /lost then: 4 entries\n.*nothing was removed/)
  for (const args of [[], [names[0]!, 'demo.y.salvage', '--yes'], ['../identity.json', '--yes']]) {
    assert.is.not((await engram('salvage', 'remove', data, ...args)).code, 0, args.join(' '))
  }
  assert.equal(here(), before)
  const done = await engram('salvage', 'remove', data, names[0]!, 'demo.x.salvage', '--yes')
  assert.is(done.code, 0, done.err)
  assert.equal(here(), [names[1]])
})

test('what comes after salvages were shown is not removed with them', async ({ data }) => {
  const directory = join(data, 'salvage')
  mkdirSync(directory)
  const [shown, other, late] = ['demo.x.salvage', 'demo.y.salvage', 'demo.z.salvage']
  for (const name of [shown, other]) writeFileSync(join(directory, name), 'unreadable')
  const { err } = await engram('salvage', 'remove', data, '--all')
  const [, command = ''] = /^ *engram (salvage remove .* --yes)$/m.exec(err) ?? []
  writeFileSync(join(directory, late), 'unreadable')
  const done = await engram(...command.split(' '))
  assert.is(done.code, 0, done.err)
  assert.match(done.err, /2 files removed\n(.*\n)*.*1 other file kept: engram salvage list/)
  assert.equal(readdirSync(directory), [late])
  const rest = await engram('salvage', 'remove', data, '--all', '--yes')
  assert.equal([rest.code, readdirSync(directory)], [0, []])
  assert.not.match(rest.err, /kept/)
})

test('a salvage that the node removes meanwhile is left out', async ({ data }) => {
  const directory = join(data, 'salvage')
  mkdirSync(directory)
  const fileSystem = new NodeFileSystem()
  const salvages = createSalvageFiles({ directory, fileSystem, logger: quiet })
  const [gone, there] = ['demo.x.salvage', 'demo.y.salvage']
  for (const name of [gone, there]) writeFileSync(join(directory, name), 'unreadable')
  const list = async () => {
    rmSync(join(directory, gone))
    return await salvages.list()
  }
  const folder = { directory, fileSystem, salvages: { ...salvages, list } }
  assert.equal((await chosenOf(folder, null)).map(({ name }) => name), [there])
})

test.run()
