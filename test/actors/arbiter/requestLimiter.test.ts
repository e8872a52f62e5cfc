import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { RequestLimiter } from '../../../actors/arbiter/requestLimiter.js'

const test = suite('actors/arbiter/requestLimiter')

const settled = () => new Promise((done) => void setImmediate(done))

test('so many at a time; then the most urgent, and among equals the first', async () => {
  const limiter = new RequestLimiter(2, new VirtualClock())
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const run = (name: string) => () =>
    new Promise<void>((end) => {
      begun.push(name)
      ends.set(name, end)
    })
  void limiter.take(run('a'))
  void limiter.take(run('b'))
  void limiter.take(run('read'))
  void limiter.take(run('change'), 'change')
  void limiter.take(run('candidate'), 'candidate')
  void limiter.take(run('claim'), 'promotion')
  void limiter.take(run('open'), 'promotion')
  await settled()
  assert.equal(begun, ['a', 'b'])
  for (let next = 0; next < 7; next += 1) {
    ends.get(begun[next]!)!()
    await settled()
  }
  assert.equal(begun, ['a', 'b', 'claim', 'open', 'candidate', 'change', 'read'])
})

test('one that fails gives its turn back', async () => {
  const limiter = new RequestLimiter(1, new VirtualClock())
  const failing = limiter.take(() => Promise.reject(new Error('no')))
  const next = limiter.take(() => Promise.resolve('yes'))
  await failing.then(() => assert.unreachable(), (error: Error) => assert.is(error.message, 'no'))
  assert.is(await next, 'yes')
})

test('none waits for ever: a read goes before a promotion that came a second later', async () => {
  const clock = new VirtualClock()
  const limiter = new RequestLimiter(1, clock)
  const begun: string[] = []
  const run = (name: string) => () => Promise.resolve(void begun.push(name))
  let end: () => void = () => undefined
  void limiter.take(() => new Promise<void>((done) => (end = done)))
  void limiter.take(run('read'), 'read')
  clock.advance(500)
  void limiter.take(run('early'), 'promotion')
  clock.advance(501)
  void limiter.take(run('late'), 'promotion')
  end()
  await settled()
  assert.equal(begun, ['early', 'read', 'late'])
})

test.run()
