/** The recorder of a node: bounds, pages, and the file that outlives the process. */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync,
  writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClusterEvent } from '../../../machines/protocol/events.js'
import { EventFile } from '../../../runtime/inspect/eventFile.js'
import { asRecorded } from '../../../runtime/inspect/recorded.js'
import { NodeRecorder } from '../../../runtime/inspect/recorder.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { removeTemporary, temporaryDirectory } from '../../support/environment.js'

const test = suite('event recorder')
const directories: string[] = []
test.after(() => directories.forEach(removeTemporary))

const notice = (message: string, space = 'demo'): ClusterEvent => ({ type: 'notice', space,
  kind: 'blocked', isAlert: true, message, detail: {} })
const promoted = (epoch: number, space = 'demo'): ClusterEvent => ({
  type: 'promoted',
  inSync: ['n1'],
  promotion: {
    atMs: 5,
    space,
    epoch,
    from: 'n2',
    to: 'n1',
    vacancy: 'noResponders',
    reason: 'gone',
    ms: 90,
    atRisk: 0,
  },
})

function recorder(clock = new VirtualClock(), bounds = { eventsMax: 10, lengthMax: 10_000 }) {
  const made = new NodeRecorder({ node: 'n1', clock, bounds })
  return made
}

interface Shown {
  readonly id: number
  readonly message?: string
  readonly promotion?: { readonly epoch: number }
}
const all = { before: null, lengthMax: 1e9 }
function shown(texts: readonly string[]): (string | number | undefined)[] {
  return texts.map((text) => JSON.parse(text) as Shown)
    .map(({ message, promotion }) => message ?? promotion?.epoch)
}

function fileKit() {
  const directory = temporaryDirectory('events')
  directories.push(directory)
  const path = join(directory, 'events.ndjson')
  const warnings: string[] = []
  const silent = (): void => undefined
  const logger = {
    debug: silent,
    info: silent,
    error: silent,
    warn: (_: object, message: string) => void warnings.push(message),
  }
  let nowMs = 0
  const openFile = () => EventFile.open({ path, logger, nowMs: () => nowMs })
  const start = async (clock = new VirtualClock()): Promise<NodeRecorder> => {
    const made = recorder(clock)
    made.begin(await openFile())
    return made
  }
  return { directory, path, warnings, start, openFile, pass: (ms: number) => {
    nowMs += ms
  } }
}

test('the latest are kept; promotions apart, so that nothing that is noted often ousts them', () => {
  const kept = recorder()
  kept.begin(null)
  kept.note(promoted(2))
  for (let n = 0; n < 50; n += 1) kept.note(notice(`${n}`))
  assert.equal(shown(kept.page(all).texts), [2,
    ...Array.from({ length: 10 }, (_, n) => `${40 + n}`)])
})

