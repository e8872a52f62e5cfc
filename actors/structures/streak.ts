/** How often in a row the same thing has happened. */
export class Streak {
  private latest = ''
  private times = 0

  /** 0: something else happened last. */
  of(what: string): number {
    return what === this.latest ? this.times : 0
  }

  count(what: string): void {
    this.times = this.of(what) + 1
    this.latest = what
  }
}
