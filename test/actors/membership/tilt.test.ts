import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Tilt } from '../../../actors/membership/tilt.js'
import type { TiltEvent } from '../../../actors/membership/tilt.js'
import { defaultSettings } from '../../../actors/ports/defaultSettings.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { quiet } from '../../support/actorKit.js'

const test = suite('tilt')

function kit() {
  const clock = new VirtualClock()
  let ranMs = 0
  clock.cpuMs = () => ranMs
  const tilt = new Tilt({
    clock,
    logger: quiet,
    telemetry: { count: () => undefined, observe: () => undefined },
    settings: { ...defaultSettings, heartbeatMs: 100, stallMs: 500 },
  })
  /** After `ms`, in which the process ran for `ran` ms. */
  const after = (ms: number, ran = ms): TiltEvent | null => {
    clock.advance(ms)
    ranMs += ran
    return tilt.tick()
  }
  return { clock, tilt, after }
}

test('a stall by its own work', () => {
  const { after, tilt } = kit()
  assert.is(after(600), null)
  assert.equal(after(700), { type: 'tiltStarted', reason: 'own loop stalled for 600 ms' })
  assert.is(tilt.isOn, true)
  assert.is(tilt.loopDelayMs, 600)
})

test('a stall in which it did not run: it was stopped, or others had the processor', () => {
  const { after } = kit()
  assert.equal(after(700, 30), {
    type: 'tiltStarted',
    reason: 'own loop stalled for 600 ms, of which this process ran 30 ms: it '
      + 'was stopped, or the machine is too busy',
  })
})

test('a jump of the wall clock', () => {
  const { after, clock } = kit()
  clock.jumpWall(-2000)
  assert.equal(after(100), { type: 'tiltStarted', reason: 'own clock jumped by 2000 ms' })
})

test('ten heartbeats without another end it', () => {
  const { after, tilt } = kit()
  after(700)
  for (let beats = 0; beats < 9; beats += 1) assert.is(after(100), null)
  assert.equal(after(100), { type: 'tiltEnded' })
  assert.is(tilt.isOn, false)
  assert.is(after(100), null)
})

test.run()
