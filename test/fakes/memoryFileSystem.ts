/**
 * A disk in memory that forgets what was not synced. It models the page cache (bytes not
 * datasynced are lost in a power cut, wholly or in part, in any order), directory entries that
 * are lost until the directory is synced, a full disk, failing calls, and bits that flip.
 */
import { dirname } from 'node:path'
import { FileSystemError, type FileHandle, type FileSystem } from '../../actors/ports/fileSystem.js'

type Change =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly length: number }

/** Power cuts tear writes at multiples of this. */
const SECTOR = 64

class Content {
  #bytes = Buffer.alloc(0)
  length = 0

  get view(): Buffer {
    return this.#bytes.subarray(0, this.length)
  }

  apply(change: Change): void {
    if (change.kind === 'truncate') {
      this.#resize(change.length)
      return
    }
    const end = change.offset + change.bytes.length
    if (end > this.length) this.#resize(end)
    change.bytes.copy(this.#bytes, change.offset)
  }

  copy(): Content {
    const copy = new Content()
    copy.#bytes = Buffer.from(this.view)
    copy.length = this.length
    return copy
  }

  #resize(length: number): void {
    if (length > this.#bytes.length) {
      const grown = Buffer.alloc(Math.max(length, this.#bytes.length * 2))
      this.view.copy(grown)
      this.#bytes = grown
    }
    if (length < this.length) this.#bytes.fill(0, length, this.length)
    this.length = length
  }
}

class Inode {
  current = new Content()
  durable = new Content()
  unsynced: Change[] = []

  apply(change: Change): void {
    this.current.apply(change)
    this.unsynced.push(change)
  }

  sync(): void {
    for (const change of this.unsynced) this.durable.apply(change)
    this.unsynced = []
  }

  /** Without `next` nothing unsynced survives; with it, a random part of it does. */
  lose(next: (() => number) | null): void {
    const part = next ? this.#surviving(next) : []
    for (const change of part) this.durable.apply(change)
    this.current = this.durable.copy()
    this.unsynced = []
  }

  #surviving(next: () => number): Change[] {
    const fate = Math.floor(next() * 4)
    if (fate === 0) return []
    if (fate === 1) return this.unsynced
    const whole = Math.floor(next() * (this.unsynced.length + 1))
    const kept = this.unsynced.slice(0, whole)
    const torn = this.unsynced[whole]
    if (!torn || torn.kind === 'truncate') return kept
    if (fate === 2) {
      const length = Math.floor(next() * torn.bytes.length)
      return [...kept, { ...torn, bytes: torn.bytes.subarray(0, length) }]
    }
    // The file got its length, and some of the sectors: the others read as zeros.
    for (let at = 0; at < torn.bytes.length; at += SECTOR) {
      const sector = torn.bytes.subarray(at, at + SECTOR)
      const bytes = next() < 0.5 ? sector : Buffer.alloc(sector.length)
      kept.push({ kind: 'write', offset: torn.offset + at, bytes })
    }
    return kept
  }
}

/** A step of a directory: a rename changes two names at once. */
interface Entry {
  readonly directory: string
  readonly names: readonly { readonly path: string; readonly inode: Inode | null }[]
}

type Operation = 'open' | 'write' | 'read' | 'datasync' | 'truncate' | 'syncDirectory' | 'rename'
  | 'remove' | 'link' | 'makeDirectory'
const CHANGING: ReadonlySet<Operation> = new Set<Operation>([
  'write',
  'datasync',
  'truncate',
  'syncDirectory',
  'rename',
  'remove',
  'link',
  'makeDirectory',
])

export class MemoryFileSystem implements FileSystem {
  /** Bytes that all files may have together; a write beyond it is partly made, then ENOSPC. */
  capacity = Number.POSITIVE_INFINITY
  /** Number of calls, by operation. */
  readonly calls = new Map<Operation, number>()
  #files = new Map<string, Inode>()
  #durableFiles = new Map<string, Inode>()
  #directories = new Set<string>(['/'])
  /** Entries changed since their directory was synced, in order. */
  #unsyncedEntries: Entry[] = []
  /** Paths of the open handles of the present process, as they were opened. */
  readonly #opened = new Map<FileHandle, string>()
  #life = 0
  #failures: { operation: Operation; code: string }[] = []
  #changesLeft = Number.POSITIVE_INFINITY

  /** The next call of `operation` fails with `code`, once. Later calls queue up. */
  failNext(operation: Operation, code = 'EIO'): void {
    this.#failures.push({ operation, code })
  }

