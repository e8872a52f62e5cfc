/** Tables and units for people to read. */

/** A table with columns as wide as their widest cell. Numbers are right-aligned. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((r) => width(r[i]))))
  const right = heads.map((_, i) =>
    rows.length > 0 && rows.every((row) => /^(-|[0-9][0-9.,]*( [a-zA-Z]+)?)$/.test(row[i] ?? ''))
  )
  const line = (cells: readonly string[]): string =>
    cells.map((cell, i) => {
      const pad = ' '.repeat(Math.max(0, (widths[i] ?? 0) - width(cell)))
      if (right[i]) return pad + cell
      return i === cells.length - 1 ? cell : cell + pad
    }).join('  ').trimEnd()
  return [heads, ...rows].map(line).join('\n')
}

function width(cell: string | undefined): number {
  return cell === undefined ? 0 : [...cell].length
}

/** Text broken between words into lines of at most `columns`, indented from the second on. */
export function wrapped(text: string, columns: number): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (width(longer.trimEnd()) <= columns || line.trim() === '') line = longer
    else {
      lines.push(line.trimEnd())
      line = `  ${word}`
    }
  }
  return [...lines, line].join('\n')
}

export function showBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let value = bytes
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

export function showMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  if (ms < 3_600_000) return `${(ms / 60_000).toFixed(1)} min`
  return `${(ms / 3_600_000).toFixed(1)} h`
}

export { countText as showCount } from '../../machines/base/units.js'

/** A dash if the value is not known. */
export function orDash<T>(value: T | null, show: (value: T) => string): string {
  return value === null ? '-' : show(value)
}

/** Any JSON value as text, for reports whose fields the CLI does not know. */
export function showValue(value: unknown, indent = ''): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return 'none'
    return value
      .map((item) => `\n${indent}- ${showValue(item, `${indent}  `).trimStart()}`).join('')
  }
  if (typeof value !== 'object' || value === null) return value === null ? '-' : String(value)
  return Object.entries(value)
    .map(([name, item]) => `\n${indent}${name}: ${showValue(item, `${indent}  `)}`).join('')
}
