/** Lines as `engram write` reads them, however they come in. */
import { Readable } from 'node:stream'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { linesOf } from '../../../runtime/cli/lines.js'
import type { Line } from '../../../runtime/cli/lines.js'

const test = suite('lines')

async function read(chunks: readonly Uint8Array[]): Promise<Line[]> {
  const lines: Line[] = []
  for await (const line of linesOf(Readable.from(chunks))) lines.push(line)
  return lines
}

/** The same bytes, cut at those places. */
function cut(data: Buffer, places: readonly number[]): Buffer[] {
  const at = [0, ...places.map((place) => place % (data.length + 1)), data.length]
    .toSorted((a, b) => a - b)
  return at.slice(1).map((end, index) => data.subarray(at[index], end))
}

test('the same lines wherever the stream is cut, within characters too', async () => {
  const text = fc.string({
    unit: fc.constantFrom('a', '\n', '\r', 'é', '😀', '\u2028', '"', '\ufeff'),
  })
  await fc.assert(fc.asyncProperty(text, fc.array(fc.nat(200)), async (content, places) => {
    const data = Buffer.from(content)
    const lines = await read(cut(data, places))
    const expected = content.split('\n')
    if (expected.at(-1) === '') expected.pop()
    assert.equal(lines.map((line) => line.text),
      expected.map((line) => line.replace(/^\ufeff/, '').replace(/\r$/, '')))
    assert.is(lines.reduce((sum, { bytes }) => sum + bytes, 0), data.length)
    assert.equal(lines.map(({ number }) => number), expected.map((_, index) => index + 1))
  }), { numRuns: 300 })
})

test('bytes that are no UTF-8 are refused, not replaced', async () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 12 })
  await fc.assert(fc.asyncProperty(bytes, fc.array(fc.nat(20)), async (array, places) => {
    const data = Buffer.from(array)
    for (const { text } of await read(cut(data, places))) {
      if (typeof text !== 'string') continue
      assert.ok(data.includes(Buffer.from(text)), 'a text is as the bytes have it')
    }
  }), { numRuns: 500 })
  const [line] = await read([Buffer.from([0x61, 0xc3, 0x28])])
  assert.equal(line?.text, { fault: 'not UTF-8 from byte 2 on' })
})

test('a line that is too long is refused, and not kept in memory', async () => {
  const endless = function*(): Generator<Buffer> {
    for (let i = 0; i < 200; i += 1) yield Buffer.alloc(64 * 1024, 'x')
    yield Buffer.from('\nshort\n')
  }
  const lines: Line[] = []
  for await (const line of linesOf(Readable.from(endless()))) lines.push(line)
  assert.equal(lines.map(({ number, text }) => [number, text]), [[1, {
    fault: 'longer than 1048576 bytes',
  }], [2, 'short']])
})

test.run()