  /** Takes back failures that were planned and have not come yet. */
  failNone(): void {
    this.#failures = []
  }

  /** Files below a directory, sorted. */
  paths(directory: string): string[] {
    return [...this.#files.keys()].filter((path) => path.startsWith(`${directory}/`)).toSorted()
  }

  /** Files below a directory that the present process has open, by the names it opened them by. */
  opened(directory: string): string[] {
    return [...this.#opened.values()].filter((path) => path.startsWith(`${directory}/`)).toSorted()
  }

  /**
   * The process is killed at the n-th changing call from now (0: the next): a write is made in
   * part, anything else not at all, and every call fails until `kill()` or `powerCut()`.
   */
  stopAfter(changes: number): void {
    this.#changesLeft = changes
  }

  get stopped(): boolean {
    return this.#changesLeft < 0
  }

  /** The process dies; what it wrote stays (in the page cache). Open handles are void. */
  kill(): void {
    this.#life++
    this.#opened.clear()
    this.#changesLeft = Number.POSITIVE_INFINITY
    this.#failures = []
  }

  /** The disk as the process of now sees it: after its end, every call of it fails. */
  process(): FileSystem {
    const life = this.#life
    const alive = (): this => {
      if (life !== this.#life) throw new FileSystemError('EIO', 'the process is dead')
      return this
    }
    return {
      makeDirectory: async (path) => await alive().makeDirectory(path),
      list: async (path) => await alive().list(path),
      open: async (path, mode) => await alive().open(path, mode),
      syncDirectory: async (path) => await alive().syncDirectory(path),
      rename: async (from, to) => await alive().rename(from, to),
      remove: async (path) => await alive().remove(path),
      link: async (from, to) => await alive().link(from, to),
      freeBytes: async () => await alive().freeBytes(),
    }
  }

  /** Loses what was not synced: all of it, or with `next` (a random source) a random part. */
  powerCut(next: (() => number) | null = null): void {
    this.kill()
    const survivors = next ? Math.floor(next() * (this.#unsyncedEntries.length + 1)) : 0
    for (const entry of this.#unsyncedEntries.slice(0, survivors)) this.#settle(entry)
    this.#unsyncedEntries = []
    for (const inode of new Set(this.#durableFiles.values())) inode.lose(next)
    this.#files = new Map(this.#durableFiles)
  }

  /** At rest: what was durable is changed too. */
  flipBit(path: string, offset: number, bit: number): void {
    const inode = this.#inode(path)
    for (const content of new Set([inode.current, inode.durable])) {
      if (offset < content.length) content.view[offset]! ^= 1 << bit
    }
  }

  /** At rest: the file ends here. */
  cut(path: string, length: number): void {
    const inode = this.#inode(path)
    inode.apply({ kind: 'truncate', length })
    inode.sync()
  }

  bytesOf(path: string): Buffer {
    return Buffer.from(this.#inode(path).current.view)
  }

  /** An independent copy of files and directories, all of it durable, without failures to come. */
  clone(): MemoryFileSystem {
    const copy = new MemoryFileSystem()
    for (const [path, inode] of this.#files) {
      const twin = new Inode()
      twin.current = inode.current.copy()
      twin.durable = inode.current.copy()
      copy.#files.set(path, twin)
    }
    copy.#durableFiles = new Map(copy.#files)
    copy.#directories = new Set(this.#directories)
    return copy
  }

  async makeDirectory(path: string): Promise<void> {
    this.#begin('makeDirectory')
    for (let at = path; !this.#directories.has(at); at = dirname(at)) this.#directories.add(at)
  }

  async list(path: string): Promise<string[]> {
    const names = [...this.#files.keys(), ...this.#directories]
      .filter((file) => file !== '/' && dirname(file) === path)
      .map((file) => file.slice(path === '/' ? 1 : path.length + 1))
    return names.toSorted()
  }

  async open(path: string, mode: 'create' | 'readWrite' | 'read'): Promise<FileHandle> {
    this.#begin('open')
    if (mode === 'create') {
      if (this.#files.has(path)) throw new FileSystemError('EEXIST', `${path} exists`)
      if (!this.#directories.has(dirname(path))) {
        throw new FileSystemError('ENOENT', `no directory for ${path}`)
      }
      this.#enter(path, new Inode())
    }
    return this.#handle(path, this.#inode(path), mode !== 'read')
  }

  async syncDirectory(path: string): Promise<void> {
    this.#begin('syncDirectory')
    if (!this.#directories.has(path)) throw new FileSystemError('ENOENT', `no ${path}`)
    const here = this.#unsyncedEntries.filter((entry) => entry.directory === path)
    for (const entry of here) this.#settle(entry)
    this.#unsyncedEntries = this.#unsyncedEntries.filter((entry) => entry.directory !== path)
  }

  async rename(from: string, to: string): Promise<void> {
    this.#begin('rename')
    const inode = this.#inode(from)
    this.#files.delete(from)
    this.#files.set(to, inode)
    this.#change(to, { path: to, inode }, { path: from, inode: null })
  }

  async remove(path: string): Promise<void> {
    this.#begin('remove')
    this.#inode(path)
    this.#files.delete(path)
    this.#change(path, { path, inode: null })
  }

  async link(from: string, to: string): Promise<void> {
    this.#begin('link')
    const inode = this.#inode(from)
    if (this.#files.has(to)) throw new FileSystemError('EEXIST', `${to} exists`)
    this.#enter(to, inode)
  }

  #handle(path: string, inode: Inode, writable: boolean): FileHandle {
    const life = this.#life
    let closed = false
    const begin = (operation: Operation): void => {
      if (closed || life !== this.#life) throw new FileSystemError('EBADF', `${path} is closed`)
      if (!writable && CHANGING.has(operation)) {
        throw new FileSystemError('EBADF', `${path} is open for reading`)
      }
      this.#begin(operation, inode)
    }
    const handle: FileHandle = {
      write: async (buffers, offset) => {
        const bytes = Buffer.concat(buffers.map((buffer) => Buffer.from(buffer)))
        this.#pending = { inode, offset, bytes }
        begin('write')
        this.#write(path, inode, bytes, offset)
      },
      read: async (into, offset) => {
        begin('read')
        const some = inode.current.view.subarray(offset, offset + into.length)
        into.set(some)
        return some.length
      },
      datasync: async () => {
        begin('datasync')
        inode.sync()
      },
      truncate: async (length) => {
        begin('truncate')
        inode.apply({ kind: 'truncate', length })
      },
      size: async () => inode.current.length,
      close: async () => {
        closed = true
        this.#opened.delete(handle)
      },
    }
    this.#opened.set(handle, path)
    return handle
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(Math.max(0, this.capacity - this.#usedBytes()))
  }

  #usedBytes(): number {
    let used = 0
    for (const file of new Set(this.#files.values())) used += file.current.length
    return used
  }

  #pending: { inode: Inode; offset: number; bytes: Buffer } | null = null

  #write(path: string, inode: Inode, bytes: Buffer, offset: number): void {
    const used = this.#usedBytes()
    const grows = Math.max(0, offset + bytes.length - inode.current.length)
    const fits = Math.min(bytes.length, bytes.length - (used + grows - this.capacity))
    if (fits >= bytes.length) {
      inode.apply({ kind: 'write', offset, bytes })
      return
    }
    const part = bytes.subarray(0, Math.max(0, fits))
    if (part.length > 0) inode.apply({ kind: 'write', offset, bytes: part })
    throw new FileSystemError('ENOSPC', `cannot write to ${path}: no space left`)
  }

  #begin(operation: Operation, inode?: Inode): void {
    this.calls.set(operation, (this.calls.get(operation) ?? 0) + 1)
    const pending = this.#pending
    this.#pending = null
    if (this.stopped) throw new FileSystemError('EIO', 'the process is dead')
    if (CHANGING.has(operation) && this.#changesLeft-- <= 0) {
      this.#changesLeft = -1
      if (operation === 'write' && pending && inode) {
        const { offset, bytes } = pending
        inode.apply({ kind: 'write', offset, bytes: bytes.subarray(0, bytes.length >> 1) })
      }
      throw new FileSystemError('EIO', 'the process dies here')
    }
    const index = this.#failures.findIndex((failure) => failure.operation === operation)
    if (index < 0) return
    const [failure] = this.#failures.splice(index, 1)
    throw new FileSystemError(failure!.code, `${operation} fails, as planned`)
  }

  #enter(path: string, inode: Inode): void {
    this.#files.set(path, inode)
    this.#change(path, { path, inode })
  }

  #change(path: string, ...names: { path: string; inode: Inode | null }[]): void {
    this.#unsyncedEntries.push({ directory: dirname(path), names })
  }

  #settle(entry: Entry): void {
    for (const { path, inode } of entry.names) {
      if (inode) this.#durableFiles.set(path, inode)
      else this.#durableFiles.delete(path)
    }
  }

  #inode(path: string): Inode {
    const inode = this.#files.get(path)
    if (!inode) throw new FileSystemError('ENOENT', `${path} does not exist`)
    return inode
  }
}
