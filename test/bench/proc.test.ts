/** Threads as /proc lists them. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { childrenOf, kindsOf, parseListening, parseSchedstat, parseStat, parseVoluntary,
  threadsOf } from '../../bench/proc.js'

const test = suite('proc')

/** After the name: state, parent, then up to the start (field 22) and one more. */
const fieldsOf = (parent: number, user: number, system: number, start: number): string =>
  `S ${parent} 1 1 0 -1 4194560 9 0 0 0 ${user} ${system} 0 0 20 0 11 0 ${start} 5000`

test('stat: a name with spaces and brackets, parent, both times, start', () => {
  const { name, parent, cpuNs, startTicks } = parseStat(
    `4711 (my (odd) name) ${fieldsOf(42, 150, 7, 987)}`,
  )
  assert.equal([name, parent, startTicks], ['my (odd) name', 42, 987])
  assert.is(cpuNs, 1_570_000_000)
})

test('schedstat: the first number is the time on a core', () => {
  assert.is(parseSchedstat('37829412 9066275 113\n'), 37_829_412)
})

test('status: voluntary switches, not those that the kernel forced', () => {
  const status = 'Name:\tnode\nvoluntary_ctxt_switches:\t100\nnonvoluntary_ctxt_switches:\t13\n'
  assert.is(parseVoluntary(status), 100)
  assert.is(parseVoluntary('nonvoluntary_ctxt_switches:\t13\nvoluntary_ctxt_switches: 7'), 7)
})

const named = (...names: string[]): { name: string }[] => names.map((name) => ({ name }))

test('kinds by order, where all threads bear the name of the process', () => {
  const kinds = kindsOf(named(...Array<string>(12).fill('node')))
  assert.is(kinds[0], 'main')
  const pool = kinds.map((kind, n) => kind === 'pool' ? n : -1).filter((n) => n >= 0)
  assert.equal(pool, [7, 8, 9, 10])
  assert.is(kinds[11], 'others')
  // The pool has not been called yet.
  assert.not(kindsOf(named(...Array<string>(7).fill('node'))).includes('pool'))
})

test('kinds by name, where threads have names of their own', () => {
  assert.equal(kindsOf(named('node', 'libuv-worker', 'V8Worker', 'libuv-worker')), ['main', 'pool',
    'others', 'pool'])
})

test('listening sockets: ports by inode, no connections', () => {
  const text = [
    'sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode',
    ' 0: 0100007F:240D 00000000:0000 0A 00000000:00000000 00:00000000 00000000   0       0 5551 1',
    ' 1: 0100007F:240E 0100007F:9999 01 00000000:00000000 00:00000000 00000000   0       0 5552 1',
    '',
  ].join('\n')
  assert.equal([...parseListening(text)], [['5551', 0x240d]])
})

test('a process that is not there has no threads and no children', () => {
  assert.equal(threadsOf(2 ** 30), [])
  assert.equal(childrenOf(2 ** 30), [])
})

if (process.platform === 'linux') {
  test('this very process: its main thread first, and it has used the processor', () => {
    const threads = threadsOf(process.pid)
    assert.is(threads[0]?.tid, process.pid)
    assert.ok((threads[0]?.cpuNs ?? 0) > 1e6)
    assert.ok(threads.every(({ voluntary }) => Number.isInteger(voluntary)))
  })
}

test.run()
