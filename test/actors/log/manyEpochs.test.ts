/** Logs with many epochs: what a frame costs, counted in lists that are made. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SpaceLog } from '../../../actors/log/spaceLog.js'
import type { Frame } from '../../../actors/ports/frames.js'
import { Budget } from '../../../actors/structures/budget.js'
import type { EpochSpan } from '../../../machines/base/ids.js'
import { Logs } from '../../../runtime/journal/logs.js'
import { GateJournal, uuid } from '../../support/actorKit.js'

const test = suite('many epochs')

const epochs = 100_000
const bytes = new Uint8Array(72)

/** The first and only frame of each of 100,000 epochs. */
function* promotions(): Generator<Frame> {
  for (let epoch = 1; epoch <= epochs; epoch += 1) {
    yield { uuid, epoch, first: epoch, last: epoch, previousEpoch: epoch - 1, bytes } as Frame
  }
}

/** Lists that a history was, each with as many spans as it has; all but the first are copies. */
class Copies {
  private list: readonly EpochSpan[] | null = null
  spans = 0

  see(list: readonly EpochSpan[]): void {
    if (this.list && list !== this.list) this.spans += list.length
    this.list = list
  }
}

test('a member takes a frame of a new epoch, and gives it up, without a copy', () => {
  const log = new SpaceLog({
    space: 'demo',
    uuid,
    journal: new GateJournal(),
    tailBytesMax: 1024,
    budget: new Budget(1 << 30),
  })
  const copies = new Copies()
  for (const frame of promotions()) {
    log.accept(frame, 0)
    log.noteWritten(frame)
    copies.see(log.history)
  }
  log.truncate({ epoch: epochs - 2, sequence: epochs - 2 })
  copies.see(log.history)
  assert.is(log.history.length, epochs - 2)
  assert.is(copies.spans, 0)
})

test('recovery reads them without a copy', () => {
  const logs = new Logs()
  logs.begin(1)
  const copies = new Copies()
  let offset = 0
  for (const frame of promotions()) {
    logs.recoverFrame(frame, offset)
    offset += bytes.length
    copies.see(logs.get(uuid)!.state.history)
  }
  const log = logs.view(uuid)!
  assert.is(log.damage, null)
  assert.is(log.history.length, epochs)
  assert.is(copies.spans, 0)
})

test.run()
