/** Redis' protocol, as far as the load speaks it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeCommand, ReplyReader } from '../../bench/resp.js'

const test = suite('RESP')

test('a command: lengths are those of bytes', () => {
  assert.is(encodeCommand(['SET', 'k', Buffer.from('né')]).toString(),
    '*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nné\r\n')
})

const stream = '+OK\r\n-ERR no\r\n:12\r\n$4\r\na\r\nb\r\n$0\r\n\r\n$-1\r\n+OK\r\n'
const replies = ['+OK', '-ERR no', ':12', 'a\r\nb', '', '$-1', '+OK']

test('replies of every kind, however the stream is cut', () => {
  for (let size = 1; size <= stream.length; size += 1) {
    const taken: string[] = []
    const reader = new ReplyReader((reply) => taken.push(reply.toString()))
    for (let at = 0; at < stream.length; at += size) {
      reader.push(Buffer.from(stream.slice(at, at + size)))
    }
    assert.equal(taken, replies, `pieces of ${size}`)
  }
})

test.run()
