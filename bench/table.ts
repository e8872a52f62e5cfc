/** Markdown tables and medians. */

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN
}

/** The first column to the left, the others to the right. */
export function markdownTable(head: readonly string[], rows: readonly string[][]): string {
  const rule = head.map((_, n) => n === 0 ? '---' : '---:')
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

export function showMs(ms: number): string {
  return Number.isFinite(ms) ? `${ms < 100 ? ms.toFixed(2) : ms.toFixed(0)} ms` : '–'
}

export function showCount(count: number): string {
  return Number.isFinite(count) ? Math.round(count).toLocaleString('en-US') : '–'
}
