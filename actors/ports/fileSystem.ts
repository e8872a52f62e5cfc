/** The file system, as the journal uses it. */

export interface FileHandle {
  /** Writes all bytes at `offset` or throws: FileSystemError with code ENOSPC, EIO … */
  write(buffers: readonly Uint8Array[], offset: number): Promise<void>
  /** Returns the number of bytes read: less than asked for only at the end of the file. */
  read(into: Uint8Array, offset: number): Promise<number>
  datasync(): Promise<void>
  truncate(length: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

export interface FileSystem {
  makeDirectory(path: string): Promise<void>
  /** Names in the directory, sorted; empty when it does not exist. */
  list(path: string): Promise<string[]>
  /** `create` fails when the file exists. */
  open(path: string, mode: 'create' | 'readWrite' | 'read'): Promise<FileHandle>
  /** Makes creations, renames and removals within the directory durable. */
  syncDirectory(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Gives a file a second name. EEXIST: `to` is there already. */
  link(from: string, to: string): Promise<void>
  /** Bytes that this user may still write on the file system that has the path. */
  freeBytes(path: string): Promise<number>
}

export class FileSystemError extends Error {
  constructor(readonly code: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'FileSystemError'
  }
}

/** Whether the disk, or the quota, is full, according to the error or its cause. */
export function isNoSpace(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && (at.code === 'ENOSPC' || at.code === 'EDQUOT')) return true
  }
  return false
}
