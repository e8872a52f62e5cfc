/** The alternate screen of a terminal: redrawn in place, and given back whatever happens. */
import type { WriteStream } from 'node:tty'
import { fitted } from './paint.js'
import type { Line } from './paint.js'

// Alternate screen, cursor hidden, no wrapping at the edge; and back in reverse order.
const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l'
const leave = '\x1b[?7h\x1b[?25h\x1b[?1049l'

export interface ScreenOptions {
  /** False: nothing but the cursor is steered. */
  readonly hasColours: boolean
  /** Draws again: the size has changed, or the process goes on after Ctrl-Z. */
  readonly redraw: () => void
  /** Stops this process until SIGCONT. */
  readonly stopProcess?: () => void
}

export class Screen {
  #isOpen = false
  readonly #close = (): void => this.close()
  readonly #redraw = (): void => this.options.redraw()
  /** Ctrl-Z: the shell gets its screen back; `fg` takes this one again. */
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
    // A terminal that does not know its size says 0.
    return { columns: this.out.columns || 80, rows: this.out.rows || 24 }
  }

  open(): void {
    this.#isOpen = true
    // An exception that nobody catches ends the process past every `finally`.
    process.once('exit', this.#close)
    process.on('SIGTSTP', this.#suspend)
    process.on('SIGCONT', this.#resume)
    this.out.on('resize', this.#redraw)
    this.out.write(enter)
  }

  /** Replaces what is shown; each line goes over the old one, so nothing flickers. */
  draw(lines: readonly Line[]): void {
    if (!this.#isOpen) return
    const { columns, rows } = this.size
    const shown = lines.slice(0, rows).map((line) =>
      `${fitted(line, columns, this.options.hasColours)}\x1b[K`)
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
