/**
 * One process per data directory. The owner listens on a Unix socket below the directory, so that
 * every process that can write there can see it, whatever its network or process namespace (two
 * containers on one volume). The kernel refuses connections to the socket of a dead process, so
 * no stale file and no reused pid can mislead.
 *
 * Sockets are numbered, `owner.<n>.sock`. A process that finds none alive links its own, which
 * listens already, to the next number. That fails if the name is taken, so one of many that start
 * at once wins. Then it looks again, and gives its own up if it finds another one alive. So two
 * never stay, in any order of events with the end of a former owner: of two sockets that
 * both appeared, the one that looked last has seen the other.
 */
import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readdir, rm, stat, statfs, symlink } from 'node:fs/promises'
import { createConnection, createServer, type Server } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** The answer of a directory's owner to a process that connects. */
export interface OwnerInfo {
  readonly pid: number
  readonly host: string
  readonly node: string
  /** When it took the directory, ISO 8601. */
  readonly since: string
}

/** A process that is alive, or may be, owns the directory. */
export class DirectoryOwnedError extends Error {
  readonly code = 'DIRECTORY_OWNED'
  constructor(readonly directory: string, readonly owner: OwnerInfo | null, why = '') {
    super(`${directory} is in use by ${
      owner
        ? `process ${owner.pid} on ${owner.host} (since ${owner.since})`
        : `another process${why === '' ? ' that does not identify itself' : `: ${why}`}`
    }. `
      + 'Stop that process first, or use another data directory.')
    this.name = 'DirectoryOwnedError'
  }
}

/** The directory cannot be owned: it is not a directory, or cannot hold a socket. */
export class DirectoryUnusableError extends Error {
  readonly code = 'DIRECTORY_UNUSABLE'
  constructor(directory: string, reason: string, remedy: string, cause?: unknown) {
    super(`the data directory ${directory} cannot be used: ${reason}. ${remedy}`, { cause })
    this.name = 'DirectoryUnusableError'
  }
}

export interface DirectoryOwner {
  /**
   * On a network file system a refused connection proves nothing: the owner may be on another
   * host. Then the directory is taken only by `confirm`, once it is known that no other process
   * has the node's name.
   */
  readonly isConfirmed: boolean
  /** Throws DirectoryOwnedError. */
  confirm(): Promise<void>
  /** A second call does nothing. */
  release(): Promise<void>
}

const ASK_MS = 500
/** Limit of the attempts; each loses to a faster process, and then finds it alive. */
const ATTEMPTS = 100
const YIELD_MS = 50

/**
 * Takes the directory; creates it if it does not exist. Writes only sockets. The socket does not
 * keep the process alive. Throws DirectoryOwnedError, DirectoryUnusableError.
 */
export async function ownDirectory(directory: string, node: string): Promise<DirectoryOwner> {
  await makeDirectory(directory)
  const former = await lockForFormerRelease(directory, node)
  const claim = new Claim(directory, node, former)
  try {
    if (await isOnNetwork(directory)) await claim.refuseLiving()
    else await claim.confirm()
  } catch (error) {
    await claim.release()
    throw error
  }
  return claim
}

