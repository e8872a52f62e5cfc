/** An install for people. */
import { countText } from '../../machines/base/units.js'
import type { InstallStatus } from '../../actors/install/installStatus.js'

/** How far it is: `installs 412 of 1,024 MiB from n2, 31 MiB/s, 20 s`. */
export function installText(install: InstallStatus): string {
  const { phase, source, doneBytes, totalBytes, bytesPerSecond, etaMs, minimum } = install
  const from = source === null ? '' : ` from ${source}`
  switch (phase) {
    case 'waiting':
      return 'waits for a primary that can install it'
    case 'salvaging':
      return 'salvages what only it has, and is installed then'
    case 'asking':
      return 'looks for a state to be installed with'
        + (minimum === null ? '' : `, as of ${countText(minimum)} or later`)
    case 'pulling':
      return [
        `installs ${shareText(doneBytes, totalBytes)}${from}`,
        ...(bytesPerSecond === null ? [] : [`${sizeText(bytesPerSecond)}/s`]),
        ...(etaMs === null ? [] : [timeText(etaMs)]),
      ].join(', ')
    case 'verifying':
      return `verifies and loads ${sizeText(totalBytes)}${from}`
    case 'switching':
      return `switches to the state${from}`
  }
}

/** Part of the state that is here; null: none is chosen. */
export function installShare({ doneBytes, totalBytes }: InstallStatus): number | null {
  return totalBytes > 0 ? Math.min(1, doneBytes / totalBytes) : null
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** The largest unit in which the amount has two digits: 1 GiB is shown as 1,024 MiB. */
function unitOf(bytes: number): number {
  let unit = 0
  while (unit < units.length - 1 && bytes >= 10 * 1024 ** (unit + 1)) unit += 1
  return unit
}

function sizeText(bytes: number): string {
  const unit = unitOf(bytes)
  return `${inUnit(bytes, unit)} ${units[unit]}`
}

function shareText(done: number, total: number): string {
  const unit = unitOf(total)
  return `${inUnit(done, unit)} of ${inUnit(total, unit)} ${units[unit]}`
}

function inUnit(bytes: number, unit: number): string {
  return countText(Math.round(bytes / 1024 ** unit))
}

function timeText(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  return seconds < 7200 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}
