/** The alternate screen of a terminal: redrawn in place, and given back whatever happens. */
import type { WriteStream } from 'node:tty'
import { fitted } from './paint.js'
import type { Line } from './paint.js'

// Alternate screen, cursor hidden, no wrapping at the edge; and back in reverse order.
const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l'
const leave = '\x1b[?7h\x1b[?25h\x1b[?1049l'

export class Screen {
  #isOpen = false
  readonly #close = (): void => this.close()

  /** `hasColours` false: nothing but the cursor is steered. */
  constructor(readonly out: WriteStream, readonly hasColours: boolean) {}

  get size(): { columns: number; rows: number } {
    // A terminal that does not know its size says 0.
    return { columns: this.out.columns || 80, rows: this.out.rows || 24 }
  }

  open(): void {
    this.#isOpen = true
    // An exception that nobody catches ends the process past every `finally`.
    process.once('exit', this.#close)
    this.out.write(enter)
  }

  /** Replaces what is shown; each line goes over the old one, so nothing flickers. */
  draw(lines: readonly Line[]): void {
    if (!this.#isOpen) return
    const { columns, rows } = this.size
    const shown = lines.slice(0, rows).map((line) =>
      `${fitted(line, columns, this.hasColours)}\x1b[K`)
    this.out.write(`\x1b[H${shown.join('\r\n')}\x1b[J`)
  }

  /** Idempotent. */
  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    process.removeListener('exit', this.#close)
    this.out.write(leave)
  }
}