/** The error that others would get now; null: the directory has no owner. Changes nothing. */
export async function ownerOf(directory: string): Promise<DirectoryOwnedError | null> {
  try {
    await new Claim(directory, '', null).refuseLiving()
    return null
  } catch (error) {
    if (error instanceof DirectoryOwnedError) return error
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

class Claim implements DirectoryOwner {
  #server: Server | null = null
  #name: string | null = null

  constructor(
    private readonly directory: string,
    private readonly node: string,
    private former: Server | null,
  ) {}

  get isConfirmed(): boolean {
    return this.#name !== null
  }

  async confirm(): Promise<void> {
    if (this.isConfirmed) return
    const own = `owner.${randomUUID()}.new`
    this.#server = await this.#listen(own)
    try {
      this.#name = await this.#link(own)
    } finally {
      await rm(join(this.directory, own), { force: true })
    }
    await this.#sweep()
  }

  /** Throws DirectoryOwnedError when a process lives that has one of the sockets. */
  async refuseLiving(): Promise<void> {
    const living = await this.#living(await this.#numbers())
    if (living) throw new DirectoryOwnedError(this.directory, living.owner, living.why)
  }

  async release(): Promise<void> {
    const [servers, name] = [[this.#server, this.former], this.#name]
    this.#server = null
    this.former = null
    this.#name = null
    if (name !== null) await rm(join(this.directory, name), { force: true })
    await Promise.all(servers.map(async (server) => {
      if (server) await new Promise<void>((resolve) => server.close(() => resolve()))
    }))
  }

  async #link(own: string): Promise<string> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await this.refuseLiving()
      const [top = 0] = await this.#numbers()
      const name = nameOf(top + 1)
      try {
        await link(join(this.directory, own), join(this.directory, name))
      } catch (error) {
        // Another process was faster. It may have removed `own`, which did not listen yet.
        if (['EEXIST', 'ENOENT'].includes(codeOf(error))) continue
        throw unusable(this.directory, error)
      }
      const others = (await this.#numbers()).filter((number) => nameOf(number) !== name)
      if (!await this.#living(others)) return name
      await rm(join(this.directory, name), { force: true })
      // If both give up, one looks again before the other.
      await delay(Math.random() * YIELD_MS)
    }
    throw new DirectoryOwnedError(this.directory, null, 'other processes keep taking it')
  }

  async #living(numbers: readonly number[]): Promise<Living | null> {
    return await within(this.directory, async (short) => {
      for (const number of numbers) {
        const found = await ask(join(short, nameOf(number)))
        if (typeof found === 'object') return found
      }
      return null
    })
  }

  /** Numbers of the existing sockets, the highest first. */
  async #numbers(): Promise<number[]> {
    const names = await readdir(this.directory)
    return names.flatMap((name) => /^owner\.(\d{1,15})\.sock$/.exec(name)?.[1] ?? [])
      .map(Number).toSorted((a, b) => b - a)
  }

  /**
   * Removes sockets of dead processes. A living process that lost removes its own by its name: if
   * it were removed here, that would remove the socket of the next owner of the name.
   */
  async #sweep(): Promise<void> {
    const sockets = (await readdir(this.directory)).filter((name) =>
      name !== this.#name
      && /^owner\.(\d{1,15}\.sock|[0-9a-f-]{36}\.new)$/.test(name)
    )
    await within(this.directory, async (short) => {
      for (const name of sockets) {
        if (await ask(join(short, name)) !== 'dead') continue
        await rm(join(this.directory, name), { force: true })
      }
    })
  }

  async #listen(name: string): Promise<Server> {
    try {
      return await within(this.directory, (short) => listen(join(short, name), ownInfo(this.node)))
    } catch (error) {
      throw unusable(this.directory, error)
    }
  }
}

function nameOf(number: number): string {
  return `owner.${number}.sock`
}

/** Step by step: below /proc, mkdir with `recursive` never returns (Node 20). */
async function makeParents(directory: string, mode: number): Promise<void> {
  try {
    await mkdir(directory, { mode })
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return
    const parent = dirname(directory)
    if (codeOf(error) !== 'ENOENT' || parent === directory) throw error
    await makeParents(parent, mode)
    await mkdir(directory, { mode }).catch((again: unknown) => {
      if (codeOf(again) !== 'EEXIST') throw again
    })
  }
}

/** Makes the directory when absent. Throws DirectoryUnusableError. */
export async function makeDirectory(directory: string, mode = 0o777): Promise<void> {
  try {
    await makeParents(resolve(directory), mode)
    if ((await stat(directory)).isDirectory()) return
  } catch (error) {
    throw unusable(directory, error)
  }
  throw new DirectoryUnusableError(directory, 'it is not a directory', 'Use another path.')
}

const remedies: Readonly<Record<string, string>> = {
  EACCES: 'Give the user that runs this process write permission there.',
  EPERM: 'Either it may not be changed (immutable: lsattr -d), or its file system cannot hold '
    + 'Unix sockets and links: then use one that can, like ext4 or xfs.',
  EROFS: 'Mount the file system for writing, or use another directory.',
  ENOSPC: 'Free some space (or inodes) on it first.',
  EDQUOT: 'Raise the quota, or free some space.',
  ENOTDIR: 'Use the path of a directory.',
  EEXIST: 'Use the path of a directory.',
}
const remedyOfOthers = 'Use a local file system that can hold Unix sockets, like ext4 or xfs.'

