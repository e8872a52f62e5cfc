/** engram status --watch against a NATS server: the terminal is taken and given back. */
import { PassThrough, Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runCli } from '../../../runtime/cli/program.js'
import { Screen } from '../../../runtime/cli/screen.js'
import { Responder } from '../../support/responder.js'
import { ResponderKit } from '../../support/responderKit.js'

const test = suite('status watch')
const kit = new ResponderKit(test)

const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l'
const leave = '\x1b[?7h\x1b[?25h\x1b[?1049l'

class Watching {
  readonly out = new PassThrough()
  readonly ended: Promise<number>
  text = ''

  constructor(args: readonly string[], terminal: { columns: number; rows: number } | null) {
    Object.assign(this.out, terminal ? { isTTY: true, ...terminal } : {})
    this.out.on('data', (chunk) => (this.text += String(chunk)))
    this.ended = runCli(['status', '--watch', '--interval', '100ms', ...args], {
      stdin: Readable.from(['']),
      stdout: this.out,
      stderr: new PassThrough(),
      cwd: kit.cwd,
      env: { ENGRAM_NATS_URL: kit.server.url, NO_COLOR: '1' },
    })
  }

  get lastFrame(): string {
    return this.text.split('\x1b[H').at(-1) ?? ''
  }

  async until(what: RegExp): Promise<void> {
    const limit = Date.now() + 10_000
    while (!what.test(this.text)) {
      assert.ok(Date.now() < limit, `no ${what} in ${JSON.stringify(this.text.slice(-400))}`)
      await delay(20)
    }
  }
}

const listeners = (): number[] =>
  ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGTSTP', 'SIGCONT', 'exit'].map((name) =>
    process.listenerCount(name)
  )

test('on a terminal: its own screen, redrawn in place, alerts shown, given back on Ctrl-C',
  async () => {
    const before = listeners()
    const watching = new Watching([], { columns: 100, rows: 20 })
    await watching.until(/demo {2}epoch 1/)
    kit.nats.publish('engram.v1.alert.demo', Buffer.from(JSON.stringify(
      { kind: 'readOnly', message: 'the disk is full', atMs: Date.now(), node: 'n1' },
    )))
    await watching.until(/demo {2}readOnly: the disk is full/)
    kit.node.epoch = 2
    await watching.until(/n1 is the primary in epoch 2, after n1/)
    process.emit('SIGINT')
    assert.is(await watching.ended, 0)
    assert.ok(watching.text.startsWith(`${enter}\x1b[H`))
    assert.ok(watching.text.endsWith(leave))
    assert.is(watching.text.split(enter).length, 2)
    assert.is(watching.text.split(leave).length, 2)
    assert.not.match(watching.text, '\x1b[2J')
    assert.equal(listeners(), before)
  })

test('a terminal that becomes narrow is drawn anew at once', async () => {
  const watching = new Watching(['--interval', '60s'], { columns: 100, rows: 30 })
  await watching.until(/BEHIND/)
  const frames = watching.text.split('\x1b[H').length
  Object.assign(watching.out, { columns: 20, rows: 6 })
  watching.out.emit('resize')
  await watching.until(/…/)
  assert.is(watching.text.split('\x1b[H').length, frames + 1)
  const lines = watching.lastFrame.replace('\x1b[J', '').split('\r\n')
  assert.ok(lines.length <= 6)
  for (const line of lines) assert.ok([...line.replace('\x1b[K', '')].length <= 20, line)
  process.emit('SIGTERM')
  assert.is(await watching.ended, 0)
})

test('Ctrl-Z gives the screen back to the shell before the process stops; fg takes it again', () => {
  const before = listeners()
  let text = ''
  const out = Object.assign(new PassThrough(), { columns: 20, rows: 5 })
  out.on('data', (chunk) => (text += String(chunk)))
  const screen: Screen = new Screen(out as never, {
    hasColours: false,
    redraw: () => screen.draw([['drawn']]),
    stopProcess: () => (text += 'STOP'),
  })
  screen.open()
  process.emit('SIGTSTP')
  process.emit('SIGCONT')
  screen.close()
  screen.draw([['too late']])
  assert.is(text, `${enter}${leave}STOP${enter}\x1b[Hdrawn\x1b[K\x1b[J${leave}`)
  assert.equal(listeners(), before)
})

test('the terminal is given back when the watch fails', async () => {
  const watching = new Watching([], { columns: 100, rows: 20 })
  await watching.until(/demo {2}epoch 1/)
  kit.node.member = () => ({ ...new Responder(kit.nats).member(), lossWindow: null as never })
  assert.is(await watching.ended, 1)
  assert.ok(watching.text.endsWith(leave))
})

test('without a terminal: plain lines, alerts among them, no control bytes', async () => {
  const watching = new Watching([], null)
  await watching.until(/demo epoch 1, primary n1, .*\n.*demo epoch 1/)
  kit.nats.publish('engram.v1.alert.demo', Buffer.from(JSON.stringify(
    { kind: 'replicaLag', message: 'n2 is behind' },
  )))
  await watching.until(/Z demo event: replicaLag: n2 is behind\n/)
  process.emit('SIGINT')
  assert.is(await watching.ended, 0)
  assert.not.match(watching.text, '\x1b')
})

test('with --json: one status a line', async () => {
  const watching = new Watching(['--json'], { columns: 100, rows: 20 })
  await watching.until(/\n.*\n/)
  process.emit('SIGINT')
  assert.is(await watching.ended, 0)
  for (const line of watching.text.trimEnd().split('\n')) {
    assert.is(JSON.parse(line).spaces[0].id, 'demo')
  }
})

test.run()
