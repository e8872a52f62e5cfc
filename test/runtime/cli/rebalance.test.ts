/** `engram rebalance`: its plan, and how the moves are carried out. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { placeSpace, preferredPrimary } from '../../../machines/protocol/spacePlacement.js'
import type { MemberMove, Move } from '../../../machines/protocol/rebalance.js'
import type { MembersListing } from '../../../runtime/cli/membersText.js'
import { planOf, showPlan } from '../../../runtime/cli/rebalancePlan.js'
import type { Plan } from '../../../runtime/cli/rebalancePlan.js'
import { carryOut } from '../../../runtime/cli/rebalanceRun.js'
import type { Site } from '../../../runtime/cli/rebalanceRun.js'
import type { SpaceListing, UnreadableSpace } from '../../../runtime/client/operator.js'
import { mergeStatus } from '../../../runtime/status/mergeStatus.js'
import type { MemberStatus, NodeStatus, NodeStatusReport } from '../../../runtime/status/status.js'
import { runHere } from '../../support/cli.js'
import { report } from '../../support/pageKit.js'

const test = suite('engram rebalance')

const since = '2026-11-30T12:00:00Z'
const all = ['n1', 'n2', 'n3', 'n4']
const placed = placeSpace('demo', all, 2)
const preferred = preferredPrimary('demo', placed)!
const other = placed.find((node) => node !== preferred)!
const [spare = '', second = ''] = all.filter((node) => !placed.includes(node))

/** A cluster whose one space has these members, the first one as primary. */
function plan(
  members: readonly string[],
  over: Partial<MemberStatus> = {},
  { nodes = {}, unreadable = [], silent = [] }: {
    readonly nodes?: Readonly<Record<string, Partial<NodeStatus>>>
    readonly unreadable?: readonly UnreadableSpace[]
    readonly silent?: readonly string[]
  } = {},
): Plan {
  const [primary] = members
  const reports = all.filter((id) => !silent.includes(id)).map((id): NodeStatusReport => {
    const { node, spaces } = report(id, { members, primary: primary!, inSync: members,
      role: id === primary ? 'primary' : 'replica', ...over })
    return { format: 1, node: { ...node, ...nodes[id] },
      spaces: members.includes(id) ? spaces : [] }
  })
  const listed = { space: 'demo', members, primary } as SpaceListing
  return planOf({ spaces: [listed], unreadable }, mergeStatus(reports))
}

test('members first, then the primary', () => {
  const { moves, nodes, leftOut } = plan([spare, second])
  assert.equal(nodes, all)
  assert.equal(leftOut, [])
  assert.equal(moves.map(({ type }) => type), ['member', 'member', 'primary'])
  const text = showPlan({ nodes, spaces: 1, moves, leftOut }).split('\n')
  assert.is(text[0], 'SPACE  MOVE')
  assert.is(text[1], `demo   replace ${spare} by ${placed[0]}`)
  assert.is(text[3], `demo   make ${preferred} the primary`)
})

test('nothing to move', () => {
  assert.is(showPlan(plan([preferred, other])), 'Nothing to move: 1 space on n1 n2 n3 n4')
  assert.equal(plan([other, preferred]).moves, [{ type: 'primary', space: 'demo', to: preferred }])
})

test('what cannot be changed now is left out, with the reason', () => {
  const members = [spare, second]
  const reasonOf = ({ moves, leftOut }: Plan): string => {
    assert.equal(moves, [])
    assert.is(leftOut.length, 1)
    return leftOut[0]!.reason
  }
  assert.is(reasonOf(plan(members, { paused: { since, by: 'ann' } })),
    `paused since ${since} by ann`)
  const change = { add: preferred, remove: spare, since, by: 'ann', ageMs: 1, waitsFor: null }
  assert.is(reasonOf(plan(members, { change })),
    `a change of its members is under way: replace ${spare} by ${preferred}`)
  assert.is(reasonOf(plan(members, { role: 'replica' })), 'it has no primary that answers')
  assert.is(reasonOf(plan(members, {}, { silent: members })), 'no member answers')
  assert.is(reasonOf(plan(members, {}, { silent: [second] })), `its member ${second} is away`)
  const drained = { nodes: { [second]: { drained: true } } }
  assert.is(reasonOf(plan(members, {}, drained)), `its member ${second} is drained`)
  const lost = plan([preferred, other], {}, { unreadable: [{ space: 'old', reason: 'not JSON' }] })
  assert.is(showPlan(lost).split('\n')[1], 'left out: old: not JSON')
})

