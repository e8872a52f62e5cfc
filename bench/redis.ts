/**
 * For comparison: Redis with `appendfsync always` on all three, one primary and two replicas. Its
 * answer means that the primary has written and synced it; nobody waits for the replicas.
 */
import { spawnSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, Proc, temporaryDirectory } from './processes.js'
import { encodeCommand, RedisPipe } from './resp.js'
import type { Target } from './target.js'

const command = 'redis-server'
const readyMs = 20_000

/** For example "Redis 7.0.15"; null where it is not installed. */
export function redisVersion(): string | null {
  const { stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' })
  const version = /v=([\d.]+)/.exec(stdout ?? '')?.[1]
  return version === undefined ? null : `Redis ${version}`
}

export async function startRedis(): Promise<Target> {
  const ports = [await freePort(), await freePort(), await freePort()] as const
  const [first] = ports
  const servers = ports.map((port) => startServer(port, port === first ? null : first))
  await awaitReplicas(first, servers)
  const [primary, ...replicas] = servers.map(({ pid }) => pid)
  return {
    name: 'redis',
    endpoint: { url: `redis://127.0.0.1:${first}`, subject: '', okPrefix: '+OK' },
    pids: async () => ({ primary: [primary ?? -1], replicas }),
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()))
    },
  }
}

function startServer(port: number, primaryPort: number | null): Proc {
  return new Proc(command, [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    temporaryDirectory('redis'),
    '--appendonly',
    'yes',
    '--appendfsync',
    'always',
    '--save',
    '',
    // A rewrite of the log in the middle of a measurement is not what is compared.
    '--auto-aof-rewrite-percentage',
    '0',
    '--repl-diskless-sync-delay',
    '0',
    ...primaryPort === null ? [] : ['--replicaof', '127.0.0.1', String(primaryPort)],
  ], { label: `${command} ${port}`, graceMs: 3000 })
}

async function awaitReplicas(port: number, servers: readonly Proc[]): Promise<void> {
  const deadline = performance.now() + readyMs
  while (await onlineReplicas(port) < servers.length - 1) {
    const ended = servers.find((server) => server.hasExited)
    if (ended || performance.now() > deadline) {
      throw new Error(`${command} did not get ready\n${ended?.errors() ?? ''}`)
    }
    await delay(50)
  }
}

async function onlineReplicas(port: number): Promise<number> {
  try {
    const info = await askOnce(port, ['INFO', 'replication'])
    return info.match(/^slave\d+:.*state=online/gm)?.length ?? 0
  } catch {
    // It does not listen yet.
    return 0
  }
}

async function askOnce(port: number, words: readonly string[]): Promise<string> {
  let answered: (text: string) => void = () => undefined
  const answer = new Promise<string>((resolve) => {
    answered = resolve
  })
  const pipe = await RedisPipe.open(port, (reply) => answered(reply.toString()))
  try {
    pipe.send(encodeCommand(words))
    return await Promise.race([answer, delay(1000, '')])
  } finally {
    pipe.close()
  }
}
