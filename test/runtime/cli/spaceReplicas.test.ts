/** `engram space set --replicas`: one change of the members after the other. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CliError } from '../../../runtime/cli/context.js'
import type { MembersListing } from '../../../runtime/cli/membersText.js'
import type { MembersOrder } from '../../../runtime/cli/rebalanceRun.js'
import { resize } from '../../../runtime/cli/spaceReplicas.js'
import type { ResizeSite } from '../../../runtime/cli/spaceReplicas.js'
import type { ClusterNode } from '../../../runtime/status/status.js'
import { runHere } from '../../support/cli.js'

const test = suite('engram space set --replicas')

const since = '2026-11-30T12:00:00Z'

/** A space of n1 and n2; a change is done at the look after the next. */
class FakeSite implements ResizeSite {
  isStopped = false
  atMs = 0
  members = ['n1', 'n2']
  inSync = ['n1', 'n2']
  primary: string | null = 'n1'
  minInSync = 1
  change: MembersOrder | null = null
  drained: string[] = []
  onPause: () => void = () => undefined
  readonly orders: string[] = []
  readonly steps: string[] = []

  order(order: MembersOrder) {
    const { add, remove, force } = order
    this.orders.push(`${add ? `+${add}` : `-${remove}`}${force ? ' force' : ''}`)
    const members = [...this.members]
    this.change = order
    return Promise.resolve({ goal: { add: add ?? null, remove: remove ?? null, since }, members })
  }

  promote(): Promise<string | null> {
    throw new Error('nothing is promoted')
  }

  look(space: string): Promise<MembersListing | null> {
    const { members, inSync, primary, change } = this
    return Promise.resolve({
      space,
      uuid: 'u',
      epoch: 1,
      primary,
      inSync,
      members: members.map((node) => ({ node })),
      change: change
        && { add: change.add ?? null, remove: change.remove ?? null, since, by: 'ann', ageMs: 1,
          waitsFor: 'it takes its time' },
      removed: [],
    } as unknown as MembersListing)
  }

  nodes(): Promise<readonly ClusterNode[]> {
    return Promise.resolve(['n1', 'n2', 'n3', 'n4'].map((id) => ({
      id,
      pid: 1,
      state: 'running',
      drained: this.drained.includes(id),
    } as ClusterNode)))
  }

  boundMinInSync(most: number): Promise<boolean> {
    const isHigher = this.minInSync > most
    if (isHigher) this.orders.push(`minInSync ${most}`)
    return Promise.resolve(isHigher)
  }

  pause(): Promise<void> {
    this.atMs += 300
    const { change } = this
    if (change) {
      const { add, remove } = change
      this.members = [...this.members.filter((node) => node !== remove), ...(add ? [add] : [])]
      this.inSync = this.members
      this.change = null
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

  failed(): void {
    throw new Error('there is one space')
  }
}

const set = (site: FakeSite, replicas: number, yes = false) =>
  resize(site, { space: 'demo', replicas, yes })

async function failure(work: Promise<unknown>): Promise<CliError> {
  const error: unknown = await work.then(() => new Error('it passes'), (caught: unknown) => caught)
  if (error instanceof CliError) return error
  throw error
}

test('nodes are added one after the other, each step shown', async () => {
  const site = new FakeSite()
  const { members, replicas } = await set(site, 3)
  assert.equal([members.toSorted(), replicas], [['n1', 'n2', 'n3', 'n4'], 3])
  assert.equal(site.orders.toSorted(), ['+n3', '+n4'])
  const [first = ''] = site.orders
  assert.equal(site.steps.slice(0, 3), [`demo: ordered: add ${first.slice(1)}`,
    'demo: it takes its time',
    `demo: ${first.slice(1)} is a member now; members: n1 n2 ${first.slice(1)}`])
})

test('fewer only with --yes, and never without the primary', async () => {
  const site = new FakeSite()
  const error = await failure(set(site, 0))
  assert.is(error.message, 'then demo has 1 member instead of 2; nothing was changed')
  assert.match(error.remedy ?? '', 'engram space set demo --replicas 0 --yes')
  assert.is(error.exitCode, 2)
  assert.equal(site.orders, [])
  site.primary = 'n2'
  assert.equal((await set(site, 0, true)).members, ['n2'])
  assert.equal(site.orders, ['-n1 force'])
})

test('a member whose node is drained goes first', async () => {
  for (const drained of ['n2', 'n3', 'n4']) {
    const site = new FakeSite()
    site.members = site.inSync = ['n1', 'n2', 'n3', 'n4']
    site.drained = [drained]
    assert.not((await set(site, 2, true)).members.includes(drained))
  }
})

test('minInSync is lowered before a member goes, and not for one that comes', async () => {
  const site = new FakeSite()
  site.minInSync = 2
  await set(site, 0, true)
  assert.equal(site.orders, ['minInSync 1', '-n2 force'])
  assert.is(site.steps[0], 'demo: min-in-sync is 1 now')
  const other = new FakeSite()
  other.minInSync = 2
  await set(other, 2)
  assert.is(other.orders.length, 1)
})

test('nothing is ordered if there are so many members already', async () => {
  const site = new FakeSite()
  assert.equal((await set(site, 1)).members, ['n1', 'n2'])
  assert.equal(site.orders, [])
})

test('nothing is ordered without enough nodes, or while a change is under way', async () => {
  const site = new FakeSite()
  site.drained = ['n4']
  assert.match((await failure(set(site, 3))).message,
    /4 members are wanted, and there are 2 and 1 node more that can be one: n1 n2 n3/)
  site.drained = []
  site.change = { space: 'demo', add: 'n3' }
  assert.match((await failure(set(site, 2))).message, 'is under way: add n3')
  assert.equal(site.orders, [])
})

test('a change that somebody takes back, and a user who ends it', async () => {
  const site = new FakeSite()
  site.onPause = () => {
    site.members = ['n1', 'n2']
  }
  assert.match((await failure(set(site, 2))).message, 'was cancelled before it was done (add n')
  const other = new FakeSite()
  other.onPause = () => {
    other.isStopped = true
  }
  assert.match((await failure(set(other, 3))).remedy ?? '', 'engram space set demo --replicas 3')
  assert.is(other.orders.length, 1)
})

test('without a primary that answers it waits for one, for a while', async () => {
  const site = new FakeSite()
  site.primary = null
  site.onPause = () => {
    if (site.atMs > 3000) site.primary = 'n2'
  }
  assert.is((await set(site, 2)).members.length, 3)
  const vacant = new FakeSite()
  vacant.primary = null
  assert.match((await failure(set(vacant, 2))).message, 'demo has no primary that answers')
})

test('--yes alone confirms nothing', async () => {
  const { code, err } = await runHere(['space', 'set', 'demo', '--yes'], { cwd: '.', env: {} })
  assert.is(code, 2)
  assert.match(err, '--yes confirms nothing here')
})

test.run()
