/** The alternate screen of a terminal, redrawn in place and always restored. */
import type { WriteStream } from 'node:tty'
import { fitted } from './paint.js'
import type { Line } from './paint.js'

// Alternate screen, hidden cursor, no wrapping at the edge; `leave` undoes it in reverse order.
const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l'
const leave = '\x1b[?7h\x1b[?25h\x1b[?1049l'

export interface ScreenOptions {
  /** If false, only the cursor is controlled. */
  readonly hasColours: boolean
  /** Draws again after a change of size, or when the process continues after Ctrl-Z. */
  readonly redraw: () => void
  /** Stops this process until SIGCONT. */
  readonly stopProcess?: () => void
}

export class Screen {
  #isOpen = false
  readonly #close = (): void => this.close()
  readonly #redraw = (): void => this.options.redraw()
  /** On Ctrl-Z the shell gets its screen back. `fg` shows this one again. */
  readonly #suspend = (): void => {
    this.out.write(leave)
    const stop = this.options.stopProcess ?? (() => process.kill(process.pid, 'SIGSTOP'))
    stop()
  }

  readonly #resume = (): void => {
    this.out.write(enter)
    this.options.redraw()
  }

  constructor(readonly out: WriteStream, private readonly options: ScreenOptions) {}

  get size(): { columns: number; rows: number } {
    // A terminal that does not know its size reports 0.
    return { columns: this.out.columns || 80, rows: this.out.rows || 24 }
  }

  open(): void {
    this.#isOpen = true
    // An uncaught exception ends the process without running `finally` blocks.
    process.once('exit', this.#close)
    process.on('SIGTSTP', this.#suspend)
    process.on('SIGCONT', this.#resume)
    this.out.on('resize', this.#redraw)
    this.out.write(enter)
  }

  /** Replaces the screen's content. Lines overwrite the old ones, so that nothing flickers. */
  draw(lines: readonly Line[]): void {
    if (!this.#isOpen) return
    const { columns, rows } = this.size
    const shown = lines.slice(0, rows).map((line) =>
      `${fitted(line, columns, this.options.hasColours)}\x1b[K`
    )
    this.out.write(`\x1b[H${shown.join('\r\n')}\x1b[J`)
  }

  /** Idempotent. */
  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    process.removeListener('exit', this.#close)
    process.removeListener('SIGTSTP', this.#suspend)
    process.removeListener('SIGCONT', this.#resume)
    this.out.removeListener('resize', this.#redraw)
    this.out.write(leave)
  }
}
