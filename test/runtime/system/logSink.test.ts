/** The sink of log lines: full disks, pipes that nobody reads, readers that went away. */
import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, readSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LogSink } from '../../../runtime/system/logSink.js'

interface Place {
  directory: string
  open: number[]
}

const test = suite<Place>('log sink')
const notice = (lines: number): string => `{"dropped":${lines}}\n`
const line = (n: number, bytes = 20): string => `{"n":${n},"pad":"${'x'.repeat(bytes)}"}\n`

test.before.each(async (place) => {
  place.directory = await mkdtemp(join(tmpdir(), 'engram-sink-'))
  place.open = []
})
test.after.each(async ({ directory, open }) => {
  for (const fd of open) closeSync(fd)
  await rm(directory, { recursive: true, force: true })
})

function opened(place: Place, path: string, flags: number): number {
  const fd = openSync(path, flags)
  place.open.push(fd)
  return fd
}

/** Both ends of a pipe, of which neither blocks. */
function pipe(place: Place): { path: string; reader: number; writer: number } {
  const path = join(place.directory, 'pipe')
  assert.is(spawnSync('mkfifo', [path]).status, 0)
  const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants
  const reader = openSync(path, O_RDONLY | O_NONBLOCK)
  return { path, reader, writer: opened(place, path, O_WRONLY) }
}

/** The output that can be read now. */
function read(fd: number): string {
  const buffer = Buffer.alloc(1 << 20)
  let text = ''
  for (;;) {
    try {
      const bytes = readSync(fd, buffer)
      if (bytes === 0) return text
      text += buffer.toString('utf8', 0, bytes)
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'EAGAIN')
      return text
    }
  }
}

/** Reads until all is out. */
async function drain(sink: LogSink, fd: number): Promise<string> {
  let text = ''
  let isDone = false
  const done = sink.flush(10_000).then(() => (isDone = true))
  while (!isDone) {
    text += read(fd)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await done
  return text + read(fd)
}

const numbers = (text: string): number[] =>
  text.split('\n').filter((one) => one.startsWith('{"n":'))
    .map((one) => (JSON.parse(one) as { n: number }).n)

test('lines come in order, and are written at once', async (place) => {
  const path = join(place.directory, 'log')
  writeFileSync(path, '')
  const { O_WRONLY, O_APPEND } = constants
  const sink = new LogSink({ fd: opened(place, path, O_WRONLY | O_APPEND), notice })
  for (let n = 0; n < 5000; n++) sink.write(line(n))
  await sink.flush(10_000)
  assert.equal(numbers(readFileSync(path, 'utf8')), Array.from({ length: 5000 }, (_, n) => n))
  assert.is(sink.dropped, 0)
})

test('a full disk: lines are dropped and counted, and nothing is thrown', async (place) => {
  const sink = new LogSink({ fd: opened(place, '/dev/full', constants.O_WRONLY), notice })
  let counted = 0
  sink.onDropped = (lines) => (counted += lines)
  for (let n = 0; n < 3; n++) sink.write(line(n))
  await sink.flush(10_000)
  assert.is(sink.dropped, 3)
  assert.is(counted, 3)
  sink.write(line(3))
  sink.flushNow()
})

test('a reader that hangs: what waits is bounded, and noted when it reads again', async (place) => {
  const { reader, writer } = pipe(place)
  place.open.push(reader)
  const sink = new LogSink({ fd: writer, notice, pendingBytesMax: 100_000 })
  const count = 1000
  for (let n = 0; n < count; n++) sink.write(line(n, 1000))
  assert.ok(sink.dropped > 500, `${sink.dropped} dropped`)
  const before = sink.dropped
  await sink.flush(1)
  const text = await drain(sink, reader)
  const got = numbers(text)
  assert.is(got.length + before, count, 'every line was written or counted')
  assert.equal(got, got.toSorted((a, b) => a - b))
  assert.match(text, notice(before))
  sink.write(line(count))
  assert.equal(numbers(await drain(sink, reader)), [count])
  assert.is(sink.dropped, before)
})

test('a line cut off by an error: the next begins a line of its own, after the notice', async () => {
  let room = 0
  let text = ''
  const sink = new LogSink({
    fd: 1,
    notice,
    write: (_fd, data, offset, done) => {
      const part = data.toString('latin1', offset, offset + room)
      text += part
      room -= part.length
      if (part === '') done(Object.assign(new Error('full'), { code: 'ENOSPC' }), 0)
      else done(null, part.length)
    },
  })
  room = line(0).length + 5
  sink.write(line(0) + line(1) + line(2))
  assert.is(text, line(0) + line(1).slice(0, 5))
  assert.is(sink.dropped, 2)
  sink.write(line(3))
  assert.is(sink.dropped, 3)
  room = 4
  sink.write(line(4))
  assert.is(sink.dropped, 4, 'the notice was cut, too: its lines are counted once more')
  room = 1000
  sink.write(line(5))
  assert.is(text, `${line(0)}${line(1).slice(0, 5)}\n${notice(3).slice(0, 3)}\n`
    + `${notice(4)}${line(5)}`)
  sink.write(line(6))
  assert.ok(text.endsWith(line(5) + line(6)))
})

test('a reader that went away, and another one that comes', async (place) => {
  const { path, reader, writer } = pipe(place)
  const sink = new LogSink({ fd: writer, notice })
  sink.write(line(0))
  await sink.flush(10_000)
  assert.is(read(reader), line(0))
  closeSync(reader)
  for (let n = 1; n < 4; n++) {
    sink.write(line(n))
    await sink.flush(10_000)
  }
  assert.is(sink.dropped, 3)
  const next = opened(place, path, constants.O_RDONLY | constants.O_NONBLOCK)
  sink.write(line(4))
  await sink.flush(10_000)
  assert.is(read(next), notice(3) + line(4))
})

test('the last words of a process that ends go out as far as the pipe has room', async (place) => {
  const { reader, writer } = pipe(place)
  place.open.push(reader)
  const sink = new LogSink({ fd: writer, notice })
  for (let n = 0; n < 200; n++) sink.write(line(n, 1000))
  await sink.flush(1)
  read(reader)
  sink.flushNow()
  const last = read(reader)
  assert.ok(last.length > 0)
})

test('a process whose log nobody reads ends when it wants to', (place) => {
  const { path, writer } = pipe(place)
  const module_ = new URL('../../../runtime/system/logSink.js', import.meta.url).href
  const code = `const { LogSink } = await import(${JSON.stringify(module_)})
    const sink = new LogSink({ fd: 2, notice: () => '' })
    process.on('exit', () => sink.flushNow())
    for (let n = 0; n < 300; n++) sink.write('x'.repeat(1000) + '\\n')
    await sink.flush(50)
    process.exit(7)`
  // Its end of the pipe blocks, as one that a shell makes.
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'ignore', writer],
    timeout: 20_000,
  })
  assert.is(ended.signal, null, `it hangs on ${path}`)
  assert.is(ended.status, 7)
})

test.run()