test('nodes that are not fit get nothing, and zones count', () => {
  const members = [other, spare]
  const journal = { segments: 1, bytes: 1, flush: 1, readOnly: true }
  for (const over of [{ drained: true }, { journal }, { state: 'isolated' }]) {
    const { nodes, moves } = plan(members, {}, { nodes: { [preferred]: over } })
    assert.not(nodes.includes(preferred))
    const named = moves.map((move) => move.type === 'member' ? move.add : move.to)
    assert.not(named.includes(preferred))
  }
  const zones = { [preferred]: { zone: 'a' }, [other]: { zone: 'a' }, [spare]: { zone: 'b' },
    [second]: { zone: 'a' } }
  assert.equal(plan([preferred, spare], {}, { nodes: zones }).moves, [])
  assert.equal(plan([preferred, other], {}, { nodes: zones }).moves, [
    { type: 'member', space: 'demo', add: spare, remove: other },
  ])
})

interface FakeSpace {
  members: string[]
  primary: string | null
  change: MemberMove | null
}

/** Spaces of n1 and n2; a change is done at the look after the next. */
class FakeSite implements Site {
  isStopped = false
  atMs = 0
  readonly spaces = new Map<string, FakeSpace>()
  readonly steps: string[] = []
  readonly failures: string[] = []
  readonly log: string[] = []
  busiest = 0
  /** Errors of orders and promotions, by space. */
  readonly faults = new Map<string, Error>()
  onPause: () => void = () => undefined

  constructor(...names: string[]) {
    for (const name of names) {
      this.spaces.set(name, { members: ['n1', 'n2'], primary: 'n1', change: null })
    }
  }

  order(move: MemberMove) {
    const space = this.taken(move.space)
    this.log.push(`${move.space} +${move.add} -${move.remove}`)
    const members = [...space.members]
    space.change = move
    this.busiest = Math.max(this.busiest, this.busy)
    return Promise.resolve({ goal: { add: move.add, remove: move.remove, since }, members })
  }

  promote(name: string, to: string): Promise<string | null> {
    const space = this.taken(name)
    this.log.push(`${name} ^${to}`)
    space.primary = to
    return Promise.resolve(to)
  }

  look(name: string): Promise<MembersListing | null> {
    const { members, primary, change } = this.spaces.get(name)!
    return Promise.resolve({
      space: name,
      uuid: 'u',
      epoch: 1,
      primary,
      inSync: members,
      members: members.map((node) => ({ node })),
      change: change
        && { add: change.add, remove: change.remove, since, by: 'ann', ageMs: 1,
          waitsFor: 'it takes its time' },
      removed: [],
    } as unknown as MembersListing)
  }

  pause(): Promise<void> {
    this.atMs += 300
    for (const space of this.spaces.values()) {
      const { change } = space
      if (!change) continue
      space.members = [...space.members.filter((node) => node !== change.remove), change.add]
      space.change = null
    }
    this.onPause()
    return Promise.resolve()
  }

  nowMs(): number {
    return this.atMs
  }

  stepped(space: string, text: string): void {
    this.steps.push(`${space}: ${text}`)
  }

  failed(space: string, error: unknown): void {
    this.failures.push(`${space}: ${(error as Error).message}`)
  }

  private taken(name: string): FakeSpace {
    const fault = this.faults.get(name)
    if (fault) throw fault
    return this.spaces.get(name)!
  }

  private get busy(): number {
    return [...this.spaces.values()].filter(({ change }) => change).length
  }
}

const replace = (space: string, remove: string, add: string): Move => ({ type: 'member', space, add,
  remove })
const lead = (space: string, to: string): Move => ({ type: 'primary', space, to })

