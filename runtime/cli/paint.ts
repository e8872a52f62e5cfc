/** Lines for a terminal: cut to its width first, coloured afterwards. */

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow'

/** Text with or without a colour. */
export type Segment = string | readonly [text: string, colour: Colour]
export type Line = readonly Segment[]

const codes: Record<Colour, string> = {
  bold: '\x1b[1m',
  dim: '\x1b[2m',
  red: '\x1b[31m',
  green: '\x1b[32m',
  yellow: '\x1b[33m',
}

export const textOf = (segment: Segment): string =>
  typeof segment === 'string' ? segment : segment[0]

export const lengthOf = (segment: Segment): number => [...textOf(segment)].length

/** The line in at most `columns` characters, with `…` at the end if it was cut. */
export function fitted(line: Line, columns: number, hasColours: boolean): string {
  const total = line.reduce((sum, segment) => sum + lengthOf(segment), 0)
  let left = total > columns ? columns - 1 : columns
  const parts = line.map((segment) => {
    const shown = [...printable(textOf(segment))].slice(0, Math.max(left, 0)).join('')
    left -= lengthOf(segment)
    return typeof segment === 'string' || !hasColours || shown === ''
      ? shown
      : `${codes[segment[1]]}${shown}\x1b[0m`
  })
  return parts.join('') + (total > columns && columns > 0 ? '…' : '')
}

/** Text without control characters, which could control this terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ')
}

export interface Column {
  readonly head: string
  /** On a narrow terminal the column with the highest rank is left out first. */
  readonly rank: number
  readonly isNumber?: boolean
}

const gap = 2

/** A table in at most `columns` characters. Leaves columns out and may cut the last one. */
export function tableLines(
  heads: readonly Column[],
  rows: readonly (readonly Segment[])[],
  columns: number,
): Line[] {
  const widths = heads.map(({ head }, i) =>
    Math.max(head.length, ...rows.map((row) => lengthOf(row[i] ?? '')))
  )
  const kept = new Set(heads.keys())
  const width = (): number => [...kept].reduce((sum, i) => sum + (widths[i] ?? 0) + gap, -gap)
  while (width() > columns && kept.size > 1) {
    // The last column is text. It stays while at least 12 characters of it are visible.
    const last = heads.length - 1
    const isReadable = kept.has(last) && width() - (widths[last] ?? 0) + 12 <= columns
    if (isReadable) break
    kept.delete([...kept].toSorted((a, b) => (heads[b]?.rank ?? 0) - (heads[a]?.rank ?? 0))[0] ?? 0)
  }
  const line = (cells: readonly Segment[]): Line =>
    [...kept].flatMap((i, position) => {
      const cell = cells[i] ?? ''
      const pad = ' '.repeat(Math.max(0, (widths[i] ?? 0) - lengthOf(cell)))
      const between = position === 0 ? '' : ' '.repeat(gap)
      if (heads[i]?.isNumber) return [between, pad, cell]
      return position === kept.size - 1 ? [between, cell] : [between, cell, pad]
    })
  return [line(heads.map(({ head }) => [head, 'dim'] as const)), ...rows.map(line)]
}

/** The table as plain text, without columns that are empty in all rows. */
export function tableText(
  heads: readonly Column[],
  rows: readonly (readonly string[])[],
  columns: number,
): string {
  const saying = [...heads.keys()].filter((i) =>
    i === 0 || rows.some((row) => row[i] !== '-' && row[i] !== '')
  )
  const lines = tableLines(
    saying.map((i) => heads[i]!),
    rows.map((row) => saying.map((i) => row[i] ?? '')),
    columns,
  )
  return lines.map((line) => fitted(line, columns, false).trimEnd()).join('\n')
}
