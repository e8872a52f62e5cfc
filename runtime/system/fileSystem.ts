/** The file system port on node:fs. Callback API on plain descriptors: the least work per call. */
import * as fs from 'node:fs'
import { link, mkdir, readdir, rename, rm, statfs } from 'node:fs/promises'
import { FileSystemError, type FileHandle, type FileSystem } from '../../actors/ports/fileSystem.js'

/** Buffers per writev: IOV_MAX of Linux and macOS. */
const BUFFERS_MAX = 1024
/** A write up to this size is made in the event loop; copying it to the page cache takes 50 µs. */
const SYNC_BYTES_MAX = 256 * 1024

function failure(action: string, path: string, cause: unknown): FileSystemError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'EIO'
  return new FileSystemError(code, `cannot ${action} ${path}: ${(cause as Error).message}`, cause)
}

type Callback<T> = (error: NodeJS.ErrnoException | null, value: T) => void

function call<T>(action: string, path: string, run: (done: Callback<T>) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    run((error, value) => {
      if (error) reject(failure(action, path, error))
      else resolve(value)
    })
  })
}

class NodeFileHandle implements FileHandle {
  #closed = false

  constructor(readonly path: string, private readonly fd: number) {}

  /**
   * A short write continues where it stopped; the error of the next attempt has the cause. Small
   * writes go to the page cache at once: a hop to a thread and back would cost ten times as much,
   * and every write that waits for the flush would wait for it.
   */
  async write(buffers: readonly Uint8Array[], offset: number): Promise<void> {
    let rest = buffers.filter((buffer) => buffer.length > 0)
    let at = offset
    while (rest.length > 0) {
      const some = rest.slice(0, BUFFERS_MAX)
      const written = bytesOf(some) <= SYNC_BYTES_MAX
        ? this.#writeNow(some, at)
        : await call<number>('write to', this.path, (done) => {
          this.#assertOpen()
          if (some.length === 1) fs.write(this.fd, some[0]!, 0, some[0]!.length, at, done)
          else fs.writev(this.fd, some, at, done)
        })
      if (written === 0) {
        throw new FileSystemError('EIO', `cannot write to ${this.path}: no progress`)
      }
      at += written
      rest = without(rest, written)
    }
  }

  #writeNow(buffers: Uint8Array[], at: number): number {
    this.#assertOpen()
    try {
      return fs.writevSync(this.fd, buffers, at)
    } catch (error) {
      throw failure('write to', this.path, error)
    }
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    let got = 0
    while (got < into.length) {
      const n = await call<number>('read', this.path, (done) => {
        this.#assertOpen()
        fs.read(this.fd, into, got, into.length - got, offset + got, done)
      })
      if (n === 0) break
      got += n
    }
    return got
  }

  datasync(): Promise<void> {
    return this.#run('sync', (done) => fs.fdatasync(this.fd, done))
  }

  truncate(length: number): Promise<void> {
    return this.#run('truncate', (done) => fs.ftruncate(this.fd, length, done))
  }

  async size(): Promise<number> {
    const stat = await call<fs.Stats>('stat', this.path, (done) => {
      this.#assertOpen()
      fs.fstat(this.fd, done)
    })
    return stat.size
  }

  /** A second close does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await call<void>('close', this.path, (done) => fs.close(this.fd, (e) => done(e ?? null)))
  }

  #run(action: string, run: (done: fs.NoParamCallback) => void): Promise<void> {
    return call<void>(action, this.path, (done) => {
      this.#assertOpen()
      run((error) => done(error))
    })
  }

  // A closed descriptor's number may already be that of another file.
  #assertOpen(): void {
    if (this.#closed) throw new FileSystemError('EBADF', `${this.path} is closed`)
  }
}

function bytesOf(buffers: readonly Uint8Array[]): number {
  let bytes = 0
  for (const buffer of buffers) bytes += buffer.length
  return bytes
}

function without(buffers: Uint8Array[], written: number): Uint8Array[] {
  let skip = written
  let index = 0
  while (index < buffers.length && skip >= buffers[index]!.length) skip -= buffers[index++]!.length
  const rest = buffers.slice(index)
  if (skip > 0) rest[0] = rest[0]!.subarray(skip)
  return rest
}

const flags = {
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
  readWrite: fs.constants.O_RDWR,
  read: fs.constants.O_RDONLY,
}

/** Errors are FileSystemErrors with the code of the system call. */
export class NodeFileSystem implements FileSystem {
  /** Creates its parents, too. */
  async makeDirectory(path: string): Promise<void> {
    await mkdir(path, { recursive: true }).catch((error: unknown) => {
      throw failure('make directory', path, error)
    })
  }

  async list(path: string): Promise<string[]> {
    try {
      return (await readdir(path)).toSorted()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw failure('list', path, error)
    }
  }

  async open(path: string, mode: 'create' | 'readWrite' | 'read'): Promise<FileHandle> {
    const fd = await call<number>('open', path, (done) => {
      fs.open(path, flags[mode], 0o640, done)
    })
    return new NodeFileHandle(path, fd)
  }

  async syncDirectory(path: string): Promise<void> {
    const fd = await call<number>('open', path, (done) => {
      fs.open(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY, done)
    })
    try {
      await call<void>('sync directory', path, (done) => fs.fsync(fd, (e) => done(e ?? null)))
    } finally {
      fs.closeSync(fd)
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(from, to).catch((error: unknown) => {
      throw failure(`rename to ${to}:`, from, error)
    })
  }

  /** ENOENT if there is no such file. */
  async remove(path: string): Promise<void> {
    await rm(path).catch((error: unknown) => {
      throw failure('remove', path, error)
    })
  }

  async link(from: string, to: string): Promise<void> {
    await link(from, to).catch((error: unknown) => {
      throw failure(`link as ${to}:`, from, error)
    })
  }

  async freeBytes(path: string): Promise<number> {
    try {
      const { bavail, bsize } = await statfs(path)
      return bavail * bsize
    } catch (error) {
      throw failure('read the room of', path, error)
    }
  }
}
