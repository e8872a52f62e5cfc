/** Settings of a space, as commands and records have them. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isSameSettings, showSettings,
  spaceSettingsOf } from '../../machines/protocol/spaceSettings.js'
import type { SpaceSettings } from '../../machines/protocol/messages.js'

const test = suite('machines/protocol/spaceSettings')

test('retain has bytes, a time, or both, and nothing else', () => {
  const read = (retain: unknown) => spaceSettingsOf({ retain })
  const settings = read({ ms: 1000, bytes: 20 }) as SpaceSettings
  assert.equal(settings.retain, { bytes: 20, ms: 1000 })
  assert.match(showSettings(settings), /, entries kept for readers: 20 bytes and 1000 ms$/)
  assert.equal((read({ ms: 1000 }) as SpaceSettings).retain, { ms: 1000 })
  assert.not.ok('retain' in (read(undefined) as SpaceSettings))
  for (const wrong of [{}, { ms: 0 }, { ms: 1.5 }, { bytes: -1 }, { days: 7 }, 5, null]) {
    assert.match(String(read(wrong)), /^retain must have one or more of bytes, ms/)
  }
})

test('settings with another retention are others', () => {
  const one = spaceSettingsOf({ retain: { ms: 5, bytes: 6 } }) as SpaceSettings
  assert.ok(isSameSettings(one, { ...one, retain: { bytes: 6, ms: 5 } }))
  assert.not.ok(isSameSettings(one, { ...one, retain: { bytes: 6 } }))
  const { retain: _, ...none } = one
  assert.not.ok(isSameSettings(one, none))
})

test.run()
