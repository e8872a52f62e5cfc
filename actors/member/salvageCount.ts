/** Number of the space's salvage files on this node, for the status. */
export class SalvageCount {
  private files = 0

  get count(): number {
    return this.files
  }

  /** Notes how many the directory has. */
  counted(files: number): void {
    this.files = files
  }

  added(): void {
    this.files += 1
  }

  removed(): void {
    this.files = Math.max(0, this.files - 1)
  }
}