/** Adds the remedy for a system error. */
export function unusable(directory: string, error: unknown): DirectoryUnusableError {
  if (error instanceof DirectoryUnusableError) return error
  const { message } = error as Error
  return new DirectoryUnusableError(
    directory,
    message,
    remedies[codeOf(error)] ?? remedyOfOthers,
    error,
  )
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? ''
}

// f_type of statfs(2): file systems that other hosts may have mounted, too.
const networkTypes: ReadonlySet<number> = new Set([
  0x6969, // NFS
  0x517b,
  0xff534d42,
  0xfe534d42, // SMB, CIFS, SMB2
  0x00c36400, // Ceph
  0x65735546, // FUSE: sshfs, GlusterFS and others
  0x01021997, // 9p
  0x5346414f,
  0x6b414653, // AFS
  0x0bd00bd0, // Lustre
  0x01161970,
  0x7461636f, // GFS2, OCFS2
  0x47504653, // GPFS
  0x19830326, // BeeGFS
])

async function isOnNetwork(directory: string): Promise<boolean> {
  return process.platform === 'linux' && networkTypes.has((await statfs(directory)).type)
}

/**
 * Gives the directory a short name while `run` works: the path of a socket has at most 107 bytes
 * (unix(7)), and Node silently cuts a longer one off.
 */
async function within<T>(directory: string, run: (short: string) => Promise<T>): Promise<T> {
  if (process.platform === 'linux') {
    const handle = await open(directory, 'r')
    try {
      return await run(`/proc/self/fd/${handle.fd}`)
    } finally {
      await handle.close()
    }
  }
  const alias = join(tmpdir(), `engram-${randomUUID().slice(0, 8)}`)
  await symlink(directory, alias)
  try {
    return await run(alias)
  } finally {
    await rm(alias, { force: true })
  }
}

function listen(path: string, me: OwnerInfo): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end(JSON.stringify(me))
  })
  server.unref()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      server.on('error', () => undefined)
      resolve(server)
    })
  })
}

interface Living {
  readonly owner: OwnerInfo | null
  readonly why: string
}

/** `dead` only if the kernel says so: a silent process may be stopped. */
type Found = 'dead' | 'gone' | Living

function ask(path: string): Promise<Found> {
  return new Promise((resolve) => {
    let text = ''
    const socket = createConnection(path)
    const finish = (found: Found): void => {
      socket.destroy()
      resolve(found)
    }
    const alive = (why: string) => finish({ owner: parseOwner(text), why })
    socket.setTimeout(ASK_MS, () => alive('it does not answer'))
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8')
      if (text.length > 4096) alive('its answer makes no sense')
    })
    socket.on('end', () => alive('its answer makes no sense'))
    socket.on('error', (error) => {
      if (codeOf(error) === 'ECONNREFUSED') finish('dead')
      // Removed by its owner, at its end, or by a later owner.
      else if (codeOf(error) === 'ENOENT') finish('gone')
      else alive(error.message)
    })
  })
}

function parseOwner(text: string): OwnerInfo | null {
  try {
    const value = JSON.parse(text) as OwnerInfo
    return Number.isSafeInteger(value.pid) ? value : null
  } catch {
    return null
  }
}

/**
 * Processes of the previous release own a directory by an abstract socket, visible within one
 * network namespace only. Held for one more release, so that the two do not share a directory.
 */
async function lockForFormerRelease(directory: string, node: string): Promise<Server | null> {
  if (process.platform !== 'linux') return null
  const { dev, ino } = await stat(directory, { bigint: true })
  const name = `\0engram-data-${dev}-${ino}`
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      return await listen(name, ownInfo(node))
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw unusable(directory, error)
    }
    const found = await ask(name)
    if (typeof found === 'object') {
      throw new DirectoryOwnedError(directory, found.owner, found.why)
    }
  }
  throw new DirectoryOwnedError(directory, null, 'other processes keep taking it')
}

function ownInfo(node: string): OwnerInfo {
  return { pid: process.pid, host: hostname(), node, since: new Date().toISOString() }
}
