/** Numbers and states in words. */
import { amountText, bytesText, msText } from '../../../machines/base/units.js'
import type { ClusterSpace } from '../../status/status.js'

export { amountText, bytesText, msText }

const counts = new Intl.NumberFormat('en')

export function countText(value: number): string {
  return counts.format(Math.round(value))
}

/** Clock time with milliseconds, in the reader's time zone. */
export function clockText(atMs: number, digits: 0 | 3 = 3): string {
  const at = new Date(atMs)
  const two = (part: number): string => String(part).padStart(2, '0')
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  return digits === 0 ? time : `${time}.${String(at.getMilliseconds()).padStart(3, '0')}`
}

/** `20:05:46.120`, preceded by the date unless it is today. */
export function dayClockText(atMs: number, nowMs: number, digits: 0 | 3 = 3): string {
  const [day, today] = [new Date(atMs), new Date(nowMs)].map((at) => at.toDateString())
  const at = new Date(atMs)
  const date = `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, '0')}-`
    + String(at.getDate()).padStart(2, '0')
  return day === today ? clockText(atMs, digits) : `${date} ${clockText(atMs, digits)}`
}

/** `20:05:46.120 (0.3 s ago)`. */
export function momentText(atMs: number, nowMs: number): string {
  return `${dayClockText(atMs, nowMs)} (${msText(Math.max(0, nowMs - atMs))} ago)`
}

/** Sentence on the writes that only the primary's disk has at this moment. */
export function lossText({ id, primary, rf, members, blocked, lossWindow }: ClusterSpace): string {
  if (primary === null) {
    return blocked === null
      ? `${id} has no primary at this moment.`
      : `${id} has no primary: ${blocked}.`
  }
  if (!members.some(({ node, role }) => node === primary && role === 'primary')) {
    return `${primary} does not answer.`
  }
  if (rf === 1) return 'There is no second disk.'
  const { entries, bytes, ms } = lossWindow
  if (entries === 0) return 'Every write is on a second disk.'
  return `Not yet on a second disk: ${amountText(entries, 'write')} (${bytesText(bytes)}, `
    + `${msText(ms)} old).`
}
