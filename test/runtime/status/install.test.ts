import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { installShare, installText } from '../../../runtime/status/install.js'
import { mergeStatus } from '../../../runtime/status/mergeStatus.js'
import type { InstallStatus } from '../../../actors/install/installStatus.js'
import { report } from '../../support/pageKit.js'

const test = suite('status: installs')

const MiB = 1024 * 1024
const install = (over: Partial<InstallStatus> = {}): InstallStatus => ({
  phase: 'pulling',
  source: 'n2',
  doneBytes: 412 * MiB,
  totalBytes: 1024 * MiB,
  bytesPerSecond: 31 * MiB,
  etaMs: 19_741,
  minimum: 3_100,
  ...over,
})

test('each phase in plain words', () => {
  const of = (over: Partial<InstallStatus>): string => installText(install(over))
  const none = { source: null, doneBytes: 0, totalBytes: 0, bytesPerSecond: null, etaMs: null }
  assert.is(of({}), 'installs 412 of 1,024 MiB from n2, 31 MiB/s, 20 s')
  assert.is(of({ bytesPerSecond: null, etaMs: null }), 'installs 412 of 1,024 MiB from n2')
  assert.is(of({ phase: 'waiting', ...none, minimum: null }),
    'waits for a primary that can install it')
  assert.is(of({ phase: 'salvaging', ...none }), 'salvages what only it has, and is installed then')
  assert.is(of({ phase: 'asking', ...none }),
    'looks for a state to be installed with, as of 3,100 or later')
  assert.is(of({ phase: 'asking', ...none, minimum: null }),
    'looks for a state to be installed with')
  assert.is(of({ phase: 'verifying' }), 'verifies and loads 1,024 MiB from n2')
  assert.is(of({ phase: 'switching' }), 'switches to the state from n2')
})

test('amounts have two digits at least, times are rounded up', () => {
  const of = (doneBytes: number, totalBytes: number, etaMs: number): string =>
    installText(install({ doneBytes, totalBytes, etaMs, bytesPerSecond: 4 * MiB }))
  assert.is(of(0, 900, 1), 'installs 0 of 900 B from n2, 4,096 KiB/s, 1 s')
  assert.is(of(3_072, 15_360, 119_000), 'installs 3 of 15 KiB from n2, 4,096 KiB/s, 119 s')
  assert.is(of(MiB, 20 * 1024 * MiB, 120_001), 'installs 0 of 20 GiB from n2, 4,096 KiB/s, 3 min')
  assert.is(of(MiB, 9 * MiB, 9_000_000), 'installs 1,024 of 9,216 KiB from n2, 4,096 KiB/s, 2.5 h')
})

test('the share is known once a state is chosen', () => {
  assert.is(installShare(install()), 412 / 1024)
  assert.is(installShare(install({ doneBytes: 0, totalBytes: 0 })), null)
})

test('cluster: as the member says, else as it reports it to its primary', () => {
  const { bytesPerSecond: _, etaMs: __, ...reported } = install()
  const lag = {
    n2: { lagBytes: null, lagMs: null, durableSequence: null, appliedSequence: null,
      state: 'snapshotting', install: reported },
  }
  const primary = report('n1', { lag })
  const memberOf = (reports: Parameters<typeof mergeStatus>[0]) =>
    mergeStatus(reports).spaces[0]!.members.find(({ node }) => node === 'n2')
  const now = install({ doneBytes: 500 * MiB })
  assert.equal(memberOf([primary, report('n2', { install: now })])?.install, now)
  assert.is(memberOf([primary, report('n2')])?.install, null, 'it knows best')
  assert.equal(memberOf([primary])?.install, install({ bytesPerSecond: null, etaMs: null }))
  assert.is(memberOf([report('n1')])?.install, null)
})

test.run()