test('--wait: the moves of a space one after the other, each step shown', async () => {
  const site = new FakeSite('a')
  const moves = [replace('a', 'n1', 'n3'), replace('a', 'n2', 'n4'), lead('a', 'n4')]
  assert.equal(await carryOut(site, moves, { wait: true }), { done: ['a'], ordered: [], failed: [],
    left: [] })
  assert.equal(site.log, ['a +n3 -n1', 'a +n4 -n2', 'a ^n4'])
  assert.equal(site.steps, [
    'a: ordered: replace n1 by n3',
    'a: it takes its time',
    'a: n3 is a member now; members: n2 n3',
    'a: n1 is no member any more; members: n2 n3',
    'a: ordered: replace n2 by n4',
    'a: it takes its time',
    'a: n4 is a member now; members: n3 n4',
    'a: n2 is no member any more; members: n3 n4',
    'a: n4 is the primary now',
  ])
})

test('without --wait: one change is ordered for each space; primaries are handed over', async () => {
  const site = new FakeSite('a', 'b')
  const moves = [replace('a', 'n1', 'n3'), replace('a', 'n2', 'n4'), lead('a', 'n4'),
    lead('b', 'n2')]
  const { ordered, done } = await carryOut(site, moves, { wait: false })
  assert.equal([ordered, done], [['a'], ['b']])
  assert.equal(site.log, ['a +n3 -n1', 'b ^n2'])
})

test('a handover that came with the change is not done again', async () => {
  const site = new FakeSite('a')
  site.spaces.get('a')!.primary = 'n2'
  await carryOut(site, [lead('a', 'n2')], { wait: true })
  assert.equal(site.log, [])
})

test('four spaces at a time', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']
  const site = new FakeSite(...names)
  const { done } = await carryOut(site, names.map((name) => replace(name, 'n2', 'n3')), {
    wait: true,
  })
  assert.equal(done.toSorted(), names)
  assert.is(site.busiest, 4)
})

test('an error ends the moves of its space only', async () => {
  const site = new FakeSite('a', 'b', 'c')
  site.faults.set('a', new Error('n3 is drained'))
  const moves = [replace('a', 'n2', 'n3'), lead('a', 'n3'), lead('b', 'n2'),
    replace('c', 'n2', 'n3')]
  site.onPause = () => {
    // Taken back by somebody else.
    const space = site.spaces.get('c')!
    space.members = ['n1', 'n2']
  }
  const { failed, done } = await carryOut(site, moves, { wait: true })
  assert.equal(failed.toSorted(), ['a', 'c'])
  assert.equal(done, ['b'])
  assert.equal(site.failures.toSorted(), ['a: n3 is drained',
    'c: the change was cancelled before it was done (replace n2 by n3)'])
})

test('another node became primary, or none for too long', async () => {
  const site = new FakeSite('a', 'b', 'c')
  site.promote = (name) => Promise.resolve(name === 'a' ? 'n7' : 'n2')
  site.spaces.get('b')!.primary = null
  const moves = ['a', 'b', 'c'].map((name) => lead(name, 'n2'))
  const { failed } = await carryOut(site, moves, { wait: true })
  assert.equal(failed.toSorted(), ['a', 'b', 'c'])
  assert.equal(site.failures.toSorted(), ['a: n7 is primary now, and not n2',
    'b: it has no primary that answers', 'c: n1 still is primary, and not n2'])
})

test('a handover is over when the new primary answers', async () => {
  const site = new FakeSite('a')
  site.promote = (name, to) => {
    site.spaces.get(name)!.primary = null
    return Promise.resolve(to)
  }
  site.onPause = () => {
    assert.equal(site.steps, [])
    site.spaces.get('a')!.primary = 'n2'
  }
  assert.equal((await carryOut(site, [lead('a', 'n2')], { wait: true })).done, ['a'])
  assert.equal(site.steps, ['a: n2 is the primary now'])
})

test('ended by the user: nothing more is begun, what was ordered goes on', async () => {
  const site = new FakeSite('a', 'b', 'c', 'd', 'e')
  site.onPause = () => {
    site.isStopped = true
  }
  const names = [...site.spaces.keys()]
  const { left, done } = await carryOut(site, names.map((name) => replace(name, 'n2', 'n3')), {
    wait: true,
  })
  assert.equal(left.toSorted(), names)
  assert.equal(done, [])
  assert.is(site.log.length, 4)
})

test('--dry-run does nothing to wait for', async () => {
  const { code, err } = await runHere(['rebalance', '--dry-run', '--wait'], { cwd: '/', env: {} })
  assert.is(code, 2)
  assert.match(err, 'Use one of --dry-run and --wait')
})

test.run()