test('bounded in bytes, too: of one event and of all', () => {
  const kept = recorder()
  kept.begin(null)
  kept.note({ ...notice('x'.repeat(5_000)), detail: { a: 'y'.repeat(5_000) } } as ClusterEvent)
  const [first = ''] = kept.page(all).texts
  assert.ok(first.length < 1_000, `${first.length}`)
  assert.match(first, /x…"/)
  for (let n = 0; n < 40; n += 1) kept.note(notice('z'.repeat(3_000)))
  const { texts } = kept.page(all)
  assert.is(texts.length, 10)
  assert.ok(texts.every((text) => asRecorded(JSON.parse(text)) !== null))
})

test('ids grow, over a clock that goes back, and over the loss of the disk', () => {
  const clock = new VirtualClock()
  const kept = recorder(clock)
  kept.begin(null)
  kept.note(notice('a'))
  clock.jumpWall(-60_000)
  kept.note(notice('b'))
  const ids = kept.page(all).texts.map((text) => (JSON.parse(text) as Shown).id)
  assert.ok(ids[1]! > ids[0]!, `${ids}`)
  assert.ok(ids[0]! >= 1_000_000_000_000, 'by the clock: an empty disk gives none a second time')
})

test('pages lead from the latest back, filtered by space and type', () => {
  const kept = recorder()
  kept.begin(null)
  for (let n = 0; n < 8; n += 1) kept.note(notice(`${n}`, n % 2 === 0 ? 'demo' : 'other'))
  kept.note({ type: 'node', state: 'running', reason: 'r' })
  kept.note(promoted(3))
  const read = (space: string | undefined, lengthMax: number): (string | number | undefined)[] => {
    const pages: (string | number | undefined)[] = []
    let before: number | null = null
    do {
      const page = kept.page({ space, before, lengthMax })
      pages.unshift(...shown(page.texts))
      assert.ok(page.texts.length > 0, 'a page has one event at least, however long')
      before = page.before
    } while (before !== null)
    return pages
  }
  const whole = shown(kept.page(all).texts)
  assert.is(whole.length, 10)
  for (const lengthMax of [1, 300, 700, 100_000]) assert.equal(read(undefined, lengthMax), whole)
  assert.equal(read('demo', 300), ['0', '2', '4', '6', undefined, 3], 'nodes concern all spaces')
  assert.equal(shown(kept.page({ ...all, types: ['promoted'] }).texts), [3])
})

test('events noted before the file is there are kept, and get their ids then', async () => {
  const { openFile } = fileKit()
  const late = recorder()
  late.note(notice('early'))
  assert.equal(late.page(all).texts, [])
  late.begin(await openFile())
  assert.equal(shown(late.page(all).texts), ['early'])
  await late.close()
})

test('over a restart: what was kept is there, and ids go on', async () => {
  const { start, path } = fileKit()
  const first = await start()
  first.note(promoted(2))
  for (let n = 0; n < 30; n += 1) first.note(notice(`${n}`))
  await first.close()
  assert.is(statSync(path).mode & 0o777, 0o600)
  const second = await start()
  second.note(notice('new'))
  assert.equal(shown(second.page(all).texts), [2,
    ...Array.from({ length: 9 }, (_, n) => `${21 + n}`), 'new'])
  await second.close()
  const third = await start()
  assert.equal(shown(third.page(all).texts).at(-1), 'new')
  await third.close()
})

test('a line that was cut off when the process died, and one that is none, cost themselves only',
  async () => {
    const { start, path, warnings } = fileKit()
    const first = await start()
    first.note(notice('a'))
    first.note(notice('b'))
    await first.close()
    appendFileSync(path, 'nonsense\n{"id":99,"node":"n1","at')
    const second = await start()
    assert.equal(shown(second.page(all).texts), ['a', 'b'])
    assert.equal(warnings, ['some kept events cannot be read and are left out'])
    second.note(notice('c'))
    await second.close()
    const third = await start()
    assert.equal(shown(third.page(all).texts), ['a', 'b', 'c'])
    assert.is(warnings.length, 1, 'it was written anew')
    await third.close()
  })

test('a file that is none of these is begun anew, and that is said', async () => {
  for (const text of ['', '\0'.repeat(4_096), 'garbage\n', '{"engramEvents":9}\n{}\n']) {
    const { start, path, warnings, directory } = fileKit()
    writeFileSync(path, text)
    const made = await start()
    assert.equal(made.page(all).texts, [])
    assert.is(warnings.length, 1, JSON.stringify(text))
    made.note(notice('a'))
    await made.close()
    const again = await start()
    assert.equal(shown(again.page(all).texts), ['a'])
    assert.is(warnings.length, 1)
    await again.close()
    assert.equal(readdirSync(directory), ['events.ndjson'])
  }
})

test('a file that cannot be written holds nobody up, and is tried again later', async () => {
  const { start, path, warnings, directory, pass } = fileKit()
  mkdirSync(path)
  const made = await start()
  assert.is(warnings.length, 1)
  made.note(notice('a'))
  made.note(notice('b'))
  await settled(() => warnings.length === 2)
  assert.match(warnings[1] ?? '', 'cannot be written to disk; the next attempt is in 30 s')
  made.note(notice('c'))
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(warnings.length, 2, 'not at each event')
  rmdirSync(path)
  pass(30_000)
  made.note(notice('d'))
  await made.close()
  assert.equal(shown(made.page(all).texts), ['a', 'b', 'c', 'd'],
    'in memory they were all the time')
  const again = await start()
  assert.equal(shown(again.page(all).texts), ['a', 'b', 'c', 'd'])
  await again.close()
  assert.equal(readdirSync(directory), ['events.ndjson'])
})

test('the file stays small, whatever is noted', async () => {
  const { start, path } = fileKit()
  const made = await start()
  let largest = 0
  for (let round = 0; round < 100; round += 1) {
    for (let n = 0; n < 200; n += 1) made.note(notice(`${round}.${n} ${'x'.repeat(500)}`))
    await new Promise((resolve) => setImmediate(resolve))
    largest = Math.max(largest, sizeOf(path))
  }
  await made.close()
  // 4 MiB, and what waited when it was that large.
  assert.ok(largest < 8 * 1024 * 1024, `${largest} bytes`)
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  assert.match(lines.at(-1) ?? '', '99.199 ')
})

test('a listener gets each event, until it has enough', () => {
  const made = recorder()
  made.begin(null)
  const heard: string[] = []
  const end = made.listen((event) => heard.push(event.type))
  made.note(promoted(1))
  end()
  made.note(promoted(2))
  assert.equal(heard, ['promoted'])
})

function sizeOf(path: string): number {
  try {
    return statSync(path).size
  } catch {
    return 0
  }
}

async function settled(isSo: () => boolean): Promise<void> {
  for (let turns = 0; !isSo(); turns += 1) {
    if (turns > 10_000) throw new Error('it does not come to that')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test.run()
