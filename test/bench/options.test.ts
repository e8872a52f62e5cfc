/** The flags of the benchmark. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadsOf, parseOptions } from '../../bench/options.js'

const test = suite('options of the benchmark')

test('without flags: all parts and systems, three repeats', () => {
  const { only, systems, repeats, against, command } = parseOptions([])
  assert.equal([only.length, systems.length, repeats, against], [9, 4, 3, null])
  assert.is(command, 'npm run bench')
})

test('--only cpu measures each load once, unless an option says otherwise', () => {
  assert.is(parseOptions(['--only', 'cpu']).repeats, 1)
  assert.is(parseOptions(['--only', 'cpu,latency']).repeats, 3)
  assert.is(parseOptions(['--only', 'cpu', '--repeats', '5']).repeats, 5)
})

test('the loads of the parts: those of latency are among those of cpu', () => {
  assert.equal(loadsOf(['latency']), ['one', 'open', 'closed'])
  assert.equal(loadsOf(['cpu', 'latency']), ['paced', 'one', 'open', 'closed', 'committed', 'keyed',
    'apart'])
  assert.equal(loadsOf(['lag']), [])
})

test('--against: --only names loads, in one order', () => {
  const { against, only } = parseOptions(['--against', 'main~2', '--only', 'closed,idle'])
  assert.equal(against, { commit: 'main~2', pairs: 6, scenes: ['idle', 'closed'] })
  assert.equal(only, [])
  assert.is(parseOptions(['--against', 'x', '--pairs', '3']).against?.pairs, 3)
})

test('what is not known is refused, with what is', () => {
  const refused = (args: string[], pattern: RegExp): void =>
    assert.throws(() => parseOptions(args), pattern)
  refused(['--only', 'cpu,speed'], /--only knows latency, cpu.*: not speed/)
  refused(['--against', 'x', '--only', 'latency'], /--only knows idle, paced.*: not latency/)
  refused(['--against', 'x', '--only', 'apart'], /--only knows idle, paced.*keyed: not apart/)
  refused(['--systems', 'kafka'], /--systems knows floor.*: not kafka/)
  refused(['--warm-seconds', '0'], /--warm-seconds is a number above 0: not 0/)
  refused(['--pairs', '4'], /--pairs needs --against/)
})

test.run()
