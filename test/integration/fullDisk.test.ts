/** Disks that stay full: what they refuse, how they go on by themselves, and that nothing is lost. */
import { statfsSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { fill, removeBallast } from '../../runtime/chaos/ballast.js'
import { cli, runCli } from '../support/cli.js'
import { Client, positive } from '../support/client.js'
import { space, type Cluster } from '../support/cluster.js'
import { mountRefusal, mountSmallDisk, unmount } from '../support/disk.js'
import { removeTemporary, temporaryDirectory } from '../support/environment.js'
import { note, scenario, skipped, suite, type Body, type Stage } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const tests = suite('integration: full disk', 600)

const MiB = 2 ** 20
const nodesMax = 600
const perWrite = 5
const filler = 'x'.repeat(20_000)
const settings = [`segmentBytes=${MiB}`, `checkpointBytes=${MiB}`, `retainBytes=${2 * MiB}`]

/** A scenario that needs a small disk; skipped by name where none can be mounted. */
const refusal = mountRefusal()
function smallDiskScenario(name: string, body: Body, seconds: number): void {
  if (refusal === null) scenario(tests, name, body, seconds)
  else skipped(tests, name, `no tmpfs can be mounted here (${refusal})`)
}

function smallDisk(stage: Stage, megabytes: number): string {
  const directory = temporaryDirectory('full')
  stage.onEnd(() => removeTemporary(directory))
  const mount = mountSmallDisk(join(directory, 'small'), megabytes)
  stage.onEnd(() => unmount(mount))
  return mount
}

/** Writes to the same nodes over and over: some 12 MB of state, whatever the number of rounds. */
class Rounds {
  /** What was last answered as durable, by node; a later one may be there, too. */
  readonly acknowledged = new Map<string, number>()
  readonly codes = new Set<string>()
  private count = 0

  constructor(private readonly client: Client) {}

  /** False: one of them was not taken. */
  async once(): Promise<boolean> {
    this.count += 1
    for (let first = 0; first < nodesMax; first += perWrite) {
      const ids = Array.from({ length: perWrite }, (_, at) => `k${first + at}`)
      const operations = ids.map((id) =>
        ({ type: 'StoreNode', node: { id, content: `${this.count} ${filler}` } }) as const
      )
      const reply = await this.client.write({ operations }, { ack: 'durable', timeoutMs: 3000 })
      if (reply.ok) { for (const id of ids) this.acknowledged.set(id, this.count) }
      else {
        this.codes.add(reply.code)
        return false
      }
    }
    return true
  }

  async taken(): Promise<void> {
    await waitFor('a round of writes',
      async () => await this.once() || notYet([...this.codes].join()), { seconds: 60,
      everyMs: 200 })
  }

  /** Of each node, what was answered or a later write is there. */
  async assertKept(): Promise<void> {
    for (const [id, round] of this.acknowledged) {
      const { value } = positive(await this.client.read({ type: 'GetNode', nodeId: id }), id)
      const found = Number(/"content":"(\d+) /.exec(JSON.stringify(value))?.[1])
      assert.ok(found >= round, `${id} is of round ${found}, and ${round} was acknowledged`)
    }
  }
}

const logOf = (cluster: Cluster, id: string): string => cluster.node(id).child!.log()

const keptBy = async (cluster: Cluster, id: string, name = space): Promise<number> =>
  (await cluster.report(id)).spaces.find((one) => one.space === name)?.checkpoint?.kept ?? 0

/** What is kept before the first entry is in checkpoints that can be used (I14), by the files. */
async function assertSoundJournal(cluster: Cluster, id: string): Promise<void> {
  const { code, stdout, stderr } = await runCli(['journal', 'verify', cluster.node(id).data])
  assert.is(code, 0, `${stdout}${stderr}`)
}

/** Writes until two checkpoints have all of the nodes. */
async function covered(cluster: Cluster, rounds: Rounds, id: string): Promise<void> {
  const taken = (): number => logOf(cluster, id).split('a checkpoint holds').length - 1
  await rounds.taken()
  for (const most = taken() + 3; taken() < most;) await rounds.taken()
}

smallDiskScenario('the only member: it refuses, dies, and goes on without anybody',
  async (stage) => {
    const mount = smallDisk(stage, 384)
    const cluster = await stage.cluster({ nodes: 1, replicas: 0, data: { n1: join(mount, 'n1') },
      settings })
    const n1 = cluster.node('n1')
    const rounds = new Rounds(cluster.client)
    await covered(cluster, rounds, 'n1')
    note(`ballast of ${fill(mount)} bytes`)
    const { pid } = n1
    await waitFor('a refusal', async () => !await rounds.once() || notYet('all are taken'), {
      seconds: 60,
    })
    assert.equal([...rounds.codes], ['READ_ONLY'])
    assert.is(n1.pid, pid, 'it stays up')
    await rounds.assertKept()
    await n1.kill()
    await n1.start()
    await cluster.primary({}, 60)
    await rounds.assertKept()
    await rounds.taken()
    await waitFor('two checkpoints to count',
      async () => await keptBy(cluster, 'n1') === 2 || notYet('fewer'), { seconds: 90 })
    for (let times = 0; times < 3; times += 1) await rounds.taken()
    await n1.kill()
    await assertSoundJournal(cluster, 'n1')
    await n1.start()
    await cluster.primary({}, 60)
    await rounds.assertKept()
  }, 300)

smallDiskScenario('a replica: the older checkpoint makes room for the next', async (stage) => {
  const mount = smallDisk(stage, 384)
  const cluster = await stage.cluster({ data: { n1: join(mount, 'n1') }, settings })
  if ((await cluster.primary()).node === 'n1') {
    await cli(['promote', space, '--to', 'n2', '--nats', cluster.broker.url])
    await cluster.primary({ by: 'n2' })
  }
  const n1 = cluster.node('n1')
  const rounds = new Rounds(cluster.client)
  await covered(cluster, rounds, 'n1')
  await cluster.inSync(3)
  note(`ballast of ${fill(mount)} bytes`)
  const { pid } = n1
  await waitFor('a full journal', async () => {
    await rounds.taken()
    return logOf(cluster, 'n1').includes('the journal cannot be written') || notYet('it is not')
  }, { seconds: 60 })
  await waitFor('n1 to give up segments',
    () =>
      logOf(cluster, 'n1').includes('old segments of the journal were given up')
      || notYet('it has not'), { seconds: 70 })
  await waitFor('two to count', async () => await keptBy(cluster, 'n1') === 2 || notYet('fewer'), {
    seconds: 90,
  })
  await cluster.inSync(3, 60)
  assert.is(n1.pid, pid, 'it did so without a restart')
  await n1.kill()
  await assertSoundJournal(cluster, 'n1')
  await n1.start()
  await cluster.converged(3, 60)
  await rounds.assertKept()
}, 300)

smallDiskScenario('an install and a checkpoint compete for the last room', async (stage) => {
  const mount = smallDisk(stage, 256)
  const cluster = await stage.cluster({ data: { n1: join(mount, 'n1') }, settings })
  const url = ['--nats', cluster.broker.url]
  await cli(['space', 'create', 'other', '--replicas', '2', ...url])
  const n1 = cluster.node('n1')
  const rounds = new Rounds(cluster.client)
  const others = new Rounds(new Client(cluster.nc, 'other'))
  await covered(cluster, others, 'n1')
  await n1.kill()
  // The others no longer have what n1 needs of `demo`.
  for (let times = 0; times < 6; times += 1) await rounds.taken()
  await waitFor('the log to be cut', async () => {
    // Checkpoints that were taken early cover little: later ones come with more writes.
    await rounds.taken()
    const [first] = (await cluster.members()).map(({ firstSequence }) => firstSequence ?? 1)
    return (first ?? 1) > nodesMax || notYet(`first ${first}`)
  }, { seconds: 60, everyMs: 500 })
  const ballast = join(mount, 'ballast')
  const bytes = fill(mount)
  // Less than the install needs, and than a checkpoint leaves free.
  truncateSync(ballast, bytes - 6 * MiB)
  await n1.start()
  await waitFor('the install to wait for the disk', async () => {
    await others.once()
    return logOf(cluster, 'n1').includes('the install waits for the disk') || notYet('it does not')
  }, { seconds: 60 })
  await waitFor('a checkpoint of the other space not to be taken', async () => {
    await others.once()
    return /a checkpoint could not be taken|the journal cannot be written/.test(
      logOf(cluster, 'n1'),
    )
      || notYet('it is not tried')
  }, { seconds: 60 })
  const { pid } = n1
  const lines = (): number => logOf(cluster, 'n1').split('\n').length
  const before = lines()
  for (let times = 0; times < 10; times += 1) await others.once()
  const said = lines() - before
  note(`${said} lines of log while both wait, ${statfsSync(mount).bfree} blocks free`)
  assert.ok(said < 100, `${said} lines: something is tried over and over`)
  assert.is(n1.pid, pid, 'it stays up')
  await assertSoundJournal(cluster, 'n1')
  assert.ok(statSync(ballast).size > 0)
  removeBallast(mount)
  await cluster.converged(3, 90)
  await waitFor('checkpoints of both',
    async () =>
      (await keptBy(cluster, 'n1') > 0 && await keptBy(cluster, 'n1', 'other') === 2)
      || notYet('not yet'), { seconds: 120 })
  await n1.kill()
  await assertSoundJournal(cluster, 'n1')
  await n1.start()
  await cluster.converged(3, 60)
  await rounds.assertKept()
  await others.assertKept()
}, 420)

tests.run()
